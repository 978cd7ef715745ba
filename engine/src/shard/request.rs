//! The request phase: what a connection says before it is open becomes answers, and one of them may
//! make it a WebSocket.
//!
//! Requests are answered in order, at most [`Exchange::REQUESTS_MAX`] a connection, each within the
//! handshake deadline. Whatever makes it unclear where the next request begins ends the connection
//! with its answer.

use super::Shard;
use super::first_message::AskedToOpen;
use crate::application::{Accepted, Admission, Application, Messages, Page, Refusal};
use crate::connection::exchange::{Exchange, ExchangeStage};
use crate::connection::input::Need;
use crate::connection::slot::Flags;
use crate::driver::boundary::Driver;
use crate::events::{Event, EventKind};
use crate::types::ticket::Ticket;
use shardcast_protocol::deflate::Agreement;
use shardcast_protocol::events::{self, Framing};
use shardcast_protocol::http::{
    self, Answer, Body, Content, HttpMethod, HttpRequest, Persistence, Version,
};
use shardcast_protocol::upgrade;

/// Methods of plain requests; 405 names them (RFC 9110 §15.5.6).
const ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\n";

impl<A: Application, D: Driver> Shard<A, D> {
    /// Reads one request, or drops what is left of one; or returns what it needs.
    pub(super) fn request(&mut self, ticket: Ticket, bytes: &[u8]) -> Result<usize, Need> {
        let exchange = self.core.connections.slots.at(ticket.slot).exchange();
        match exchange.map_or(ExchangeStage::Head, |exchange| exchange.stage) {
            ExchangeStage::Introduction => self.read_introduction(ticket, bytes),
            ExchangeStage::Head if self.crowd.is_full() => self.queue_request(ticket, bytes.len()),
            ExchangeStage::Head => self.read_head(ticket, bytes),
            ExchangeStage::Dropping { left_bytes } => Ok(self.drop_body(ticket, bytes, left_bytes)),
            ExchangeStage::Opening { bytes: needed } if bytes.len() < needed => {
                Err(Need::Bytes(needed))
            }
            ExchangeStage::Opening { .. } => {
                let connection = self.core.connections.slots.at(ticket.slot);
                connection.cold().exchange().stage = ExchangeStage::Head;
                self.read_head(ticket, bytes)
            }
            ExchangeStage::Posting(upload) => self.read_post(ticket, bytes, upload),
            ExchangeStage::Awaiting(_) => Err(Need::Any),
        }
    }

    fn read_head(&mut self, ticket: Ticket, bytes: &[u8]) -> Result<usize, Need> {
        let limits = self.core.connections.limits.head;
        let connection = self.core.connections.slots.at(ticket.slot);
        let exchange = connection.exchange();
        let mut progress = exchange.map_or_else(Default::default, |exchange| exchange.progress);
        match http::parse(bytes, &mut progress, &limits) {
            Ok(None) => {
                connection.cold().exchange().progress = progress;
                Err(Need::Any)
            }
            Ok(Some((request, used))) => {
                self.crowd.took_request();
                self.answer_request(ticket, &request, &bytes[used..]);
                if let Some(needed) = self.needed_to_open(ticket, bytes.len()) {
                    return Err(Need::Bytes(needed));
                }
                let flags = self.core.connections.slots.at(ticket.slot).flags;
                // The answer of a stream said `Connection: close`: no request behind it is read
                // (RFC 9112 §9.6). One whose admission is deferred drops them where they would
                // wait.
                let reads_on = !flags.has(Flags::STREAM) && !flags.has(Flags::ALONE);
                Ok(if reads_on { used } else { bytes.len() })
            }
            Err(error) => {
                self.refuse(ticket, error.status(), &error.to_string());
                Ok(bytes.len())
            }
        }
    }

    /// Drops what a client sends behind the head of a request that was answered without its body.
    fn drop_body(&mut self, ticket: Ticket, bytes: &[u8], left_bytes: usize) -> usize {
        let used = left_bytes.min(bytes.len());
        let exchange = self
            .core
            .connections
            .slots
            .at(ticket.slot)
            .cold()
            .exchange();
        exchange.stage = match left_bytes - used {
            0 => ExchangeStage::Head,
            left_bytes => ExchangeStage::Dropping { left_bytes },
        };
        used
    }

