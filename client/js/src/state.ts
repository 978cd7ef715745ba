//! The states of a client, and the one function that leads from one to the next.
//!
//! Invariant: `closed` is final, and what does not belong to a state changes nothing. Used by the
//! client, which tells every change.

/**
 * - `connecting`: there is no connection; one is being made, or the next try is waited for
 * - `connected`: the server has said welcome, and nobody is signed in
 * - `authenticated`: the same, and the server has taken the token for a user's
 * - `recovering`: rooms of an earlier connection are being joined again
 * - `draining`: the connection ends soon, because the server stops or `close` waits for answers
 * - `closed`: for good, by `close` or by the server
 */
export type State = "connecting" | "connected" | "authenticated" | "recovering" | "draining" | "closed";

export type StateEvent =
  | "welcomed" | "accepted" | "rejoining" | "rejoined" | "rejoined_as_user" | "drained" | "lost" | "ended";

const TABLE: Record<State, Partial<Record<StateEvent, State>>> = {
  connecting: { welcomed: "connected", drained: "draining", ended: "closed" },
  connected: {
    accepted: "authenticated", rejoining: "recovering", drained: "draining", lost: "connecting", ended: "closed",
  },
  authenticated: { rejoining: "recovering", drained: "draining", lost: "connecting", ended: "closed" },
  recovering: {
    rejoined: "connected", rejoined_as_user: "authenticated", drained: "draining", lost: "connecting", ended: "closed",
  },
  draining: { lost: "connecting", ended: "closed" },
  closed: {},
};

/** The state after an event; the same where the event means nothing. */
export function next(state: State, event: StateEvent): State {
  return TABLE[state][event] ?? state;
}
