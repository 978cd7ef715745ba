//! Streams whose clients say their first message in the request that opens them, and posts that
//! name their stream in the body: for protocols that are the application's.
//!
//! Invariant: a request that has its message in the body is read anew when all of that is there,
//! and nothing has been done about it before. The first message is the connection's input, as if
//! it had come behind the answer. Called by the request phase.

use super::Shard;
use super::stream::client_frame;
use crate::application::{Application, Page, Refusal};
use crate::connection::exchange::ExchangeStage;
use crate::connection::phase::Phase;
use crate::driver::boundary::Driver;
use crate::types::stream_path::StreamPurpose;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use shardcast_protocol::events::{self, Framing};
use shardcast_protocol::http::{self, Body, HttpMethod, HttpRequest, Progress};

/// What is left of a request that asks to connect.
#[derive(Debug)]
pub(super) struct AskedToOpen<'r> {
    /// Of a WebSocket's upgrade; `None`: an event stream.
    pub(super) key: Option<&'r str>,
    /// Of an event stream.
    pub(super) framing: Framing,
    /// What it says already, as a client's frame.
    pub(super) first: Option<Bytes>,
}

const ALLOW_OPEN: &str = "Access-Control-Allow-Origin: *\r\nAllow: GET, POST, OPTIONS\r\n";
const ALLOW_POST: &str = "Access-Control-Allow-Origin: *\r\nAllow: POST, OPTIONS\r\n";

impl<A: Application, D: Driver> Shard<A, D> {
    /// A request for a path whose streams are the application's; `rest` is what is there behind the
    /// head.
    pub(super) fn application_request(
        &mut self,
        ticket: Ticket,
        request: &HttpRequest<'_>,
        purpose: StreamPurpose,
        rest: &[u8],
    ) {
        match (request.method(), purpose) {
            (HttpMethod::Get, StreamPurpose::Open) if request.body_is_empty() => {
                self.admit(ticket, request, None, b"");
            }
            (HttpMethod::Get, StreamPurpose::Open) => {
                self.refuse(ticket, 400, "request announces a body");
            }
            (HttpMethod::Post, StreamPurpose::Open | StreamPurpose::OpenByPost) => {
                self.open_with_body(ticket, request, rest);
            }
            (HttpMethod::Post, StreamPurpose::Post) => {
                self.begin_post(ticket, request, Ok(None), rest.len());
            }
            (HttpMethod::Options, _) => {
                self.reply(ticket, request, &Page::text(204, ""), events::PREFLIGHT);
            }
            (
                HttpMethod::Get | HttpMethod::Head | HttpMethod::Connect | HttpMethod::Other,
                StreamPurpose::Open | StreamPurpose::OpenByPost | StreamPurpose::Post,
            ) => {
                let allow = match purpose {
                    StreamPurpose::Open => ALLOW_OPEN,
                    StreamPurpose::OpenByPost | StreamPurpose::Post => ALLOW_POST,
                };
                let page = Page::text(405, "this method is not allowed");
                self.reply(ticket, request, &page, allow);
            }
        }
    }

    /// Opens a stream once the request's body is there.
    fn open_with_body(&mut self, ticket: Ticket, request: &HttpRequest<'_>, rest: &[u8]) {
        let bytes_max = self.posted_bytes_max(ticket);
        let bytes = match request.body() {
            Body::Length(bytes) if bytes > bytes_max as u64 => {
                let page = Page::text(413, "message is too large");
                return self.reply(ticket, request, &page, events::OPEN_TO_ALL_LINE);
            }
            Body::Length(bytes) => bytes as usize,
            Body::None | Body::Chunked => 0,
        };
        if let Some(body) = rest.get(..bytes) {
            return self.admit(ticket, request, None, body);
        }
        let connection = self.core.connections.slots.at(ticket.slot);
        let exchange = connection.cold().exchange();
        exchange.progress = Progress::default();
        // Behind the head, whose length the caller knows.
        let missing = bytes - rest.len();
        exchange.stage = ExchangeStage::Opening { bytes: missing };
        if request.expects_continue() && rest.is_empty() {
            self.core.write(ticket, http::write_continue);
        }
    }

    /// How many bytes head and body have of a request that waits for its body, of which so many
    /// are there.
    pub(super) fn needed_to_open(&mut self, ticket: Ticket, there: usize) -> Option<usize> {
        let connection = self.core.connections.slots.get(ticket)?;
        let stage = connection.exchange()?.stage;
        let ExchangeStage::Opening { bytes } = stage else {
            return None;
        };
        let bytes = there + bytes;
        connection.cold().exchange().stage = ExchangeStage::Opening { bytes };
        Some(bytes)
    }

    /// What a request says as the first message, as a client's frame.
    pub(super) fn first_message(
        &mut self,
        ticket: Ticket,
        request: &HttpRequest<'_>,
        body: &[u8],
    ) -> Result<Option<Bytes>, Refusal> {
        let said = self.shielded(ticket, |application, _| {
            application.first_message(request, body)
        });
        let said = said.unwrap_or_else(|| Err(Refusal::new(500, "handler failed")))?;
        let bytes_max = self.posted_bytes_max(ticket);
        match said {
            Some(said) if said.bytes.len() > bytes_max => {
                Err(Refusal::new(413, "message is too large"))
            }
            said => Ok(said.map(|said| client_frame(said.kind, &said.bytes))),
        }
    }

    /// The connection is open, and its client has said something already.
    pub(super) fn take_first_message(&mut self, ticket: Ticket, first: &Bytes) {
        let connection = self.core.connections.slots.at(ticket.slot);
        if connection.phase == Phase::Open {
            connection.cold().input.push(first);
            self.read_soon(ticket);
        }
    }
}
