//! What the server sends without a command: publications, members that come and go, messages that
//! are no channel's. Called by `dialect`, and for publications of history by `reply`.
//!
//! Invariant: a publication ends with its data, so that one frame can hold both.

use super::body::{MessageBody, WireNotation, message};
use super::change::change_of;
use super::code::Unsubscribed;
use super::form::DataForm;
use super::schema::Field;
use super::schema::received::{
    client_info, data, member, publication, push, refreshed, reply, subscribed, unsubscribe,
};
use crate::dialect::event::{Event, PresenceChange, Sender};
use crate::dialect::kept::Origin;
use crate::dialect::keyed::{KeyChange, MapEntry};
use crate::dialect::position::LogPosition;
use crate::dialect::tagged::{PUBLICATION, TAG_OF_EVENTS, entry_of, plain_name, tags_of};
use crate::dialect::value::{Unencodable, Value};
use crate::json::Raw;
use std::num::NonZeroU32;

/// Appends an event as one reply with a push.
pub(crate) fn write<N: WireNotation>(
    out: &mut Vec<u8>,
    event: &Event<'_>,
) -> Result<(), Unencodable> {
    write_in::<N>(out, event, &DataForm::Plain)
}

/// The same for clients whose subscription has deltas: of a publication all of it.
pub(crate) fn write_whole<N: WireNotation>(
    out: &mut Vec<u8>,
    event: &Event<'_>,
) -> Result<(), Unencodable> {
    write_in::<N>(out, event, &DataForm::Whole)
}

/// Appends what a publication changes of what such clients have.
pub(crate) fn write_change<N: WireNotation>(
    out: &mut Vec<u8>,
    event: &Event<'_>,
    base: Value<'_>,
) -> Result<(), Unencodable> {
    let data = match untraced(event) {
        Event::Message { data, .. } | Event::Event { data, .. } => some(*data),
        _ => return Err(Unencodable::Message),
    };
    let form = change_of::<N>(base, data).ok_or(Unencodable::Change)?;
    write_in::<N>(out, event, &form)
}

#[inline]
fn write_in<N: WireNotation>(
    out: &mut Vec<u8>,
    event: &Event<'_>,
    form: &DataForm,
) -> Result<(), Unencodable> {
    let event = untraced(event);
    let pushed = pushed(event).ok_or(Unencodable::Message)?;
    let hint = hint_of(event);
    message::<N>(out, hint + 5, |body| {
        body.message(reply::PUSH, hint, |body| {
            body.text(push::CHANNEL, pushed.channel);
            body.message(pushed.field, hint, |body| pushed.write(body, form));
        });
    });
    Ok(())
}

/// Whether there is a push for an event.
pub(crate) fn has(event: &Event<'_>) -> bool {
    pushed(untraced(event)).is_some()
}

/// The protocol says nothing of traces.
fn untraced<'e, 'a>(event: &'e Event<'a>) -> &'e Event<'a> {
    match event {
        Event::Traced { event, .. } => event,
        event => event,
    }
}

/// About how many bytes a push has.
fn hint_of(event: &Event<'_>) -> usize {
    let data = match event {
        Event::Message { data, .. } | Event::Event { data, .. } | Event::Presence { data, .. } => {
            *data
        }
        _ => None,
    };
    data.map_or(0, |data| data.as_bytes().len()) + 40
}

/// A push, and of which channel.
struct Pushed<'a> {
    channel: &'a str,
    field: Field,
    content: PushContent<'a>,
}

enum PushContent<'a> {
    Publication {
        origin: Origin<'a>,
        sender: Option<&'a Sender<'a>>,
        offset: Option<u64>,
        data: Option<Value<'a>>,
    },
    /// To everyone, or to a user.
    Message(Option<Value<'a>>),
    Member {
        connection: Option<&'a str>,
        user: Option<&'a str>,
        data: Option<Value<'a>>,
    },
    Subscribe(Option<LogPosition<'a>>),
    Unsubscribe(Unsubscribed),
    Refresh(Option<NonZeroU32>),
}

fn in_channel<'a>(channel: &'a str, field: Field, content: PushContent<'a>) -> Pushed<'a> {
    Pushed {
        channel,
        field,
        content,
    }
}

/// What clients of this protocol hear of an event; `None`: nothing. They acknowledge nothing, so
/// nothing is sent to them again. A loss ends the subscription; of anything else that they miss the
/// channel is such that it may be, and offsets say where.
fn pushed<'a>(event: &Event<'a>) -> Option<Pushed<'a>> {
    let said = |room, origin, sender, offset, data| {
        let content = PushContent::Publication {
            origin,
            sender,
            offset,
            data,
        };
        match room {
            Some(room) => in_channel(room, push::PUB, content),
            None => in_channel("", push::MESSAGE, PushContent::Message(data)),
        }
    };
    Some(match *event {
        Event::Message {
            room,
            from,
            sender,
            offset,
            data,
        } => said(room, Origin::From(from), sender, offset, data),
        Event::Event {
            event,
            room,
            offset,
            data,
        } => said(room, Origin::Event(event), None, offset, data),
        Event::Presence {
            room,
            change,
            connection,
            user,
            data,
            ..
        } => {
            let field = match change {
                PresenceChange::Join => push::JOIN,
                PresenceChange::Leave => push::LEAVE,
                // Who may come back has not left.
                PresenceChange::Away | PresenceChange::Back => return None,
            };
            let content = PushContent::Member {
                connection,
                user,
                data,
            };
            in_channel(room, field, content)
        }
        Event::Missed {
            room: Some(room),
            reason,
            ..
        } if reason.is_a_loss() => in_channel(room, push::UNSUBSCRIBE, LOST),
        Event::Missed { .. } => return None,
        Event::Subscribed { room, position } => {
            in_channel(room, push::SUBSCRIBE, PushContent::Subscribe(position))
        }
        Event::Unsubscribed { room, why } => {
            in_channel(room, push::UNSUBSCRIBE, PushContent::Unsubscribe(why))
        }
        Event::Prolonged { left_s } => in_channel("", push::REFRESH, PushContent::Refresh(left_s)),
        Event::Redelivered(_)
        | Event::Traced { .. }
        | Event::Welcome(_)
        | Event::PresenceCount { .. }
        | Event::Closing { .. }
        | Event::Expiring { .. }
        | Event::Call { .. } => return None,
    })
}

