//! Waits of tests: for events, with a deadline.

/** Resolves once the condition holds; it is looked at in every turn of the event loop. */
export async function until(what, condition, ms = 60_000) {
  const deadline = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Settles all that only waits for its turn. */
export async function turns(count = 5) {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Time that the test moves: timers and the clock that does not jump. */
export function virtualTime(t) {
  let now = 0;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  t.mock.method(performance, "now", () => now);
  return async (ms) => {
    for (let left = ms; left > 0; left -= 10) {
      const step = Math.min(10, left);
      now += step;
      t.mock.timers.tick(step);
      await turns(1);
    }
  };
}
