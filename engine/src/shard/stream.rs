//! Event streams and the messages posted to them: the way for clients whose network lets no
//! WebSocket through.
//!
//! A stream is an ordinary open connection whose frames leave as events and whose messages come in
//! the bodies of other connections' requests. A post travels as a message to the stream's shard,
//! where it is appended to what the stream has said and is not read yet, as a client's frame: from
//! there on limits, order and back-pressure are those of any connection. Taking it posts nothing
//! but the delivery that answers it; it is read later, like everything that a parked connection
//! said.

use super::Shard;
use crate::application::{Application, Page, Refusal};
use crate::confine::confine;
use crate::connection::exchange::{Exchange, ExchangeStage, Upload};
use crate::connection::input::Need;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::connection::token::StreamsAt;
use crate::driver::boundary::Driver;
use crate::message::delivery::{Delivery, PostOutcome};
use crate::message::request::ShardRequest;
use crate::types::stream_path::StreamPurpose;
use crate::types::ticket::{Address, Ticket};
use bytes::Bytes;
use shardcast_protocol::events::{self, Form};
use shardcast_protocol::frame::{self, Kind};
use shardcast_protocol::http::{
    self, Answer, Body, Content, Headers, HttpMethod, HttpRequest, Persistence,
};

/// Posted bytes that may wait in one stream, besides a single message of whatever size: more are
/// answered 429.
pub(super) const INBOX_BYTES_MAX: usize = 64 << 10;

/// Methods of the stream's path.
const ALLOW: &str = "Access-Control-Allow-Origin: *\r\nAllow: GET, HEAD, POST, OPTIONS\r\n";

impl<A: Application, D: Driver> Shard<A, D> {
    /// A plain request for a path of event streams; `rest` is what is there behind the head.
    pub(super) fn stream_request(
        &mut self,
        ticket: Ticket,
        request: &HttpRequest<'_>,
        at: StreamsAt,
        rest: &[u8],
    ) {
        // Whoever opens a stream is asked for as a client that connects.
        let opens = match (request.method(), at) {
            (HttpMethod::Get, _) => true,
            (HttpMethod::Post, StreamsAt::Application(purpose)) => purpose != StreamPurpose::Post,
            _ => false,
        };
        if !opens && let Err(refusal) = self.may_ask_streams(ticket, request) {
            let page = Page {
                headers: refusal.headers,
                ..Page::text(refusal.status, refusal.reason)
            };
            return self.reply(ticket, request, &page, "");
        }
        match at {
            StreamsAt::Own => self.own_stream_request(ticket, request, rest),
            StreamsAt::Application(purpose) => {
                self.application_request(ticket, request, purpose, rest);
            }
        }
    }

    /// For our own streams.
    fn own_stream_request(&mut self, ticket: Ticket, request: &HttpRequest<'_>, rest: &[u8]) {
        match request.method() {
            HttpMethod::Get | HttpMethod::Head if !takes_events(request) => {
                let page = Page::text(406, "this is an event stream: accept text/event-stream");
                self.reply(ticket, request, &page, events::OPEN_TO_ALL_LINE);
            }
            HttpMethod::Get if request.body_is_empty() => self.admit(ticket, request, None, b""),
            HttpMethod::Get => self.refuse(ticket, 400, "request announces a body"),
            // What a GET would be answered, without a session.
            HttpMethod::Head => {
                let page = Page {
                    content_type: Form::Events.content_type(),
                    ..Page::text(200, "")
                };
                self.reply(ticket, request, &page, events::STREAM_LINES);
            }
            HttpMethod::Post => {
                let token = request.query().and_then(session_of);
                let to = token.and_then(|token| self.stream_of(token)).map(Some);
                self.begin_post(ticket, request, to.ok_or(NO_SESSION), rest.len());
            }
            HttpMethod::Options => {
                self.reply(ticket, request, &Page::text(204, ""), events::PREFLIGHT)
            }
            HttpMethod::Connect | HttpMethod::Other => {
                let page = Page::text(405, "this method is not allowed");
                self.reply(ticket, request, &page, ALLOW);
            }
        }
    }

    /// The connection that a token was made for.
    fn stream_of(&self, token: &str) -> Option<Address> {
        self.core.streams.as_ref()?.key.address(token)
    }

    fn may_ask_streams(
        &mut self,
        ticket: Ticket,
        request: &HttpRequest<'_>,
    ) -> Result<(), Refusal> {
        let asked = self.shielded(ticket, |application, context| {
            application.stream_request(context, request)
        });
        asked.unwrap_or_else(|| Err(Refusal::new(500, "handler failed")))
    }

    /// Longest message of a client on this connection.
    pub(super) fn posted_bytes_max(&mut self, ticket: Ticket) -> usize {
        let listener = self.core.connections.slots.at(ticket.slot).listener;
        self.core.connections.limits.message_bytes_max[usize::from(listener)]
    }

