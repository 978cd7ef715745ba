//! What to say to a server and what its messages mean, in the raw protocol or in Shardcast's native JSON.
//! Invariant: a stamp that comes out was found intact. Called by `worker` and the loads.

use crate::message::{Body, Corrupted, Encoding, Kind, STAMP_BYTES, Stamp};
use crate::websocket::{BINARY, TEXT, Template};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// Binary messages: `S` subscribes, `P` and a rest publishes the rest, anything else is echoed.
    Raw,
    /// Shardcast's JSON, version 1.
    Native,
}

impl Protocol {
    /// How bodies travel.
    pub(crate) fn encoding(self) -> Encoding {
        match self {
            Protocol::Raw => Encoding::Binary,
            Protocol::Native => Encoding::Hex,
        }
    }
}

/// The room number that stands for every connection of the server.
pub(crate) const EVERYONE: u32 = u32::MAX;

/// What a server's message meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The answer to an echo or a barrier.
    Echo(Stamp),
    /// A publish arrived.
    Delivery(Stamp),
    /// The server is ready for us (native).
    Welcome,
    /// We are in the room (native).
    Joined,
    /// Of no concern here: acknowledgements, presence.
    Other,
    /// The server refused something, or is going away; its words.
    Refused(String),
    /// Not what was sent.
    Corrupted,
}

/// The words of one protocol, with bodies of one size.
#[derive(Debug)]
pub(crate) struct Dialect {
    protocol: Protocol,
    body: Body,
    echo: Template,
    /// Raw: one. Native: one per room, then one for everyone.
    publish: Vec<Template>,
    /// Place of the body in a publish's payload; in native one per template.
    publish_at: Vec<usize>,
}

