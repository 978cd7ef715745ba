//! The values of section `[gateway]`: where the application is that decides, and what. Nothing is
//! opened here.

use super::auth::MaterialSettings;
use super::value::ConfigValue;
use super::word::{FilePath, Word};
use crate::gateway::live::WhenDown;
use crate::gateway::options::{EventKind, EventSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Section `[gateway]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewaySettings {
    pub(crate) url: Word,
    pub(crate) socket: SocketPlace,
    pub(crate) secret: MaterialSettings,
    pub(crate) authorities: FilePath,
    pub(crate) events: EventSet,
    pub(crate) when_down: WhenDown,
    pub(crate) timeout: Duration,
    pub(crate) in_flight: usize,
    pub(crate) queue: usize,
    pub(crate) retries: usize,
    pub(crate) batch: usize,
    pub(crate) dead_letters: FilePath,
    pub(crate) dead_letter_bytes: usize,
}

impl Default for GatewaySettings {
    fn default() -> GatewaySettings {
        GatewaySettings {
            url: Word::default(),
            socket: SocketPlace::None,
            secret: MaterialSettings::default(),
            authorities: FilePath::default(),
            events: EventSet::default(),
            when_down: WhenDown::Closed,
            timeout: Duration::from_secs(3),
            in_flight: 256,
            queue: 4_096,
            retries: 2,
            batch: 100,
            dead_letters: FilePath::default(),
            dead_letter_bytes: 64 << 20,
        }
    }
}

impl GatewaySettings {
    /// These values with what of the others is exchanged while the server runs: for the same
    /// backend.
    pub(super) fn with_what_is_exchanged(&self, others: &GatewaySettings) -> GatewaySettings {
        GatewaySettings {
            secret: others.secret.clone(),
            authorities: others.authorities.clone(),
            when_down: others.when_down,
            retries: others.retries,
            ..self.clone()
        }
    }

    /// Whether both are of one backend, if of one at all.
    pub(crate) fn has_backend_of(&self, other: &GatewaySettings) -> bool {
        self.url == other.url && self.socket == other.socket
    }

    /// What does not fit together, as key and rule.
    pub(super) fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        if self.url.0.is_some() && self.socket != SocketPlace::None {
            let rule = "must be none where gateway.url names the application";
            problems.push(("gateway.socket", rule));
        }
        let secret = &self.secret;
        if secret.secret_file.0.is_some() && secret.secret_variable.0.0.is_some() {
            let rule = "must be none where gateway.secret_file names a file";
            problems.push(("gateway.secret_env", rule));
        }
        if self.authorities.0.is_some() && self.url.0.is_none() {
            let rule = "must be none without gateway.url: a socket speaks no TLS";
            problems.push(("gateway.authorities", rule));
        }
        problems
    }
}

/// Where the application listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketPlace {
    None,
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl ConfigValue for SocketPlace {
    fn read(&mut self, text: &str) -> Option<()> {
        /// Of `sockaddr_un` (`unix(7)`): 108 with the zero behind it.
        const PATH_BYTES_MAX: usize = 107;
        *self = match text.strip_prefix("unix:") {
            Some(path) if !(1..=PATH_BYTES_MAX).contains(&path.len()) => return None,
            Some(path) => {
                let mut file = FilePath::default();
                file.read(path)?;
                SocketPlace::Unix(file.0?)
            }
            None if text == "none" => SocketPlace::None,
            None => SocketPlace::Tcp(text.parse().ok()?),
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            SocketPlace::None => "none".to_owned(),
            SocketPlace::Unix(path) => format!("unix:{}", path.display()),
            SocketPlace::Tcp(address) => address.to_string(),
        }
    }
}

impl ConfigValue for EventSet {
    fn read(&mut self, text: &str) -> Option<()> {
        let mut kinds = Vec::new();
        for name in text.split(',') {
            let kind = EventKind::from_name(name.trim())?;
            if kinds.contains(&kind) {
                return None;
            }
            kinds.push(kind);
        }
        *self = EventSet::of(kinds);
        Some(())
    }

    fn show(&self) -> String {
        let names: Vec<&str> = self.kinds().map(EventKind::as_str).collect();
        names.join(",")
    }
}

impl ConfigValue for WhenDown {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "open" => WhenDown::Open,
            "closed" => WhenDown::Closed,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            WhenDown::Open => "open".to_owned(),
            WhenDown::Closed => "closed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_events_are_read_and_shown_alike() {
        let longest = format!("unix:/{}", "x".repeat(106));
        let longer = format!("{longest}x");
        for (text, fits) in [
            ("none", true),
            ("unix:/run/app.sock", true),
            (&longest, true),
            (&longer, false),
            ("unix:", false),
            ("unix:none", false),
            ("127.0.0.1:9000", true),
            ("[::1]:9000", true),
            ("localhost:9000", false),
            ("", false),
        ] {
            let mut place = SocketPlace::None;
            assert_eq!(place.read(text).is_some(), fits, "{text}");
            assert!(!fits || place.show() == text, "{text}");
        }
        for (text, shown) in [
            ("connect", Some("connect")),
            ("rpc, connect", Some("connect,rpc")),
            ("rpc,rpc", None),
            ("", None),
            ("all", None),
        ] {
            let mut events = EventSet::default();
            let read = events.read(text).map(|()| events.show());
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }
}
