//! A client that asks to connect, as the hook on the shard sees it.

use crate::session::identity::Identity;
use shardcast_engine::{Context as Engine, Peer};
use shardcast_protocol::dialect::Dialect;
use shardcast_protocol::http::{HeaderError, Headers, HttpRequest};
use std::cell::RefCell;

/// A client that asks to connect.
#[derive(Debug)]
pub struct Connect<'r> {
    engine: &'r Engine<'r>,
    request: &'r HttpRequest<'r>,
    dialect: Dialect,
    identity: &'r Identity,
    /// Headers of the answer that lets the client in.
    headers: RefCell<Headers>,
}

impl<'r> Connect<'r> {
    pub(crate) fn new(
        engine: &'r Engine<'r>,
        request: &'r HttpRequest<'r>,
        dialect: Dialect,
        identity: &'r Identity,
    ) -> Connect<'r> {
        Connect {
            engine,
            request,
            dialect,
            identity,
            headers: RefCell::default(),
        }
    }

    pub(crate) fn into_headers(self) -> Headers {
        self.headers.into_inner()
    }

    /// Adds a header, such as `Set-Cookie`, to the answer that lets this client in: the 101, or the
    /// head of an event stream. A [`crate::Refusal`] has headers of its own.
    ///
    /// # Errors
    /// The name or the value cannot stand in an answer, the header is the server's to write, or all
    /// together are longer than [`Headers::BYTES_MAX`]. A hook that returns this error has the
    /// client answered with 500.
    pub fn add_header(&self, name: &str, value: &str) -> Result<(), HeaderError> {
        self.headers.borrow_mut().add(name, value)
    }

    /// Where the client connects from.
    pub fn remote_address(&self) -> Peer {
        self.engine.peer()
    }

    /// The connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.engine.is_secure()
    }

    /// The certificate that the client showed (DER), if it was asked for one and showed one.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.engine.peer_certificate()
    }

    /// The listener that the client connected to: index in the configuration.
    pub fn listener(&self) -> usize {
        self.engine.listener()
    }

    /// The dialect of the client.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Who the client's token says it is ([`crate::App::auth`]), with the token's claims; nobody
    /// where there are no tokens, or it came without one. What the hook returns instead is bound to
    /// the same token: the connection ends with it.
    pub fn identity(&self) -> &'r Identity {
        self.identity
    }

    /// A header of its request, by name without regard to case; the first, if there are several.
    pub fn header(&self, name: &str) -> Option<&'r [u8]> {
        self.request.header(name)
    }

    /// A parameter of its request's query (`?token=…`), as it was sent: percent-encoded where the
    /// client encoded it. (Browsers leave a `%` alone that begins no escape.)
    pub fn parameter(&self, name: &str) -> Option<&'r str> {
        parameter_of(self.request.query()?, name)
    }

    /// The complete request.
    pub fn request(&self) -> &'r HttpRequest<'r> {
        self.request
    }
}

/// The first of this name in a query.
pub(crate) fn parameter_of<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        (key == name).then_some(value)
    })
}
