//! A command: what one record of a client asks for.
//!
//! Invariant: everything but `send` and a pong has a number, every channel a name, and data is
//! there where it must be: a client that sends anything else is disconnected, as the protocol has
//! it. Read by `commands`.

use super::asked::{
    CentrifugeRequest, ConnectCommand, IfLost, MapKind, MapPhase, MapStep, Subscribe,
};
use super::filter::{FilterFault, NodeValue, TagFilter};
use super::form::Deltas;
use super::record::{FieldValue, Record};
use super::schema::sent::{
    channel, command, connect, history, position, publish, refresh, rpc, send, sub_refresh,
    subscribe,
};
use super::subs::{SubsValue, recovering};
use crate::dialect::command::{Command, ReplyMode};
use crate::dialect::fields::Wrong;
use crate::dialect::id::Id;
use crate::dialect::keyed::KeyChange;
use crate::dialect::position::Since;
use crate::dialect::request::{
    HistoryQuery, PresenceQuery, Publish, PublishKeys, PublishTarget, ReadOrder, Request, Rooms,
};
use crate::dialect::rules::Rules;
use crate::dialect::value::Value;
use crate::json::Raw;
use std::borrow::Cow;

/// One command of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction<'b> {
    /// The answer to a ping.
    Pong,
    /// The client says who it is.
    Connect(Id<'b>, ConnectCommand<'b>),
    /// The client's time is extended.
    Refresh(Id<'b>, Cow<'b, str>),
    /// Its time in a channel is.
    SubRefresh {
        /// To reply under.
        id: Id<'b>,
        /// Which channel.
        channel: Cow<'b, str>,
        /// What permits it.
        token: Cow<'b, str>,
    },
    /// Anything that all dialects know.
    Command(Command<'b>),
    /// A message to the application, which is not replied to.
    Send(Command<'b>),
    /// What the protocol has and this server has not.
    Unavailable(Id<'b>),
    /// A filter that there is not.
    BadFilter(Id<'b>, FilterFault),
}

/// The name under which applications handle what clients send without waiting for a reply.
pub const SEND: &str = "send";

/// What is asked, if that may be asked so.
pub(super) fn instruction<'b, S: SubsValue<'b> + NodeValue<'b>>(
    record: &Record<S>,
    rules: &Rules,
) -> Result<Instruction<'b>, Wrong> {
    if record.is_empty() {
        return Ok(Instruction::Pong);
    }
    let outer = rules.outer_native();
    let id = record.id(command::ID)?;
    let field = |field, schema| record.record(field, schema);
    // The first that is set counts.
    if let Some(asked) = field(command::CONNECT, connect::ALL)? {
        let asked = connecting(record.get(command::CONNECT), &asked, outer)?;
        return Ok(Instruction::Connect(required(id)?, asked));
    }
    if let Some(asked) = field(command::SUBSCRIBE, subscribe::ALL)? {
        return subscribing(required(id)?, &asked);
    }
    if let Some(asked) = field(command::UNSUBSCRIBE, channel::ALL)? {
        let channel = asked.channel(channel::CHANNEL)?;
        let request = CentrifugeRequest::Unsubscribe { channel };
        return Ok(special(required(id)?, request));
    }
    if let Some(asked) = field(command::PUBLISH, publish::ALL)? {
        return publishing(required(id)?, &asked, outer);
    }
    if let Some(asked) = field(command::PRESENCE, channel::ALL)? {
        let room = asked.channel(channel::CHANNEL)?;
        let (limit, cursor) = (None, None);
        let query = Box::new(PresenceQuery {
            room,
            limit,
            cursor,
        });
        return Ok(common(required(id)?, Request::Presence(query)));
    }
    if let Some(asked) = field(command::PRESENCE_STATS, channel::ALL)? {
        let channel = asked.channel(channel::CHANNEL)?;
        let request = CentrifugeRequest::PresenceStats { channel };
        return Ok(special(required(id)?, request));
    }
    if let Some(asked) = field(command::HISTORY, history::ALL)? {
        let query = Box::new(reading(&asked)?);
        return Ok(common(required(id)?, Request::History(query)));
    }
    if let Some(asked) = field(command::SEND, send::ALL)? {
        let data = asked.data(send::DATA, outer)?;
        let mut command = call(None, Cow::Borrowed(SEND));
        command.data = data;
        return Ok(Instruction::Send(command));
    }
    if let Some(asked) = field(command::RPC, rpc::ALL)? {
        let mut command = call(Some(required(id)?), asked.text(rpc::METHOD)?);
        command.data = asked.data(rpc::DATA, outer)?;
        return Ok(Instruction::Command(command));
    }
    if let Some(asked) = field(command::REFRESH, refresh::ALL)? {
        return Ok(Instruction::Refresh(
            required(id)?,
            asked.text(refresh::TOKEN)?,
        ));
    }
    if let Some(asked) = field(command::SUB_REFRESH, sub_refresh::ALL)? {
        return refreshing(required(id)?, &asked);
    }
    Err("the command asks for nothing that there is")
}

fn required(id: Option<Id<'_>>) -> Result<Id<'_>, Wrong> {
    id.ok_or("id is missing")
}

/// `message` is what `asked` are the fields of.
fn connecting<'b, S: SubsValue<'b>>(
    message: Option<S>,
    asked: &Record<S>,
    outer: u32,
) -> Result<ConnectCommand<'b>, Wrong> {
    let subs = message.zip(asked.get(connect::SUBS));
    let had = subs.map(|(message, map)| message.had(map, connect::SUBS));
    Ok(ConnectCommand {
        token: asked.text(connect::TOKEN)?,
        data: asked.data(connect::DATA, outer)?,
        name: asked.text(connect::NAME)?,
        version: asked.text(connect::VERSION)?,
        had: had.transpose()?.unwrap_or_default(),
    })
}

/// Of `flag`: a client that can not be sent what it missed wants to be refused.
const REJECT_UNRECOVERED: u64 = 2;

fn subscribing<'b, S: NodeValue<'b>>(
    id: Id<'b>,
    asked: &Record<S>,
) -> Result<Instruction<'b>, Wrong> {
    let channel = asked.channel(subscribe::CHANNEL)?;
    let deltas = match &*asked.text(subscribe::DELTA)? {
        "" => Deltas::Off,
        "fossil" => Deltas::Fossil,
        _ => return Err("delta is of a kind that there is not"),
    };
    let map = match asked.unsigned(subscribe::TYPE)? {
        0 => None,
        kind => {
            let phase = MapPhase::of(asked.unsigned(subscribe::PHASE)?);
            match MapKind::of(kind).zip(phase) {
                Some(step) => Some(map_step(asked, step)?),
                // Polls.
                None => return Ok(Instruction::Unavailable(id)),
            }
        }
    };
    let filter = asked.get(subscribe::FILTER).map(TagFilter::read);
    let filter = match filter.transpose() {
        // A delta builds on the publication before it, which a filter may leave out.
        Ok(Some(_)) if deltas != Deltas::Off => {
            return Ok(Instruction::BadFilter(id, FilterFault::WithDeltas));
        }
        Ok(filter) => filter,
        Err(fault) => return Ok(Instruction::BadFilter(id, fault)),
    };
    let recover = recovering(asked)?;
    let request = CentrifugeRequest::Subscribe(Box::new(Subscribe {
        channel,
        token: asked.text(subscribe::TOKEN)?,
        recover,
        if_lost: match asked.unsigned(subscribe::FLAG)? & REJECT_UNRECOVERED {
            0 => IfLost::Begin,
            _ => IfLost::Refuse,
        },
        deltas,
        filter,
        map,
    }));
    Ok(special(id, request))
}

