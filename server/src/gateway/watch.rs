//! What has happened in the server, as notices for a backend: connections that have ended, rooms
//! that have their first member, or none any more, and who has left them. Made for the hooks.

use crate::gateway::calls::Gateway;
use crate::gateway::notices::Notices;
use crate::gateway::options::EventKind;
use crate::gateway::wire::Notice;
use crate::session::context::Context;
use crate::session::handle::Handle;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{CloseReason, Event, EventKind as EngineEvent, Events, TopicName};

/// Has the backend told of rooms, as far as it wants to be. Until the server stops.
pub(crate) fn rooms(gateway: &Gateway, notices: &Notices, handle: &Handle) {
    let wanted = [
        (EventKind::Occupied, EngineEvent::TopicActive),
        (EventKind::Vacated, EngineEvent::TopicIdle),
        (EventKind::Leave, EngineEvent::Left),
    ];
    let wanted = wanted.into_iter();
    let kinds: Vec<EngineEvent> = wanted
        .filter(|(kind, _)| gateway.options.has(*kind))
        .map(|(_, event)| event)
        .collect();
    if kinds.is_empty() {
        return;
    }
    let subscribed = handle.shared.engine().ok();
    let subscribed =
        subscribed.and_then(|engine| engine.subscribe(&kinds, Events::WAITING_MAX).ok());
    let Some(events) = subscribed else {
        tracing::error!("the backend is told of no rooms: too many listen to the engine");
        return;
    };
    let (notices, now_ms) = (notices.clone(), Gateway::now_ms);
    handle.shared.runtime.spawn(async move {
        let mut lost = 0;
        while let Some(event) = events.recv_async().await {
            let missing = events.lost() - lost;
            if missing > 0 {
                lost += missing;
                notices.lose(missing);
            }
            if let Some(notice) = of_room(event) {
                notices.push(Notice {
                    time_ms: now_ms(),
                    ..notice
                });
            }
        }
    });
}

/// What is told of an event of the engine; nothing of users.
fn of_room(event: Event) -> Option<Notice> {
    let (kind, topic) = match &event {
        Event::TopicActive { topic } => (EventKind::Occupied, topic),
        Event::TopicIdle { topic } => (EventKind::Vacated, topic),
        Event::Left { topic, .. } => (EventKind::Leave, topic),
        _ => return None,
    };
    let TopicName::Room(room) = topic else {
        return None;
    };
    let (connection, members) = match &event {
        Event::Left {
            member, members, ..
        } => (Some(ConnectionId(*member).to_string()), Some(*members)),
        _ => (None, None),
    };
    Some(Notice {
        event: kind.as_str().to_owned(),
        room: Some(room.to_string()),
        connection,
        members,
        ..Notice::default()
    })
}

/// What is told of a connection that has ended.
pub(crate) fn disconnected(cx: &Context<'_>, reason: CloseReason) -> Notice {
    let (code, word) = words_of(reason);
    Notice {
        event: EventKind::Disconnect.as_str().to_owned(),
        time_ms: Gateway::now_ms(),
        connection: Some(cx.connection().to_string()),
        user: cx.user().map(str::to_owned),
        code: Some(code.into()),
        reason: Some(word.to_owned()),
        ..Notice::default()
    }
}

/// The close code, and what stands behind it in a word.
fn words_of(reason: CloseReason) -> (u16, &'static str) {
    match reason {
        CloseReason::Peer(code) => (code.map_or(1005, |code| code.get()), "client"),
        CloseReason::Lost => (1006, "lost"),
        CloseReason::Protocol(error) => (error.close_code().get(), "protocol"),
        CloseReason::Application(code) => (code.get(), "application"),
        CloseReason::SlowReader => (1008, "slow"),
        CloseReason::TimedOut(_) => (1006, "timeout"),
        CloseReason::OverBudget => (1013, "memory"),
        CloseReason::Draining => (1001, "draining"),
    }
}
