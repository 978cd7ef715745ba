//! The Pusher protocol, as sockudo serves it: private channels, in which subscribers publish by
//! `client-` events. Invariant: a publisher has joined every room before it is in use. Called
//! through `Speech`.

use super::{Incoming, Role, Speech, blank, stamped};
use crate::message::{Body, STAMP_BYTES, Stamp};
use crate::websocket::{TEXT, Template};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;
use std::borrow::Cow;
use std::fmt::Write;

/// Channels `private-r0`, `private-r1`, … for rooms, `private-e0000000000`, … for what comes back
/// to its sender.
#[derive(Debug)]
pub(super) struct Pusher {
    path: String,
    /// Of the application; the path names it.
    key: String,
    body: Body,
    echo: Template,
    /// By room.
    publish: Vec<Template>,
    /// By room.
    publish_at: Vec<usize>,
    connections: Vec<PusherConnection>,
}

#[derive(Clone, Debug)]
struct PusherConnection {
    role: Role,
    step: PusherStep,
    /// As the server named it; what authorizes a subscription depends on it.
    socket_id: String,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PusherStep {
    /// `connection_established` is awaited.
    Opening,
    /// So many subscriptions that its role needs are not answered.
    Subscribing(u32),
    Ready,
}

const DEFAULT_PATH: &str = "/app/app-key?protocol=7&client=js&version=8.3.0";
/// sockudo's application for trials, in its own documentation.
const SECRET: &[u8] = b"app-secret";
const ECHO_HEAD: &[u8] = br#"{"event":"client-m","channel":"private-e"#;
const BODY_HEAD: &str = r#"","data":""#;
const TAIL: &[u8] = br#""}"#;

impl Pusher {
    pub(super) fn new(body: Body, rooms: u32, path: &str) -> Pusher {
        let path = if path == "/" { DEFAULT_PATH } else { path };
        let key = path.strip_prefix("/app/").unwrap_or_default();
        let blank = blank(&body);
        let event = |channel: String| {
            let head = format!(r#"{{"event":"client-m","channel":"{channel}{BODY_HEAD}"#);
            let whole = [head.as_bytes(), &blank, TAIL].concat();
            (Template::new(TEXT, &whole), head.len())
        };
        let (publish, publish_at) = (0..rooms).map(|room| event(room_channel(room))).unzip();
        Pusher {
            key: key.split(['?', '/']).next().unwrap_or_default().to_owned(),
            path: path.to_owned(),
            echo: event(echo_channel(0)).0,
            publish,
            publish_at,
            connections: Vec::new(),
            body,
        }
    }

    fn append_channel(&self, out: &mut Vec<u8>, index: usize, channel: &str) {
        let connection = &self.connections[index];
        let mut signature = Hmac::<Sha256>::new_from_slice(SECRET).expect("HMAC takes any key");
        signature.update(format!("{}:{channel}", connection.socket_id).as_bytes());
        let mut auth = format!("{}:", self.key);
        for byte in signature.finalize().into_bytes() {
            write!(auth, "{byte:02x}").expect("a String takes everything");
        }
        let prefix = connection.role.prefix();
        let subscribe = format!(
            r#"{{"event":"{prefix}:subscribe","data":{{"auth":"{auth}","channel":"{channel}"}}}}"#
        );
        Template::new(TEXT, subscribe.as_bytes()).append(out, &[]);
    }

    /// The server named the connection: what its role needs is asked for.
    fn established(
        &mut self,
        index: usize,
        socket_id: String,
        out: &mut Vec<u8>,
    ) -> Option<Incoming> {
        let connection = &mut self.connections[index];
        connection.socket_id = socket_id;
        let channels: Vec<String> = match connection.role {
            Role::Echoer { number } => vec![echo_channel(number)],
            Role::Publisher => (0..self.publish.len() as u32).map(room_channel).collect(),
            Role::Subscriber { .. } => Vec::new(),
        };
        connection.step = match channels.len() {
            0 => PusherStep::Ready,
            count => PusherStep::Subscribing(count as u32),
        };
        for channel in &channels {
            self.append_channel(out, index, channel);
        }
        channels.is_empty().then_some(Incoming::Welcome)
    }

    fn subscribed(&mut self, index: usize) -> Option<Incoming> {
        let step = &mut self.connections[index].step;
        match *step {
            PusherStep::Opening => Some(Incoming::Corrupted),
            PusherStep::Subscribing(1) => {
                *step = PusherStep::Ready;
                Some(Incoming::Welcome)
            }
            PusherStep::Subscribing(count) => {
                *step = PusherStep::Subscribing(count - 1);
                None
            }
            PusherStep::Ready => Some(Incoming::Joined),
        }
    }

    fn message(&self, index: usize, data: Option<&RawValue>) -> Incoming {
        let quoted = data.map(RawValue::get).unwrap_or_default();
        let body = quoted
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let incoming = stamped(self.body.read(body.unwrap_or_default().as_bytes()));
        match (self.connections[index].role, incoming) {
            // It had to subscribe in order to publish, and hears the others.
            (Role::Publisher, Incoming::Delivery(_)) => Incoming::Other,
            (_, incoming) => incoming,
        }
    }
}

impl Role {
    /// Only sockudo's own dialect of the protocol sends a client's events back to it.
    fn prefix(self) -> &'static str {
        match self {
            Role::Echoer { .. } => "sockudo",
            Role::Subscriber { .. } | Role::Publisher => "pusher",
        }
    }
}

impl Speech for Pusher {
    fn path(&self, role: Role) -> String {
        match role {
            Role::Echoer { .. } => format!("/app/{}?protocol=2&echo_messages=true", self.key),
            Role::Subscriber { .. } | Role::Publisher => self.path.clone(),
        }
    }

