//! The way in from other threads: each question or command is one message in a shard's bounded
//! queue, and the caller hears at once whether it was taken. Nothing blocks. Made by
//! [`crate::Running`].

use crate::connection::admission::Shortage;
use crate::driver::platform::Waker;
use crate::egress::tls::server::Tls;
use crate::events;
use crate::events::{EventKind, Events};
use crate::message::command::{Command, Refused};
#[cfg(any(test, feature = "sim"))]
use crate::message::lane::Mailbox;
use crate::message::lane::home_of;
use crate::message::queue::{AwaitPlace, Remote};
use crate::message::request::PublishRequest;
use crate::query::page::Query;
use crate::topic::keep::GivenPlace;
use crate::topic::key::{Topic, TopicKey};
use crate::topic::log::options::LogClass;
use crate::topic::log::step::LogStep;
use crate::topic::presence::options::PresenceClass;
use crate::topic::sequencer::Publisher;
use crate::topic::target::{Publish, Target, Wants};
use crate::types::answer::{Notice, Reply, Report};
use crate::types::history::HistoryQuery;
use crate::types::presence::{MemberElsewhere, PresenceQuery};
use crate::types::ticket::{Address, Ticket};
use std::sync::{Arc, PoisonError, RwLock};

/// The way into a running engine from any thread. Nothing blocks.
#[derive(Clone, Debug)]
pub struct Handle {
    shards: Arc<[Arc<ShardSender>]>,
    shortage: Shortage,
    /// What homes are chosen by.
    seed: u64,
}

