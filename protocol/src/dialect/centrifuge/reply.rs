//! The replies to commands, as the protocol has them. The server's own words (`dialect::reply`)
//! become the protocol's here.

use super::answer::{
    CentrifugeReply, Connected, MapPlaces, MapSubscribed, Recovering, Subscribed, Transport,
};
use super::asked::MapPhase;
use super::body::{MessageBody, WireNotation, message};
use super::change::change_of;
use super::code::{Refusal, Retry, error_number, retry_of};
use super::form::{DataForm, Deltas};
use super::push::{info_of, push_publication};
use super::schema::Field;
use super::schema::received::{
    client_info, connect, data, error, history, presence, presence_stats, reply, subscribe,
};
use crate::dialect::id::Id;
use crate::dialect::kept::KeptMessage;
use crate::dialect::position::LossReason;
use crate::dialect::reply::{HistoryPage, Member, Reply};
use crate::dialect::value::Value;
use std::num::NonZeroU32;

/// Appends the reply to a command, under its number.
pub(crate) fn write<N: WireNotation>(out: &mut Vec<u8>, id: Option<Id<'_>>, answer: &Reply<'_>) {
    message::<N>(out, hint_of(answer), |body| {
        body.id(reply::ID, id);
        write_answer(body, answer);
    });
}

/// About how many bytes it has: only of those that may be large by themselves.
fn hint_of(answer: &Reply<'_>) -> usize {
    match answer {
        Reply::Result(Some(value)) => value.as_bytes().len() + 8,
        _ => 0,
    }
}

fn write_answer<N: WireNotation>(body: &mut MessageBody<'_, N>, answer: &Reply<'_>) {
    match *answer {
        Reply::Ack | Reply::Published { .. } => body.message(reply::PUBLISH, 0, |_| {}),
        Reply::Left { .. } | Reply::LeftRooms(_) => body.message(reply::UNSUBSCRIBE, 0, |_| {}),
        Reply::Presence(found) => body.message(reply::PRESENCE, 0, |body| {
            body.map(presence::PRESENCE, found.members, key_of, |body, member| {
                write_member(body, member);
            });
        }),
        Reply::History(page) => write_history(body, &page),
        Reply::Result(value) => write_result(body, value),
        Reply::Error(problem) => {
            let (number, retry) = (error_number(problem.code), retry_of(problem.code));
            write_error(body, number, &problem.message, retry);
        }
        Reply::Centrifuge(CentrifugeReply::Connected(connected)) => {
            write_connected(body, connected);
        }
        Reply::Centrifuge(CentrifugeReply::Refreshed(refreshed)) => {
            body.message(reply::REFRESH, 0, |body| {
                body.text(connect::CLIENT, refreshed.client);
                body.text(connect::VERSION, refreshed.version);
                write_ttl(body, OF_CONNECTION, refreshed.ttl_s);
            });
        }
        Reply::Centrifuge(CentrifugeReply::Subscribed(subscribed)) => {
            body.message(reply::SUBSCRIBE, 0, |body| {
                write_subscribed(body, &subscribed)
            });
        }
        Reply::Centrifuge(CentrifugeReply::MapSubscribed(page)) => {
            body.message(reply::SUBSCRIBE, 0, |body| write_map(body, &page));
        }
        Reply::Centrifuge(CentrifugeReply::SubRefreshed { ttl_s }) => {
            body.message(reply::SUB_REFRESH, 0, |body| {
                write_ttl(body, OF_SUBSCRIPTION, ttl_s)
            });
        }
        Reply::Centrifuge(CentrifugeReply::PresenceStats { clients, users }) => {
            body.message(reply::PRESENCE_STATS, 0, |body| {
                body.unsigned(presence_stats::NUM_CLIENTS, clients.into());
                body.unsigned(presence_stats::NUM_USERS, users.into());
            });
        }
        Reply::Centrifuge(CentrifugeReply::Refused(refusal)) => write_refusal(body, refusal),
        // No command of the protocol asks for these.
        Reply::Pong { .. }
        | Reply::Echo { .. }
        | Reply::Joined(_)
        | Reply::JoinedRooms(_)
        | Reply::Rooms(_)
        | Reply::Authenticated(_)
        | Reply::Resumed(_)
        | Reply::Status { .. } => write_refusal(body, Refusal::NotAvailable),
    }
}

