//! What a worker's connections do: round trips, or rooms. The one place that knows there are two. Called by `worker`.

use crate::control::{Outcome, Share};
use crate::dialect::{Dialect, Incoming, Role};
use crate::echo::EchoLoad;
use crate::fanout::Fanout;
use crate::plan::Scenario;
use crate::sockets::Sockets;

/// A worker's load.
#[derive(Debug)]
pub(crate) enum Load {
    /// Round trips.
    Echo(Box<EchoLoad>),
    /// Rooms; idle connections are members to whom nobody talks.
    Fanout(Box<Fanout>),
}

impl Load {
    /// For a worker's share.
    pub(crate) fn new(share: &Share) -> Load {
        let plan = &share.plan;
        match plan.scenario {
            Scenario::Echo => Load::Echo(Box::new(EchoLoad::new(
                share.first,
                share.count,
                plan.connections,
                plan.pace,
            ))),
            Scenario::Broadcast | Scenario::FanIn | Scenario::Idle => {
                Load::Fanout(Box::new(Fanout::new(share)))
            }
        }
    }

    /// What a connection is there for.
    pub(crate) fn role(&self, index: usize) -> Role {
        match self {
            Load::Echo(echo) => echo.role(index),
            Load::Fanout(fanout) => fanout.role(index),
        }
    }

    /// Subscribes whoever must be.
    pub(crate) fn subscribe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        match self {
            Load::Echo(_) => {}
            Load::Fanout(fanout) => fanout.subscribe(dialect, sockets),
        }
    }

    /// Whether all subscriptions were taken in.
    pub(crate) fn is_subscribed(&self) -> bool {
        match self {
            Load::Echo(_) => true,
            Load::Fanout(fanout) => fanout.is_subscribed(),
        }
    }

    /// Publishes a round of probes, if there are talkers here.
    pub(crate) fn probe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        match self {
            Load::Echo(_) => {}
            Load::Fanout(fanout) => fanout.probe(dialect, sockets),
        }
    }

    /// Whether every subscriber got a probe of every publisher.
    pub(crate) fn is_probed(&self) -> bool {
        match self {
            Load::Echo(_) => true,
            Load::Fanout(fanout) => fanout.is_probed(),
        }
    }

    /// Sends from `start_ns` to the end of the window.
    pub(crate) fn run(&mut self, start_ns: u64, window_start_ns: u64, window_end_ns: u64) {
        match self {
            Load::Echo(echo) => echo.run(start_ns, window_start_ns, window_end_ns),
            Load::Fanout(fanout) => fanout.run(start_ns, window_start_ns, window_end_ns),
        }
    }

    /// Sends what is due. Returns when it wants to be called again.
    pub(crate) fn tick(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        match self {
            Load::Echo(echo) => echo.tick(now_ns, dialect, sockets),
            Load::Fanout(fanout) => fanout.tick(now_ns, dialect, sockets),
        }
    }

    /// A connection that the load brought back is open again, having begun at `since_ns`; what it says at once is appended to `out`.
    pub(crate) fn opened(
        &mut self,
        _index: usize,
        _since_ns: u64,
        _now_ns: u64,
        _dialect: &Dialect,
        _out: &mut Vec<u8>,
    ) {
        match self {
            // They bring none back.
            Load::Echo(_) | Load::Fanout(_) => {}
        }
    }

    /// A connection ended, by itself or (no reason) after a close handshake that the load began. Returns what to count, in words.
    pub(crate) fn ended(&mut self, _index: usize, reason: Option<String>) -> Option<String> {
        match self {
            Load::Echo(_) | Load::Fanout(_) => reason,
        }
    }

    /// Whether the load brings connections back, so that a run goes on even if none is open.
    pub(crate) fn brings_back(&self) -> bool {
        match self {
            Load::Echo(_) | Load::Fanout(_) => false,
        }
    }

    /// Something came on a connection; what answers it at once is appended to `out`.
    pub(crate) fn receive(
        &mut self,
        index: usize,
        incoming: &Incoming,
        now_ns: u64,
        dialect: &Dialect,
        out: &mut Vec<u8>,
    ) {
        match self {
            Load::Echo(echo) => echo.receive(index, incoming, now_ns, dialect, out),
            Load::Fanout(fanout) => fanout.receive(index, incoming, now_ns),
        }
    }

    /// Sends nothing more. Returns the messages by each talker of this worker.
    pub(crate) fn stop(&mut self) -> Vec<u64> {
        match self {
            Load::Echo(echo) => {
                echo.stop();
                Vec::new()
            }
            Load::Fanout(fanout) => fanout.stop(),
        }
    }

    /// From here on it is known how much everyone is to get.
    pub(crate) fn drain(&mut self, published: Vec<u64>) {
        match self {
            Load::Echo(_) => {}
            Load::Fanout(fanout) => fanout.drain(published),
        }
    }

    /// Whether every connection that lives has everything.
    pub(crate) fn is_settled(&self, sockets: &Sockets) -> bool {
        match self {
            Load::Echo(echo) => echo.is_settled(sockets),
            Load::Fanout(fanout) => fanout.is_settled(sockets),
        }
    }

    /// The account.
    pub(crate) fn finish(self) -> Outcome {
        match self {
            Load::Echo(echo) => echo.finish(),
            Load::Fanout(fanout) => fanout.finish(),
        }
    }
}
