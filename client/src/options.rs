//! What a client is made with: checked once, with every default.
//!
//! Invariant: what comes out of [`Options::settle`] needs no further look. Used by the client and
//! the pool.

use crate::address::{Endpoint, ProxyAddress, is_excepted};
use crate::backoff::Backoff;
use crate::breaker::{BreakerOptions, BudgetOptions};
use crate::encoding::Encoding;
use crate::entry::QueueOptions;
use crate::error::{Error, ErrorKind};
use crate::requests::IN_FLIGHT_MAX;
use crate::tls::Tls;
use crate::token::{TokenIn, TokenProvider};
use std::time::Duration;

/// How a client behaves. Every field has a default, so name only those that differ:
/// `Options { encoding: Encoding::MessagePack, ..Options::default() }`.
#[derive(Clone, Debug)]
pub struct Options {
    /// How messages are written.
    pub encoding: Encoding,
    /// Whether messages may be compressed (permessage-deflate).
    pub compression: Compression,
    /// Further headers of the request that opens a connection.
    pub headers: Vec<(String, String)>,
    /// Whom a connection under TLS trusts, and what it shows.
    pub tls: Tls,
    /// How servers are reached.
    pub proxy: Proxy,
    /// Who the client is.
    pub token: Option<TokenProvider>,
    /// How the token is sent.
    pub token_in: TokenIn,
    /// Bounds of the time between two tries to connect.
    pub reconnect: Backoff,
    /// For a token, and for a connection with its welcome.
    pub connect_timeout: Duration,
    /// For the answer to a request, the time in the queue included.
    pub request_timeout: Duration,
    /// Time without an answer after which the server is sent a ping; what it says itself (25 s)
    /// unless said here, and never more.
    pub heartbeat: Option<Duration>,
    /// Time for the answer to a ping, and three times as long while other things come. A
    /// half-open connection is found within the sum of both.
    pub pong_timeout: Duration,
    /// What may wait to be sent.
    pub queue: QueueOptions,
    /// Whether requests are gathered before they leave.
    pub batch: BatchOptions,
    /// Whether batches and pings follow the round trips that are measured.
    pub adaptive: Adaptive,
    /// When an endpoint is given a rest.
    pub breaker: BreakerOptions,
    /// How many retries may be made.
    pub budget: BudgetOptions,
    /// Retries of requests that change nothing, where the server refuses for now.
    pub retries: u32,
    /// Largest message that is taken.
    pub message_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            encoding: Encoding::Json,
            compression: Compression::Off,
            headers: Vec::new(),
            tls: Tls::default(),
            proxy: Proxy::default(),
            token: None,
            token_in: TokenIn::Header,
            reconnect: Backoff::default(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            heartbeat: None,
            pong_timeout: Duration::from_secs(10),
            queue: QueueOptions::default(),
            batch: BatchOptions::default(),
            adaptive: Adaptive::Off,
            breaker: BreakerOptions::default(),
            budget: BudgetOptions::default(),
            retries: 2,
            message_bytes_max: 16 << 20,
        }
    }
}

/// Whether messages may be compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// They are not.
    #[default]
    Off,
    /// As the server agrees: each message stands for itself.
    Offer,
}

/// How servers are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// As `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in capitals or not.
    #[default]
    FromEnvironment,
    /// Directly.
    None,
    /// Through `CONNECT` at this address: `http://user:password@host:port`.
    Http(String),
}

/// Whether requests are gathered before they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// How long the first may wait for others; zero: what is asked for in one turn leaves together.
    pub delay: Duration,
    /// Bytes that leave without waiting any longer.
    pub bytes: usize,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions {
            delay: Duration::ZERO,
            bytes: 16 << 10,
        }
    }
}

/// Whether batches and pings follow the round trips that are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Adaptive {
    /// They are as the options say.
    #[default]
    Off,
    /// They are, within the options.
    On,
}

/// Options that fit together.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) options: Options,
    pub(crate) endpoints: Vec<Endpoint>,
    /// For each endpoint.
    pub(crate) proxies: Vec<Option<ProxyAddress>>,
}

/// Endpoints of one client.
const ENDPOINTS_MAX: usize = 64;

/// Longest time that may be asked for, which timers can wait for.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);

impl Options {
    pub(crate) fn settle(self, addresses: &[String]) -> Result<Settled, Error> {
        let bad = |what: &'static str| Err(Error::new(ErrorKind::BadOption, what));
        if addresses.is_empty() || addresses.len() > ENDPOINTS_MAX {
            return bad("a client has 1 to 64 addresses");
        }
        let times = [
            self.connect_timeout,
            self.request_timeout,
            self.pong_timeout,
        ];
        let heartbeat = self.heartbeat.into_iter();
        let fits = |time: Duration| time >= Duration::from_millis(1) && time <= TIMEOUT_MAX;
        if !times.into_iter().chain(heartbeat).all(fits) || self.batch.delay > TIMEOUT_MAX {
            return bad("times are 1 ms to 24 h");
        }
        if self.queue.count == 0 || !(1..=IN_FLIGHT_MAX).contains(&self.queue.in_flight) {
            return bad("queue: a count of 1 or more, 1 to 1,024 in flight");
        }
        let is_clean = |text: &str| !text.contains(|c: char| c.is_ascii_control());
        let is_name = |name: &str| {
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            !name.is_empty() && name.chars().all(is_token)
        };
        if !self
            .headers
            .iter()
            .all(|(name, value)| is_name(name) && is_clean(value))
        {
            return bad("headers: a name is a token, a value is one line");
        }
        self.reconnect.check()?;
        self.breaker.check()?;
        self.budget.check()?;
        let endpoints: Result<Vec<Endpoint>, Error> = addresses
            .iter()
            .map(|address| Endpoint::parse(address))
            .collect();
        let endpoints = endpoints?;
        let proxies: Result<Vec<_>, Error> = endpoints
            .iter()
            .map(|endpoint| proxy_of(&self.proxy, endpoint))
            .collect();
        Ok(Settled {
            proxies: proxies?,
            endpoints,
            options: self,
        })
    }
}

fn proxy_of(proxy: &Proxy, endpoint: &Endpoint) -> Result<Option<ProxyAddress>, Error> {
    use crate::address::Security;
    match proxy {
        Proxy::None => Ok(None),
        Proxy::Http(address) => ProxyAddress::parse(address).map(Some),
        Proxy::FromEnvironment => {
            let read = |name: &str| {
                let lower = name.to_ascii_lowercase();
                let value = std::env::var(lower).or_else(|_| std::env::var(name));
                value.ok().filter(|value| !value.is_empty())
            };
            if read("NO_PROXY").is_some_and(|list| is_excepted(&endpoint.host, &list)) {
                return Ok(None);
            }
            let own = match endpoint.security {
                Security::Plain => "HTTP_PROXY",
                Security::Tls => "HTTPS_PROXY",
            };
            let address = read(own).or_else(|| read("ALL_PROXY"));
            address
                .map(|address| ProxyAddress::parse(&address))
                .transpose()
        }
    }
}
