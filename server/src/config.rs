//! The configuration: what was given (flags, environment, file) is checked once, at start, into `Settings`, which cannot be wrong.

mod given;
mod key;
mod page;
mod place;
mod problem;
mod rooms;
mod secure;
mod value;

pub(crate) use given::Given;
pub(crate) use page::{default_page, effective_page};
pub(crate) use problem::Problem;
pub(crate) use secure::{Asked, Secure};
pub(crate) use value::LogFormat;

use crate::admission::entrance::EVENTS_PATH;
use crate::namespace::{NameRules, Namespaces};
use given::Source;
use key::{KEYS, Key};
use place::Place;
use rooms::Rooms;
use shardcast_engine::protocol::deflate::Takeover;
use shardcast_engine::{Compression, ListenSource, Listener, Pinning, Tls};
use shardcast_protocol::dialect::{DEPTH_MAX, Rules};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use value::{Shards, show_duration, show_size};

/// A configuration in which every value obeys its rule and all of them fit together. Only [`check`] makes one that is not the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Without the listeners and the number of shards.
    engine: shardcast_engine::Config,
    listen: Place,
    message_bytes_max: usize,
    secure: Secure,
    compression: Compressed,
    /// The default namespace.
    rooms: Rooms,
    /// The others, by name.
    namespaces: BTreeMap<String, Rooms>,
    /// 1 to [`DEPTH_MAX`].
    depth_max: usize,
    shards: Shards,
    admin: SocketAddr,
    drain_timeout: Duration,
    insecure: bool,
    fallback: bool,
    log_level: tracing::Level,
    log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            engine: shardcast_engine::Config::default(),
            listen: Place::Address(SocketAddr::from(([127, 0, 0, 1], 8000))),
            message_bytes_max: Listener::MESSAGE_BYTES_DEFAULT,
            secure: Secure::default(),
            compression: Compressed::default(),
            rooms: Rooms::default(),
            namespaces: BTreeMap::new(),
            depth_max: DEPTH_MAX as usize,
            shards: Shards::Auto,
            admin: SocketAddr::from(([127, 0, 0, 1], 8001)),
            drain_timeout: Duration::from_secs(10),
            insecure: false,
            fallback: true,
            log_level: tracing::Level::INFO,
            log_format: LogFormat::Text,
        }
    }
}

/// permessage-deflate. Its other values stand whether it is enabled or not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Compressed {
    enabled: bool,
    threshold_bytes: usize,
    context_takeover: bool,
    windows_bytes_max: usize,
    ratio_max: usize,
}

impl Default for Compressed {
    fn default() -> Compressed {
        let defaults = Compression::default();
        Compressed {
            enabled: true,
            threshold_bytes: defaults.threshold_bytes,
            context_takeover: defaults.takeover == Takeover::Allowed,
            windows_bytes_max: defaults.windows_bytes_max,
            ratio_max: defaults.ratio_max as usize,
        }
    }
}

impl Compressed {
    /// As the engine has it; the key's range keeps the ratio small.
    fn engine(&self) -> Option<Compression> {
        self.enabled.then(|| Compression {
            threshold_bytes: self.threshold_bytes,
            takeover: if self.context_takeover {
                Takeover::Allowed
            } else {
                Takeover::Never
            },
            windows_bytes_max: self.windows_bytes_max,
            ratio_max: u32::try_from(self.ratio_max).unwrap_or(u32::MAX),
        })
    }
}

impl Settings {
    /// How strictly messages are read.
    pub(crate) fn rules(&self) -> Rules {
        let depth_max = u32::try_from(self.depth_max).ok();
        depth_max.and_then(Rules::new).unwrap_or_default()
    }

