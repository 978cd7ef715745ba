//! Shards whose fate a test decides: the server's own, which panic or stand still in their own code
//! when they are told to.
//!
//! Invariant: everything else is what the server does. Used by the tests of restarts, through
//! [`crate::Server::fragile`].

use shardcast::{Service, Session};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Address, Admission, Answer, Application, CloseReason, Content, Context, EncodingId, Filter,
    FirstMessage, Frame, Message, Missed, Notice, Page, Peer, Position, PostedMessage, Publication,
    Quiet, Refusal, Tag, TopicName,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What becomes of which shard.
#[derive(Debug)]
pub struct Fate {
    panics: AtomicUsize,
    stands: AtomicUsize,
}

impl Fate {
    const NONE: usize = usize::MAX;

    pub(crate) fn new() -> Arc<Fate> {
        Arc::new(Fate {
            panics: AtomicUsize::new(Fate::NONE),
            stands: AtomicUsize::new(Fate::NONE),
        })
    }

    /// This shard panics in its next tick.
    pub fn panic(&self, shard: usize) {
        self.panics.store(shard, Ordering::SeqCst);
    }

    /// This shard stands still from its next tick on.
    pub fn stand(&self, shard: usize) {
        self.stands.store(shard, Ordering::SeqCst);
    }

    /// It goes on.
    pub fn go_on(&self) {
        self.stands.store(Fate::NONE, Ordering::SeqCst);
    }

    /// The code of a shard that nothing confines.
    fn meet(&self, shard: usize) {
        let asked =
            self.panics
                .compare_exchange(shard, Fate::NONE, Ordering::SeqCst, Ordering::SeqCst);
        assert!(asked.is_err(), "as the test wished");
        while self.stands.load(Ordering::SeqCst) == shard {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// One of the server's shards, with its fate.
#[derive(Debug)]
pub(crate) struct Fragile {
    pub(crate) service: Service,
    pub(crate) shard: usize,
    pub(crate) fate: Arc<Fate>,
}

impl Application for Fragile {
    type Session = Session;

    fn held_bytes(&self) -> u64 {
        self.fate.meet(self.shard);
        self.service.held_bytes()
    }

    fn trusts_proxy(&mut self, proxy: Peer) -> bool {
        self.service.trusts_proxy(proxy)
    }

    fn arrived(&mut self, cx: &mut Context<'_>) -> Result<(), Refusal> {
        self.service.arrived(cx)
    }

    fn connect(&mut self, cx: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<Session> {
        self.service.connect(cx, request)
    }

    fn stream_request(
        &mut self,
        cx: &mut Context<'_>,
        request: &HttpRequest<'_>,
    ) -> Result<(), Refusal> {
        self.service.stream_request(cx, request)
    }

    fn first_message(
        &mut self,
        request: &HttpRequest<'_>,
        body: &[u8],
    ) -> Result<Option<FirstMessage>, Refusal> {
        self.service.first_message(request, body)
    }

    fn posted(kind: Kind, body: &[u8]) -> Result<PostedMessage, &'static str> {
        Service::posted(kind, body)
    }

    fn decide(&mut self, cx: &mut Context<'_>, notice: Notice) -> Admission<Session> {
        self.service.decide(cx, notice)
    }

    fn abandoned(&mut self, who: Address) {
        self.service.abandoned(who);
    }

    fn plain(&mut self, request: &HttpRequest<'_>) -> Page {
        self.service.plain(request)
    }

    fn opened(&mut self, cx: &mut Context<'_>, session: &mut Session) {
        self.service.opened(cx, session);
    }

    fn message(&mut self, cx: &mut Context<'_>, session: &mut Session, message: Message<'_>) {
        self.service.message(cx, session, message);
    }

    fn answered(&mut self, cx: &mut Context<'_>, session: &mut Session, tag: Tag, answer: Answer) {
        self.service.answered(cx, session, tag, answer);
    }

    fn notified(&mut self, cx: &mut Context<'_>, session: &mut Session, notice: Notice) {
        self.service.notified(cx, session, notice);
    }

    fn unreached(&mut self, cx: &mut Context<'_>, notice: Notice) {
        self.service.unreached(cx, notice);
    }

    fn shard_due(&mut self, now_ms: u64) -> Option<u64> {
        self.service.shard_due(now_ms)
    }

    fn missed(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        topic: &TopicName,
        missed: Missed,
    ) {
        self.service.missed(cx, session, topic, missed);
    }

    fn due(&mut self, cx: &mut Context<'_>, session: &mut Session) -> Option<u64> {
        self.service.due(cx, session)
    }

    fn draining(&mut self, cx: &mut Context<'_>, session: &mut Session) {
        self.service.draining(cx, session);
    }

    fn quiet(&mut self, quiet: Quiet) {
        self.service.quiet(quiet);
    }

    fn closed(&mut self, cx: &mut Context<'_>, session: Session, reason: CloseReason) {
        self.service.closed(cx, session, reason);
    }

    fn closing(
        encoding: EncodingId,
        reason: CloseReason,
        code: CloseCode,
        text: &str,
    ) -> (CloseCode, &str) {
        Service::closing(encoding, reason, code, text)
    }

    fn encode(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        Service::encode(encoding, publication, position)
    }

    fn encode_again(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Position,
    ) -> Option<Frame> {
        Service::encode_again(encoding, publication, position)
    }

    fn encode_delta(
        encoding: EncodingId,
        base: Option<&Publication<'_>>,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        Service::encode_delta(encoding, base, publication, position)
    }

    fn sift(publication: &Publication<'_>, filters: &[Filter], passes: &mut [bool]) {
        Service::sift(publication, filters, passes);
    }

    fn removal(last: &Publication<'_>) -> Option<Content> {
        Service::removal(last)
    }
}