/// Why nothing was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A page cannot have so many items.
    #[error("1 to {} items make a page", Query::ITEMS_MAX)]
    Limit,
    /// The shard did not take it.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// So many events cannot wait.
    #[error("1 to {} events may wait in a subscription", Events::WAITING_MAX)]
    Waiting,
    /// A shard did not take it.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Handle {
    pub(crate) fn new(shards: &[Arc<ShardSender>], shortage: &Shortage, seed: u64) -> Handle {
        Handle {
            shards: shards.into(),
            shortage: shortage.clone(),
            seed,
        }
    }

    /// Every shard ticks once more, or soon, if it is well: for whoever watches them.
    pub fn wake_all(&self) {
        self.shards.iter().for_each(|shard| shard.wake());
    }

    /// The same of one shard. Another number wakes nobody.
    pub(crate) fn wake(&self, shard: usize) {
        if let Some(shard) = self.shards.get(shard) {
            shard.wake();
        }
    }

    /// Publishes. One thread's publishes to one target keep their order. A name that nobody may
    /// bear reaches nobody. What [`Publish::report`] and [`Publish::receipt`] ask for is not
    /// answered here: see [`Handle::publish_reported`].
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn publish(&self, to: Target<'_>, publish: Publish) -> Result<(), Refused> {
        self.publish_unless_short(to, publish, None)
    }

    /// Publishes, and replies with [`crate::Answer::Reported`]: with all counts, or as soon as it
    /// has its position if [`Publish::receipt`] asks for that. The tags mean nothing here.
    ///
    /// # Errors
    /// Nothing was sent, and `reply` is dropped.
    pub fn publish_reported(
        &self,
        to: Target<'_>,
        publish: Publish,
        reply: Reply,
    ) -> Result<(), Refused> {
        self.publish_unless_short(to, publish, Some(reply))
    }

    fn publish_unless_short(
        &self,
        to: Target<'_>,
        publish: Publish,
        reply: Option<Reply>,
    ) -> Result<(), Refused> {
        if self.shortage.refuses(to.topic()) {
            return Err(Refused::Memory);
        }
        self.ask(publication(to, publish, reply))
    }

    /// As [`Handle::publish`], and straight to the shard that orders what is published there: for
    /// whoever publishes much. One thread's publishes to one target by this way keep their order;
    /// none is kept with those by the other.
    ///
    /// # Errors
    /// Nothing was sent; [`Handle::ready_at_home`] says when [`Refused::Busy`] is over.
    pub fn publish_at_home(&self, to: Target<'_>, publish: Publish) -> Result<(), Refused> {
        if self.shortage.refuses(to.topic()) {
            return Err(Refused::Memory);
        }
        let sent = self.home(to).send(publication(to, publish, None));
        sent.map_err(|back| back.0)
    }

    /// Publishes what has its place, where another one orders the topic
    /// ([`crate::LogOrder::Sequencer`]): as [`Handle::publish_at_home`], whatever memory is left,
    /// for it was acknowledged. What does not follow what the topic's log has is dropped, and what
    /// goes into a log that is not ready is not delivered.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn publish_sequenced(
        &self,
        to: Target<'_>,
        mut publish: Publish,
        place: GivenPlace,
    ) -> Result<(), Refused> {
        if let Some(keep) = &mut publish.keep {
            keep.place = Some(Box::new(place));
        }
        let sent = self.home(to).send(publication(to, publish, None));
        sent.map_err(|back| back.0)
    }

    /// Has a topic's home do a step with its log. It keeps its order with
    /// [`Handle::publish_sequenced`].
    ///
    /// # Errors
    /// Nothing was sent; [`Handle::ready_at_home`] says when [`Refused::Busy`] is over.
    pub fn step_log(&self, topic: Topic<'_>, step: LogStep) -> Result<(), Refused> {
        let home = home_of(self.seed, self.shards.len(), Some(topic));
        let topic = TopicKey::new(topic);
        let sent = self.shards[usize::from(home)].send(Command::StepLog { topic, step });
        sent.map_err(|back| back.0)
    }

    /// Tells a publisher what became of its publication: its place, or that it has none.
    ///
    /// # Errors
    /// Nothing was said; [`Handle::ready_for_publisher`] says when [`Refused::Busy`] is over.
    pub fn answer_publisher(
        &self,
        publisher: Publisher,
        report: Report,
    ) -> Result<(), (Refused, Publisher)> {
        let Publisher(key) = publisher;
        let sender = &self.shards[usize::from(key.shard)];
        let sent = sender.send(Command::Sequenced { key, report });
        sent.map_err(|back| (back.0, Publisher(key)))
    }

    /// As [`Handle::ready`], for [`Handle::answer_publisher`].
    pub fn ready_for_publisher(&self, publisher: &Publisher) -> AwaitPlace {
        self.shards[usize::from(publisher.0.shard)].ready()
    }

    fn home(&self, to: Target<'_>) -> &ShardSender {
        let home = home_of(self.seed, self.shards.len(), to.topic());
        &self.shards[usize::from(home)]
    }

    /// Asks who is a member: replies with [`crate::Answer::Listed`].
    ///
    /// # Errors
    /// Nothing was asked, and `reply` is dropped.
    pub fn list(&self, topic: Topic<'_>, reply: Reply) -> Result<(), Refused> {
        let topic = TopicKey::new(topic);
        self.ask(Command::List { topic, reply })
    }

    /// Asks for a page of a topic's log: replies with [`crate::Answer::History`]. As
    /// [`crate::Context::history`].
    ///
    /// # Errors
    /// Nothing was asked, and `reply` is dropped.
    pub fn history(
        &self,
        topic: Topic<'_>,
        class: LogClass,
        query: HistoryQuery,
        reply: Reply,
    ) -> Result<(), Refused> {
        let topic = TopicKey::new(topic);
        self.ask(Command::History {
            topic,
            class,
            query,
            reply,
        })
    }

    /// Has a topic's log forget what it keeps: its epoch and its offsets go on, and who reads it is
    /// told what is gone. Replies with [`crate::Answer::History`], which has the log's position and
    /// nothing else; offset 0 and epoch 0 where there is no log.
    ///
    /// # Errors
    /// Nothing was asked, and `reply` is dropped.
    pub fn clear_history(&self, topic: Topic<'_>, reply: Reply) -> Result<(), Refused> {
        let topic = TopicKey::new(topic);
        self.ask(Command::ClearHistory { topic, reply })
    }

    /// Asks who is in a room that keeps presence: replies with [`crate::Answer::Present`].
    ///
    /// # Errors
    /// Nothing was asked, and `reply` is dropped.
    pub fn presence(&self, room: &str, query: PresenceQuery, reply: Reply) -> Result<(), Refused> {
        let topic = TopicKey::new(Topic::Room(room));
        self.ask(Command::Presence {
            topic,
            query,
            reply,
        })
    }

    /// Has a room that keeps presence know what another process says of one of its members; `class`
    /// is that of the room. What one thread says of one room keeps its order.
    ///
    /// # Errors
    /// Nothing was said; [`Handle::ready_at_home`] says when [`Refused::Busy`] is over.
    pub fn place_elsewhere(
        &self,
        room: &str,
        class: PresenceClass,
        told: MemberElsewhere,
    ) -> Result<(), Refused> {
        let topic = TopicKey::new(Topic::Room(room));
        let told = Box::new(told);
        let sent = self.home(Target::Room(room));
        let sent = sent.send(Command::PlaceElsewhere { topic, class, told });
        sent.map_err(|back| back.0)
    }

    /// Gives a notice to one connection: [`crate::Application::notified`]. One that is gone hears
    /// nothing.
    ///
    /// # Errors
    /// Nothing was handed over: the notice comes back.
    pub fn notify(&self, who: Address, notice: Notice) -> Result<(), (Refused, Notice)> {
        self.send_notice(who, notice, |who, notice| Command::Notify { who, notice })
    }

    /// The same for one that may be gone: [`crate::Application::unreached`] is called then. One
    /// that never was counts as gone; a shard that there is not hears nothing.
    ///
    /// # Errors
    /// Nothing was handed over: the notice comes back.
    pub fn reach(&self, who: Address, notice: Notice) -> Result<(), (Refused, Notice)> {
        self.send_notice(who, notice, |who, notice| Command::Reach { who, notice })
    }

    fn send_notice(
        &self,
        who: Address,
        notice: Notice,
        command: fn(Ticket, Notice) -> Command,
    ) -> Result<(), (Refused, Notice)> {
        let Some(sender) = self.shards.get(usize::from(who.shard)) else {
            // An address of another engine.
            return Ok(());
        };
        let sent = sender.send(command(who.ticket, notice));
        match sent.map_err(|back| *back) {
            Err((
                refused,
                Command::Notify { notice, .. }
                | Command::Reach { notice, .. }
                | Command::Admit { notice, .. },
            )) => Err((refused, notice)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What a deferred admission waited for: [`crate::Application::decide`] is called with the
    /// notice on the connection's shard. For a connection that does not wait any more the notice
    /// is dropped.
    ///
    /// # Errors
    /// Nothing was handed over: the notice comes back.
    pub fn admit(&self, who: Address, notice: Notice) -> Result<(), (Refused, Notice)> {
        self.send_notice(who, notice, |who, notice| Command::Admit { who, notice })
    }

    /// Ends when there is a place in the queue that publishes, lists and queries go through: then
    /// one that was refused with [`Refused::Busy`] is worth another try. On any async runtime.
    pub fn ready(&self) -> AwaitPlace {
        self.shards[0].ready()
    }

    /// As [`Handle::ready`], for [`Handle::publish_at_home`].
    pub fn ready_at_home(&self, to: Target<'_>) -> AwaitPlace {
        self.home(to).ready()
    }

    /// As [`Handle::ready`], for notices and admissions: the queue of the connection's shard.
    pub fn ready_for(&self, who: Address) -> AwaitPlace {
        let sender = self.shards.get(usize::from(who.shard));
        sender.map_or_else(|| AwaitPlace::new(None), |sender| sender.ready())
    }

    /// Gives a listener (its index in the configuration) another TLS configuration: connections
    /// accepted from now on begin with it, the others go on as they are. A listener without TLS
    /// stays without. `false` when the engine is stopping or a command queue is full: then some
    /// shards may have it already, and it can be tried again.
    pub fn replace_tls(&self, listener: usize, tls: Tls) -> bool {
        self.shards.iter().all(|sender| {
            let tls = tls.clone();
            sender.send(Command::ReplaceTls { listener, tls }).is_ok()
        })
    }

    /// Asks all shards, and replies with what they have together.
    ///
    /// # Errors
    /// The page has no items or too many, or nothing was asked, and `reply` is dropped.
    pub fn query(&self, query: Query, reply: Reply) -> Result<(), QueryError> {
        if !(1..=Query::ITEMS_MAX).contains(&query.limit()) {
            return Err(QueryError::Limit);
        }
        Ok(self.ask(Command::Query { query, reply })?)
    }

    /// Subscribes to these kinds of events of all shards, each from when it takes note of it. Up to
    /// `waiting_max` events wait, 1 to [`Events::WAITING_MAX`]: those that come when as many wait
    /// are dropped, and counted.
    ///
    /// # Errors
    /// There is no such number of events, or a shard does not take the subscription: then there is
    /// none.
    pub fn subscribe(
        &self,
        kinds: &[EventKind],
        waiting_max: usize,
    ) -> Result<Events, SubscribeError> {
        if !(1..=Events::WAITING_MAX).contains(&waiting_max) {
            return Err(SubscribeError::Waiting);
        }
        let (subscriber, events) = events::subscription(kinds, waiting_max);
        for sender in self.shards.iter() {
            let subscriber = subscriber.clone();
            // Those that took it already forget it when they find that nobody listens.
            let sent = sender.send(Command::Subscribe { subscriber });
            sent.map_err(|back| back.0)?;
        }
        Ok(events)
    }

    /// Into shards that tick by hand: nobody is woken.
    #[doc(hidden)] // Driven by the simulation tests.
    #[cfg(any(test, feature = "sim"))]
    pub fn to(mailboxes: &[Mailbox]) -> Handle {
        let senders = mailboxes
            .iter()
            .map(|mailbox| Arc::new(ShardSender::new(mailbox.remote(), Arc::default())));
        Handle {
            shards: senders.collect(),
            shortage: Shortage::none(),
            seed: mailboxes.first().map_or(0, Mailbox::seed),
        }
    }

    /// Always by way of the same shard, so that one thread's publishes to a room keep their order.
    fn ask(&self, command: Command) -> Result<(), Refused> {
        let sent = self.shards[0].send(command);
        sent.map_err(|back| back.0)
    }
}

fn publication(to: Target<'_>, publish: Publish, reply: Option<Reply>) -> Command {
    let wants = publish.wants.map_or(Wants::Counts, |(_, wants)| wants);
    let publish = PublishRequest {
        topic: to.topic().map(TopicKey::new),
        except: publish.except,
        content: publish.into_content(to),
        report: None,
    };
    Command::Publish {
        publish,
        wants,
        reply,
    }
}

/// The way into one shard.
#[derive(Debug)]
pub(crate) struct ShardSender {
    remote: Remote,
    waker: Arc<ShardWaker>,
}

/// What ends a shard's wait: another one once the shard has begun anew.
#[derive(Debug, Default)]
pub(crate) struct ShardWaker(RwLock<Option<Box<dyn Waker>>>);

impl ShardWaker {
    pub(crate) fn set(&self, waker: Box<dyn Waker>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waker {
            waker.wake();
        }
    }
}

impl ShardSender {
    /// A shard without a waker is not woken.
    pub(crate) fn new(remote: Remote, waker: Arc<ShardWaker>) -> ShardSender {
        ShardSender { remote, waker }
    }

    pub(crate) fn send(&self, command: Command) -> Result<(), Box<(Refused, Command)>> {
        if self.remote.send(command)? {
            self.wake();
        }
        Ok(())
    }

    fn ready(&self) -> AwaitPlace {
        AwaitPlace::new(Some(self.remote.clone()))
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }
}
