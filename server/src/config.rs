//! The configuration: what was given (flags, environment, file) is checked once, at start, into `Settings`, which cannot be wrong.

mod given;
mod key;
mod page;
mod problem;
mod value;

pub(crate) use given::Given;
pub(crate) use page::{default_page, effective_page};
pub(crate) use problem::Problem;
pub(crate) use value::LogFormat;

use given::Source;
use key::{KEYS, Key};
use shardcast_engine::{Listener, Pinning};
use std::net::SocketAddr;
use std::time::Duration;
use value::{Shards, show_duration, show_size};

/// A configuration in which every value obeys its rule and all of them fit together. Only [`check`] makes one that is not the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Without the listeners and the number of shards.
    engine: shardcast_engine::Config,
    listen: SocketAddr,
    message_bytes_max: usize,
    shards: Shards,
    admin: SocketAddr,
    drain_timeout: Duration,
    insecure: bool,
    log_level: tracing::Level,
    log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            engine: shardcast_engine::Config::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            message_bytes_max: Listener::MESSAGE_BYTES_DEFAULT,
            shards: Shards::Auto,
            admin: SocketAddr::from(([127, 0, 0, 1], 8001)),
            drain_timeout: Duration::from_secs(10),
            insecure: false,
            log_level: tracing::Level::INFO,
            log_format: LogFormat::Text,
        }
    }
}

impl Settings {
    /// What the engine is started with.
    pub(crate) fn engine(&self) -> shardcast_engine::Config {
        let mut engine = self.engine.clone();
        engine.listeners = vec![Listener {
            message_bytes_max: self.message_bytes_max,
            ..Listener::plain(self.listen)
        }];
        if let Shards::Exactly(count) = self.shards {
            engine.shards = count;
        }
        engine
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
    for key in KEYS {
        let Some((text, source)) = given.value(key) else {
            continue;
        };
        if key.read(&mut settings, text).is_none() {
            problems.push(Problem::Value {
                key: key.name,
                text: text.to_owned(),
                source: source.clone(),
                rule: format!("must be {}", key.rule()),
            });
        }
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
        let Settings {
            engine,
            listen,
            admin,
            message_bytes_max,
            ..
        } = self.settings;
        if listen == admin && admin.port() != 0 {
            problems.push(self.breaks(
                "server.admin",
                "must not be the address where clients connect (server.listen)".to_owned(),
            ));
        }
        let shards = self.settings.engine().shards;
        if let Pinning::Cores(cores) = &engine.pinning
            && cores.len() < shards
        {
            let rule =
                format!("must name at least one core for each shard (server.shards is {shards})");
            problems.push(self.breaks("server.pin", rule));
        }
        let outbox_bytes_min = message_bytes_max + OUTBOX_HEADROOM_BYTES;
        if engine.outbox_bytes_max < outbox_bytes_min {
            let message = show_size(*message_bytes_max);
            let rule = format!(
                "must be at least {}: limits.max_message_bytes ({message}) and 1KiB more",
                show_size(outbox_bytes_min)
            );
            problems.push(self.breaks("limits.outbox_bytes", rule));
        }
        problems.extend(self.reassembly(shards));
        if engine.idle_timeout <= engine.heartbeat {
            let heartbeat = show_duration(engine.heartbeat);
            problems.push(self.breaks("timeouts.idle", format!("must be longer than timeouts.heartbeat ({heartbeat}), or no silent client is ever pinged")));
        }
        problems
    }

    /// Whatever the largest message and the number of shards are, one message fits.
    fn reassembly(&self, shards: usize) -> Option<Problem> {
        let Settings {
            engine,
            message_bytes_max,
            ..
        } = self.settings;
        let least =
            shards * shardcast_engine::Config::shard_reassembly_bytes_min(*message_bytes_max);
        (engine.reassembly_bytes_max < least).then(|| {
            let message = show_size(*message_bytes_max);
            let rule = format!(
                "must be at least {}: for each shard (server.shards is {shards}) 1MiB and twice limits.max_message_bytes ({message})",
                show_size(least)
            );
            self.breaks("limits.reassembly_bytes", rule)
        })
    }

    /// Nothing authenticates clients or operators yet, so both ports stay on this host unless told otherwise.
    fn refuse_strangers(&self, problems: &mut Vec<Problem>) {
        let Settings {
            listen,
            admin,
            insecure,
            ..
        } = self.settings;
        for (name, address, danger) in [
            ("server.listen", *listen, "read and publish everything"),
            (
                "server.admin",
                *admin,
                "watch the server as an operator does",
            ),
        ] {
            if !insecure && !address.ip().to_canonical().is_loopback() {
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
            key: name,
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
