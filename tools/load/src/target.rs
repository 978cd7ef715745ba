//! The server as the command line names it: where it is, what is said to it at the door, and whom
//! it must be certified by. Invariant: all is checked, and certificates could be read. Called by
//! `plan`; workers receive it.

use crate::handshake::{Compression, Handshake, Header};
use crate::tls::{Sessions, Terms, Tls, Trust};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// What is said at the door and whom to trust.
#[derive(Debug, Default, Args)]
pub(crate) struct Door {
    /// Header to send with the upgrade; can be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = Header::parse)]
    headers: Vec<Header>,
    /// Sends `Authorization: Bearer TOKEN` with the upgrade.
    #[arg(long)]
    token: Option<String>,
    /// Subprotocol to offer; can be repeated, the preferred first. The server must choose one of
    /// them.
    #[arg(long = "subprotocol", value_name = "NAME")]
    subprotocols: Vec<String>,
    /// Sends this `Origin` with the upgrade.
    #[arg(long)]
    origin: Option<String>,
    /// PEM file with certificates to trust besides the system's (wss:// only).
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Accepts any certificate (wss:// only).
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// Resumes TLS sessions by tickets of earlier connections, instead of a whole handshake for
    /// each (wss:// only).
    #[arg(long)]
    tls_resume: bool,
    /// The only cipher suite to offer, as TLS13_AES_128_GCM_SHA256 (wss:// only).
    #[arg(long, value_name = "NAME")]
    tls_suite: Option<String>,
    /// Offers permessage-deflate, which the server must accept, and sends messages of 256 bytes and
    /// more compressed.
    #[arg(long)]
    compress: bool,
}

/// A server that can be connected to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) handshake: Handshake,
    /// The name that is asked for and must be certified, and on which terms; `None`: without TLS.
    pub(crate) tls: Option<(String, Terms)>,
}

impl Target {
    /// # Errors
    /// What cannot be reached or said and why, in words.
    pub(crate) fn new(url: &str, door: &Door) -> Result<Target, String> {
        let Place {
            is_secure,
            host,
            path,
            address,
        } = Place::parse(url)?;
        let trust = match (&door.ca, door.insecure) {
            (_, true) => Trust::Anyone,
            (Some(file), false) => Trust::SystemAnd(file.clone()),
            (None, false) => Trust::System,
        };
        let terms = Terms {
            trust,
            sessions: if door.tls_resume {
                Sessions::Resumed
            } else {
                Sessions::New
            },
            suite: door.tls_suite.clone(),
        };
        if !is_secure && terms != Terms::default() {
            return Err(
                "--ca, --insecure, --tls-resume and --tls-suite are about the TLS of a wss:// server"
                    .into(),
            );
        }
        let tls = is_secure.then(|| (bare_name(&host).to_owned(), terms));
        if let Some((name, terms)) = &tls {
            // Workers read it again: what is wrong is said here.
            Tls::new(name, terms)?;
        }
        let compression = if door.compress {
            Compression::Deflate
        } else {
            Compression::None
        };
        Ok(Target {
            address,
            path,
            handshake: Handshake::new(&host, door.headers()?, &door.subprotocols, compression)?,
            tls,
        })
    }
}

impl Door {
    fn headers(&self) -> Result<Vec<Header>, String> {
        let bearer = match &self.token {
            Some(token) if token.is_empty() || token.contains([' ', '\t']) => {
                return Err("--token is one word".into());
            }
            Some(token) => Some(("Authorization", format!("Bearer {token}"))),
            None => None,
        };
        let origin = self.origin.clone().map(|origin| ("Origin", origin));
        let mut headers = self.headers.clone();
        for (name, value) in bearer.into_iter().chain(origin) {
            if headers.iter().any(|header| header.is(name)) {
                return Err(format!(
                    "{name} is there twice: by its own option and by --header"
                ));
            }
            headers.push(Header::new(name, &value)?);
        }
        Ok(headers)
    }
}

/// A URL's parts.
#[derive(Debug)]
struct Place {
    is_secure: bool,
    /// With the port, if it is there.
    host: String,
    path: String,
    address: SocketAddr,
}