    /// A message is announced; `more` bytes behind the head are there already. Where `to` is
    /// `None`, the body says for which stream it is.
    pub(super) fn begin_post(
        &mut self,
        ticket: Ticket,
        request: &HttpRequest<'_>,
        to: Result<Option<Address>, &'static str>,
        more: usize,
    ) {
        // A message in a body of the application's is escaped.
        let bytes_max = self.posted_bytes_max(ticket) * if to == Ok(None) { 2 } else { 1 };
        let refusal = match (request.body(), to) {
            (Body::Length(bytes), _) if bytes > bytes_max as u64 => {
                Page::text(413, "message is too large")
            }
            (Body::None | Body::Chunked, _) => Page::text(411, "a message needs a Content-Length"),
            // Unknown, closed or forged: nobody learns which.
            (_, Err(text)) => Page::text(404, text),
            (Body::Length(bytes), Ok(to)) => {
                let upload = Upload {
                    to,
                    kind: kind_of(request),
                    bytes: bytes as usize,
                    persistence: request.persistence(),
                };
                return self.await_body(ticket, request, upload, more);
            }
        };
        self.reply(ticket, request, &refusal, events::OPEN_TO_ALL_LINE);
    }

    fn await_body(
        &mut self,
        ticket: Ticket,
        request: &HttpRequest<'_>,
        upload: Upload,
        more: usize,
    ) {
        if request.expects_continue() && more == 0 && upload.bytes > 0 {
            self.core.write(ticket, http::write_continue);
        }
        if self.core.connections.slots.phase(ticket) != Phase::Upgrading {
            return;
        }
        self.give_time(ticket);
        let exchange = self
            .core
            .connections
            .slots
            .at(ticket.slot)
            .cold()
            .exchange();
        exchange.progress = http::Progress::default();
        exchange.stage = ExchangeStage::Posting(upload);
        if upload.bytes == 0 && self.core.mail.is_congested() {
            self.refuse(ticket, 503, "the server is busy");
        } else if upload.bytes == 0 {
            self.take_body(ticket, &[], upload);
        }
    }

    /// A message has the time of a frame to come, and then to be answered.
    fn give_time(&mut self, ticket: Ticket) {
        self.core.connections.slots.at(ticket.slot).last_activity =
            self.core.connections.activity_now();
        let at = self.core.connections.now + self.core.connections.limits.frame_ms;
        self.core.connections.timers.wheel.schedule(ticket.slot, at);
    }

    /// The complete message is there: it goes to its stream; but not while messages have nowhere to
    /// go.
    pub(super) fn read_post(
        &mut self,
        ticket: Ticket,
        bytes: &[u8],
        upload: Upload,
    ) -> Result<usize, Need> {
        let Some(body) = bytes.get(..upload.bytes) else {
            return Err(Need::Bytes(upload.bytes));
        };
        if self.core.mail.is_congested() {
            self.park(ticket);
            return Err(Need::Any);
        }
        self.take_body(ticket, body, upload);
        Ok(body.len())
    }

    /// The body is for the stream that the request has named, or that it names itself.
    fn take_body(&mut self, ticket: Ticket, body: &[u8], upload: Upload) {
        if let Some(to) = upload.to {
            return self.post(ticket, body, to, upload);
        }
        let bytes_max = self.posted_bytes_max(ticket);
        let posted = confine(|| A::posted(upload.kind, body));
        let outcome = match posted {
            Ok(Ok(posted)) if posted.bytes.len() > bytes_max => PostOutcome::TooLarge,
            Ok(Ok(posted)) => match self.stream_of(&posted.token) {
                Some(to) => return self.post(ticket, &posted.bytes, to, upload),
                None => PostOutcome::Gone,
            },
            Ok(Err(_)) => PostOutcome::Malformed,
            Err(_) => {
                self.core.count_panic(Some(ticket));
                PostOutcome::Malformed
            }
        };
        self.answer_post(ticket, upload.persistence, outcome);
    }

    fn post(&mut self, ticket: Ticket, body: &[u8], to: Address, upload: Upload) {
        let request = ShardRequest::Post {
            to: to.ticket,
            from: self.core.address(ticket),
            frame: client_frame(upload.kind, body),
        };
        self.core.mail.request(to.shard, request);
        self.give_time(ticket);
        let now = self.core.connections.now;
        let connection = self.core.connections.slots.at(ticket.slot);
        connection.cold().parked_since = now;
        connection.cold().exchange().stage = ExchangeStage::Awaiting(upload.persistence);
        // Not read further until the answer is there: the next request is answered after this one.
        connection.flags.set(Flags::PARKED);
        self.core.connections.pending_work.park.push(ticket);
    }

    /// At the stream's shard: the message waits to be read. The connection `from` learns what
    /// became of it.
    pub(super) fn take_post(&mut self, to: Ticket, from: Address, frame: &Bytes) {
        let outcome = self.keep_post(to, frame);
        let (counters, taken) = (&self.core.counters, outcome == PostOutcome::Taken);
        counters.posts.add(u64::from(taken));
        counters.posts_refused.add(u64::from(!taken));
        let who = from.ticket;
        self.core
            .mail
            .deliver(from.shard, Delivery::Posted { who, outcome });
    }

