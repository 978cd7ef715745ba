//! An event on its way: to whom, except whom, and at last what. The same words from the shard and from other threads.

use crate::app::connection_id::ConnectionId;
use crate::app::context::Context;
use crate::app::encoding;
use crate::app::failure::Failure;
use crate::app::rooms;
use serde::Serialize;
use shardcast_engine::{Form, Frame, Publish, Target};
use shardcast_protocol::dialect::{Code, Dialect, Event, Problem, Value};

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
        let encoded = Encoded::new(cx.dialect(), event, data, cx.desk.shared.message_bytes_max)?;
        let mut publish = |target: Target<'_>, room: Option<&str>| -> Result<(), Failure> {
            let publish = encoded.publish(room, except)?;
            cx.engine.publish(target, publish)?;
            Ok(())
        };
        match targets {
            Targets::User(user) => publish(Target::User(user), None),
            Targets::Everyone => publish(Target::Everyone, None),
            Targets::Room(room) => {
                rooms::find_in(&cx.desk.shared.namespaces, room)?;
                publish(Target::Room(room), Some(room))
            }
            Targets::Rooms(rooms) => rooms.iter().try_for_each(|room| {
                rooms::find_in(&cx.desk.shared.namespaces, room)?;
                publish(Target::Room(room), Some(room))
            }),
            Targets::Connection(connection) if Some(connection) == except => Ok(()),
            Targets::Connection(connection) => {
                let frame = encoded.frame(None)?;
                cx.engine.send_to(connection.0, encoded.form(), frame);
                Ok(())
            }
        }
    }
}

/// An event whose data is written, in one dialect.
pub(crate) struct Encoded<'e> {
    dialect: Dialect,
    event: &'e str,
    data: Vec<u8>,
    bytes_max: usize,
}

impl<'e> Encoded<'e> {
    /// `bytes_max`: the largest message that may leave.
    pub(crate) fn new<T: Serialize>(
        dialect: Dialect,
        event: &'e str,
        data: &T,
        bytes_max: usize,
    ) -> Result<Encoded<'e>, Failure> {
        let mut bytes = Vec::new();
        encoding::write(dialect.encoding(), &mut bytes, data)?;
        let encoded = Encoded {
            dialect,
            event,
            data: bytes,
            bytes_max,
        };
        encoded.value()?;
        Ok(encoded)
    }

    fn value(&self) -> Result<Value<'_>, Problem> {
        encoding::read(self.dialect.encoding(), &self.data)
    }

    pub(crate) fn form(&self) -> Form {
        Form::new(self.dialect.index())
    }

    pub(crate) fn frame(&self, room: Option<&str>) -> Result<Frame, Failure> {
        let event = Event::Event {
            event: self.event,
            room,
            data: Some(self.value()?),
        };
        let capacity = self.data.len() + ENVELOPE_BYTES;
        Ok(seal(self.dialect, &event, capacity, self.bytes_max)?)
    }

    pub(crate) fn publish(
        &self,
        room: Option<&str>,
        except: Option<ConnectionId>,
    ) -> Result<Publish, Failure> {
        let publish = Publish::new(self.frame(room)?).form(self.form());
        Ok(match except {
            Some(connection) => publish.except(connection.0),
            None => publish,
        })
    }
}

/// Room for an event's keys and names, in bytes: a hint.
const ENVELOPE_BYTES: usize = 96;

/// A frame of one event; `too_large` when a client could not be sent it.
pub(crate) fn seal(
    dialect: Dialect,
    event: &Event<'_>,
    capacity_bytes: usize,
    bytes_max: usize,
) -> Result<Frame, Problem> {
    let (mut written, mut bytes) = (Ok(()), 0);
    let frame = Frame::with(dialect.kind(), capacity_bytes, |out| {
        let start = out.len();
        written = dialect.write_event(out, event);
        bytes = out.len() - start;
    });
    written.map_err(|_| Problem::new(Code::InvalidData, "this dialect cannot say the data"))?;
    if bytes > bytes_max {
        return Err(Problem::new(
            Code::TooLarge,
            "the message would be larger than max_message_bytes on delivery",
        ));
    }
    Ok(frame)
}