impl Place {
    fn parse(url: &str) -> Result<Place, String> {
        let (is_secure, rest) = match url.split_once("://") {
            Some(("ws", rest)) => (false, rest),
            Some(("wss", rest)) => (true, rest),
            _ => return Err("--url begins with ws:// or wss://".into()),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err("--url has a space or a control character".into());
        }
        let full = if has_port(host) {
            host.to_owned()
        } else {
            format!("{host}:{}", if is_secure { 443 } else { 80 })
        };
        let address = full
            .to_socket_addrs()
            .map_err(|error| format!("--url: {host}: {error}"))?
            // Servers usually listen on IPv4 where a name means both.
            .min_by_key(SocketAddr::is_ipv6)
            .ok_or_else(|| format!("--url: {host} has no address"))?;
        Ok(Place {
            is_secure,
            host: host.to_owned(),
            path: path.to_owned(),
            address,
        })
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// Without port and brackets.
fn bare_name(host: &str) -> &str {
    let name = if has_port(host) {
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    } else {
        host
    };
    name.trim_start_matches('[').trim_end_matches(']')
}

/// What stands in the place of a secret.
const SECRET: &str = "***";

/// A command line without what only the server should know: tokens, and the values of headers.
pub(crate) fn without_secrets(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut after = String::new();
    words
        .map(|word| {
            let option = std::mem::take(&mut after);
            match (&*option, word.split_once('=')) {
                ("--token", _) => SECRET.into(),
                ("--header", _) => without_value(&word),
                (_, Some(("--token", _))) => format!("--token={SECRET}"),
                (_, Some(("--header", header))) => format!("--header={}", without_value(header)),
                _ => {
                    after.clone_from(&word);
                    word
                }
            }
        })
        .collect()
}

fn without_value(header: &str) -> String {
    let name = header.split(':').next().unwrap_or_default();
    format!("{name}: {SECRET}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clause 9112-3.2.1-1: no path is "/".
    #[test]
    fn a_url_has_host_path_and_address() {
        for (url, expected) in [
            (
                "ws://127.0.0.1:8000/ws?a=b",
                "127.0.0.1:8000 /ws?a=b 127.0.0.1:8000 -",
            ),
            ("ws://127.0.0.1", "127.0.0.1 / 127.0.0.1:80 -"),
            ("ws://[::1]:9/x", "[::1]:9 /x [::1]:9 -"),
            ("wss://127.0.0.1/x", "127.0.0.1 /x 127.0.0.1:443 127.0.0.1"),
            ("wss://[::1]:9", "[::1]:9 / [::1]:9 ::1"),
        ] {
            let place = Place::parse(url).unwrap();
            let name = if place.is_secure {
                bare_name(&place.host)
            } else {
                "-"
            };
            let (host, path, address) = (&place.host, &place.path, place.address);
            assert_eq!(format!("{host} {path} {address} {name}"), expected, "{url}");
        }
        for url in [
            "ws://127.0.0.1:9/a b",
            "ws://127.0.0.1:9\r\nX: y/",
            "http://127.0.0.1:9",
            "127.0.0.1:9",
        ] {
            assert!(Place::parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn what_cannot_be_said_at_the_door_is_refused() {
        let at = |url: &str, door: &Door| Target::new(url, door).map(|_| ());
        let door = Door::default;
        let twice = vec![Header::parse("authorization: x").unwrap()];
        for (door, words) in [
            (
                Door {
                    token: Some("a b".into()),
                    ..door()
                },
                "--token",
            ),
            (
                Door {
                    token: Some("a\r\nb".into()),
                    ..door()
                },
                "control character",
            ),
            (
                Door {
                    token: Some("a".into()),
                    headers: twice,
                    ..door()
                },
                "twice",
            ),
            (
                Door {
                    origin: Some("a\nb".into()),
                    ..door()
                },
                "control character",
            ),
            (
                Door {
                    subprotocols: vec!["a b".into()],
                    ..door()
                },
                "--subprotocol",
            ),
            (
                Door {
                    insecure: true,
                    ..door()
                },
                "wss://",
            ),
            (
                Door {
                    ca: Some("x".into()),
                    ..door()
                },
                "wss://",
            ),
            (
                Door {
                    tls_resume: true,
                    ..door()
                },
                "wss://",
            ),
        ] {
            let refusal = at("ws://127.0.0.1:9", &door);
            assert!(
                refusal.as_ref().is_err_and(|said| said.contains(words)),
                "{door:?}: {refusal:?}"
            );
        }
    }

    #[test]
    fn what_tls_does_not_have_is_refused() {
        let at = |door: &Door| Target::new("wss://127.0.0.1:9", door).map(|_| ());
        let unknown = Door {
            tls_suite: Some("TLS13_ROT13".into()),
            ..Door::default()
        };
        let refusal = at(&unknown).unwrap_err();
        assert!(refusal.contains("TLS13_AES_128_GCM_SHA256"), "{refusal}");
        let missing = Door {
            ca: Some("no such file".into()),
            ..Door::default()
        };
        let refusal = at(&missing).unwrap_err();
        assert!(refusal.contains("no such file"), "{refusal}");
    }

    #[test]
    fn secrets_are_not_reported() {
        let line = "load echo --token s3 --url u --header Cookie:s3 --token=s3 --header=X:s3 --header X --token";
        let words = without_secrets(line.split(' ').map(str::to_owned));
        let shown = words.join(" ");
        assert_eq!(
            shown,
            "load echo --token *** --url u --header Cookie: *** --token=*** --header=X: *** --header X: *** --token"
        );
    }
}
