//! What an application may do during a call: the one door from meaning to the shard.

use crate::connection::peer::Peer;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::core::Core;
use crate::message::request::ShardRequest;
use crate::topic::joining::JoinOptions;
use crate::topic::key::{Topic, TopicKind};
use crate::topic::log::options::LogClass;
use crate::topic::publication::Content;
use crate::topic::target::{Publish, PublishError, Target};
use crate::types::answer::{Notice, Tag};
use crate::types::close_reason::CloseReason;
use crate::types::encoding::{EncodingId, EncodingsPresent};
use crate::types::history::HistoryQuery;
use crate::types::presence::PresenceQuery;
use crate::types::room_error::RoomError;
use crate::types::ticket::{Address, Ticket};
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::events::Form;
use shardcast_protocol::frame::{self, Kind};
use std::sync::Arc;

/// The connection at hand and its shard, for the length of one call.
#[derive(Debug)]
pub struct Context<'a> {
    core: &'a mut Core,
    ticket: Ticket,
}

impl<'a> Context<'a> {
    pub(crate) fn new(core: &'a mut Core, ticket: Ticket) -> Context<'a> {
        Context { core, ticket }
    }

    /// The same for a shorter time: for whoever wraps it.
    pub fn reborrow(&mut self) -> Context<'_> {
        Context {
            core: self.core,
            ticket: self.ticket,
        }
    }

    /// The connection at hand.
    pub fn address(&self) -> Address {
        self.core.address(self.ticket)
    }

    /// The token of the connection, which is an event stream: whoever posts with it speaks for the
    /// client. `None`: there are no streams.
    pub fn stream_token(&self) -> Option<String> {
        self.core.stream_token(self.ticket)
    }

    /// In which form the connection is sent its messages; `None`: in a WebSocket's frames as they
    /// were encoded.
    pub fn form(&self) -> Option<Form> {
        let flags = self.core.connections.slots.ref_at(self.ticket.slot).flags;
        (flags.has(Flags::STREAM) || flags.has(Flags::ALONE) && !flags.has(Flags::DEFLATES))
            .then(|| self.core.egress.forms.of(self.ticket.slot))
    }

    /// Where the client connects from: the other end of the socket, the client that a proxy has
    /// named ([`crate::Listener::proxy_protocol`]), or what [`Context::set_peer`] was told.
    pub fn peer(&self) -> Peer {
        self.core.connections.slots.peer(self.ticket.slot)
    }

    /// From here on the client counts as connecting from there: for whoever trusts what a proxy
    /// says about it in the request.
    pub fn set_peer(&mut self, peer: Peer) {
        self.core.connections.slots.set_peer(self.ticket.slot, peer);
    }

    /// The listener that it came by: index in the configuration.
    pub fn listener(&self) -> usize {
        usize::from(self.core.connections.slots.listener(self.ticket.slot))
    }

    /// The largest message that it may send, in bytes: its listener's limit.
    pub fn message_bytes_max(&self) -> usize {
        self.core.connections.limits.message_bytes_max[self.listener()]
    }

