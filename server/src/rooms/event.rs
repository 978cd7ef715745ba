//! An event of the application whose data is written, and what leaves of it for each target. Made
//! on the shard and on other threads alike.
//!
//! Invariant: what leaves was judged by its size, and names rooms and users that there may be.

use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::entry;
use crate::rooms::keys::Keys;
use crate::session::identity::Identity;
use crate::session::shared::Shared;
use crate::traces::tracer::TraceContext;
use crate::wire::connection_id::ConnectionId;
use crate::wire::encoding::{self, Nesting, Wrote};
use crate::wire::failure::{BAD_USER, Failure};
use crate::wire::publication::{self, Added};
use crate::wire::traced::TracedData;
use serde::Serialize;
use shardcast_engine::{Content, Publication, PublicationKind, Publish, Target, Topic};
use shardcast_protocol::dialect::{Code, Dialect, Encoding, Problem};

/// Whom an event is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recipients<'e> {
    Room(&'e str),
    User(&'e str),
    Everyone,
    Connection(ConnectionId),
}

/// Whom an event is for, where several rooms may be named.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Targets<'e> {
    One(Recipients<'e>),
    Rooms(&'e [&'e str]),
}

impl<'e> Targets<'e> {
    /// One after the other.
    pub(crate) fn each(self) -> impl Iterator<Item = Recipients<'e>> {
        let (rooms, one) = match self {
            Targets::Rooms(rooms) => (rooms, None),
            Targets::One(one) => (&[][..], Some(one)),
        };
        rooms.iter().map(|room| Recipients::Room(room)).chain(one)
    }
}

/// What leaves for one sort of recipients.
pub(crate) enum Outgoing<'e> {
    Publish(Target<'e>, Publish),
    Message(ConnectionId, Content),
}

/// An event whose data is written, in the encoding of one dialect.
pub(crate) struct EncodedEvent<'e> {
    shared: &'e Shared,
    dialect: Dialect,
    name: &'e str,
    data: Vec<u8>,
    /// What it belongs to.
    trace: Option<TraceContext>,
}

impl<'e> EncodedEvent<'e> {
    /// Writes the data for this dialect, which is the dialect of most receivers.
    ///
    /// # Errors
    /// The data cannot be written.
    pub(crate) fn new<T: Serialize>(
        shared: &'e Shared,
        dialect: Dialect,
        name: &'e str,
        data: &T,
    ) -> Result<EncodedEvent<'e>, Failure> {
        let mut bytes = Vec::new();
        let wrote = encoding::write(dialect.encoding(), Nesting::Event, &mut bytes, data)?;
        let mut dialect = dialect;
        if wrote == Wrote::Bytes && dialect.encoding() == Encoding::Json {
            // Clients that speak MessagePack get bytes as bytes, whichever dialect the publisher
            // speaks.
            dialect = Dialect::MessagePack;
            bytes.clear();
            encoding::write(dialect.encoding(), Nesting::Event, &mut bytes, data)?;
        }
        Ok(EncodedEvent {
            shared,
            dialect,
            name,
            data: bytes,
            trace: None,
        })
    }

    /// The same as a part of a trace, which all but single connections are told of.
    pub(crate) fn within(self, trace: Option<TraceContext>) -> EncodedEvent<'e> {
        EncodedEvent { trace, ..self }
    }

    /// What leaves; nothing, if the only recipient is the connection that is left out.
    ///
    /// # Errors
    /// Of the name or a key, or `too_large`.
    pub(crate) fn to<'t>(
        &self,
        recipients: Recipients<'t>,
        except: Option<ConnectionId>,
        keys: Keys<'_>,
    ) -> Result<Option<Outgoing<'t>>, Failure> {
        if !matches!(recipients, Recipients::Room(_)) {
            keys.none()?;
        }
        let (target, room) = match recipients {
            Recipients::Room(room) => {
                let resolved = self.shared.resolve(room).map_err(Problem::from)?;
                (Target::Room(room), Some(resolved))
            }
            Recipients::User(user) if !Identity::is_name(user) => {
                return Err(Problem::new(Code::BadRequest, BAD_USER).into());
            }
            Recipients::User(user) => (Target::User(user), None),
            Recipients::Everyone => (Target::Everyone, None),
            Recipients::Connection(connection) if Some(connection) == except => return Ok(None),
            Recipients::Connection(connection) => {
                let content = self.content(None, self.name, None)?;
                return Ok(Some(Outgoing::Message(connection, content)));
            }
        };
        let entry = match room.as_ref().and_then(ResolvedRoom::map) {
            Some(map) => {
                entry::may_publish(map)?;
                let change = keys.change.unwrap_or_default();
                Some(entry::name_of_event(self.name, keys.conflation, change)?)
            }
            None => None,
        };
        let name = entry.as_deref().unwrap_or(self.name);
        let publish = Publish::new(self.content(room, name, self.trace)?);
        let publish = match (&room, recipients) {
            (Some(room), _) => keys.keep(publish, room)?,
            (None, Recipients::User(_)) => self.shared.waiting(publish),
            (None, _) => publish,
        };
        let publish = match except {
            Some(connection) => publish.except(connection.0),
            None => publish,
        };
        Ok(Some(Outgoing::Publish(target, publish)))
    }

    /// What changes a map by itself: the event's name says what.
    ///
    /// # Errors
    /// `too_large`.
    pub(crate) fn change_of(&self, room: ResolvedRoom<'_>, key: &str) -> Result<Publish, Failure> {
        let publish = Publish::new(self.content(Some(room), self.name, self.trace)?);
        Ok(match room.log() {
            Some(log) => publish.keep(log).conflate(key),
            None => publish,
        })
    }

    /// What is sent to a room, or elsewhere.
    fn content(
        &self,
        room: Option<ResolvedRoom<'_>>,
        name: &str,
        trace: Option<TraceContext>,
    ) -> Result<Content, Failure> {
        let data = encoding::written(self.dialect.encoding(), &self.data);
        let (data, data_encoding) = publication::data_of(data);
        let traced = trace.map(|trace| TracedData::new(trace.parent(), (data, data_encoding)));
        let (data, data_encoding) = match &traced {
            Some(traced) => traced.as_data(),
            None => (data, data_encoding),
        };
        let publication = Publication {
            topic: room.map(|room| Topic::Room(room.name())),
            kind: PublicationKind::Event { name },
            data,
            data_encoding,
        };
        let shared = self.shared;
        let is_present = |encoding| shared.has_encoding(encoding);
        let bytes_max = shared.message_bytes_max;
        let added = room.map_or(Added::Nothing, |room| room.added());
        let content =
            publication::content_of(is_present, self.dialect, &publication, added, bytes_max)?;
        let debugging = &shared.debugging;
        let is_debugged = |room: &ResolvedRoom<'_>| debugging.has_room(room.name());
        let debugged = room.filter(|room| debugging.is_on() && is_debugged(room));
        // What is recorded anyway is logged as it is.
        let recorded = trace.and_then(TraceContext::recorded);
        let recorded = recorded.or_else(|| debugged.and_then(|_| debugging.trace()));
        Ok(match recorded {
            Some(trace) => content.traced(trace),
            None => content,
        })
    }
}
