//! What goes wrong, in one type: a code for programs, whether the same call may succeed later, and
//! whether it may have taken effect.
//!
//! Invariant: every promise of this package that rejects does so with a `ShardcastError`, or with the
//! reason of the caller's own `AbortSignal`. Used by every other file.

/** Codes of the server (docs/errors.md) and, behind them, those that only the client gives. */
export type Code =
  | "bad_json" | "bad_request" | "unknown_type" | "unauthorized" | "forbidden" | "not_joined" | "too_large"
  | "room_limit" | "unknown_namespace" | "invalid_data" | "rate_limited" | "timeout" | "handler_failed"
  | "unavailable" | "room_full"
  /** The connection went before the answer came, and the request may not be sent twice. */
  | "connection_lost"
  /** The client was closed, by `close()` or by the server with a code that ends it. */
  | "closed"
  /** The server closed it because another connection of the same user took its place. */
  | "replaced"
  /** As many requests wait as may, or this one was dropped for a newer one. */
  | "queue_full"
  /** Nobody took what a subscription received, and its policy is `"fail"`. */
  | "buffer_full"
  /** There is neither a WebSocket nor `fetch`, or the address is none. */
  | "no_transport"
  /** The provider of tokens failed. */
  | "no_token"
  /** A handler of the user threw. */
  | "handler_threw"
  /** Codes of later servers. */
  | (string & {});

/** What an error says besides its code and message. */
export interface Details {
  retryable?: boolean;
  retryAfterMs?: number;
  field?: string;
  closeCode?: number;
  mayHaveHappened?: boolean;
  cause?: unknown;
}

export class ShardcastError extends Error {
  override readonly name = "ShardcastError";
  /** For programs. */
  readonly code: Code;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** When, in milliseconds, if the server said so. */
  readonly retryAfterMs: number | undefined;
  /** Which field of `data` is at fault, as `data.price`. */
  readonly field: string | undefined;
  /** The close code, where a connection ended for it. */
  readonly closeCode: number | undefined;
  /** Whether the request may have taken effect although it failed. */
  readonly mayHaveHappened: boolean;

  constructor(code: Code, message: string, details: Details = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.code = code;
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs;
    this.field = details.field;
    this.closeCode = details.closeCode;
    this.mayHaveHappened = details.mayHaveHappened ?? false;
  }
}

/** An `error` message of the server. */
export interface ErrorAnswer {
  code: string;
  message: string;
  retryable?: boolean;
  retry_after_ms?: number;
  field?: string;
}

export function ofAnswer(answer: ErrorAnswer): ShardcastError {
  const details: Details = { retryable: answer.retryable === true };
  if (answer.retry_after_ms !== undefined) details.retryAfterMs = answer.retry_after_ms;
  if (answer.field !== undefined) details.field = answer.field;
  // Of these the server itself cannot say.
  details.mayHaveHappened = answer.code === "timeout" || answer.code === "handler_failed";
  return new ShardcastError(answer.code, answer.message, details);
}

/** Close codes from 4000 on, in order (docs/errors.md). */
const TERMINAL: Code[] = [
  "bad_json", "bad_request", "unknown_type", "unauthorized", "forbidden", "not_joined", "too_large", "room_limit",
  "unknown_namespace", "invalid_data",
];

/** Whether a close code says that connecting again does not help. */
export function isTerminal(code: number): boolean {
  return code >= 4000 && code <= 4099;
}

export function ofClose(closeCode: number, reason: string): ShardcastError {
  const code = closeCode === 4020 ? "replaced" : (TERMINAL[closeCode - 4000] ?? "closed");
  return new ShardcastError(code, reason || `the server closed with ${closeCode}`, { closeCode });
}

/** Whatever was thrown, as one of ours. */
export function wrap(code: Code, thrown: unknown, details: Details = {}): ShardcastError {
  if (thrown instanceof ShardcastError) return thrown;
  return new ShardcastError(code, thrown instanceof Error ? thrown.message : String(thrown), { ...details, cause: thrown });
}

/** What a promise of the user's settles with, if that takes no longer. */
export async function within<T>(ms: number, given: T | PromiseLike<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ShardcastError("timeout", `nothing within ${ms} ms`, { retryable: true })), ms);
  });
  try {
    return await Promise.race([given, late]);
  } finally {
    clearTimeout(timer);
  }
}
