//! Who listens to what a client says of itself.
//!
//! Invariant: a listener that throws harms nobody else. Used by the client.

export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => unknown>>();
  readonly #threw: (thrown: unknown) => void;

  constructor(threw: (thrown: unknown) => void) {
    this.#threw = threw;
  }

  /** Listens until the returned function is called. */
  on<E extends keyof Events>(event: E, listener: (event: Events[E]) => unknown): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    // The same function twice is two listeners.
    const mine = (value: never) => listener(value);
    listeners.add(mine);
    return () => void listeners.delete(mine);
  }

  /** Whether anybody listens. */
  emit<E extends keyof Events>(event: E, value: Events[E]): boolean {
    const listeners = [...(this.#listeners.get(event) ?? [])];
    for (const listener of listeners) {
      try {
        const result = listener(value as never) as PromiseLike<unknown> | undefined;
        if (typeof result?.then === "function") Promise.resolve(result).catch(this.#threw);
      } catch (thrown) {
        this.#threw(thrown);
      }
    }
    return listeners.length > 0;
  }
}
