//! What a worker's connections do: round trips, or rooms. The one place that knows all kinds.
//! Called by `worker`.

use crate::churn::Churn;
use crate::control::Outcome;
use crate::dialect::{Dialect, Incoming, Role};
use crate::echo::EchoLoad;
use crate::fanout::Fanout;
use crate::meter::Meter;
use crate::motion::Motion;
use crate::plan::{Scenario, Share};
use crate::sockets::Sockets;
use crate::storm::Storm;

/// A worker's load.
#[derive(Debug)]
pub(crate) enum Load {
    /// Round trips.
    Echo(Box<EchoLoad>),
    /// Rooms; idle connections are members to whom nobody talks.
    Fanout(Box<Fanout>),
    /// Connections that come and go.
    Churn(Box<Churn>),
    /// Connections that are all cut off at one time.
    Storm(Box<Storm>),
}

impl Load {
    /// For a worker's share.
    pub(crate) fn new(share: &Share) -> Load {
        let plan = &share.plan;
        match (plan.scenario, plan.motion) {
            (_, Motion::Churn(churn)) => Load::Churn(Box::new(Churn::new(share, churn))),
            (_, Motion::Storm(storm)) if share.cut => {
                Load::Storm(Box::new(Storm::new(share, storm)))
            }
            (
                Scenario::Broadcast
                | Scenario::FanIn
                | Scenario::Slow
                | Scenario::Chat
                | Scenario::Idle,
                _,
            ) => Load::Fanout(Box::new(Fanout::new(share))),
            (Scenario::Storm, _) if plan.publishers > 0 => {
                Load::Fanout(Box::new(Fanout::new(share)))
            }
            (Scenario::Echo | Scenario::Churn | Scenario::Storm, _) => Load::Echo(Box::new(
                EchoLoad::new(share.first, share.count, plan.steady(), plan.pace),
            )),
        }
    }

    /// What a connection is there for.
    pub(crate) fn role(&self, index: usize) -> Role {
        match self {
            Load::Echo(echo) => echo.role(index),
            Load::Fanout(fanout) => fanout.role(index),
            Load::Churn(churn) => churn.role(index),
            Load::Storm(storm) => storm.role(index),
        }
    }

    /// Before anything is connected.
    pub(crate) fn prepare(&self, sockets: &mut Sockets) {
        match self {
            Load::Fanout(fanout) => fanout.prepare(sockets),
            Load::Echo(_) | Load::Churn(_) | Load::Storm(_) => {}
        }
    }