    /// `rest` is what is there behind the head.
    fn answer_request(&mut self, ticket: Ticket, request: &HttpRequest<'_>, rest: &[u8]) {
        if request.asks_for_websocket() {
            return match upgrade::check(request) {
                Ok(key) => self.admit(ticket, request, Some(key), b""),
                Err(error) => self.refuse_upgrade(ticket, error.status(), &error.to_string()),
            };
        }
        if request.body() == Body::Chunked {
            return self.refuse(ticket, 411, "a body needs a Content-Length");
        }
        if let Some(expected) = request.header("Expect")
            && request.version() == Version::Http11
            && !expected.eq_ignore_ascii_case(b"100-continue")
        {
            return self.refuse(ticket, 417, "only 100-continue can be expected");
        }
        let streams = self.core.streams.as_ref();
        if let Some(at) = streams.and_then(|streams| streams.at(request.path())) {
            return self.stream_request(ticket, request, at, rest);
        }
        let (page, lines) = match request.method() {
            HttpMethod::Get | HttpMethod::Head => {
                let page = self.shielded(ticket, |application, _| application.plain(request));
                match page {
                    Some(page) => (page, ""),
                    None => return self.refuse(ticket, 500, "handler failed"),
                }
            }
            HttpMethod::Options => (Page::text(204, ""), ALLOW),
            HttpMethod::Post | HttpMethod::Connect | HttpMethod::Other => {
                (Page::text(405, "this method is not allowed"), ALLOW)
            }
        };
        self.reply(ticket, request, &page, lines);
    }

    /// Answers a request without its body, and goes on with the connection if HTTP and our limits
    /// allow it.
    pub(super) fn reply(
        &mut self,
        ticket: Ticket,
        request: &HttpRequest<'_>,
        page: &Page,
        lines: &str,
    ) {
        let body_bytes = match request.body() {
            Body::None => Some(0),
            Body::Length(bytes) => usize::try_from(bytes)
                .ok()
                .filter(|&bytes| bytes <= Exchange::DROPPED_BODY_BYTES_MAX),
            Body::Chunked => None,
        };
        // Who waits to be told to go on may send the body or not, once it is told otherwise (RFC
        // 9110 §10.1.1).
        let expects = request.header("Expect").is_some();
        let room = self.driver.connections_max();
        let wanted = self
            .core
            .connections
            .persistence(request.persistence(), room);
        let connection = self.core.connections.slots.at(ticket.slot);
        let answered = connection
            .exchange()
            .map_or(0, |exchange| exchange.answered)
            + 1;
        let persistence = match body_bytes {
            Some(0) if answered < Exchange::REQUESTS_MAX => wanted,
            Some(_) if answered < Exchange::REQUESTS_MAX && !expects => wanted,
            Some(_) | None => Persistence::Close,
        };
        let answer = Answer {
            status: page.status,
            content_type: page.content_type,
            body: page.body.as_bytes(),
            content: match request.method() {
                HttpMethod::Head => Content::Withheld,
                _ => Content::Sent,
            },
            persistence,
            keep_alive_seconds: 0,
            lines,
            headers: &page.headers,
        };
        let refused = u64::from(page.status >= 400);
        self.core.counters.requests_refused.add(refused);
        if persistence == Persistence::Close {
            self.core.answer_last(ticket, &answer);
            return;
        }
        let exchange = connection.cold().exchange();
        *exchange = Exchange {
            answered,
            stage: match body_bytes {
                None | Some(0) => ExchangeStage::Head,
                Some(left_bytes) => ExchangeStage::Dropping { left_bytes },
            },
            ..Exchange::default()
        };
        self.core.answer(ticket, &answer);
    }

    /// Refuses a request, and counts that.
    pub(super) fn refuse(&mut self, ticket: Ticket, status: u16, reason: &str) {
        self.core.counters.requests_refused.add(1);
        self.core.refuse(ticket, status, reason);
    }

    /// Refuses a request for a WebSocket, and counts that.
    fn refuse_upgrade(&mut self, ticket: Ticket, status: u16, reason: &str) {
        self.core.counters.upgrades_refused.add(1);
        self.core.refuse(ticket, status, reason);
    }

