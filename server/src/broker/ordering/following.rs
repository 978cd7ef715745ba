//! The task that follows ordered rooms: what is heard of them goes to their homes in the broker's
//! order, and what was missed is read from the broker's log.
//!
//! Invariant: a room has one question at the broker at a time, however many wait for it. Each is
//! looked at once in [`CHECK_EVERY`], as far as [`CHECKS_MAX`] a second reach. Whoever waits for a
//! log hears of it within [`ANSWER_WITHIN`], and the broker's time to answer.

use crate::broker::adapter::{Broker, BrokerError, Link, LogPage, ReadLog};
use crate::broker::counts::BridgeCount;
use crate::broker::node::ClusterNode;
use crate::broker::ordering::entry::OrderedEntry;
use crate::broker::ordering::news::OrderedNews;
use crate::broker::ordering::placing::kept_of;
use crate::broker::ordering::room::{OrderedAsk, OrderedOutcome, OrderedRoom, OrderedStep};
use crate::broker::ordering::steps::{EntryFate, LeftOut, ServerStopped, publish, step_log};
use crate::session::handle::Handle;
use shardcast_engine::LogStep;
use shardcast_protocol::close::CloseCode;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// From one look at a room to the next.
const CHECK_EVERY: Duration = Duration::from_secs(10);
/// Rooms that are looked at in a second.
const CHECKS_MAX: usize = 1_000;
/// Questions under way.
const ASKING_MAX: usize = 64;
/// Entries of one answer.
const PAGE_MAX: u32 = 1_000;
/// Rooms that are followed because somebody asks for them; of more, who asks is refused. Rooms with
/// members are as many as there are.
const ROOMS_MAX: usize = 1 << 20;
/// Without a connection for longer, what is known of logs is less: no broker trims anything that
/// was appended in this time.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// How long somebody waits for a room that cannot be heard.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The task.
pub(crate) struct Following<B> {
    node: ClusterNode,
    broker: Arc<B>,
    news: mpsc::Receiver<OrderedNews>,
    /// Rooms that somebody needs to be heard.
    wanted: mpsc::Sender<Arc<str>>,
    link: watch::Receiver<Link>,
    /// Losses that are known.
    losses: u64,
    /// Since when there is no connection.
    away: Option<Instant>,
    left_out: LeftOut,
    rooms: HashMap<Arc<str>, Followed>,
    /// Those that have a question.
    due: VecDeque<Arc<str>>,
    /// All of them, in the order in which they were looked at, with the time of that.
    looked: VecDeque<Looked>,
    /// Rooms that were ever followed.
    serials: u64,
    under_way: JoinSet<FollowingDone>,
}

/// When a room was looked at.
#[derive(Debug)]
struct Looked {
    room: Arc<str>,
    serial: u64,
    at: Instant,
}

#[derive(Debug)]
struct Followed {
    room: OrderedRoom,
    /// Tells it from the same room at another time.
    serial: u64,
    /// Since when somebody waits.
    waits: Option<Instant>,
    is_listed: bool,
}

/// What was under way.
#[derive(Debug)]
enum FollowingDone {
    Answered(Arc<str>, u64, Result<LogPage, BrokerError>),
    SentAway(Arc<str>, u64),
}

/// The ends of a task that follows.
pub(crate) struct FollowingEnds {
    pub(crate) news: mpsc::Receiver<OrderedNews>,
    pub(crate) wanted: mpsc::Sender<Arc<str>>,
    pub(crate) left_out: LeftOut,
}

impl<B: Broker> Following<B> {
    pub(crate) fn new(node: ClusterNode, broker: Arc<B>, ends: FollowingEnds) -> Following<B> {
        let FollowingEnds {
            news,
            wanted,
            left_out,
        } = ends;
        let link = broker.link();
        let losses = link.borrow().losses;
        Following {
            link,
            losses,
            away: None,
            node,
            broker,
            news,
            wanted,
            left_out,
            rooms: HashMap::new(),
            due: VecDeque::new(),
            looked: VecDeque::new(),
            serials: 0,
            under_way: JoinSet::new(),
        }
    }