    /// Subscribes whoever must be.
    pub(crate) fn subscribe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        match self {
            Load::Echo(_) => {}
            Load::Fanout(fanout) => fanout.subscribe(dialect, sockets),
            Load::Churn(churn) => churn.subscribe(dialect, sockets),
            Load::Storm(storm) => storm.subscribe(dialect, sockets),
        }
    }

    /// Whether all subscriptions were taken in.
    pub(crate) fn is_subscribed(&self) -> bool {
        match self {
            Load::Echo(_) => true,
            Load::Fanout(fanout) => fanout.is_subscribed(),
            Load::Churn(churn) => churn.is_subscribed(),
            Load::Storm(storm) => storm.is_subscribed(),
        }
    }

    /// Publishes a round of probes, if there are talkers here.
    pub(crate) fn probe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        match self {
            Load::Echo(_) | Load::Churn(_) | Load::Storm(_) => {}
            Load::Fanout(fanout) => fanout.probe(dialect, sockets),
        }
    }

    /// Whether every subscriber got a probe of every publisher.
    pub(crate) fn is_probed(&self) -> bool {
        match self {
            Load::Echo(_) | Load::Churn(_) | Load::Storm(_) => true,
            Load::Fanout(fanout) => fanout.is_probed(),
        }
    }

    /// Sends from `start_ns` to the end of the window.
    pub(crate) fn run(&mut self, start_ns: u64, window_start_ns: u64, window_end_ns: u64) {
        match self {
            Load::Echo(echo) => echo.run(start_ns, window_start_ns, window_end_ns),
            Load::Fanout(fanout) => fanout.run(start_ns, window_start_ns, window_end_ns),
            Load::Churn(churn) => churn.run(start_ns, window_start_ns, window_end_ns),
            Load::Storm(storm) => storm.run(window_start_ns, window_end_ns),
        }
    }

    /// Sends what is due. Returns when it wants to be called again.
    pub(crate) fn tick(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        match self {
            Load::Echo(echo) => echo.tick(now_ns, dialect, sockets),
            Load::Fanout(fanout) => fanout.tick(now_ns, dialect, sockets),
            Load::Churn(churn) => churn.tick(now_ns, dialect, sockets),
            Load::Storm(storm) => storm.tick(now_ns, dialect, sockets),
        }
    }

    /// A connection that the load brought is open; what it says at once is appended to `out`.
    pub(crate) fn opened(
        &mut self,
        index: usize,
        now_ns: u64,
        dialect: &Dialect,
        out: &mut Vec<u8>,
    ) {
        match self {
            // They bring none.
            Load::Echo(_) | Load::Fanout(_) => {}
            Load::Churn(churn) => churn.opened(index, now_ns, dialect, out),
            Load::Storm(storm) => storm.opened(index, now_ns, dialect, out),
        }
    }

    /// The server said that it closes a connection, with this code.
    pub(crate) fn closing(&mut self, index: usize, code: u16) {
        match self {
            Load::Fanout(fanout) => fanout.closing(index, code),
            Load::Echo(_) | Load::Churn(_) | Load::Storm(_) => {}
        }
    }

    /// A connection ended, by itself or (no reason) after a close handshake that the load began.
    /// Returns what is left to count, in words.
    pub(crate) fn ended(
        &mut self,
        index: usize,
        reason: Option<String>,
        now_ns: u64,
    ) -> Option<String> {
        match (self, reason) {
            (Load::Echo(_), reason) => return reason,
            (Load::Fanout(fanout), reason) => return fanout.ended(index, reason),
            (Load::Churn(churn), reason) => churn.ended(index, reason),
            (Load::Storm(storm), Some(reason)) => storm.ended(index, reason, now_ns),
            (Load::Storm(_), None) => {}
        }
        None
    }

    /// Whether the load brings connections, so that a run goes on even if none is open.
    pub(crate) fn brings(&self) -> bool {
        match self {
            Load::Echo(_) | Load::Fanout(_) => false,
            Load::Churn(_) | Load::Storm(_) => true,
        }
    }

    /// What is measured.
    pub(crate) fn meter_mut(&mut self) -> &mut Meter {
        match self {
            Load::Echo(echo) => &mut echo.meter,
            Load::Fanout(fanout) => &mut fanout.meter,
            Load::Churn(churn) => &mut churn.meter,
            Load::Storm(storm) => &mut storm.meter,
        }
    }

    /// What failed of that which the load brings; the rest the worker counts.
    pub(crate) fn failures(&self) -> u64 {
        match self {
            Load::Echo(_) | Load::Fanout(_) => 0,
            Load::Churn(churn) => churn.failures(),
            Load::Storm(storm) => storm.failures(),
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
            Load::Churn(churn) => churn.receive(index, incoming, now_ns, dialect, out),
            Load::Storm(storm) => storm.receive(index, incoming, now_ns, dialect, out),
        }
    }

    /// Sends nothing more. Returns the messages by each talker of this worker, and when all that a
    /// storm cut off were back.
    pub(crate) fn stop(&mut self) -> (Vec<u64>, u64) {
        match self {
            Load::Echo(echo) => echo.stop(),
            Load::Fanout(fanout) => return (fanout.stop(), 0),
            Load::Churn(churn) => churn.stop(),
            Load::Storm(storm) => return (Vec::new(), storm.stop()),
        }
        (Vec::new(), 0)
    }

    /// From here on it is known how much everyone is to get.
    pub(crate) fn drain(&mut self, published: Vec<u64>) {
        match self {
            Load::Echo(_) | Load::Churn(_) | Load::Storm(_) => {}
            Load::Fanout(fanout) => fanout.drain(published),
        }
    }

    /// Whether every connection that lives has everything.
    pub(crate) fn is_settled(&self, sockets: &Sockets) -> bool {
        match self {
            Load::Echo(echo) => echo.is_settled(sockets),
            Load::Fanout(fanout) => fanout.is_settled(sockets),
            Load::Churn(churn) => churn.is_settled(),
            Load::Storm(_) => true,
        }
    }

    /// The account.
    pub(crate) fn finish(self) -> Outcome {
        match self {
            Load::Echo(echo) => echo.finish(),
            Load::Fanout(fanout) => fanout.finish(),
            Load::Churn(churn) => churn.finish(),
            Load::Storm(storm) => storm.finish(),
        }
    }
}