/// Of `type`: the channel is a map.
const MAP: u64 = 1;

fn map_step<'b, S: FieldValue<'b>>(
    asked: &Record<S>,
    (kind, phase): (MapKind, MapPhase),
) -> Result<MapStep<'b>, Wrong> {
    let limit = asked.signed(subscribe::LIMIT)?.max(0);
    Ok(MapStep {
        phase,
        kind,
        cursor: asked.text(subscribe::CURSOR)?,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        position: Since {
            epoch: asked.text(subscribe::EPOCH)?,
            offset: asked.unsigned(subscribe::OFFSET)?,
        },
    })
}

fn publishing<'b, S: FieldValue<'b>>(
    id: Id<'b>,
    asked: &Record<S>,
    outer: u32,
) -> Result<Instruction<'b>, Wrong> {
    let room = asked.channel(publish::CHANNEL)?;
    let data = asked.data(publish::DATA, outer)?;
    let change = match asked.unsigned(publish::TYPE)? {
        0 => None,
        MAP if asked.boolean(publish::REMOVED)? => Some(KeyChange::Remove),
        MAP => Some(KeyChange::Set),
        _ => return Ok(Instruction::Unavailable(id)),
    };
    let data = match change {
        Some(KeyChange::Remove) => Value::Json(Raw::NULL),
        Some(KeyChange::Set) | None => data.ok_or("data is missing")?,
    };
    let keys = match change {
        None => None,
        Some(_) => Some(Box::new(PublishKeys {
            idempotency: None,
            conflation: Some(asked.text(publish::KEY)?),
            change,
        })),
    };
    let request = Request::Publish(Publish {
        target: PublishTarget::Rooms(Rooms::One(room.clone())),
        echo: None,
        report: false,
        keys,
    });
    Ok(Instruction::Command(Command {
        data: Some(data),
        room: Some(room),
        ..command_of(Some(id), request)
    }))
}