fn write_refusal<N: WireNotation>(body: &mut MessageBody<'_, N>, refusal: Refusal) {
    let (number, text, retry) = refusal.error();
    write_error(body, number, text, retry);
}

fn write_error<N: WireNotation>(
    body: &mut MessageBody<'_, N>,
    number: u32,
    text: &str,
    retry: Retry,
) {
    body.message(reply::ERROR, text.len() + 8, |body| {
        body.unsigned(error::CODE, number.into());
        body.text(error::MESSAGE, text);
        body.boolean(error::TEMPORARY, retry == Retry::Later);
    });
}

fn write_result<N: WireNotation>(body: &mut MessageBody<'_, N>, value: Option<Value<'_>>) {
    let hint = value.map_or(0, |value| value.as_bytes().len() + 4);
    body.message(reply::RPC, hint, |body| body.some_data(data::DATA, value));
}

fn write_connected<N: WireNotation>(body: &mut MessageBody<'_, N>, connected: Connected<'_>) {
    body.message(reply::CONNECT, 0, |body| {
        body.text(connect::CLIENT, connected.client);
        body.text(connect::VERSION, connected.version);
        write_ttl(body, OF_CONNECTION, connected.ttl_s);
        body.some_data(connect::DATA, connected.data);
        if !connected.subs.is_empty() {
            body.map(
                connect::SUBS,
                connected.subs,
                channel_of,
                |body, (_, subscribed)| {
                    write_subscribed(body, subscribed);
                },
            );
        }
        body.unsigned(connect::PING, connected.ping_s.into());
        match connected.transport {
            Transport::Connection => body.boolean(connect::PONG, connected.ping_s > 0),
            Transport::Stream { session } => body.text(connect::SESSION, session),
            Transport::Unidirectional => {}
        }
    });
}

/// Where a message says that the client has to bring another token, and after how many seconds.
type ExpiryFields = (Field, Field);

const OF_CONNECTION: ExpiryFields = (connect::EXPIRES, connect::TTL);
const OF_SUBSCRIPTION: ExpiryFields = (subscribe::EXPIRES, subscribe::TTL);

fn write_ttl<N: WireNotation>(
    body: &mut MessageBody<'_, N>,
    (expires, ttl): ExpiryFields,
    ttl_s: Option<NonZeroU32>,
) {
    body.boolean(expires, ttl_s.is_some());
    body.unsigned(ttl, ttl_s.map_or(0, |seconds| seconds.get().into()));
}

fn write_subscribed<N: WireNotation>(body: &mut MessageBody<'_, N>, subscribed: &Subscribed<'_>) {
    write_ttl(body, OF_SUBSCRIPTION, subscribed.ttl_s);
    if let Some(position) = subscribed.position {
        body.boolean(subscribe::RECOVERABLE, true);
        body.boolean(subscribe::POSITIONED, true);
        body.text(subscribe::EPOCH, position.epoch);
        body.unsigned(subscribe::OFFSET, position.offset);
    }
    let (field, kept) = (subscribe::PUBLICATIONS, subscribed.publications);
    match subscribed.deltas {
        Deltas::Off => write_publications(body, field, kept),
        Deltas::Fossil => write_changes(body, field, kept),
    }
    let recovering = subscribed.recovery;
    body.boolean(subscribe::RECOVERED, recovering == Recovering::Recovered);
    body.boolean(subscribe::WAS_RECOVERING, recovering != Recovering::No);
    body.boolean(subscribe::DELTA, subscribed.deltas == Deltas::Fossil);
}

/// Of `type`: the channel is a map.
const MAP: u64 = 1;