impl Dialect {
    /// Publishes to `rooms` rooms will be possible.
    pub(crate) fn new(protocol: Protocol, body: Body, rooms: u32) -> Dialect {
        let blank = body.write(&Stamp {
            kind: Kind::Echo,
            sender: 0,
            room: 0,
            sequence: 0,
            intended_ns: 0,
        });
        match protocol {
            Protocol::Raw => Dialect {
                protocol,
                echo: Template::new(BINARY, &blank),
                publish: vec![Template::new(BINARY, &[b"P", &blank[..]].concat())],
                publish_at: vec![1],
                body,
            },
            Protocol::Native => {
                let echo = [ECHO_HEAD, b"1000000000", ECHO_MIDDLE, &blank, NATIVE_TAIL].concat();
                let heads = (0..rooms)
                    .map(|room| format!(r#"{{"type":"broadcast","room":"r{room}","data":""#))
                    .chain([r#"{"type":"broadcast","data":""#.to_owned()]);
                let (publish, publish_at) = heads
                    .map(|head| {
                        (
                            Template::new(TEXT, &[head.as_bytes(), &blank, NATIVE_TAIL].concat()),
                            head.len(),
                        )
                    })
                    .unzip();
                Dialect {
                    protocol,
                    echo: Template::new(TEXT, &echo),
                    publish,
                    publish_at,
                    body,
                }
            }
        }
    }

    /// Whether the server speaks first.
    pub(crate) fn has_welcome(&self) -> bool {
        self.protocol == Protocol::Native
    }

    /// Appends an echo (or a barrier).
    pub(crate) fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let head = self.body.head(stamp, &mut head);
        match self.protocol {
            Protocol::Raw => self.echo.append(out, &[(0, head)]),
            Protocol::Native => {
                let id = echo_id(stamp.sequence);
                let body_at = ECHO_HEAD.len() + id.len() + ECHO_MIDDLE.len();
                self.echo
                    .append(out, &[(ECHO_HEAD.len(), &id), (body_at, head)]);
            }
        }
    }

    /// Appends a publish to `stamp.room`.
    pub(crate) fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let head = self.body.head(stamp, &mut head);
        let which = match (self.protocol, stamp.room) {
            (Protocol::Raw, _) => 0,
            (Protocol::Native, EVERYONE) => self.publish.len() - 1,
            (Protocol::Native, room) => room as usize,
        };
        self.publish[which].append(out, &[(self.publish_at[which], head)]);
    }

    /// Appends what subscribes a connection; `Incoming::Joined` or the echo of the barrier says that it was taken in.
    pub(crate) fn append_subscribe(&self, out: &mut Vec<u8>, sender: u32, room: u32) {
        match self.protocol {
            Protocol::Raw => {
                Template::new(BINARY, b"S").append(out, &[]);
                let barrier = Stamp {
                    kind: Kind::Barrier,
                    sender,
                    room,
                    sequence: 0,
                    intended_ns: 0,
                };
                self.append_echo(out, &barrier);
            }
            Protocol::Native => {
                let join = format!(r#"{{"type":"join_room","id":1,"room":"r{room}"}}"#);
                Template::new(TEXT, join.as_bytes()).append(out, &[]);
            }
        }
    }

    /// What a data message means.
    pub(crate) fn read(&self, opcode: u8, payload: &[u8]) -> Incoming {
        match (self.protocol, opcode) {
            (Protocol::Raw, BINARY) => stamped(self.body.read(payload)),
            (Protocol::Native, TEXT) => match self.usual_place(payload) {
                Some(body) => {
                    let incoming = stamped(self.body.read(body));
                    match &incoming {
                        Incoming::Echo(stamp) if !answers(payload, stamp) => Incoming::Corrupted,
                        _ => incoming,
                    }
                }
                None => self.read_json(payload),
            },
            _ => Incoming::Corrupted,
        }
    }

    /// The body, where servers usually put it: at the end. Only a fast way: `read_json` takes any order of fields.
    fn usual_place<'b>(&self, payload: &'b [u8]) -> Option<&'b [u8]> {
        let usual = payload.starts_with(MESSAGE_HEAD) || payload.starts_with(ECHO_HEAD);
        let end = payload.len().checked_sub(NATIVE_TAIL.len())?;
        let start = end.checked_sub(self.body.bytes())?;
        let framed = payload[..start].ends_with(ECHO_MIDDLE) && payload[end..] == *NATIVE_TAIL;
        (usual && framed).then(|| &payload[start..end])
    }

    fn read_json(&self, payload: &[u8]) -> Incoming {
        let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(payload) else {
            return Incoming::Corrupted;
        };
        match &*envelope.kind {
            "welcome" => Incoming::Welcome,
            "joined" => Incoming::Joined,
            "error" | "closing" => Incoming::Refused(String::from_utf8_lossy(payload).into_owned()),
            "echo" | "message" => match envelope.data {
                Some(data) => stamped(self.body.read(data.as_bytes())),
                None => Incoming::Corrupted,
            },
            _ => Incoming::Other,
        }
    }
}

const ECHO_HEAD: &[u8] = br#"{"type":"echo","id":"#;
const ECHO_MIDDLE: &[u8] = br#","data":""#;
const MESSAGE_HEAD: &[u8] = br#"{"type":"message","#;
const NATIVE_TAIL: &[u8] = br#""}"#;

#[derive(Deserialize)]
struct Envelope<'b> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'b, str>,
    #[serde(borrow)]
    data: Option<Cow<'b, str>>,
}