    /// The connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.core.egress.tls.session(self.ticket.slot).is_some()
    }

    /// The certificate that the client showed (DER), if it was asked for one
    /// ([`crate::ClientCertificates`]) and showed one.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        let session = self.core.egress.tls.session(self.ticket.slot)?;
        session.peer_certificate()
    }

    /// How the connection's messages are encoded. Before it is open: [`EncodingId::FIRST`].
    pub fn encoding(&self) -> EncodingId {
        self.core.connections.slots.encoding(self.ticket.slot)
    }

    /// Has the connection's messages encoded so from now on. What is under way to everyone may
    /// still come in the former encoding. False while the connection is in a room or is a user, and
    /// nothing has changed then: the members of a topic are known by their encodings.
    pub fn set_encoding(&mut self, encoding: EncodingId) -> bool {
        self.core.connections.set_encoding(self.ticket, encoding)
    }

    /// The encodings of all open connections of the process. A clone stays up to date.
    pub fn encodings_present(&self) -> &EncodingsPresent {
        &self.core.connections.admissions.process.encodings
    }

    /// Whether one more connection of this shard may wait for a deferred admission
    /// ([`crate::Admission::Defer`]).
    pub fn may_defer(&self) -> bool {
        self.core.connections.admissions.may_defer()
    }

    /// Milliseconds since the engine started; the same within a tick.
    pub fn now_ms(&self) -> u64 {
        self.core.connections.now
    }

    /// Has [`crate::Application::due`] called at this time by the clock of [`Context::now_ms`], up
    /// to 64 ms later, if it is not called before. Does nothing unless the connection is open.
    pub fn wake_at(&mut self, at_ms: u64) {
        let core = &mut *self.core;
        core.connections.timers.wake_at(
            &core.connections.slots,
            self.ticket,
            core.connections.now,
            at_ms,
        );
    }

    /// Reads nothing more from the connection before this time by the clock of [`Context::now_ms`],
    /// at most 10 s from now: TCP slows its client. What was received already waits; what is sent
    /// to it leaves. Does nothing unless the connection is open.
    pub fn pause_until(&mut self, at_ms: u64) {
        if self.is_open() {
            self.core
                .connections
                .pauses
                .pause(self.ticket, self.core.connections.now, at_ms);
        }
    }

    /// Reads nothing more from the connection before [`Context::read_on`], which the application
    /// promises to call, or the connection closes: for a request that is decided elsewhere, behind
    /// which the next ones wait. TCP slows the client; what is sent to it leaves. Deadlines of what
    /// is read do not count meanwhile. Does nothing unless the connection is open.
    pub fn hold(&mut self) {
        if self.is_open() {
            self.core.connections.pauses.hold(self.ticket);
        }
    }

    /// Reads the connection again, if it is held.
    pub fn read_on(&mut self) {
        let now = self.core.connections.now;
        self.core.connections.pauses.release(self.ticket, now);
    }

    /// Members that a topic has on this shard. With connections spread evenly, that times the
    /// shards is how many it has.
    pub fn members_here(&self, topic: Topic<'_>) -> usize {
        self.core.topics.local.members(topic)
    }

    /// Connections of this shard, those that are not open included.
    pub fn connections_here(&self) -> usize {
        self.core.connections.slots.live()
    }

    /// Has [`crate::Application::shard_due`] called at this time, if it is not called before.
    pub fn wake_shard_at(&mut self, at_ms: u64) {
        self.core.connections.timers.wake_shard_at(at_ms);
    }

    /// How many shards there are. [`Address::shard`] is below it.
    pub fn shards(&self) -> usize {
        self.core.mail.shards()
    }

    /// Has a connection of any shard know something: [`crate::Application::notified`] is called
    /// there, or [`crate::Application::unreached`] if it is not open. What this connection asked
    /// that shard for before comes before it.
    ///
    /// # Errors
    /// The notice, back: too much waits for other shards, or there is no such shard.
    pub fn notify(&mut self, who: Address, notice: Notice) -> Result<(), Notice> {
        if usize::from(who.shard) >= self.shards() || self.core.may_ask().is_err() {
            return Err(notice);
        }
        self.answer_notice(who, notice);
        Ok(())
    }

    /// Answers a notice likewise, however much waits: once for each notice that came, so that
    /// answers are bounded as notices are.
    ///
    /// # Panics
    /// There is no such shard.
    pub fn answer_notice(&mut self, who: Address, notice: Notice) {
        let who_ticket = who.ticket;
        let request = ShardRequest::Notify {
            who: who_ticket,
            notice,
        };
        self.core.mail.request(who.shard, request);
    }

    /// Sends one message to the connection at hand. Dropped if it is not open (before `opened`,
    /// after `close`). A large part of the message at hand leaves without a copy.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) {
        if self.is_open() {
            self.core.write_message(self.ticket, kind, payload);
        }
    }

    /// Sends the message that `fill` appends to the buffer, without a copy. `fill` must only
    /// append.
    pub fn send_with(&mut self, kind: Kind, fill: impl FnOnce(&mut Vec<u8>)) {
        if self.is_open() {
            self.core.write_frame(self.ticket, |out| {
                frame::write_frame_with(out, kind.into(), fill)
            });
        }
    }

    /// Sends data, or a frame that is ready, to any connection. A connection that is gone, or on
    /// its way out, drops it (counted), as does a shard on which too much waits
    /// ([`PublishError::Busy`]). To the connection at hand it goes at once, in one order with what
    /// [`Context::send`] sends.
    pub fn send_to(&mut self, to: Address, content: impl Into<Content>) {
        let content = content.into();
        if to == self.address() {
            return self.core.send_one(to.ticket, &content);
        }
        if self.core.may_ask().is_err() {
            return;
        }
        let to_ticket = to.ticket;
        self.core.mail.request(
            to.shard,
            ShardRequest::Send {
                to: to_ticket,
                content,
            },
        );
    }

    /// Whether as many answers to reported publishes and lists are under way on this shard as may
    /// be: another one would be refused.
    pub fn reports_are_full(&self) -> bool {
        self.core.queries.is_full()
    }

    /// Asks for membership; `tag` answers with [`crate::Answer::Joined`]. Joining a room twice is
    /// answered like the first time.
    ///
    /// # Errors
    /// The name or the limits refuse it; nothing was sent.
    pub fn join(&mut self, room: &str, tag: Tag) -> Result<(), RoomError> {
        self.join_with(room, JoinOptions::default(), tag)
    }

    /// Asks for membership of a room that is full with so many members: `tag` answers with
    /// [`crate::Answer::Joined`], or with [`crate::Answer::Refused`]. Whoever is a member already
    /// is not refused.
    ///
    /// # Errors
    /// As [`Context::join`].
    pub fn join_limited(
        &mut self,
        room: &str,
        members_max: u32,
        tag: Tag,
    ) -> Result<(), RoomError> {
        let options = JoinOptions {
            members_max,
            ..JoinOptions::default()
        };
        self.join_with(room, options, tag)
    }

    /// Asks for membership with these options. What the connection has missed follows the answer,
    /// before what is published from then on.
    ///
    /// # Errors
    /// As [`Context::join`].
    pub fn join_with(
        &mut self,
        room: &str,
        options: JoinOptions,
        tag: Tag,
    ) -> Result<(), RoomError> {
        self.core.join(self.ticket, room, options, tag)
    }

    /// Ends membership; `tag` answers with [`crate::Answer::Left`].
    ///
    /// # Errors
    /// Not joined; nothing was sent.
    pub fn leave(&mut self, room: &str, tag: Tag) -> Result<(), RoomError> {
        self.core.leave(self.ticket, room, tag)
    }

    /// From here on the connection counts as this user's; `None`: nobody's. A user's name is
    /// 1..=255 bytes. What is published to the user afterwards reaches the connection, in one order
    /// with what it asks for. Does nothing unless the connection is open.
    ///
    /// # Errors
    /// The name is wrong, or earlier changes are still under way ([`RoomError::Busy`]); the
    /// connection is who it was.
    pub fn identify(&mut self, user: Option<&str>) -> Result<(), RoomError> {
        self.core.identify(self.ticket, user)
    }

    /// The user whose connection it is ([`Context::identify`]); `None`: nobody's.
    pub fn user(&self) -> Option<Arc<str>> {
        let slots = &self.core.connections.slots;
        self.core.topics.user(slots, self.ticket)
    }

    /// Asks who is a member (no membership needed); `tag` answers with [`crate::Answer::Listed`].
    ///
    /// # Errors
    /// The name or the limits refuse it; nothing was sent.
    pub fn list(&mut self, topic: Topic<'_>, tag: Tag) -> Result<(), PublishError> {
        self.core.list(self.ticket, topic, tag)
    }

    /// The rooms that are joined or being joined, in no particular order. In
    /// [`crate::Application::closed`] those that the connection was in.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        if !self.core.connections.left.is_empty() {
            return self.core.connections.left.clone();
        }
        let memberships = self
            .core
            .connections
            .slots
            .memberships_ref(self.ticket.slot);
        let wanted = memberships.wanted(TopicKind::Room);
        wanted
            .map(|membership| {
                self.core
                    .topics
                    .local
                    .key(membership.subscribers)
                    .name()
                    .clone()
            })
            .collect()
    }

    /// The connection has all that was published to a room up to this offset, by its own word: it
    /// is not sent it again ([`crate::LogOptions::acks`]). What it was not sent yet is not counted,
    /// and where nobody asks for it, nothing happens.
    ///
    /// # Errors
    /// Not joined.
    pub fn acknowledge(&mut self, room: &str, offset: u64) -> Result<(), RoomError> {
        self.core.acknowledge(self.ticket, room, offset)
    }

    /// Asks for a page of a topic's log (no membership needed); `tag` answers with
    /// [`crate::Answer::History`]. A topic without a log gets one of this class, an index of
    /// [`crate::Config::logs`], so that its position means something later.
    ///
    /// # Errors
    /// The name or the limits refuse it; nothing was sent.
    pub fn history(
        &mut self,
        topic: Topic<'_>,
        class: LogClass,
        query: HistoryQuery,
        tag: Tag,
    ) -> Result<(), PublishError> {
        self.core.history(self.ticket, topic, class, query, tag)
    }

    /// Asks who is in a room that keeps presence (no membership needed); `tag` answers with
    /// [`crate::Answer::Present`]. One that keeps none has no members here: see
    /// [`Context::list`].
    ///
    /// # Errors
    /// The name or the limits refuse it; nothing was sent.
    pub fn presence(
        &mut self,
        room: &str,
        query: PresenceQuery,
        tag: Tag,
    ) -> Result<(), PublishError> {
        self.core
            .presence(self.ticket, Topic::Room(room), query, tag)
    }

    /// Publishes to a room (no membership needed), to a user, or to everyone. All members see one
    /// order.
    ///
    /// # Errors
    /// The name or the limits refuse it; nothing was sent.
    pub fn publish(&mut self, to: Target<'_>, publish: Publish) -> Result<(), PublishError> {
        self.core.may_ask()?;
        self.core.publish(self.ticket, to, publish)
    }

    /// Starts the close handshake of the connection at hand; what was sent before leaves first.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.core
            .close(self.ticket, code, reason, CloseReason::Application(code));
    }

    /// Starts the close handshake of any connection. Does nothing on a shard on which too much
    /// waits ([`PublishError::Busy`], counted).
    pub fn disconnect(&mut self, who: Address, code: CloseCode, reason: &str) {
        if self.core.may_ask().is_err() {
            return;
        }
        self.core.mail.request(
            who.shard,
            ShardRequest::Disconnect {
                who: who.ticket,
                code,
                reason: reason.into(),
            },
        );
    }

    /// Takes an answer to one of the messages that keep the connection alive
    /// ([`crate::Heartbeat::Message`]): for protocols whose clients answer each once. False: all
    /// were answered, or none was sent.
    pub fn take_heartbeat_answer(&mut self) -> bool {
        let beat = self
            .core
            .connections
            .timers
            .heartbeats
            .get_mut(self.ticket.slot);
        beat.is_some_and(|beat| beat.take_answer())
    }

    /// Whether messages keep the connection alive ([`crate::Heartbeat::Message`]).
    pub fn is_sent_heartbeats(&self) -> bool {
        let heartbeats = &self.core.connections.timers.heartbeats;
        heartbeats.sends(self.ticket.slot)
    }

    /// Counts and logs a panic that the application has caught itself.
    pub fn count_panic(&self) {
        self.core.count_panic(Some(self.ticket));
    }

    /// Whether the connection is open still: not once it was closed, in this call or because it
    /// fell too far behind. What it is sent then goes nowhere, and what it asks for is not
    /// answered.
    pub fn is_open(&self) -> bool {
        self.core.connections.slots.phase(self.ticket) == Phase::Open
    }
}
