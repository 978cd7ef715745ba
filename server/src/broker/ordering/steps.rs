//! What is done at the node's own shards: publications with their places, steps with logs, answers
//! to publishers. Waits for a place in a shard's queue at most.

use crate::broker::adapter::LogPlace;
use crate::broker::envelope::{Envelope, MessageId};
use crate::broker::inward::{HeardFrom, publish_of};
use crate::broker::node::ClusterNode;
use crate::broker::ordering::entry::OrderedEntry;
use shardcast_engine::{
    Address, Content, EncodingId, Frame, GivenPlace, LogClass, LogStep, Position, Publish,
    Publisher, Refused, Repeat, Report, Target, Topic,
};
use shardcast_protocol::frame::Kind;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The server has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerStopped;

/// Whom own publications leave out, until they come back.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut(Arc<Mutex<LeftOutByNumber>>);

#[derive(Debug, Default)]
struct LeftOutByNumber {
    by_number: HashMap<u64, Address>,
    order: VecDeque<u64>,
}

impl LeftOut {
    /// Publications under way that leave somebody out; of more, the oldest comes back to its
    /// sender.
    const COUNT_MAX: usize = 16_384;

    /// A publication with this number leaves somebody out.
    pub(crate) fn put(&self, number: u64, who: Address) {
        let mut all = self.lock();
        if all.order.len() >= Self::COUNT_MAX
            && let Some(oldest) = all.order.pop_front()
        {
            all.by_number.remove(&oldest);
        }
        all.by_number.insert(number, who);
        all.order.push_back(number);
    }

    /// Whom it leaves out.
    fn get(&self, number: u64) -> Option<Address> {
        self.lock().by_number.get(&number).copied()
    }

    fn lock(&self) -> MutexGuard<'_, LeftOutByNumber> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Publishes an entry at its room's home.
///
/// # Errors
/// The server has stopped.
pub(crate) async fn publish(
    node: &ClusterNode,
    left_out: &LeftOut,
    room: &str,
    entry: &OrderedEntry,
) -> Result<EntryFate, ServerStopped> {
    let LogPlace {
        epoch,
        offset,
        previous,
    } = entry.place;
    let place = GivenPlace {
        epoch,
        offset,
        previous,
        age: entry.age,
    };
    let resolved = node.shared.resolve(room).ok();
    let Some(class) = resolved.and_then(|room| room.log()) else {
        return Ok(EntryFate::Untaken);
    };
    let (publish, fate) = match publish_of_entry(node, left_out, room, entry) {
        Some(publish) => (publish, EntryFate::Published),
        None => (nothing(class), EntryFate::Refused),
    };
    let target = Target::Room(room);
    loop {
        let sent = node
            .engine
            .publish_sequenced(target, publish.clone(), place);
        match sent {
            Ok(()) => return Ok(fate),
            Err(Refused::Busy | Refused::Memory) => node.engine.ready_at_home(target).await,
            Err(Refused::Stopped) => return Err(ServerStopped),
        }
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryFate {
    Published,
    /// This node does not take it: its place is kept, and nobody is sent it.
    Refused,
    /// The room keeps no log as the namespaces are now, so there is nowhere for its place, either.
    Untaken,
}

fn publish_of_entry(
    node: &ClusterNode,
    left_out: &LeftOut,
    room: &str,
    entry: &OrderedEntry,
) -> Option<Publish> {
    let envelope = Envelope::read(&entry.payload).ok()?;
    let (target, publish) = publish_of(node, &envelope, HeardFrom::Log).ok()?;
    if target != Target::Room(room) {
        return None;
    }
    let MessageId { run, number } = envelope.id;
    let except = (run == node.run).then(|| left_out.get(number)).flatten();
    Some(match except {
        Some(except) => publish.except(except),
        None => publish,
    })
}

/// Holds a place in a log of this class, and goes to nobody.
fn nothing(class: LogClass) -> Publish {
    /// Of connections that there are none of.
    const NOBODY: EncodingId = EncodingId::new(EncodingId::COUNT_MAX as u8 - 1);
    let content = Content::frame(NOBODY, Frame::new(Kind::Text, b""));
    Publish::new(content).keep(class)
}

/// Does a step with the log of a room.
///
/// # Errors
/// The server has stopped.
pub(crate) async fn step_log(
    node: &ClusterNode,
    room: &str,
    step: LogStep,
) -> Result<(), ServerStopped> {
    loop {
        match node.engine.step_log(Topic::Room(room), step) {
            Ok(()) => return Ok(()),
            Err(Refused::Busy | Refused::Memory) => {
                node.engine.ready_at_home(Target::Room(room)).await;
            }
            Err(Refused::Stopped) => return Err(ServerStopped),
        }
    }
}

/// Tells a publisher what became of its publication; `None`: it is not known to have been taken.
pub(crate) async fn answer(
    node: &ClusterNode,
    publisher: Option<Publisher>,
    placed: Option<(Position, Repeat)>,
) {
    let Some(mut publisher) = publisher else {
        return;
    };
    let report = match placed {
        Some((position, repeat)) => Report {
            position: Some(position),
            repeat,
            ..Report::default()
        },
        None => Report {
            repeat: Repeat::Unavailable,
            ..Report::default()
        },
    };
    loop {
        publisher = match node.engine.answer_publisher(publisher, report) {
            Ok(()) | Err((Refused::Stopped, _)) => return,
            Err((Refused::Busy | Refused::Memory, publisher)) => publisher,
        };
        node.engine.ready_for_publisher(&publisher).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_engine::Ticket;

    #[test]
    fn of_too_many_who_leave_somebody_out_the_oldest_is_forgotten() {
        let left_out = LeftOut::default();
        let who = |slot| Address {
            shard: 0,
            ticket: Ticket {
                slot,
                generation: 1,
            },
        };
        for number in 0..=LeftOut::COUNT_MAX as u64 {
            left_out.put(number, who(number as u32));
        }
        assert_eq!((left_out.get(0), left_out.get(1)), (None, Some(who(1))));
        assert_eq!(left_out.lock().by_number.len(), LeftOut::COUNT_MAX);
    }
}
