//! What a room keeps, as clients are told it. Used by answers that bring publications.

use crate::wire::connection_id::{ConnectionId, IdText};
use crate::wire::publication::said_by;
use shardcast_engine::{History, Publication, PublicationKind, Topic};
use shardcast_protocol::dialect::{KeptMessage, Origin, Sender, Value};

/// Publications of a room, in the order asked.
#[derive(Debug)]
pub(crate) struct KeptPage<'h>(Vec<KeptOne<'h>>);

#[derive(Debug)]
struct KeptOne<'h> {
    offset: u64,
    origin: KeptOrigin<'h>,
    sender: Option<Sender<'h>>,
    data: Value<'h>,
}

#[derive(Debug)]
enum KeptOrigin<'h> {
    From(IdText),
    /// A connection of another node.
    Elsewhere(&'h str),
    Event(&'h str),
}

impl<'h> KeptPage<'h> {
    pub(crate) fn of(room: &'h str, history: &'h History) -> KeptPage<'h> {
        let topic = Topic::Room(room);
        let kept = history.publications.iter().filter_map(|kept| {
            let said: Publication<'h> = kept.publication(Some(topic))?;
            let (sender, data) = said_by(&said)?;
            let origin = match said.kind {
                PublicationKind::Event { name } => KeptOrigin::Event(name),
                PublicationKind::Message { publisher } => {
                    KeptOrigin::From(ConnectionId(publisher).text())
                }
                PublicationKind::Elsewhere { from } => KeptOrigin::Elsewhere(from),
                // What members do is not kept.
                PublicationKind::Presence { .. } | PublicationKind::Members { .. } => return None,
            };
            Some(KeptOne {
                offset: kept.offset,
                origin,
                sender,
                data,
            })
        });
        KeptPage(kept.collect())
    }

    pub(crate) fn messages(&self) -> Vec<KeptMessage<'_>> {
        let messages = self.0.iter().map(|kept| KeptMessage {
            offset: kept.offset,
            origin: match &kept.origin {
                KeptOrigin::From(id) => Origin::From(id.as_str()),
                KeptOrigin::Elsewhere(from) => Origin::From(from),
                KeptOrigin::Event(name) => Origin::Event(name),
            },
            sender: kept.sender.as_ref(),
            data: kept.data,
        });
        messages.collect()
    }
}