    fn begin(&mut self, index: usize, role: Role) {
        let connection = PusherConnection {
            role,
            step: PusherStep::Opening,
            socket_id: String::new(),
        };
        if self.connections.len() <= index {
            self.connections.resize(index + 1, connection.clone());
        }
        self.connections[index] = connection;
    }

    fn has_welcome(&self) -> bool {
        true
    }

    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let head = self.body.head(stamp, &mut head);
        let digits = format!("{:010}", stamp.sender);
        let body_at = ECHO_HEAD.len() + digits.len() + BODY_HEAD.len();
        let patches = [(ECHO_HEAD.len(), digits.as_bytes()), (body_at, head)];
        self.echo.append(out, &patches);
    }

    fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let room = stamp.room as usize;
        let head = self.body.head(stamp, &mut head);
        self.publish[room].append(out, &[(self.publish_at[room], head)]);
    }

    fn append_subscribe(&self, out: &mut Vec<u8>, index: usize, _: u32, room: u32) {
        self.append_channel(out, index, &room_channel(room));
    }

    fn read(
        &mut self,
        index: usize,
        opcode: u8,
        rest: &mut Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, String> {
        let Some(payload) = rest.take() else {
            return Ok(None);
        };
        let envelope = match serde_json::from_slice::<PusherEnvelope<'_>>(payload) {
            Ok(envelope) if opcode == TEXT => envelope,
            _ => return Ok(Some(Incoming::Corrupted)),
        };
        if envelope.event == "client-m" {
            return Ok(Some(self.message(index, envelope.data)));
        }
        let prefix = self.connections[index].role.prefix();
        let event = envelope.event.strip_prefix(prefix).unwrap_or_default();
        Ok(match event {
            ":connection_established" => match socket_id(envelope.data) {
                Some(socket_id) => self.established(index, socket_id, out),
                None => Some(Incoming::Corrupted),
            },
            "_internal:subscription_succeeded" => self.subscribed(index),
            ":ping" => {
                let pong = format!(r#"{{"event":"{prefix}:pong","data":{{}}}}"#);
                Template::new(TEXT, pong.as_bytes()).append(out, &[]);
                None
            }
            ":error" | ":subscription_error" => {
                let words = String::from_utf8_lossy(payload).into_owned();
                Some(Incoming::Refused(words))
            }
            _ => Some(Incoming::Other),
        })
    }
}