    /// Runs until the adapter or the server is gone.
    pub(crate) async fn run(mut self) {
        let _stopped = self.follow().await;
    }

    async fn follow(&mut self) -> Result<(), ServerStopped> {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.ask();
            tokio::select! {
                // A loss is known before anything that is heard behind it.
                biased;
                changed = self.link.changed() => {
                    changed.map_err(|_| ServerStopped)?;
                    self.follow_link().await?;
                }
                Some(done) = self.under_way.join_next() => {
                    if let Ok(done) = done {
                        self.done(done).await?;
                    }
                }
                _ = ticks.tick() => self.tick().await?,
                news = self.news.recv() => self.take(news.ok_or(ServerStopped)?).await?,
            }
        }
    }

    async fn follow_link(&mut self) -> Result<(), ServerStopped> {
        let Link { connected, losses } = *self.link.borrow_and_update();
        if std::mem::replace(&mut self.losses, losses) != losses {
            for followed in self.rooms.values_mut() {
                followed.room.unheard();
            }
        }
        if !connected {
            self.away.get_or_insert_with(Instant::now);
            return self.refuse(|_| true).await;
        }
        let away = self.away.take();
        if away.is_some_and(|since| since.elapsed() >= AWAY_MAX) {
            for followed in self.rooms.values_mut() {
                followed.room.was_away();
            }
        }
        Ok(())
    }

    /// Whoever waits, and has waited too long, is told that there is no answer.
    async fn refuse(&mut self, is_too_long: impl Fn(Instant) -> bool) -> Result<(), ServerStopped> {
        let waiting = self.rooms.iter();
        let waiting = waiting.filter(|(_, it)| it.waits.is_some_and(&is_too_long));
        let waiting: Vec<Arc<str>> = waiting.map(|(room, _)| room.clone()).collect();
        for room in waiting {
            self.refuse_in(&room).await?;
        }
        Ok(())
    }

    async fn refuse_in(&mut self, room: &Arc<str>) -> Result<(), ServerStopped> {
        let Some(followed) = self.rooms.get_mut(room) else {
            return Ok(());
        };
        followed.waits = None;
        let Some(OrderedStep::Log(step)) = followed.room.refuse() else {
            return Ok(());
        };
        self.node.counts.add(BridgeCount::OrderedRefused, 1);
        step_log(&self.node, room, step).await
    }

    async fn take(&mut self, news: OrderedNews) -> Result<(), ServerStopped> {
        match news {
            OrderedNews::Wanted { room, has } => {
                let is_known = self.rooms.contains_key(&room);
                if !is_known && self.rooms.len() >= ROOMS_MAX {
                    self.node.counts.add(BridgeCount::OrderedRefused, 1);
                    return step_log(&self.node, &room, LogStep::Refuse).await;
                }
                let followed = self.room(&room);
                followed.room.want(has);
                followed.waits = Some(Instant::now());
                let is_connected = self.link.borrow().connected;
                // Whoever tells the broker may wait for this task, so this one does not.
                if is_connected && self.wanted.try_send(room.clone()).is_ok() {
                    self.question(&room);
                } else {
                    self.refuse_in(&room).await?;
                    // The broker is never told of it, so nothing else would end it.
                    if !is_known {
                        self.rooms.remove(&room);
                    }
                }
            }
            OrderedNews::Heard { room, entry } => {
                let Some(followed) = self.rooms.get_mut(&room) else {
                    return Ok(());
                };
                let outcome = followed.room.heard(entry);
                self.act(&room, outcome).await?;
            }
            OrderedNews::Subscribed(rooms) => {
                for room in rooms {
                    let is_ordered = || {
                        let resolved = self.node.shared.resolve(&room);
                        resolved.is_ok_and(|room| room.ordered().is_some())
                    };
                    if self.rooms.contains_key(&room) || is_ordered() {
                        self.room(&room).room.subscribed();
                        self.question(&room);
                    }
                }
            }
            OrderedNews::Unsubscribed(rooms) => {
                for room in rooms {
                    self.unsubscribed(&room).await?;
                }
            }
            OrderedNews::Missed => {
                let all: Vec<Arc<str>> = self.rooms.keys().cloned().collect();
                for room in all {
                    self.check(&room);
                }
            }
        }
        Ok(())
    }

    async fn unsubscribed(&mut self, room: &Arc<str>) -> Result<(), ServerStopped> {
        let Some(followed) = self.rooms.get_mut(room) else {
            return Ok(());
        };
        if followed.waits.is_some() {
            // It is asked for again, and will be heard again.
            followed.room.unheard();
            return Ok(());
        }
        self.rooms.remove(room);
        step_log(&self.node, room, LogStep::End).await
    }

    fn room(&mut self, room: &Arc<str>) -> &mut Followed {
        let (serials, looked) = (&mut self.serials, &mut self.looked);
        self.rooms.entry(room.clone()).or_insert_with(|| {
            *serials += 1;
            looked.push_back(Looked {
                room: room.clone(),
                serial: *serials,
                at: Instant::now(),
            });
            Followed {
                room: OrderedRoom::default(),
                serial: *serials,
                waits: None,
                is_listed: false,
            }
        })
    }

    /// The room, if it is still followed.
    fn followed(&mut self, room: &Arc<str>, serial: u64) -> Option<&mut Followed> {
        let followed = self.rooms.get_mut(room);
        followed.filter(|followed| followed.serial == serial)
    }

    fn check(&mut self, room: &Arc<str>) {
        if let Some(followed) = self.rooms.get_mut(room) {
            followed.room.check();
            self.question(room);
        }
    }

    /// Lists the room if it has a question.
    fn question(&mut self, room: &Arc<str>) {
        if let Some(followed) = self.rooms.get_mut(room)
            && followed.room.has_question()
            && !std::mem::replace(&mut followed.is_listed, true)
        {
            self.due.push_back(room.clone());
        }
    }

    /// Asks what there is to ask, as far as there is room.
    fn ask(&mut self) {
        let counts = &self.node.counts;
        counts.set(BridgeCount::OrderedRooms, self.rooms.len() as u64);
        if !self.link.borrow().connected {
            return;
        }
        while self.under_way.len() < ASKING_MAX {
            let Some(room) = self.due.pop_front() else {
                return;
            };
            let Some(followed) = self.rooms.get_mut(&room) else {
                continue;
            };
            followed.is_listed = false;
            let resolved = self.node.shared.resolve(&room).ok();
            let keep = resolved.and_then(|room| room.ordered()).map(kept_of);
            // A room that nobody orders as the namespaces are now keeps its question.
            let asks = keep.and_then(|keep| Some((keep, followed.room.ask()?)));
            let Some((keep, OrderedAsk { after, over })) = asks else {
                continue;
            };
            let read = ReadLog {
                room: room.clone(),
                keep,
                after,
                limit: PAGE_MAX,
            };
            counts.add(BridgeCount::OrderedReads, 1);
            let (broker, serial) = (self.broker.clone(), followed.serial);
            self.under_way.spawn(async move {
                let page = broker.open(read, over).await;
                FollowingDone::Answered(room, serial, page)
            });
        }
    }

    async fn done(&mut self, done: FollowingDone) -> Result<(), ServerStopped> {
        match done {
            FollowingDone::SentAway(room, serial) => {
                if let Some(followed) = self.followed(&room, serial) {
                    followed.room.cleared();
                    self.question(&room);
                }
                Ok(())
            }
            FollowingDone::Answered(room, serial, page) => {
                let Some(followed) = self.followed(&room, serial) else {
                    return Ok(());
                };
                match page {
                    Ok(page) => {
                        let outcome = followed.room.answered(page);
                        self.act(&room, outcome).await
                    }
                    Err(error) => {
                        // It is asked again with the next look, or once it is heard again.
                        followed.room.unanswered();
                        if error != BrokerError::Lost {
                            tracing::warn!(%error, "the broker's log of a room cannot be read");
                        }
                        self.refuse_in(&room).await
                    }
                }
            }
        }
    }

    /// Does what is to be done.
    async fn act(&mut self, room: &Arc<str>, outcome: OrderedOutcome) -> Result<(), ServerStopped> {
        let counts = self.node.counts.clone();
        counts.add(BridgeCount::OrderedRepaired, outcome.repaired);
        counts.add(BridgeCount::OrderedRestarts, outcome.restarts);
        for step in outcome.steps {
            match step {
                OrderedStep::Publish(entry) => {
                    let fate = publish(&self.node, &self.left_out, room, &entry).await?;
                    let count = match fate {
                        EntryFate::Published => BridgeCount::OrderedReceived,
                        EntryFate::Refused | EntryFate::Untaken => BridgeCount::ReceivedRefused,
                    };
                    counts.add(count, 1);
                    if fate == EntryFate::Untaken {
                        return self.untaken(room, &entry).await;
                    }
                }
                OrderedStep::Log(step) => step_log(&self.node, room, step).await?,
                OrderedStep::SendAway => {
                    tracing::warn!(
                        room = &**room,
                        "the broker has lost what it kept of an ordered room: its log begins anew, and its members are sent away"
                    );
                    let handle = Handle::new(self.node.shared.clone());
                    let serial = self.rooms.get(room).map_or(0, |followed| followed.serial);
                    self.under_way
                        .spawn(send_away(handle, room.clone(), serial));
                }
            }
        }
        if let Some(followed) = self.rooms.get_mut(room)
            && !followed.room.is_awaited()
        {
            followed.waits = None;
        }
        self.question(room);
        Ok(())
    }

    /// A reload has taken the room's log away: what was to be done is asked for again once there is
    /// one, and who waits meanwhile is refused.
    async fn untaken(
        &mut self,
        room: &Arc<str>,
        entry: &OrderedEntry,
    ) -> Result<(), ServerStopped> {
        if let Some(followed) = self.rooms.get_mut(room) {
            followed.room.untaken(entry.place);
            followed.waits = None;
        }
        step_log(&self.node, room, LogStep::Refuse).await
    }

    /// Looks at rooms whose time it is, and at those who wait.
    async fn tick(&mut self) -> Result<(), ServerStopped> {
        self.refuse(|since| since.elapsed() >= ANSWER_WITHIN)
            .await?;
        let mut checks = 0;
        while checks < CHECKS_MAX {
            let is_time = |looked: &mut Looked| looked.at.elapsed() >= CHECK_EVERY;
            let Some(looked) = self.looked.pop_front_if(is_time) else {
                return Ok(());
            };
            let Looked { room, serial, .. } = looked;
            if self.followed(&room, serial).is_some() {
                checks += 1;
                self.check(&room);
                let at = Instant::now();
                self.looked.push_back(Looked { room, serial, at });
            }
        }
        Ok(())
    }
}

/// Closes whoever is in a room, until nobody is.
async fn send_away(handle: Handle, room: Arc<str>, serial: u64) -> FollowingDone {
    /// From one look at who is there to the next.
    const AGAIN: Duration = Duration::from_millis(20);
    /// Looks: a connection leaves its rooms when it begins to close.
    const LOOKS_MAX: usize = 500;
    const WHY: &str = "the broker has lost what it kept of a room: come back";
    for _ in 0..LOOKS_MAX {
        match handle.members(&room).await {
            Ok(listing) if listing.total > 0 => {}
            Ok(_) | Err(_) => break,
        }
        let closed = handle.disconnect_room(&room, CloseCode::TRY_LATER, WHY);
        if closed.await.is_err() {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    FollowingDone::SentAway(room, serial)
}
