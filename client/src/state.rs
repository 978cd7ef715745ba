//! The states of a client, and the one function that leads from one to the next.
//!
//! Invariant: `Closed` is final, and what does not belong to a state changes nothing. Used by the
//! core, which tells every change.

use crate::error::Error;
use std::pin::Pin;
use tokio::sync::watch;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There is no connection; one is being made, or the next try is waited for.
    Connecting,
    /// The server has said welcome, and nobody is signed in.
    Connected,
    /// The same, and the server has taken the token for a user's.
    Authenticated,
    /// Rooms of an earlier connection are being joined again.
    Recovering,
    /// The connection ends soon, because the server stops or `close` waits for answers.
    Draining,
    /// For good, by `close` or by the server.
    Closed,
}

/// What a watcher of a client sees.
#[derive(Clone, Debug)]
pub struct Status {
    /// Where the client stands.
    pub state: State,
    /// Whether the session stands: who the client is is settled, rooms are joined, requests go.
    pub is_settled: bool,
    /// Tries to connect since the last connection that stood.
    pub attempt: u32,
    /// Why the last connection ended or could not be made; with [`State::Closed`] why the client
    /// has ended, or nothing after `close`.
    pub error: Option<Error>,
}

/// The status of a client, once it has changed: kept until it is ready, for one that is dropped
/// wakes nobody.
pub(crate) type NextStatus = Pin<Box<dyn Future<Output = watch::Receiver<Status>> + Send>>;

pub(crate) fn next_status(mut status: watch::Receiver<Status>) -> NextStatus {
    Box::pin(async move {
        match status.changed().await {
            Ok(()) => status,
            // It is gone with its client.
            Err(_) => std::future::pending().await,
        }
    })
}

/// What leads from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateEvent {
    Welcomed,
    Accepted,
    Rejoining,
    Rejoined,
    RejoinedAsUser,
    Drained,
    Lost,
    Ended,
}

impl StateEvent {
    #[cfg(test)]
    const ALL: [StateEvent; 8] = [
        StateEvent::Welcomed,
        StateEvent::Accepted,
        StateEvent::Rejoining,
        StateEvent::Rejoined,
        StateEvent::RejoinedAsUser,
        StateEvent::Drained,
        StateEvent::Lost,
        StateEvent::Ended,
    ];
}

/// The state after an event; the same where the event means nothing.
pub(crate) fn next(state: State, event: StateEvent) -> State {
    use State::{Authenticated, Closed, Connected, Connecting, Draining, Recovering};
    match (state, event) {
        (Closed, _) | (_, StateEvent::Ended) => Closed,
        (Connecting, StateEvent::Welcomed) => Connected,
        (Connected, StateEvent::Accepted) => Authenticated,
        (Connected | Authenticated, StateEvent::Rejoining) => Recovering,
        (Recovering, StateEvent::Rejoined) => Connected,
        (Recovering, StateEvent::RejoinedAsUser) => Authenticated,
        (Connecting | Connected | Authenticated | Recovering | Draining, StateEvent::Drained) => {
            Draining
        }
        (Connected | Authenticated | Recovering | Draining, StateEvent::Lost) => Connecting,
        (Connecting, StateEvent::Accepted | StateEvent::Rejoining | StateEvent::Lost)
        | (Connected | Authenticated | Recovering | Draining, StateEvent::Welcomed)
        | (Authenticated | Recovering | Draining, StateEvent::Accepted)
        | (Recovering | Draining, StateEvent::Rejoining)
        | (
            Connecting | Connected | Authenticated | Draining,
            StateEvent::Rejoined | StateEvent::RejoinedAsUser,
        ) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::{State, StateEvent, next};

    #[test]
    fn the_whole_table() {
        let states = [
            State::Connecting,
            State::Connected,
            State::Authenticated,
            State::Recovering,
            State::Draining,
            State::Closed,
        ];
        let table: Vec<String> = states
            .iter()
            .flat_map(|&state| StateEvent::ALL.map(|event| (state, event, next(state, event))))
            .filter(|(before, _, after)| before != after)
            .map(|(before, event, after)| format!("{before:?} {event:?} {after:?}"))
            .collect();
        let expected = "Connecting Welcomed Connected
Connecting Drained Draining
Connecting Ended Closed
Connected Accepted Authenticated
Connected Rejoining Recovering
Connected Drained Draining
Connected Lost Connecting
Connected Ended Closed
Authenticated Rejoining Recovering
Authenticated Drained Draining
Authenticated Lost Connecting
Authenticated Ended Closed
Recovering Rejoined Connected
Recovering RejoinedAsUser Authenticated
Recovering Drained Draining
Recovering Lost Connecting
Recovering Ended Closed
Draining Lost Connecting
Draining Ended Closed";
        assert_eq!(table.join("\n"), expected);
    }
}
