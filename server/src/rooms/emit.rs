//! An event on its way: to whom, except whom, and at last its name and data. The same methods on
//! the shard, in the background and from other threads; only how a publish is handed over differs.

use crate::rooms::event::{EncodedEvent, Outgoing, Recipients, Targets};
use crate::rooms::keys::Keys;
use crate::session::background::Background;
use crate::session::context::Context;
use crate::session::handle::{Handle, ShardTask};
use crate::session::retry::{Queue, place_in};
use crate::traces::tracer::TraceContext;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::Failure;
use serde::Serialize;
use shardcast_engine::{Refused, SetOnly};
use shardcast_protocol::dialect::Dialect;
use shardcast_protocol::dialect::centrifuge::KeyChange;

/// An event that waits for its name and its data.
#[derive(Debug)]
#[must_use = "nothing is sent before `emit`"]
pub struct Emit<'e, S> {
    sender: S,
    targets: Targets<'e>,
    except: Option<ConnectionId>,
    keys: Keys<'e>,
    trace: Option<TraceContext>,
}

/// The methods that begin an event.
macro_rules! targets {
    (($($receiver:tt)+) -> $sender:ty, $by:expr) => {
        /// To the members of a room.
        pub fn to<'e>($($receiver)+, room: &'e str) -> Emit<'e, $sender> {
            Emit::new($by, Targets::One(Recipients::Room(room)))
        }

        /// To the members of several rooms; a member of two of them gets it twice.
        pub fn to_many<'e>($($receiver)+, rooms: &'e [&'e str]) -> Emit<'e, $sender> {
            Emit::new($by, Targets::Rooms(rooms))
        }

        /// To all connections of a user, on all shards.
        pub fn to_user<'e>($($receiver)+, user: &'e str) -> Emit<'e, $sender> {
            Emit::new($by, Targets::One(Recipients::User(user)))
        }

        /// To all connections of the server.
        pub fn everyone<'e>($($receiver)+) -> Emit<'e, $sender> {
            Emit::new($by, Targets::One(Recipients::Everyone))
        }

        /// To one connection; one that is gone gets nothing.
        pub fn to_connection<'e>(
            $($receiver)+,
            connection: ConnectionId,
        ) -> Emit<'e, $sender> {
            Emit::new($by, Targets::One(Recipients::Connection(connection)))
        }
    };
}

impl<'c> Context<'c> {
    targets!((&'e mut self) -> &'e mut Context<'c>, self);
}

impl Background {
    targets!((&self) -> Handle, self.handle.clone());
}

impl Handle {
    targets!((&self) -> Handle, self.clone());
}

impl<'e, S> Emit<'e, S> {
    fn new(sender: S, targets: Targets<'e>) -> Emit<'e, S> {
        Emit {
            sender,
            targets,
            except: None,
            keys: Keys::default(),
            trace: None,
        }
    }

    /// The event is a part of a trace.
    pub(crate) fn within(self, trace: Option<TraceContext>) -> Emit<'e, S> {
        Emit { trace, ..self }
    }

    /// Leaves one connection out.
    pub fn except(self, connection: ConnectionId) -> Emit<'e, S> {
        Emit {
            except: Some(connection),
            ..self
        }
    }

    /// An idempotency key, 1 to 128 bytes: within the time that the room's namespace says
    /// ([`crate::namespace::History::idempotency`]), another event with the same key is not sent.
    pub fn key(self, key: &'e str) -> Emit<'e, S> {
        let idempotency = Some(key);
        Emit {
            keys: Keys {
                idempotency,
                ..self.keys
            },
            ..self
        }
    }

    /// A conflation key, 1 to 128 bytes: a newer event with the same key stands for this one, where
    /// the room's namespace conflates for slow readers or newcomers.
    pub fn conflate(self, key: &'e str) -> Emit<'e, S> {
        let conflation = Some(key);
        Emit {
            keys: Keys {
                conflation,
                ..self.keys
            },
            ..self
        }
    }
}

impl<'e, S> Emit<'e, S> {
    /// The event removes its conflation key from the map that its room is
    /// ([`crate::namespace::Namespace::map`]). Where the map has no such key, nothing is sent.
    pub fn removes(self) -> Emit<'e, S> {
        let change = Some(KeyChange::Remove);
        Emit {
            keys: Keys {
                change,
                ..self.keys
            },
            ..self
        }
    }
}

impl<'e, S> Emit<'e, S> {
    /// The event sets its conflation key only where the map that its room is has it, or only where
    /// it has not. Otherwise nothing is sent ([`shardcast_engine::Repeat::NoKey`],
    /// [`shardcast_engine::Repeat::KeyExists`]).
    pub fn only(self, only: SetOnly) -> Emit<'e, S> {
        Emit {
            keys: Keys { only, ..self.keys },
            ..self
        }
    }

    /// The event is of this version: where what the map has of its conflation key is of this one or
    /// a higher one, nothing is sent ([`shardcast_engine::Repeat::Outdated`]). 0 is none.
    pub fn version(self, version: u64) -> Emit<'e, S> {
        Emit {
            keys: Keys {
                version,
                ..self.keys
            },
            ..self
        }
    }
}