#[derive(Deserialize)]
struct PusherEnvelope<'b> {
    #[serde(borrow)]
    event: Cow<'b, str>,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
}

/// Of `connection_established`, whose data is JSON in a string of JSON.
fn socket_id(data: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Established {
        socket_id: String,
    }
    let text: String = serde_json::from_str(data?.get()).ok()?;
    let established: Established = serde_json::from_str(&text).ok()?;
    Some(established.socket_id)
}

fn room_channel(room: u32) -> String {
    format!("private-r{room}")
}

/// Always of one length, so that a template can be patched.
fn echo_channel(number: u32) -> String {
    format!("private-e{number:010}")
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::message::Encoding;
    use crate::websocket::BINARY;

    fn pusher(role: Role) -> Pusher {
        let mut pusher = Pusher::new(body(Encoding::Hex), 3, "/");
        pusher.begin(0, role);
        pusher
    }

    fn data(stamp: &Stamp) -> String {
        String::from_utf8(body(Encoding::Hex).write(stamp)).unwrap()
    }

    fn established(prefix: &str) -> String {
        format!(
            r#"{{"event":"{prefix}:connection_established","data":"{{\"socket_id\":\"1234.5678\",\"activity_timeout\":120}}"}}"#
        )
    }

    fn succeeded(prefix: &str) -> String {
        format!(
            r#"{{"event":"{prefix}_internal:subscription_succeeded","channel":"private-x","data":"{{}}"}}"#
        )
    }

    /// What `text` means, and the answers to it.
    fn hear(pusher: &mut Pusher, text: &str) -> (Vec<Incoming>, Vec<String>) {
        let mut out = Vec::new();
        let all = heard(pusher, 0, TEXT, text.as_bytes(), &mut out).unwrap();
        let answers = sent(|o| o.append(&mut out));
        (all, answers.into_iter().map(|(_, text)| text).collect())
    }

    #[test]
    fn events_are_as_pusher_writes_them() {
        let mut pusher = pusher(Role::Subscriber { room: 0 });
        let welcome = hear(&mut pusher, &established("pusher"));
        assert_eq!(welcome, (vec![Incoming::Welcome], vec![]));
        let echo = Stamp { sender: 17, ..ECHO };
        for (frames, expected) in [
            (
                sent(|out| pusher.append_publish(out, &STAMP)),
                format!(
                    r#"{{"event":"client-m","channel":"private-r2","data":"{}"}}"#,
                    data(&STAMP)
                ),
            ),
            (
                sent(|out| pusher.append_echo(out, &echo)),
                format!(
                    r#"{{"event":"client-m","channel":"private-e0000000017","data":"{}"}}"#,
                    data(&echo)
                ),
            ),
            (
                sent(|out| pusher.append_subscribe(out, 0, 0, 1)),
                format!(
                    r#"{{"event":"pusher:subscribe","data":{{"auth":"app-key:{SIGNATURE}","channel":"private-r1"}}}}"#
                ),
            ),
        ] {
            assert_eq!(frames, [(TEXT, expected)]);
        }
    }

    /// `printf 1234.5678:private-r1 | openssl dgst -sha256 -hmac app-secret`
    const SIGNATURE: &str = "a33615a98226bda85492dfd7bd96ebae8b6795b12524031ce62e299244897a89";

    #[test]
    fn the_path_names_the_application_and_the_dialect() {
        for (url, key, path) in [
            ("/", "app-key", DEFAULT_PATH),
            ("/app/mine?protocol=7", "mine", "/app/mine?protocol=7"),
        ] {
            let pusher = Pusher::new(body(Encoding::Hex), 0, url);
            assert_eq!(pusher.path(Role::Publisher), path);
            assert_eq!(
                pusher.path(Role::Echoer { number: 1 }),
                format!("/app/{key}?protocol=2&echo_messages=true")
            );
        }
    }

    #[test]
    fn a_role_subscribes_to_what_it_needs_before_it_is_in_use() {
        for (role, prefix, channels) in [
            (
                Role::Publisher,
                "pusher",
                &["private-r0", "private-r1", "private-r2"][..],
            ),
            (
                Role::Echoer { number: 17 },
                "sockudo",
                &["private-e0000000017"],
            ),
        ] {
            let mut pusher = pusher(role);
            for _ in 0..2 {
                pusher.begin(0, role);
                let (none, subscriptions) = hear(&mut pusher, &established(prefix));
                assert_eq!((none, subscriptions.len()), (vec![], channels.len()));
                for (subscription, channel) in subscriptions.iter().zip(channels) {
                    assert!(subscription.starts_with(&format!(
                        r#"{{"event":"{prefix}:subscribe","data":{{"auth":"app-key:"#
                    )));
                    assert!(subscription.ends_with(&format!(r#","channel":"{channel}"}}}}"#)));
                }
                for _ in 1..channels.len() {
                    let part = hear(&mut pusher, &succeeded(prefix));
                    assert_eq!(part, (vec![], vec![]));
                }
                let welcome = hear(&mut pusher, &succeeded(prefix));
                assert_eq!(welcome, (vec![Incoming::Welcome], vec![]));
            }
        }
    }

    #[test]
    fn what_comes_is_understood() {
        let mut pusher = pusher(Role::Subscriber { room: 2 });
        let one = |pusher: &mut Pusher, text: &str| meaning(pusher, TEXT, text.as_bytes());
        assert_eq!(one(&mut pusher, &succeeded("pusher")), Incoming::Corrupted);
        hear(&mut pusher, &established("pusher"));
        let delivery = format!(
            r#"{{"event":"client-m","channel":"private-r2","data":"{}"}}"#,
            data(&STAMP)
        );
        for (text, expected) in [
            (delivery.clone(), Incoming::Delivery(STAMP)),
            (
                format!(
                    r#"{{"data": "{}", "user_id":"u", "event":"client-m"}}"#,
                    data(&ECHO)
                ),
                Incoming::Echo(ECHO),
            ),
            (succeeded("pusher"), Incoming::Joined),
            (r#"{"event":"pusher:cache_miss"}"#.into(), Incoming::Other),
            (r#"{"event":"client-m"}"#.into(), Incoming::Corrupted),
            (
                r#"{"event":"client-m","data":{}}"#.into(),
                Incoming::Corrupted,
            ),
            (
                r#"{"event":"pusher:connection_established","data":"{}"}"#.into(),
                Incoming::Corrupted,
            ),
            (r#"{"event":"clie"#.into(), Incoming::Corrupted),
        ] {
            assert_eq!(one(&mut pusher, &text), expected, "{text}");
        }
        assert_eq!(
            meaning(&mut pusher, BINARY, delivery.as_bytes()),
            Incoming::Corrupted
        );
        let refusal = r#"{"event":"pusher:error","data":{"code":4004,"message":"over quota"}}"#;
        assert_eq!(
            one(&mut pusher, refusal),
            Incoming::Refused(refusal.to_owned())
        );
        let pong = hear(&mut pusher, r#"{"event":"pusher:ping","data":{}}"#);
        assert_eq!(
            pong,
            (vec![], vec![r#"{"event":"pusher:pong","data":{}}"#.into()])
        );
        pusher.begin(0, Role::Publisher);
        assert_eq!(
            one(&mut pusher, &delivery),
            Incoming::Other,
            "a publisher hears the others"
        );
    }
}