fn reading<'b, S: FieldValue<'b>>(asked: &Record<S>) -> Result<HistoryQuery<'b>, Wrong> {
    let room = asked.channel(history::CHANNEL)?;
    let since = asked.record(history::SINCE, position::ALL)?;
    let since = since.map(|since| {
        Ok(Since {
            epoch: since.text(position::EPOCH)?,
            offset: since.unsigned(position::OFFSET)?,
        })
    });
    Ok(HistoryQuery {
        room,
        since: since.transpose()?,
        // Nothing but the position; everything that there is; so many.
        limit: match asked.signed(history::LIMIT)? {
            ..0 => None,
            limit => Some(u32::try_from(limit).unwrap_or(u32::MAX)),
        },
        order: match asked.boolean(history::REVERSE)? {
            true => ReadOrder::Reverse,
            false => ReadOrder::Forward,
        },
    })
}

fn refreshing<'b, S: FieldValue<'b>>(
    id: Id<'b>,
    asked: &Record<S>,
) -> Result<Instruction<'b>, Wrong> {
    let channel = asked.channel(sub_refresh::CHANNEL)?;
    let token = asked.text(sub_refresh::TOKEN)?;
    Ok(match asked.unsigned(sub_refresh::TYPE)? {
        0 => Instruction::SubRefresh { id, channel, token },
        _ => Instruction::Unavailable(id),
    })
}

fn special<'b>(id: Id<'b>, request: CentrifugeRequest<'b>) -> Instruction<'b> {
    let room = Some(Cow::Owned(request.channel().to_owned()));
    Instruction::Command(Command {
        room,
        ..command_of(Some(id), Request::Centrifuge(request))
    })
}

/// A request that names its room itself.
fn common<'b>(id: Id<'b>, request: Request<'b>) -> Instruction<'b> {
    let room = match &request {
        Request::Presence(query) => Some(query.room.clone()),
        Request::History(query) => Some(query.room.clone()),
        _ => None,
    };
    Instruction::Command(Command {
        room,
        ..command_of(Some(id), request)
    })
}

fn call<'b>(id: Option<Id<'b>>, name: Cow<'b, str>) -> Command<'b> {
    command_of(id, Request::Call { name })
}

fn command_of<'b>(id: Option<Id<'b>>, request: Request<'b>) -> Command<'b> {
    Command {
        reply: match id {
            Some(_) => ReplyMode::Always,
            None => ReplyMode::Never,
        },
        id,
        request,
        room: None,
        data: None,
        trace: None,
    }
}
