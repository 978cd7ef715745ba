//! What has happened in the server, as notices for a backend: connections that have ended, rooms
//! that have their first member, or none any more, and who has left them. Made for the hooks.

use crate::broker::share::occupancy::{RoomTurn, RoomTurned};
use crate::broker::view::ClusterView;
use crate::gateway::calls::Gateway;
use crate::gateway::notices::Notices;
use crate::gateway::options::EventKind;
use crate::gateway::wire::Notice;
use crate::session::context::Context;
use crate::session::handle::Handle;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{CloseReason, Event, EventKind as EngineEvent, Events, TopicName};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rooms of all nodes of a cluster.
#[derive(Debug)]
pub(crate) struct RoomWatch {
    pub(crate) view: Arc<ClusterView>,
    /// `None`: the backend does not want to hear of them.
    pub(crate) turned: Option<mpsc::Receiver<RoomTurned>>,
}

/// Has the backend told of rooms, as far as it wants to be. Until the server stops. In a cluster
/// rooms are those of all nodes.
pub(crate) fn rooms(
    gateway: &Gateway,
    notices: &Notices,
    handle: &Handle,
    of_cluster: Option<RoomWatch>,
) {
    let (view, turned) = match of_cluster {
        Some(watch) => (Some(watch.view), watch.turned),
        None => (None, None),
    };
    if let Some(turned) = turned {
        let (notices, gateway) = (notices.clone(), gateway.options.clone());
        let wanted = move |kind| gateway.has(kind);
        handle
            .shared
            .runtime
            .spawn(tell_turns(turned, notices, wanted));
    }
    let is_alone = view.is_none();
    let wanted = [
        (EventKind::Occupied, EngineEvent::TopicActive, is_alone),
        (EventKind::Vacated, EngineEvent::TopicIdle, is_alone),
        (EventKind::Leave, EngineEvent::Left, true),
    ];
    let wanted = wanted.into_iter();
    let kinds: Vec<EngineEvent> = wanted
        .filter(|(kind, _, is_told_so)| *is_told_so && gateway.options.has(*kind))
        .map(|(_, event, _)| event)
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
            if let Some(notice) = of_room(event, view.as_deref()) {
                notices.push(Notice {
                    time_ms: now_ms(),
                    ..notice
                });
            }
        }
    });
}

/// Tells of rooms that have turned over all nodes.
async fn tell_turns(
    mut turned: mpsc::Receiver<RoomTurned>,
    notices: Notices,
    is_wanted: impl Fn(EventKind) -> bool,
) {
    while let Some((room, turn)) = turned.recv().await {
        let kind = match turn {
            RoomTurn::Occupied => EventKind::Occupied,
            RoomTurn::Vacated => EventKind::Vacated,
        };
        if is_wanted(kind) {
            notices.push(Notice {
                event: kind.as_str().to_owned(),
                room: Some(room.to_string()),
                time_ms: Gateway::now_ms(),
                ..Notice::default()
            });
        }
    }
}

/// What is told of an event of the engine; nothing of users. Members are those of all nodes.
fn of_room(event: Event, cluster: Option<&ClusterView>) -> Option<Notice> {
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
        } => {
            let elsewhere = cluster.map_or(0, |view| view.elsewhere(topic).members);
            let members = members.saturating_add(elsewhere);
            (Some(ConnectionId(*member).to_string()), Some(members))
        }
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