impl<'e, 'c> Emit<'e, &'e mut Context<'c>> {
    /// The sender, and all that leaves, where it can leave at all.
    pub(crate) fn encoded<T: Serialize>(
        self,
        event: &str,
        data: &T,
    ) -> Result<(&'e mut Context<'c>, Vec<Outgoing<'e>>), Failure> {
        let cx = self.sender;
        let event = EncodedEvent::new(cx.shared, cx.dialect(), event, data)?.within(self.trace);
        let all = all_of(&event, self.targets, self.except, self.keys)?;
        Ok((cx, all))
    }
}

impl<'e> Emit<'e, Handle> {
    /// The same for the background.
    pub(crate) fn encoded<T: Serialize>(
        self,
        event: &str,
        data: &T,
    ) -> Result<(Handle, Vec<Outgoing<'e>>), Failure> {
        let event = self.encode(event, data)?;
        let all = all_of(&event, self.targets, self.except, self.keys)?;
        Ok((self.sender.clone(), all))
    }
}

fn all_of<'e>(
    event: &EncodedEvent<'_>,
    targets: Targets<'e>,
    except: Option<ConnectionId>,
    keys: Keys<'e>,
) -> Result<Vec<Outgoing<'e>>, Failure> {
    let each = targets.each();
    let outgoing = each.filter_map(|recipients| event.to(recipients, except, keys).transpose());
    outgoing.collect()
}

impl Emit<'_, &mut Context<'_>> {
    /// Leaves out the connection at hand.
    pub fn except_sender(self) -> Self {
        let sender = self.sender.connection();
        self.except(sender)
    }

    /// Sends the event. Its receivers see it in one order with all that is published there.
    ///
    /// # Errors
    /// Of a name or a key; `too_large` if a client could not be sent it; or the data cannot be
    /// written. Nothing was sent then, but of several rooms those before the bad name have it.
    pub fn emit<T: Serialize>(self, event: &str, data: &T) -> Result<(), Failure> {
        let Emit {
            sender: cx,
            targets,
            except,
            keys,
            trace,
        } = self;
        let event = EncodedEvent::new(cx.shared, cx.dialect(), event, data)?.within(trace);
        for recipients in targets.each() {
            match event.to(recipients, except, keys)? {
                Some(Outgoing::Publish(target, publish)) => cx.engine.publish(target, publish)?,
                Some(Outgoing::Message(to, content)) => cx.engine.send_to(to.0, content),
                None => {}
            }
        }
        Ok(())
    }
}

impl Emit<'_, Handle> {
    /// Sends the event, waiting where a queue is full.
    ///
    /// # Errors
    /// Of a name or a key; `too_large` if a client could not be sent it; the data cannot be
    /// written; or the server stops. Of several rooms those before the bad one have it.
    pub async fn emit<T: Serialize>(self, event: &str, data: &T) -> Result<(), Failure> {
        let event = self.encode(event, data)?;
        for recipients in self.targets.each() {
            let Some(outgoing) = event.to(recipients, self.except, self.keys)? else {
                continue;
            };
            while let Err(refused) = self.sender.hand_over(&outgoing) {
                if refused != Refused::Busy {
                    return Err(refused.into());
                }
                place_in(&self.sender.shared, outgoing.queue()).await;
            }
        }
        Ok(())
    }

    /// Sends the event, or fails at once where a queue is full: for threads without a runtime.
    ///
    /// # Errors
    /// As for `emit`, and `unavailable` where it would wait; of several rooms those before have it.
    pub fn try_emit<T: Serialize>(self, event: &str, data: &T) -> Result<(), Failure> {
        let event = self.encode(event, data)?;
        for recipients in self.targets.each() {
            if let Some(outgoing) = event.to(recipients, self.except, self.keys)? {
                self.sender.hand_over(&outgoing)?;
            }
        }
        Ok(())
    }

    fn encode<'n, T: Serialize>(
        &'n self,
        event: &'n str,
        data: &T,
    ) -> Result<EncodedEvent<'n>, Failure> {
        let event = EncodedEvent::new(&self.sender.shared, Dialect::NativeJson, event, data)?;
        Ok(event.within(self.trace))
    }
}

impl Outgoing<'_> {
    /// The queue that it is refused by.
    fn queue(&self) -> Queue {
        match self {
            Outgoing::Publish(..) => Queue::Any,
            Outgoing::Message(connection, _) => Queue::Of(connection.0),
        }
    }
}

impl Handle {
    pub(crate) fn hand_over(&self, outgoing: &Outgoing<'_>) -> Result<(), Refused> {
        match outgoing {
            Outgoing::Publish(target, publish) => {
                let engine = self.shared.engine()?;
                engine.publish(*target, publish.clone())
            }
            Outgoing::Message(connection, content) => {
                let content = content.clone();
                let send = ShardTask(Box::new(move |cx: &mut Context<'_>| {
                    let address = cx.engine.address();
                    cx.engine.send_to(address, content);
                }));
                let posted = self.try_post(*connection, Box::new(send));
                posted.map_err(|(refused, _)| refused)
            }
        }
    }
}