    /// What the engine is started with: the plain listener first, then the one with `tls`, those of them that are wanted. `given` has
    /// the sockets that the process was given: called with the key that wants one, and its name.
    ///
    /// # Errors
    /// A socket was not given.
    pub(crate) fn engine<E>(
        &self,
        tls: Option<&Tls>,
        mut given: impl FnMut(&'static str, &str) -> Result<ListenSource, E>,
    ) -> Result<shardcast_engine::Config, E> {
        let mut engine = self.engine.clone();
        engine.shards = self.shards();
        let plain = self.listen.source(|name| given("server.listen", name))?;
        let plain = plain.map(|source| Listener {
            message_bytes_max: self.message_bytes_max,
            ..Listener::of(source)
        });
        let secure = &self.secure.listen;
        let secure = secure.source(|name| given("tls.listen", name))?;
        let secure = secure.map(|source| Listener {
            source,
            tls: tls.cloned(),
            message_bytes_max: self.secure.message_bytes_max.or(self.message_bytes_max),
        });
        engine.listeners = plain.into_iter().chain(secure).collect();
        engine.compression = self.compression.engine();
        engine.event_streams = self.fallback.then(|| EVENTS_PATH.to_owned());
        Ok(engine)
    }

    /// Whether clients may connect at this address although nothing authenticates them.
    pub(crate) fn permits(&self, address: SocketAddr) -> bool {
        self.insecure || address.ip().to_canonical().is_loopback()
    }

    /// Section `[tls]`, if clients connect with TLS.
    pub(crate) fn secure(&self) -> Option<&Secure> {
        Some(&self.secure).filter(|secure| secure.listen.is_somewhere())
    }

    /// What may be done in which rooms.
    pub(crate) fn namespaces(&self) -> Namespaces {
        let bytes_max = self.engine.room_name_bytes_max;
        let named = self.namespaces.iter();
        let named = named.map(|(name, rooms)| (name.as_str(), rooms.namespace(bytes_max)));
        Namespaces::new(self.rooms.namespace(bytes_max), named)
            .expect("the keys' ranges and `Together` are stricter")
    }

    fn shards(&self) -> usize {
        match self.shards {
            Shards::Auto => self.engine.shards,
            Shards::Exactly(count) => count,
        }
    }

    /// Where the admin port listens.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// How long a drain may take.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    /// The least severe event that is logged.
    pub(crate) fn log_level(&self) -> tracing::Level {
        self.log_level
    }

    /// How log lines are written.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format
    }
}

/// Checks what was given, value by value and then together.
///
/// # Errors
/// Everything that is wrong, not only the first. Values are compared with each other only when each obeys its own rule.
pub(crate) fn check(given: &Given) -> Result<Settings, Vec<Problem>> {
    let mut settings = Settings::default();
    let mut problems = given.problems().to_vec();
    let mut read = |key: &Key, settings: &mut Settings, name, (text, source): (&str, &Source)| {
        if key.read(settings, text).is_none() {
            problems.push(Problem::Value {
                key: name,
                text: text.to_owned(),
                source: source.clone(),
                rule: format!("must be {}", key.rule()),
            });
        }
    };
    for key in KEYS {
        if let Some(value) = given.value(key) {
            read(key, &mut settings, key.name.to_owned(), value);
        }
    }
    for name in given.namespaces() {
        let mut own = Rooms::default().into_settings();
        for key in Key::options() {
            if let Some(value) = given.option(name, key) {
                read(key, &mut own, key.option_of(name), value);
            }
        }
        settings.namespaces.insert(name.to_owned(), own.rooms);
    }
    if problems.is_empty() {
        problems = Together {
            settings: &settings,
            given,
        }
        .problems();
    }
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

/// Values that are right alone and have to be right beside each other.
struct Together<'a> {
    settings: &'a Settings,
    given: &'a Given,
}

