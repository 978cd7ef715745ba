//! How long to wait before the next try: full jitter below a ceiling that doubles.
//!
//! Invariant: a delay is at least `minMs` and at most `maxMs`, whatever the attempt and the random
//! number. Used by the link for connections and by the rooms for joins that were refused for now.

export interface Backoff {
  /** No delay is shorter, in milliseconds: 1 or more. */
  minMs: number;
  /** The ceiling of the first delay. */
  baseMs: number;
  /** No delay is longer. */
  maxMs: number;
}

export const BACKOFF: Readonly<Backoff> = { minMs: 100, baseMs: 1_000, maxMs: 30_000 };

/**
 * The delay before an attempt, in milliseconds: spread evenly between `minMs` and
 * `min(maxMs, baseMs * 2^attempt)`, so that clients that were cut together do not come back together.
 *
 * @param attempt tries that failed already, from 0
 * @param random a number from 0 (included) to 1 (excluded)
 */
export function backoff(attempt: number, bounds: Readonly<Backoff> = BACKOFF, random = Math.random()): number {
  const { minMs, baseMs, maxMs } = bounds;
  // 2^31 milliseconds are 24 days: beyond, timers of browsers fire at once.
  const ceiling = Math.max(minMs, Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 31)));
  return minMs + random * (ceiling - minMs);
}

/** Bounds that fit together, or an error that says which do not. */
export function checked(given: Partial<Backoff> = {}): Backoff {
  const bounds = { ...BACKOFF, ...given };
  const { minMs, baseMs, maxMs } = bounds;
  if (!(minMs >= 1 && minMs <= baseMs && baseMs <= maxMs && maxMs < 2 ** 31)) {
    throw new RangeError("reconnect: 1 <= minMs <= baseMs <= maxMs < 2^31");
  }
  return bounds;
}