const LOST: PushContent<'static> = PushContent::Unsubscribe(Unsubscribed::InsufficientState);

impl Pushed<'_> {
    fn write<N: WireNotation>(&self, body: &mut MessageBody<'_, N>, form: &DataForm) {
        match self.content {
            PushContent::Publication {
                origin,
                sender,
                offset,
                data,
            } => push_publication(body, (origin, sender), offset, (data, form)),
            PushContent::Message(value) => body.data(data::DATA, some(value)),
            PushContent::Member {
                connection,
                user,
                data,
            } => body.message(member::INFO, 0, |body| {
                info_of(body, connection, user);
                body.some_data(client_info::CHAN_INFO, data);
            }),
            PushContent::Subscribe(None) => {}
            PushContent::Subscribe(Some(position)) => {
                body.boolean(subscribed::RECOVERABLE, true);
                body.text(subscribed::EPOCH, position.epoch);
                body.unsigned(subscribed::OFFSET, position.offset);
                body.boolean(subscribed::POSITIONED, true);
            }
            PushContent::Unsubscribe(why) => {
                body.unsigned(unsubscribe::CODE, why.code().into());
                body.text(unsubscribe::REASON, why.reason());
            }
            PushContent::Refresh(left_s) => {
                body.boolean(refreshed::EXPIRES, left_s.is_some());
                body.unsigned(refreshed::TTL, left_s.map_or(0, NonZeroU32::get).into());
            }
        }
    }
}

fn some(value: Option<Value<'_>>) -> Value<'_> {
    value.unwrap_or(Value::Json(Raw::NULL))
}

/// A publication. One of the application has the name of its event for a tag, where it has none of
/// its own.
pub(super) fn push_publication<N: WireNotation>(
    body: &mut MessageBody<'_, N>,
    (origin, sender): (Origin<'_>, Option<&Sender<'_>>),
    offset: Option<u64>,
    (value, form): (Option<Value<'_>>, &DataForm),
) {
    match origin {
        Origin::From(connection) => body.message(publication::INFO, 0, |body| {
            info_of(
                body,
                Some(connection),
                sender.and_then(|sender| sender.user),
            );
            body.some_data(
                client_info::CONN_INFO,
                sender.and_then(|sender| sender.info),
            );
        }),
        Origin::Event(PUBLICATION) => {}
        Origin::Event(name) => {
            let entry = entry_of(name);
            match (tags_of(name), &entry) {
                (Some(tags), _) => body.tags(publication::TAGS, tags),
                (None, None) => body.tag(publication::TAGS, TAG_OF_EVENTS, plain_name(name)),
                (None, Some(_)) => {}
            }
            if let Some(entry) = entry {
                return push_entry(body, &entry, offset, (value, form));
            }
        }
    }
    body.unsigned(publication::OFFSET, offset.unwrap_or(0));
    body.boolean(publication::DELTA, matches!(form, DataForm::Delta(_)));
    body.data_in(publication::DATA, some(value), form);
}

/// The rest of a publication that changes a map: what is removed has no data.
#[cold]
fn push_entry<N: WireNotation>(
    body: &mut MessageBody<'_, N>,
    entry: &MapEntry<'_>,
    offset: Option<u64>,
    (value, form): (Option<Value<'_>>, &DataForm),
) {
    if !entry.client.is_empty() {
        body.message(publication::INFO, 0, |body| {
            info_of(body, Some(entry.client), Some(entry.user));
            let info = Raw::parse(entry.info).map(Value::Json);
            body.some_data(client_info::CONN_INFO, info);
        });
    }
    body.unsigned(publication::OFFSET, offset.unwrap_or(0));
    body.text(publication::KEY, entry.key);
    match entry.change {
        KeyChange::Remove => body.boolean(publication::REMOVED, true),
        KeyChange::Set => {
            body.boolean(publication::DELTA, matches!(form, DataForm::Delta(_)));
            body.data_in(publication::DATA, some(value), form);
        }
    }
}

/// Who somebody is.
pub(super) fn info_of<N: WireNotation>(
    body: &mut MessageBody<'_, N>,
    connection: Option<&str>,
    user: Option<&str>,
) {
    body.text(client_info::USER, user.unwrap_or(""));
    body.text(client_info::CLIENT, connection.unwrap_or(""));
}
