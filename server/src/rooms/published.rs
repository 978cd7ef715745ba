//! Events whose place in the order of their room is awaited: the same methods on the shard, in the
//! background and from other threads.

use crate::rooms::emit::Emit;
use crate::rooms::event::Outgoing;
use crate::session::context::{Context, Continuation};
use crate::session::handle::Handle;
use crate::session::pending::{Awaited, AwaitedPlaces, Outcome, Pending, Requester};
use crate::session::retry::{Queue, place_in};
use crate::wire::failure::{Failure, NO_ORDER, map_full, too_many_waiting, unavailable};
use serde::Serialize;
use shardcast_engine::{Answer, Position, Publish, Refused, Repeat, Report, Tag, Target};
use std::time::Instant;
use tokio::sync::oneshot;

/// What became of an event that was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its place in the order of its room. `None`: its room keeps nothing, it went to no room, or
    /// it went to several.
    pub position: Option<Position>,
    /// Whether it was published already, with the same idempotency key: the place is that one's,
    /// and nothing was sent.
    pub repeat: Repeat,
}

impl Published {
    fn of(report: Report) -> Published {
        Published {
            position: report.position,
            repeat: report.repeat,
        }
    }
}

impl Emit<'_, &mut Context<'_>> {
    /// Sends the event as `emit` does, and calls `then` when the home of its room has given it its
    /// place.
    ///
    /// # Errors
    /// As for `emit`, and `rate_limited`; `then` is not called.
    pub fn publish_then<T: Serialize>(
        self,
        event: &str,
        data: &T,
        then: impl FnOnce(&mut Context<'_>, Published) + 'static,
    ) -> Result<(), Failure> {
        let (cx, all) = self.encoded(event, data)?;
        let count = all.len() as u32;
        let publishes = all.into_iter().filter_map(|outgoing| match outgoing {
            Outgoing::Publish(target, publish) => Some((target, publish)),
            Outgoing::Message(to, content) => {
                cx.engine.send_to(to.0, content);
                None
            }
        });
        let publishes: Vec<(Target<'_>, Publish)> = publishes.collect();
        if publishes.is_empty() {
            cx.shield(|cx| then(cx, Published::default()));
            return Ok(());
        }
        if !cx.session.has_space_for_receipt() {
            return Err(too_many_waiting().into());
        }
        let tag = cx.state.take_tags(1);
        let awaited = publishes.len() as u32;
        for (target, publish) in publishes {
            cx.engine.publish(target, Awaited::Place.of(publish, tag))?;
        }
        let then = Continuation::new(move |cx, outcome| {
            if let Outcome::Published(publishing) = outcome {
                let one = Published::of(publishing.sum);
                then(
                    cx,
                    if count == 1 {
                        one
                    } else {
                        Published::default()
                    },
                );
            }
        });
        let requester = Requester::Code(then);
        let places = AwaitedPlaces::Nowhere;
        let pending = Pending::publish(requester, tag, awaited, Awaited::Place, places);
        cx.session.wait(pending);
        Ok(())
    }
}

impl Emit<'_, Handle> {
    /// Sends the event as `emit` does, and waits until the home of its room has given it its place.
    ///
    /// # Errors
    /// As for `emit`, and `unavailable`: too many wait, and whether it was published is unknown.
    /// With a key ([`Emit::key`]) it can be tried again.
    pub async fn publish<T: Serialize>(self, event: &str, data: &T) -> Result<Published, Failure> {
        let (handle, all) = self.encoded(event, data)?;
        let is_one = all.len() == 1;
        let mut last = Published::default();
        for outgoing in all {
            last = handle.publish_one(outgoing).await?;
        }
        Ok(if is_one { last } else { Published::default() })
    }
}

impl Handle {
    async fn publish_one(&self, outgoing: Outgoing<'_>) -> Result<Published, Failure> {
        match &outgoing {
            Outgoing::Publish(target, publish) => {
                let publish = (*target, publish);
                let report = self.hand_over_reported(publish, Awaited::Place).await?;
                let report = report.await.map_err(|_| unavailable(NOT_KNOWN))?;
                match report.repeat {
                    Repeat::Unavailable => Err(unavailable(NO_ORDER).into()),
                    Repeat::MapFull => Err(map_full().into()),
                    Repeat::First
                    | Repeat::Duplicate
                    | Repeat::NoKey
                    | Repeat::KeyExists
                    | Repeat::Outdated => Ok(Published::of(report)),
                }
            }
            Outgoing::Message(to, _) => {
                while let Err(refused) = self.hand_over(&outgoing) {
                    if refused != Refused::Busy {
                        return Err(refused.into());
                    }
                    place_in(&self.shared, Queue::Of(to.0)).await;
                }
                Ok(Published::default())
            }
        }
    }

    /// Hands a publish over, however long the queue is full; what became of it comes later, or
    /// nothing, if the server stops.
    ///
    /// # Errors
    /// Nothing was published.
    pub(crate) async fn hand_over_reported(
        &self,
        (target, publish): (Target<'_>, &Publish),
        awaited: Awaited,
    ) -> Result<oneshot::Receiver<Report>, Failure> {
        let (begun, latencies) = (Instant::now(), &self.shared.latencies);
        loop {
            let (sender, report) = oneshot::channel();
            let timed = (awaited == Awaited::Counts).then(|| latencies.clone());
            let reply = Box::new(move |answer: Answer| {
                if let Answer::Reported(report) = answer {
                    if let Some(latencies) = timed {
                        latencies.publish.record(begun.elapsed());
                    }
                    let _nobody_waits = sender.send(report);
                }
            });
            let handed_over = self.shared.engine().and_then(|engine| {
                let publish = awaited.of(publish.clone(), Tag(0));
                engine.publish_reported(target, publish, reply)
            });
            match handed_over {
                Ok(()) => return Ok(report),
                Err(Refused::Busy) => place_in(&self.shared, Queue::Any).await,
                Err(refused @ (Refused::Stopped | Refused::Memory)) => return Err(refused.into()),
            }
        }
    }
}

const NOT_KNOWN: &str = "too many publishes wait for their places, or the server stops";