impl Together<'_> {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.refuse_strangers(&mut problems);
        self.tell_addresses_apart(&mut problems);
        let Settings { engine, secure, .. } = self.settings;
        for (name, rule) in secure.problems() {
            problems.push(self.breaks(name, rule));
        }
        let shards = self.settings.shards();
        if let Pinning::Cores(cores) = &engine.pinning
            && cores.len() < shards
        {
            let rule =
                format!("must name at least one core for each shard (server.shards is {shards})");
            problems.push(self.breaks("server.pin", rule));
        }
        problems.extend(self.small_outbox());
        problems.extend(self.reassembly(shards));
        self.fit_room_names(&mut problems);
        if engine.idle_timeout <= engine.heartbeat {
            let heartbeat = show_duration(engine.heartbeat);
            problems.push(self.breaks("timeouts.idle", format!("must be longer than timeouts.heartbeat ({heartbeat}), or no silent client is ever pinged")));
        }
        problems
    }

    /// The engine takes every name that a namespace takes, and each namespace takes one that bears its prefix.
    fn fit_room_names(&self, problems: &mut Vec<Problem>) {
        let Settings {
            engine,
            rooms,
            namespaces,
            ..
        } = self.settings;
        let engine_max = engine.room_name_bytes_max;
        let too_long = format!("must be at most limits.max_room_name_bytes ({engine_max})");
        if rooms.name_bytes_max.or(engine_max) > engine_max {
            problems.push(self.breaks(rooms::MAX_NAME_BYTES.name, too_long.clone()));
        }
        for (name, rooms) in namespaces {
            let (max, least) = (
                rooms.name_bytes_max.or(engine_max),
                NameRules::bytes_least(name),
            );
            let rule = if max > engine_max {
                too_long.clone()
            } else if max < least {
                format!(
                    "must be at least {least}, for the prefix, the colon and a name (limits.max_room_name_bytes is {engine_max})"
                )
            } else {
                continue;
            };
            let key = &rooms::MAX_NAME_BYTES;
            let source = self
                .given
                .option(name, key)
                .map_or(Source::Default, |(_, source)| source.clone());
            problems.push(Problem::Value {
                key: key.option_of(name),
                text: key.show(&rooms.clone().into_settings()),
                source,
                rule,
            });
        }
    }

    /// Whatever the largest message and the number of shards are, one message fits.
    fn reassembly(&self, shards: usize) -> Option<Problem> {
        let (key, largest) = self.largest_message();
        let least = shards * shardcast_engine::Config::shard_reassembly_bytes_min(largest);
        (self.settings.engine.reassembly_bytes_max < least).then(|| {
            let message = show_size(largest);
            let rule = format!(
                "must be at least {}: for each shard (server.shards is {shards}) 1MiB and twice {key} ({message})",
                show_size(least)
            );
            self.breaks("limits.reassembly_bytes", rule)
        })
    }

    /// Clients are met somewhere, and no address is used twice.
    fn tell_addresses_apart(&self, problems: &mut Vec<Problem>) {
        let Settings {
            listen,
            admin,
            secure,
            ..
        } = self.settings;
        if !listen.is_somewhere() && !secure.listen.is_somewhere() {
            let rule = "must be an address unless tls.listen is one, or nobody can connect";
            problems.push(self.breaks("server.listen", rule.to_owned()));
        }
        let operators = Place::Address(*admin);
        for (name, place) in [("server.listen", listen), ("tls.listen", &secure.listen)] {
            if place.is_same(&operators) {
                let rule = format!("must not be the address where clients connect ({name})");
                problems.push(self.breaks("server.admin", rule));
            }
        }
        if listen.is_same(&secure.listen) {
            let rule = "must not be the address where clients connect without TLS (server.listen)";
            problems.push(self.breaks("tls.listen", rule.to_owned()));
        }
    }

    /// The largest message that any listener takes, and the key that says so.
    fn largest_message(&self) -> (&'static str, usize) {
        let plain = self.settings.message_bytes_max;
        let over_tls = self.settings.secure.message_bytes_max.or(plain);
        if over_tls > plain {
            ("tls.max_message_bytes", over_tls)
        } else {
            ("limits.max_message_bytes", plain)
        }
    }

    /// An outbox takes the largest message that any listener takes.
    fn small_outbox(&self) -> Option<Problem> {
        let (key, largest) = self.largest_message();
        let outbox_bytes_min = largest + OUTBOX_HEADROOM_BYTES;
        (self.settings.engine.outbox_bytes_max < outbox_bytes_min).then(|| {
            let rule = format!(
                "must be at least {}: {key} ({}) and 1KiB more",
                show_size(outbox_bytes_min),
                show_size(largest)
            );
            self.breaks("limits.outbox_bytes", rule)
        })
    }

    /// Nothing authenticates clients or operators yet, so all ports stay on this host unless told otherwise.
    fn refuse_strangers(&self, problems: &mut Vec<Problem>) {
        let Settings {
            listen,
            admin,
            secure,
            ..
        } = self.settings;
        for (name, address, danger) in [
            (
                "server.listen",
                listen.address(),
                "read and publish everything",
            ),
            (
                "tls.listen",
                secure.listen.address(),
                "read and publish everything",
            ),
            (
                "server.admin",
                Some(*admin),
                "watch the server as an operator does",
            ),
        ] {
            let Some(address) = address else { continue };
            if !self.settings.permits(address) {
                let rule = format!(
                    "is reachable from other hosts, and without authentication everyone there could {danger}; use a loopback address such as \
                     127.0.0.1:{}, or pass --insecure (server.insecure = true) where the network itself keeps strangers out",
                    address.port()
                );
                problems.push(self.breaks(name, rule));
            }
        }
    }

    fn breaks(&self, name: &'static str, rule: String) -> Problem {
        let key = Key::find(name).expect("a rule names a known key");
        let source = self
            .given
            .value(key)
            .map_or(Source::Default, |(_, source)| source.clone());
        Problem::Value {
            key: name.to_owned(),
            text: key.show(self.settings),
            source,
            rule,
        }
    }
}

/// What an outbox needs beside the largest message: its header, and control frames (`shardcast_engine::Config::outbox_bytes_max`).
const OUTBOX_HEADROOM_BYTES: usize = 1 << 10;

#[cfg(test)]
mod tests;