fn write_map<N: WireNotation>(body: &mut MessageBody<'_, N>, page: &MapSubscribed<'_>) {
    write_ttl(body, OF_SUBSCRIPTION, page.ttl_s);
    let is_live = page.cursor.is_none();
    let is_told = page.places == MapPlaces::Told;
    let (epoch, offset) = match is_told {
        true => (page.position.epoch, page.position.offset),
        false => ("", 0),
    };
    body.boolean(subscribe::RECOVERABLE, is_live && is_told);
    body.text(subscribe::EPOCH, epoch);
    body.boolean(subscribe::RECOVERED, page.recovery == Recovering::Recovered);
    body.unsigned(subscribe::OFFSET, offset);
    body.boolean(subscribe::POSITIONED, is_live && is_told);
    body.boolean(subscribe::WAS_RECOVERING, page.recovery != Recovering::No);
    let has_deltas = page.deltas == Deltas::Fossil;
    body.boolean(subscribe::DELTA, is_live && has_deltas);
    body.unsigned(subscribe::TYPE, MAP);
    let phase = match is_live {
        true => MapPhase::Live,
        false => MapPhase::State,
    };
    body.unsigned(subscribe::PHASE, phase.number());
    body.text(subscribe::CURSOR, page.cursor.unwrap_or(""));
    // Each is the first of its key.
    let form = match has_deltas {
        true => DataForm::Whole,
        false => DataForm::Plain,
    };
    body.messages(subscribe::STATE, page.state, |body, kept| {
        write_publication(body, kept, &form);
    });
}

fn write_history<N: WireNotation>(body: &mut MessageBody<'_, N>, page: &HistoryPage<'_>) {
    // Of what the channel has kept since then, none has to do with what the client has had.
    if page.loss == Some(LossReason::EpochChanged) {
        return write_refusal(body, Refusal::UnrecoverablePosition);
    }
    body.message(reply::HISTORY, 0, |body| {
        write_publications(body, history::PUBLICATIONS, page.messages);
        body.text(history::EPOCH, page.position.epoch);
        body.unsigned(history::OFFSET, page.position.offset);
    });
}

fn write_publications<N: WireNotation>(
    body: &mut MessageBody<'_, N>,
    field: Field,
    kept: &[KeptMessage<'_>],
) {
    body.messages(field, kept, |body, kept| {
        write_publication(body, kept, &DataForm::Plain);
    });
}

/// The same for a subscription with deltas: each builds on the one before it.
fn write_changes<N: WireNotation>(
    body: &mut MessageBody<'_, N>,
    field: Field,
    kept: &[KeptMessage<'_>],
) {
    let before = kept.iter().map(|kept| Some(kept.data));
    let forms = kept.iter().zip(std::iter::once(None).chain(before));
    let forms = forms.map(|(kept, before)| {
        let change = before.and_then(|before| change_of::<N>(before, kept.data));
        (kept, change.unwrap_or(DataForm::Whole))
    });
    let forms: Vec<(&KeptMessage<'_>, DataForm)> = forms.collect();
    body.messages(field, &forms, |body, (kept, form)| {
        write_publication(body, kept, form);
    });
}

fn write_publication<N: WireNotation>(
    body: &mut MessageBody<'_, N>,
    kept: &KeptMessage<'_>,
    form: &DataForm,
) {
    let (from, data) = ((kept.origin, kept.sender), Some(kept.data));
    push_publication(body, from, Some(kept.offset), (data, form));
}

fn channel_of<'m>((channel, _): &'m (&'_ str, Subscribed<'_>)) -> &'m str {
    channel
}

/// A member that is a user with all its connections has the user's name for a key.
fn key_of<'m>(member: &'m Member<'_>) -> &'m str {
    member.connection.or(member.user).unwrap_or("")
}

fn write_member<N: WireNotation>(body: &mut MessageBody<'_, N>, member: &Member<'_>) {
    info_of(body, member.connection, member.user);
    body.some_data(client_info::CHAN_INFO, member.data);
}
