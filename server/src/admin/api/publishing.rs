//! Calls that publish: to a room, to several, to a user or to everybody, with what became of it.
//!
//! Invariant: of one call, and of the publishes of one batch that follow each other, each room is
//! handed what is for it in the order in which it was asked.

use crate::admin::api::AdminApi;
use crate::admin::api::ending::connection_of;
use crate::admin::problem::{AdminProblem, ProblemDetails};
use crate::rooms::event::{EncodedEvent, Outgoing, Recipients};
use crate::rooms::keys::Keys;
use crate::session::handle::Handle;
use crate::session::pending::Awaited;
use crate::traces::tracer::{RequestTrace, TraceContext};
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{NO_ORDER, map_full, unavailable};
use crate::wire::position::epoch_text;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shardcast_engine::{Repeat, Report, SpanKind};
use shardcast_protocol::dialect::centrifuge::PUBLICATION;
use shardcast_protocol::dialect::{Dialect, Problem};
use shardcast_protocol::trace_parent::TraceParent;
use tokio::sync::oneshot;

/// What is published, and to whom: one of `room`, `rooms`, `user` and `everyone`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishCall {
    room: Option<String>,
    /// 1 to 1,000 of them.
    #[schemars(length(min = 1, max = 1_000))]
    rooms: Option<Vec<String>>,
    user: Option<String>,
    /// `true`: every connection.
    everyone: Option<bool>,
    /// The event's name; `publication` without, which SDKs of Centrifuge take for a publication.
    event: Option<String>,
    /// Any JSON.
    #[schemars(with = "serde_json::Value")]
    data: Box<RawValue>,
    /// An idempotency key, 1 to 128 bytes: where the room's namespace has the option
    /// `idempotency`, another publish with the same key is not one.
    key: Option<String>,
    /// The connection that is left out.
    except: Option<String>,
}

/// What became of a publish.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum PublishAnswer {
    One(Delivered),
    Rooms { rooms: Vec<RoomDelivered> },
}

/// In connections; `epoch` and `offset` where the room keeps a history.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Delivered {
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// Those to whose sockets it was handed.
    delivered: u32,
    /// Those that it waits for: they read slowly.
    queued: u32,
    /// Those that it was not sent: they were closing, or were closed because it found their outbox
    /// full.
    dropped: u32,
    /// Those that have not read what came before, and read it from the history.
    catching_up: u32,
    /// Another publish had its key before: this one was not sent, and the place is that one's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

/// One of several rooms: what became of it, or why nothing did.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RoomDelivered {
    room: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    delivered: Option<Delivered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemDetails>,
}

/// A publish that was handed over.
pub(crate) enum PublishUnderWay {
    One(ReportUnderWay),
    Rooms(Vec<(String, Result<ReportUnderWay, AdminProblem>)>),
}

type ReportUnderWay = oneshot::Receiver<Report>;

impl PublishCall {
    /// Rooms of one call.
    const ROOMS_MAX: usize = 1_000;

    fn is_to_everyone(&self) -> bool {
        self.everyone == Some(true)
    }
}

impl AdminApi {
    pub(crate) async fn publish(
        &self,
        call: PublishCall,
        trace: Option<TraceParent>,
    ) -> Result<PublishAnswer, AdminProblem> {
        self.begin_publish(call, trace).await?.end().await
    }

    /// Hands a publish over, as a part of a trace.
    ///
    /// # Errors
    /// Nothing was published.
    pub(crate) async fn begin_publish(
        &self,
        call: PublishCall,
        trace: Option<TraceParent>,
    ) -> Result<PublishUnderWay, AdminProblem> {
        let tracer = self.handle.shared.tracer.as_ref();
        let asked = trace.map(TraceContext::of_trusted);
        let mut trace = RequestTrace::of_trusted(tracer, asked, ("publish", SpanKind::Server));
        if let Some(step) = &mut trace.step {
            if let Some(room) = &call.room {
                step.note("messaging.destination.name", &**room);
            }
            step.note("messaging.message.body.size", call.data.get().len() as u64);
        }
        let begun = self.hand_over(&call, trace.context).await;
        let failure = begun.as_ref().err().map(|problem| problem.status());
        trace.end(failure.as_ref().map(StatusCode::as_str));
        begun
    }