    /// Asks the application; with the `key` of a WebSocket's upgrade, or without one for an event
    /// stream, whose request may have a `body`.
    pub(super) fn admit(
        &mut self,
        ticket: Ticket,
        request: &HttpRequest<'_>,
        key: Option<&str>,
        body: &[u8],
    ) {
        let connection = self.core.connections.slots.at(ticket.slot);
        let room = self.driver.connections_max();
        if self.core.connections.admissions.process.memory.is_short() {
            self.core.counters.refused_memory.add(1);
            let refusal = self.busy("memory is short, try again later");
            return self.refuse_client(ticket, key, refusal);
        }
        if !self.core.connections.admissions.admit(connection, room) {
            self.core.counters.refused_full.add(1);
            let refusal = self.busy("the server is full, try again later");
            return self.refuse_client(ticket, key, refusal);
        }
        let agreement = match (&self.core.egress.compressing, key) {
            (Some(compressing), Some(_)) => request.deflate(compressing.takeover()),
            (Some(_) | None, _) => Ok(None),
        };
        let Ok(agreement) = agreement.map_err(|error| {
            self.refuse_upgrade(ticket, 400, &error.to_string());
        }) else {
            return;
        };
        let first = match self.first_message(ticket, request, body) {
            Ok(first) => first,
            Err(refusal) => return self.refuse_by_application(ticket, key, refusal),
        };
        let framing = Framing::of(request.version());
        let asked = AskedToOpen {
            key,
            framing,
            first,
        };
        let answer = self.shielded(ticket, |application, context| {
            application.connect(context, request)
        });
        match answer.unwrap_or_else(|| Admission::Refuse(Refusal::new(500, "handler failed"))) {
            Admission::Accept(accepted) => self.open(ticket, asked, agreement, accepted),
            Admission::Refuse(refusal) => self.refuse_by_application(ticket, key, refusal),
            Admission::Defer => self.defer(ticket, asked, agreement),
        }
    }

    /// Refuses a client because the application does, and counts that.
    pub(super) fn refuse_by_application(
        &mut self,
        ticket: Ticket,
        key: Option<&str>,
        refusal: Refusal,
    ) {
        let counters = &self.core.counters;
        match key {
            Some(_) => counters.upgrades_refused.add(1),
            None => counters.requests_refused.add(1),
        }
        self.refuse_client(ticket, key, refusal);
    }

    /// Refuses a client that asked for a WebSocket, or without a `key` for an event stream: pages
    /// of every origin may read why there is no stream. The caller counts.
    pub(super) fn refuse_client(&mut self, ticket: Ticket, key: Option<&str>, refusal: Refusal) {
        let Refusal {
            status,
            reason,
            mut headers,
        } = refusal;
        let (name, value) = events::OPEN_TO_ALL;
        if key.is_none() && !headers.has(name) {
            // Where the application has filled the headers to the last byte, it comes without.
            let _ = headers.add(name, value);
        }
        self.core.refuse_with(ticket, status, &reason, &headers);
    }

    pub(super) fn open(
        &mut self,
        ticket: Ticket,
        asked: AskedToOpen<'_>,
        agreement: Option<Agreement>,
        accepted: Accepted<A::Session>,
    ) {
        let now = self.core.connections.now;
        let heartbeats = &mut self.core.connections.timers.heartbeats;
        let first_beat = heartbeats.set(ticket.slot, accepted.heartbeat, now);
        let connection = self.core.connections.slots.at(ticket.slot);
        connection.flags.set_encoding(accepted.encoding);
        if let Some(cold) = connection.cold.as_mut() {
            cold.exchange = None;
        }
        // A compressed message cannot be read in pieces, nor rewritten: it is not agreed on.
        let is_plain = accepted.messages != Messages::InPieces && accepted.form.is_none();
        let agreement = agreement.filter(|_| is_plain);
        let (core, headers) = (&mut self.core, &accepted.headers);
        match asked.key {
            Some(key) => core.open(ticket, key, accepted.subprotocol, agreement, headers),
            None => {
                let form = accepted.form.unwrap_or_default();
                core.open_stream(ticket, form, asked.framing, headers);
            }
        }
        if let (Some(_), Some(form)) = (asked.key, accepted.form) {
            core.set_form(ticket, form);
        }
        if let Some(at) = first_beat {
            self.core.connections.timers.wheel.advance(ticket.slot, at);
        }
        if accepted.messages == Messages::InPieces {
            let connection = self.core.connections.slots.at(ticket.slot);
            connection.flags.set(Flags::PIECES);
        }
        *self.sessions.reach(ticket.slot) = Some(accepted.session);
        let (connection, peer) = (
            self.core.address(ticket),
            self.core.connections.slots.peer(ticket.slot),
        );
        let opened = || Event::Opened { connection, peer };
        self.core.events.emit(EventKind::Opened, opened);
        self.call(ticket, None, |application, context, session| {
            application.opened(context, session)
        });
        if let Some(first) = &asked.first {
            self.take_first_message(ticket, first);
        }
        if let Some(drain) = &mut self.drain {
            drain.push(ticket);
        }
    }
}
