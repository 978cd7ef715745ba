//! An event on its way: to whom, except whom, and at last what. The same words from the shard and from other threads.

use crate::rooms::join;
use crate::session::context::Context;
use crate::session::shared::Shared;
use crate::session::spoken::Spoken;
use crate::wire::connection_id::ConnectionId;
use crate::wire::encoding::{self, Place, Wrote};
use crate::wire::failure::Failure;
use crate::wire::publication;
use serde::Serialize;
use shardcast_engine::{Content, Publication, PublicationKind, Publish, Target, Topic};
use shardcast_protocol::dialect::{Dialect, Encoding};
use std::sync::Arc;

/// An event that waits for its name and its data.
#[derive(Debug)]
#[must_use = "nothing is sent before `emit`"]
pub struct Emit<'e, S> {
    pub(crate) sender: S,
    pub(crate) targets: Targets<'e>,
    pub(crate) except: Option<ConnectionId>,
}

/// Whom an event is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Targets<'e> {
    Room(&'e str),
    Rooms(&'e [&'e str]),
    User(&'e str),
    Everyone,
    Connection(ConnectionId),
}

impl<'e, S> Emit<'e, S> {
    pub(crate) fn new(sender: S, targets: Targets<'e>) -> Emit<'e, S> {
        Emit {
            sender,
            targets,
            except: None,
        }
    }

    /// Leaves one connection out.
    pub fn except(self, connection: ConnectionId) -> Emit<'e, S> {
        Emit {
            except: Some(connection),
            ..self
        }
    }
}

impl Emit<'_, &mut Context<'_>> {
    /// Leaves out the connection at hand.
    pub fn except_sender(self) -> Self {
        let sender = self.sender.connection();
        self.except(sender)
    }

    /// Sends the event. Who gets it sees it in one order with all that is published there.
    ///
    /// # Errors
    /// Of a name; `too_large` if a client could not be sent it; or the data cannot be written. Nothing was sent then, but that of several
    /// rooms those before the bad name have it.
    pub fn emit<T: Serialize>(self, event: &str, data: &T) -> Result<(), Failure> {
        let Emit {
            sender: cx,
            targets,
            except,
        } = self;
        let shared = Arc::clone(&cx.desk.shared);
        let encoded = Encoded::new(&shared, cx.dialect(), event, data)?;
        let mut publish = |target: Target<'_>, room: Option<&str>| -> Result<(), Failure> {
            let publish = encoded.publish(room, except)?;
            cx.engine.publish(target, publish)?;
            Ok(())
        };
        match targets {
            Targets::User(user) => publish(Target::User(user), None),
            Targets::Everyone => publish(Target::Everyone, None),
            Targets::Room(room) => {
                join::find_in(&cx.desk.shared.namespaces, room)?;
                publish(Target::Room(room), Some(room))
            }
            Targets::Rooms(rooms) => rooms.iter().try_for_each(|room| {
                join::find_in(&cx.desk.shared.namespaces, room)?;
                publish(Target::Room(room), Some(room))
            }),
            Targets::Connection(connection) if Some(connection) == except => Ok(()),
            Targets::Connection(connection) => {
                cx.engine.send_to(connection.0, encoded.content(None)?);
                Ok(())
            }
        }
    }
}

/// An event whose data is written, in the encoding of one dialect.
pub(crate) struct Encoded<'e> {
    spoken: &'e Spoken,
    dialect: Dialect,
    event: &'e str,
    data: Vec<u8>,
    bytes_max: usize,
}

impl<'e> Encoded<'e> {
    /// Prefers the dialect: of those who hear it most speak that. `bytes_max`: the largest message that may leave.
    pub(crate) fn new<T: Serialize>(
        shared: &'e Shared,
        dialect: Dialect,
        event: &'e str,
        data: &T,
    ) -> Result<Encoded<'e>, Failure> {
        let mut bytes = Vec::new();
        let wrote = encoding::write(dialect.encoding(), Place::Event, &mut bytes, data)?;
        let mut dialect = dialect;
        if wrote == Wrote::Bytes && dialect.encoding() == Encoding::Json {
            // Who speaks MessagePack hears bytes as bytes, whoever made the server say them.
            dialect = Dialect::MessagePack;
            bytes.clear();
            encoding::write(dialect.encoding(), Place::Event, &mut bytes, data)?;
        }
        Ok(Encoded {
            spoken: &shared.spoken,
            dialect,
            event,
            data: bytes,
            bytes_max: shared.message_bytes_max,
        })
    }

    /// What is sent to a room, or to whoever is none.
    ///
    /// # Errors
    /// `too_large`.
    pub(crate) fn content(&self, room: Option<&str>) -> Result<Content, Failure> {
        let data = encoding::written(self.dialect.encoding(), &self.data);
        let (data, data_encoding) = publication::data_of(data);
        let said = Publication {
            topic: room.map(Topic::Room),
            kind: PublicationKind::Event { name: self.event },
            data,
            data_encoding,
        };
        let content = publication::judge(self.spoken, self.dialect, &said, self.bytes_max);
        Ok(content?)
    }

    pub(crate) fn publish(
        &self,
        room: Option<&str>,
        except: Option<ConnectionId>,
    ) -> Result<Publish, Failure> {
        let publish = Publish::new(self.content(room)?);
        Ok(match except {
            Some(connection) => publish.except(connection.0),
            None => publish,
        })
    }
}