    async fn hand_over(
        &self,
        call: &PublishCall,
        trace: Option<TraceContext>,
    ) -> Result<PublishUnderWay, AdminProblem> {
        let except = call.except.as_deref().map(connection_of).transpose()?;
        let name = call.event.as_deref().unwrap_or(PUBLICATION);
        let shared = &self.handle.shared;
        let event = EncodedEvent::new(shared, Dialect::NativeJson, name, &call.data)?.within(trace);
        let keys = Keys {
            idempotency: call.key.as_deref(),
            ..Keys::default()
        };
        let going = Going {
            handle: &self.handle,
            event: &event,
            except,
            keys,
        };
        let everyone = call.is_to_everyone();
        let to = match (&call.room, &call.user, &call.rooms, everyone) {
            (Some(room), None, None, false) => Recipients::Room(room),
            (None, Some(user), None, false) => Recipients::User(user),
            (None, None, None, true) => Recipients::Everyone,
            (None, None, Some(rooms), false) => {
                if !(1..=PublishCall::ROOMS_MAX).contains(&rooms.len()) {
                    return Err(AdminProblem::bad_request("rooms names 1 to 1000 rooms"));
                }
                let mut under_way = Vec::with_capacity(rooms.len());
                for room in rooms {
                    let report = going.send(Recipients::Room(room)).await;
                    under_way.push((room.clone(), report));
                }
                return Ok(PublishUnderWay::Rooms(under_way));
            }
            _ => {
                return Err(AdminProblem::bad_request(
                    "name one of room, rooms, user and everyone (true)",
                ));
            }
        };
        Ok(PublishUnderWay::One(going.send(to).await?))
    }
}

/// An event on its way to one after the other.
struct Going<'g> {
    handle: &'g Handle,
    event: &'g EncodedEvent<'g>,
    except: Option<ConnectionId>,
    keys: Keys<'g>,
}

impl Going<'_> {
    async fn send(&self, to: Recipients<'_>) -> Result<ReportUnderWay, AdminProblem> {
        if let Recipients::Room(room) = to {
            let known = self.handle.shared.resolve_for_operator(room);
            known.map_err(Problem::from)?;
        }
        match self.event.to(to, self.except, self.keys)? {
            Some(Outgoing::Publish(target, publish)) => {
                let publish = (target, &publish);
                Ok(self
                    .handle
                    .hand_over_reported(publish, Awaited::Counts)
                    .await?)
            }
            // To one connection: no call names such recipients.
            Some(Outgoing::Message(..)) | None => {
                let (sender, report) = oneshot::channel();
                let _it_is_there = sender.send(Report::default());
                Ok(report)
            }
        }
    }
}

impl PublishUnderWay {
    /// Waits until it is known what became of it.
    pub(crate) async fn end(self) -> Result<PublishAnswer, AdminProblem> {
        let rooms = match self {
            PublishUnderWay::One(report) => return known(report).await.map(PublishAnswer::One),
            PublishUnderWay::Rooms(rooms) => rooms,
        };
        let mut answered = Vec::with_capacity(rooms.len());
        for (room, under_way) in rooms {
            let outcome = match under_way {
                Ok(report) => known(report).await,
                Err(problem) => Err(problem),
            };
            let (delivered, problem) = match outcome {
                Ok(delivered) => (Some(delivered), None),
                Err(problem) => (None, Some(problem.details())),
            };
            answered.push(RoomDelivered {
                room,
                delivered,
                problem,
            });
        }
        Ok(PublishAnswer::Rooms { rooms: answered })
    }
}

async fn known(report: ReportUnderWay) -> Result<Delivered, AdminProblem> {
    let report = report.await.map_err(|_| AdminProblem::stopping())?;
    if report.repeat == Repeat::Unavailable {
        return Err(unavailable(NO_ORDER).into());
    }
    if report.repeat == Repeat::MapFull {
        return Err(map_full().into());
    }
    Ok(Delivered {
        epoch: report
            .position
            .map(|position| epoch_text(position).as_str().to_owned()),
        offset: report.position.map(|position| position.offset),
        delivered: report.delivered,
        queued: report.queued,
        dropped: report.dropped,
        catching_up: report.catching_up + report.conflated,
        duplicate: report.repeat == Repeat::Duplicate,
    })
}