/// Ten digits, so that a template can be patched.
fn echo_id(sequence: u64) -> [u8; 10] {
    let mut rest = sequence % 1_000_000_000;
    let mut digits = *b"1000000000";
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

fn answers(payload: &[u8], stamp: &Stamp) -> bool {
    payload[ECHO_HEAD.len()..].starts_with(&echo_id(stamp.sequence))
}

fn stamped(body: Result<Stamp, Corrupted>) -> Incoming {
    match body {
        Ok(stamp) => match stamp.kind {
            Kind::Echo | Kind::Barrier => Incoming::Echo(stamp),
            Kind::Publish | Kind::Probe => Incoming::Delivery(stamp),
        },
        Err(Corrupted) => Incoming::Corrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::next_frame;

    const STAMP: Stamp = Stamp {
        kind: Kind::Publish,
        sender: 1,
        room: 2,
        sequence: 41,
        intended_ns: 99,
    };

    fn dialect(protocol: Protocol) -> Dialect {
        Dialect::new(protocol, Body::new(protocol.encoding(), 0x77_00, 64), 3)
    }

    /// The payload of the only frame in `out`, unmasked.
    fn sent(mut out: Vec<u8>) -> String {
        let key: Vec<u8> = if out[1] == 0x80 | 126 {
            out.drain(4..8).collect()
        } else {
            out.drain(2..6).collect()
        };
        out[1] &= 0x7f;
        let payload = next_frame(&out, 1 << 20).unwrap().unwrap().payload;
        assert_eq!(payload.end, out.len());
        out[payload]
            .iter()
            .enumerate()
            .map(|(i, byte)| char::from(byte ^ key[i % 4]))
            .collect()
    }

    #[test]
    fn native_words_are_as_documented() {
        let dialect = dialect(Protocol::Native);
        let data = String::from_utf8(dialect.body.write(&STAMP)).unwrap();
        let mut out = Vec::new();
        dialect.append_publish(&mut out, &STAMP);
        assert_eq!(
            sent(out),
            format!(r#"{{"type":"broadcast","room":"r2","data":"{data}"}}"#)
        );
        let everyone = Stamp {
            room: EVERYONE,
            ..STAMP
        };
        let mut out = Vec::new();
        dialect.append_publish(&mut out, &everyone);
        let data = String::from_utf8(dialect.body.write(&everyone)).unwrap();
        assert_eq!(
            sent(out),
            format!(r#"{{"type":"broadcast","data":"{data}"}}"#)
        );
        let echo = Stamp {
            kind: Kind::Echo,
            ..STAMP
        };
        let mut out = Vec::new();
        dialect.append_echo(&mut out, &echo);
        let data = String::from_utf8(dialect.body.write(&echo)).unwrap();
        assert_eq!(
            sent(out),
            format!(r#"{{"type":"echo","id":1000000041,"data":"{data}"}}"#)
        );
        let mut out = Vec::new();
        dialect.append_subscribe(&mut out, 0, 1);
        assert_eq!(sent(out), r#"{"type":"join_room","id":1,"room":"r1"}"#);
    }

    #[test]
    fn native_answers_are_understood_in_any_order_of_fields() {
        let dialect = dialect(Protocol::Native);
        let echo = Stamp {
            kind: Kind::Echo,
            ..STAMP
        };
        let data = String::from_utf8(dialect.body.write(&STAMP)).unwrap();
        let echoed = String::from_utf8(dialect.body.write(&echo)).unwrap();
        for (text, expected) in [
            (
                format!(r#"{{"type":"message","room":"r2","from":"x","data":"{data}"}}"#),
                Incoming::Delivery(STAMP),
            ),
            (
                format!(r#"{{"data":"{data}", "type":"message"}}"#),
                Incoming::Delivery(STAMP),
            ),
            (
                format!(r#"{{"type":"echo","id":1000000041,"data":"{echoed}"}}"#),
                Incoming::Echo(echo),
            ),
            (
                format!(r#"{{"type":"echo","id":1000000042,"data":"{echoed}"}}"#),
                Incoming::Corrupted,
            ),
            (
                r#"{"type":"welcome","connection":"1-1"}"#.into(),
                Incoming::Welcome,
            ),
            (
                r#"{"type":"joined","id":1,"room":"r1","members":1}"#.into(),
                Incoming::Joined,
            ),
            (r#"{"type":"ack","id":1}"#.into(), Incoming::Other),
            (
                r#"{"type":"message","room":"r2"}"#.into(),
                Incoming::Corrupted,
            ),
            (r#"{"type":"err"#.into(), Incoming::Corrupted),
        ] {
            assert_eq!(dialect.read(TEXT, text.as_bytes()), expected, "{text}");
        }
        let error = br#"{"type":"error","id":1,"code":"room_limit","message":"full"}"#;
        assert!(
            matches!(dialect.read(TEXT, error), Incoming::Refused(words) if words.contains("room_limit"))
        );
        assert_eq!(dialect.read(BINARY, data.as_bytes()), Incoming::Corrupted);
    }

    #[test]
    fn raw_words_are_as_documented() {
        let dialect = dialect(Protocol::Raw);
        let mut out = Vec::new();
        dialect.append_publish(&mut out, &STAMP);
        let payload: Vec<u8> = sent(out).chars().map(|c| c as u8).collect();
        assert_eq!(payload[0], b'P');
        assert_eq!(
            dialect.read(BINARY, &payload[1..]),
            Incoming::Delivery(STAMP)
        );
        assert_eq!(dialect.read(BINARY, &payload), Incoming::Corrupted);
    }
}