    fn keep_post(&mut self, to: Ticket, frame: &Bytes) -> PostOutcome {
        let now = self.core.connections.activity_now();
        let form = self.core.egress.forms.of(to.slot);
        let connection = self.core.connections.slots.get(to).filter(|connection| {
            let takes = connection.flags.has(Flags::STREAM) && !form.is_unidirectional();
            connection.phase == Phase::Open && takes
        });
        let Some(connection) = connection else {
            return PostOutcome::Gone;
        };
        connection.record_activity(now);
        let inbox = &mut connection.cold().input;
        if !inbox.is_empty() && inbox.len() + frame.len() > INBOX_BYTES_MAX {
            return PostOutcome::Full;
        }
        inbox.push(frame);
        self.read_soon(to);
        PostOutcome::Taken
    }

    /// What is put into a connection's input is read when the parked ones are.
    pub(super) fn read_soon(&mut self, ticket: Ticket) {
        let connection = self.core.connections.slots.at(ticket.slot);
        if !connection.flags.has(Flags::PARKED) {
            connection.flags.set(Flags::PARKED);
            connection.cold().parked_since = self.core.connections.now;
            self.parked.push_back(ticket);
        }
        self.core.account_input(ticket);
    }

    /// At the poster's shard: its request is answered, and it is read on in its turn.
    pub(super) fn posted(&mut self, who: Ticket, outcome: PostOutcome) {
        let Some(connection) = self.core.connections.slots.get(who) else {
            return;
        };
        let persistence = match connection.exchange() {
            Some(Exchange {
                stage: ExchangeStage::Awaiting(persistence),
                ..
            }) if connection.phase == Phase::Upgrading => *persistence,
            _ => return,
        };
        self.answer_post(who, persistence, outcome);
        self.listen_again(who);
    }

    fn answer_post(&mut self, who: Ticket, persistence: Persistence, outcome: PostOutcome) {
        let exchange = self.core.connections.slots.at(who.slot).cold().exchange();
        let answered = exchange.answered + 1;
        let persistence = match answered {
            Exchange::REQUESTS_MAX.. => Persistence::Close,
            _ => self
                .core
                .connections
                .persistence(persistence, self.driver.connections_max()),
        };
        let (status, text) = match outcome {
            PostOutcome::Taken => (204, ""),
            PostOutcome::Gone => (404, NO_SESSION),
            PostOutcome::Full => (429, "too many messages wait to be read"),
            PostOutcome::Malformed => (400, "the body is not what is posted here"),
            PostOutcome::TooLarge => (413, "message is too large"),
        };
        let refused = u64::from(status >= 400);
        self.core.counters.requests_refused.add(refused);
        let answer = Answer {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.as_bytes(),
            content: Content::Sent,
            persistence,
            keep_alive_seconds: 0,
            lines: events::OPEN_TO_ALL_LINE,
            headers: &Headers::new(),
        };
        if persistence == Persistence::Close {
            self.core.answer_last(who, &answer);
        } else {
            let connection = self.core.connections.slots.at(who.slot);
            *connection.cold().exchange() = Exchange {
                answered,
                ..Exchange::default()
            };
            self.core.answer(who, &answer);
        }
    }

    /// Reads on a connection that waited for an answer. What it has said already is read when the
    /// parked ones are.
    pub(super) fn listen_again(&mut self, who: Ticket) {
        let Some(connection) = self.core.connections.slots.get(who) else {
            return;
        };
        match connection.phase {
            Phase::Upgrading | Phase::Open | Phase::Closing => self.parked.push_back(who),
            Phase::Lingering => {
                connection.flags.clear(Flags::PARKED);
                if !connection.flags.has(Flags::RECEIVING) && !connection.flags.has(Flags::ENDED) {
                    self.core.connections.pending_work.arm.push(who);
                }
            }
            Phase::Free | Phase::Authenticating | Phase::Flushing | Phase::Retiring => {}
        }
    }
}

const NO_SESSION: &str = "no such session";

/// A message as a client's frame.
pub(super) fn client_frame(kind: Kind, message: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(frame::HEADER_BYTES_MAX + message.len());
    frame::write_client_frame(&mut bytes, kind.into(), message, [0; 4]);
    bytes.into()
}

/// Any content type is a text message, as in the native dialect, but bytes without one.
fn kind_of(request: &HttpRequest<'_>) -> Kind {
    match request.header("Content-Type") {
        Some(kind) if kind.eq_ignore_ascii_case(b"application/octet-stream") => Kind::Binary,
        _ => Kind::Text,
    }
}

/// `session` among the parameters of a query.
fn session_of(query: &str) -> Option<&str> {
    query
        .split('&')
        .find_map(|parameter| parameter.strip_prefix("session="))
}

/// Whether the client would take an event stream.
fn takes_events(request: &HttpRequest<'_>) -> bool {
    request.accepts("text", "event-stream")
}
