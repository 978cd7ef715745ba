//! The Centrifuge client protocol, version 2, as lines of JSON or in Protobuf. An echo is what a
//! connection publishes to a channel of its own. Invariant: a connection is in use once its first
//! commands are answered. Called through `Speech`.

use super::{Incoming, Role, Speech, blank, stamped};
use crate::message::{Body, STAMP_BYTES, Stamp};
use crate::websocket::{BINARY, TEXT, Template};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Rooms `r0`, `r1`, …; channels `e0000000000`, … of those that echo.
#[derive(Debug)]
pub(super) struct Centrifuge {
    path: String,
    notation: CentrifugeNotation,
    body: Body,
    echo: Message,
    publish: Vec<Message>,
    /// By connection: the number of those that echo, while they are not in their channel.
    awaited: Vec<Awaited>,
}

/// How commands and replies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CentrifugeNotation {
    Json,
    Protobuf,
}

/// A publish with the places of its channel and its body.
#[derive(Debug)]
struct Message {
    template: Template,
    channel_at: usize,
    body_at: usize,
}

/// The reply that a connection is in use from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Awaited {
    #[default]
    Connect,
    OwnChannel,
    Nothing,
}

const CONNECT: u32 = 1;
const SUBSCRIBE_OWN: u32 = 2;
const SUBSCRIBE: u32 = 3;
const PUBLISH: u32 = 4;

const DEFAULT_PATH: &str = "/connection/websocket";
const PROTOBUF_PATH: &str = "/connection/websocket?format=protobuf";
/// Where the number of a channel of one's own stands in its name.
const OWN: &str = "e";

/// What a server's message says.
#[derive(Debug, PartialEq, Eq)]
enum Said<'m> {
    Ping,
    /// A command was answered: its number.
    Reply(u32),
    Refused(String),
    /// The data of a publication, as it stands there.
    Publication(&'m [u8]),
    Other,
}

impl Centrifuge {
    pub(super) fn new(
        notation: CentrifugeNotation,
        body: Body,
        rooms: u32,
        path: &str,
    ) -> Centrifuge {
        let default = match notation {
            CentrifugeNotation::Json => DEFAULT_PATH,
            CentrifugeNotation::Protobuf => PROTOBUF_PATH,
        };
        let blank = blank(&body);
        let message = |channel: &str| notation.publish(channel, &blank);
        Centrifuge {
            path: if path == "/" { default } else { path }.to_owned(),
            notation,
            echo: message(&format!("{OWN}{:010}", 0)),
            publish: (0..rooms)
                .map(|room| message(&format!("r{room}")))
                .collect(),
            body,
            awaited: Vec::new(),
        }
    }

    fn meaning(&mut self, index: usize, payload: &[u8], out: &mut Vec<u8>) -> Incoming {
        let said = match self.notation {
            CentrifugeNotation::Json => read_json(payload),
            CentrifugeNotation::Protobuf => read_protobuf(payload),
        };
        match said {
            None => Incoming::Corrupted,
            Some(Said::Ping) => {
                self.notation
                    .template(self.notation.pong())
                    .append(out, &[]);
                Incoming::Other
            }
            Some(Said::Refused(words)) => Incoming::Refused(words),
            Some(Said::Publication(data)) => {
                let body = data
                    .strip_prefix(b"\"")
                    .and_then(|data| data.strip_suffix(b"\""));
                body.map_or(Incoming::Corrupted, |body| stamped(self.body.read(body)))
            }
            Some(Said::Reply(number)) => {
                let awaited = &mut self.awaited[index];
                match (*awaited, number) {
                    (Awaited::Connect, CONNECT) | (Awaited::OwnChannel, SUBSCRIBE_OWN) => {
                        *awaited = Awaited::Nothing;
                        Incoming::Welcome
                    }
                    (Awaited::Nothing, SUBSCRIBE) => Incoming::Joined,
                    _ => Incoming::Other,
                }
            }
            Some(Said::Other) => Incoming::Other,
        }
    }
}

impl Speech for Centrifuge {
    fn path(&self, _: Role) -> String {
        self.path.clone()
    }

    fn begin(&mut self, index: usize, role: Role) {
        if self.awaited.len() <= index {
            self.awaited.resize(index + 1, Awaited::default());
        }
        self.awaited[index] = match role {
            Role::Echoer { .. } => Awaited::OwnChannel,
            Role::Subscriber { .. } | Role::Publisher => Awaited::Connect,
        };
    }

    fn has_welcome(&self) -> bool {
        true
    }

    fn append_greeting(&self, out: &mut Vec<u8>, role: Role) {
        let notation = self.notation;
        let mut commands = notation.connect();
        if let Role::Echoer { number } = role {
            notation.join(&mut commands);
            commands.extend(notation.subscribe(SUBSCRIBE_OWN, &format!("{OWN}{number:010}")));
        }
        notation.template(commands).append(out, &[]);
    }

    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let head = self.body.head(stamp, &mut head);
        let digits = format!("{:010}", stamp.sender);
        let number_at = self.echo.channel_at + OWN.len();
        let patches = [(number_at, digits.as_bytes()), (self.echo.body_at, head)];
        self.echo.template.append(out, &patches);
    }

    fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let message = &self.publish[stamp.room as usize];
        let patches = [(message.body_at, self.body.head(stamp, &mut head))];
        message.template.append(out, &patches);
    }

    fn append_subscribe(&self, out: &mut Vec<u8>, _: usize, _: u32, room: u32) {
        let subscribe = self.notation.subscribe(SUBSCRIBE, &format!("r{room}"));
        self.notation.template(subscribe).append(out, &[]);
    }

    /// The server puts each reply into a message of its own; another one might not.
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
        if opcode != self.notation.opcode() {
            return Ok(Some(Incoming::Corrupted));
        }
        let (one, behind) = match self.notation {
            CentrifugeNotation::Json => match payload.iter().position(|byte| *byte == b'\n') {
                Some(at) => (&payload[..at], &payload[at + 1..]),
                None => (payload, &b""[..]),
            },
            CentrifugeNotation::Protobuf => {
                let mut fields = Fields(payload);
                match fields.delimited() {
                    Some(one) => (one, fields.0),
                    None => return Ok(Some(Incoming::Corrupted)),
                }
            }
        };
        *rest = (!behind.is_empty()).then_some(behind);
        let incoming = self.meaning(index, one, out);
        // The reply to the first of two commands is no welcome yet.
        let is_early = self.awaited[index] == Awaited::OwnChannel;
        match incoming {
            Incoming::Other if is_early => self.read(index, opcode, rest, out),
            incoming => Ok(Some(incoming)),
        }
    }
}

impl CentrifugeNotation {
    fn opcode(self) -> u8 {
        match self {
            CentrifugeNotation::Json => TEXT,
            CentrifugeNotation::Protobuf => BINARY,
        }
    }

    fn template(self, commands: Vec<u8>) -> Template {
        Template::new(self.opcode(), &commands)
    }

    fn pong(self) -> Vec<u8> {
        match self {
            CentrifugeNotation::Json => b"{}".to_vec(),
            CentrifugeNotation::Protobuf => vec![0],
        }
    }

    fn connect(self) -> Vec<u8> {
        match self {
            CentrifugeNotation::Json => {
                format!(r#"{{"id":{CONNECT},"connect":{{}}}}"#).into_bytes()
            }
            CentrifugeNotation::Protobuf => command(CONNECT, 4, b""),
        }
    }

    /// Between two commands of a message.
    fn join(self, commands: &mut Vec<u8>) {
        if self == CentrifugeNotation::Json {
            commands.push(b'\n');
        }
    }

    fn subscribe(self, number: u32, channel: &str) -> Vec<u8> {
        match self {
            CentrifugeNotation::Json => {
                format!(r#"{{"id":{number},"subscribe":{{"channel":"{channel}"}}}}"#).into_bytes()
            }
            CentrifugeNotation::Protobuf => command(number, 5, &field(1, channel.as_bytes())),
        }
    }

    fn publish(self, channel: &str, body: &[u8]) -> Message {
        let data = [b"\"", body, b"\""].concat();
        let (payload, behind) = match self {
            CentrifugeNotation::Json => {
                let head = format!(r#"{{"id":{PUBLISH},"publish":{{"channel":"{channel}","data":"#);
                ([head.as_bytes(), &data, b"}}"].concat(), b"\"}}".len())
            }
            CentrifugeNotation::Protobuf => {
                let fields = [field(1, channel.as_bytes()), field(2, &data)].concat();
                (command(PUBLISH, 7, &fields), b"\"".len())
            }
        };
        let mut places = payload.windows(channel.len());
        let channel_at = places.position(|place| place == channel.as_bytes());
        Message {
            channel_at: channel_at.expect("it was written"),
            body_at: payload.len() - behind - body.len(),
            template: self.template(payload),
        }
    }
}

/// A Protobuf command behind its length.
fn command(number: u32, tag: u8, request: &[u8]) -> Vec<u8> {
    let id = [&[1 << 3][..], &varint(u64::from(number))].concat();
    let message = [id, field(tag, request)].concat();
    [varint(message.len() as u64), message].concat()
}

fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut digits = Vec::new();
    loop {
        let group = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            digits.push(group);
            return digits;
        }
        digits.push(group | 0x80);
    }
}

/// What is left of a Protobuf message.
#[derive(Clone, Copy)]
struct Fields<'m>(&'m [u8]);

/// A field's value: numbers, or what has a length.
enum FieldValue<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

impl<'m> Fields<'m> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Some(number);
            }
        }
        None
    }

    fn delimited(&mut self) -> Option<&'m [u8]> {
        let bytes = usize::try_from(self.varint()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    /// Every field with its tag; `None`: it is no message.
    fn all(mut self) -> Option<Vec<(u64, FieldValue<'m>)>> {
        let mut fields = Vec::new();
        while !self.0.is_empty() {
            let key = self.varint()?;
            let value = match key & 7 {
                0 => FieldValue::Number(self.varint()?),
                2 => FieldValue::Bytes(self.delimited()?),
                _ => return None,
            };
            fields.push((key >> 3, value));
        }
        Some(fields)
    }

    /// The last field with this tag that has a length.
    fn bytes(self, tag: u64) -> Option<&'m [u8]> {
        self.all()?
            .into_iter()
            .rev()
            .find_map(|(other, value)| match value {
                FieldValue::Bytes(bytes) if other == tag => Some(bytes),
                _ => None,
            })
    }
}

fn read_protobuf(message: &[u8]) -> Option<Said<'_>> {
    if message.is_empty() {
        return Some(Said::Ping);
    }
    let (mut number, mut said) = (0, None);
    for (tag, value) in Fields(message).all()? {
        match (tag, value) {
            (1, FieldValue::Number(id)) => number = u32::try_from(id).ok()?,
            (2, FieldValue::Bytes(error)) => {
                let words = Fields(error).bytes(2).unwrap_or_default();
                said = Some(Said::Refused(String::from_utf8_lossy(words).into_owned()));
            }
            (4, FieldValue::Bytes(push)) => {
                said = Some(match Fields(push).bytes(4) {
                    Some(publication) => Said::Publication(Fields(publication).bytes(4)?),
                    None => Said::Other,
                });
            }
            _ => {}
        }
    }
    Some(said.unwrap_or(Said::Reply(number)))
}

/// A reply in JSON, as far as it matters here.
#[derive(Deserialize)]
struct JsonReply<'m> {
    #[serde(default)]
    id: u32,
    error: Option<JsonError>,
    #[serde(borrow)]
    push: Option<JsonPush<'m>>,
}

#[derive(Deserialize)]
struct JsonError {
    message: String,
}

#[derive(Deserialize)]
struct JsonPush<'m> {
    #[serde(borrow, rename = "pub")]
    publication: Option<JsonPublication<'m>>,
}

#[derive(Deserialize)]
struct JsonPublication<'m> {
    #[serde(borrow)]
    data: &'m RawValue,
}

const PUSH_HEAD: &[u8] = br#"{"push":{"channel":""#;
const DATA: &[u8] = br#""data":"#;
const TAIL: &[u8] = b"}}}";

fn read_json(message: &[u8]) -> Option<Said<'_>> {
    if message == b"{}" {
        return Some(Said::Ping);
    }
    if let Some(data) = usual_place(message) {
        return Some(Said::Publication(data));
    }
    let reply: JsonReply<'_> = serde_json::from_slice(message).ok()?;
    Some(match (reply.error, reply.push) {
        (Some(error), _) => Said::Refused(error.message),
        (
            None,
            Some(JsonPush {
                publication: Some(publication),
            }),
        ) => Said::Publication(publication.data.get().as_bytes()),
        (None, Some(_)) => Said::Other,
        (None, None) => Said::Reply(reply.id),
    })
}

/// The data of a publication where servers usually put it: a text at the end. Only a fast way:
/// `read_json` takes any order of fields.
fn usual_place(message: &[u8]) -> Option<&[u8]> {
    let data = message.starts_with(PUSH_HEAD).then_some(message)?;
    let data = data.strip_suffix(TAIL)?;
    let end = data.strip_suffix(b"\"")?;
    let start = end.iter().rposition(|byte| *byte == b'"')?;
    end[..start].ends_with(DATA).then(|| &data[start..])
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::message::Encoding;

    fn centrifuge(notation: CentrifugeNotation) -> Centrifuge {
        let mut centrifuge = Centrifuge::new(notation, body(Encoding::Hex), 3, "/");
        centrifuge.begin(0, Role::Publisher);
        centrifuge
    }

    fn data(stamp: &Stamp) -> String {
        String::from_utf8(body(Encoding::Hex).write(stamp)).expect("hexadecimal")
    }

    #[test]
    fn json_says_what_the_protocol_has() {
        let centrifuge = centrifuge(CentrifugeNotation::Json);
        let echo = Stamp { sender: 17, ..ECHO };
        for (frames, expected) in [
            (
                sent(|out| centrifuge.append_greeting(out, Role::Publisher)),
                r#"{"id":1,"connect":{}}"#.to_owned(),
            ),
            (
                sent(|out| centrifuge.append_greeting(out, Role::Echoer { number: 17 })),
                "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"e0000000017\"}}"
                    .to_owned(),
            ),
            (
                sent(|out| centrifuge.append_subscribe(out, 0, 0, 1)),
                r#"{"id":3,"subscribe":{"channel":"r1"}}"#.to_owned(),
            ),
            (
                sent(|out| centrifuge.append_publish(out, &STAMP)),
                format!(
                    r#"{{"id":4,"publish":{{"channel":"r2","data":"{}"}}}}"#,
                    data(&STAMP)
                ),
            ),
            (
                sent(|out| centrifuge.append_echo(out, &echo)),
                format!(
                    r#"{{"id":4,"publish":{{"channel":"e0000000017","data":"{}"}}}}"#,
                    data(&echo)
                ),
            ),
        ] {
            assert_eq!(frames, [(TEXT, expected)]);
        }
    }

    #[test]
    fn protobuf_says_the_same() {
        let centrifuge = centrifuge(CentrifugeNotation::Protobuf);
        let greeting = sent(|out| centrifuge.append_greeting(out, Role::Publisher));
        assert_eq!(greeting, [(BINARY, "\x04\x08\x01\x22\x00".to_owned())]);
        let subscribe = sent(|out| centrifuge.append_subscribe(out, 0, 0, 1));
        assert_eq!(
            subscribe,
            [(BINARY, "\x08\x08\x03\x2a\x04\x0a\x02r1".to_owned())]
        );
        let echo = Stamp { sender: 17, ..ECHO };
        for (frames, channel, stamp) in [
            (
                sent(|out| centrifuge.append_publish(out, &STAMP)),
                "r2",
                STAMP,
            ),
            (
                sent(|out| centrifuge.append_echo(out, &echo)),
                "e0000000017",
                echo,
            ),
        ] {
            let fields = [
                field(1, channel.as_bytes()),
                field(2, format!("\"{}\"", data(&stamp)).as_bytes()),
            ];
            let expected = command(PUBLISH, 7, &fields.concat());
            let expected = expected.into_iter().map(char::from).collect();
            assert_eq!(frames, [(BINARY, expected)]);
        }
    }

    #[track_caller]
    fn check(notation: CentrifugeNotation, opcode: u8, message: &[u8], expected: Incoming) {
        let mut centrifuge = centrifuge(notation);
        centrifuge.awaited[0] = Awaited::Nothing;
        let heard = meaning(&mut centrifuge, opcode, message);
        assert_eq!(heard, expected, "{}", String::from_utf8_lossy(message));
    }

    #[test]
    fn json_is_understood_in_any_order() {
        let data = data(&STAMP);
        for (message, expected) in [
            (
                format!(
                    r#"{{"push":{{"channel":"r2","pub":{{"info":{{"client":"x"}},"data":"{data}"}}}}}}"#
                ),
                Incoming::Delivery(STAMP),
            ),
            (
                format!(r#"{{"push":{{"pub":{{"data":"{data}","offset":7}},"channel":"r2"}}}}"#),
                Incoming::Delivery(STAMP),
            ),
            (
                format!(
                    r#"{{"push":{{"channel":"r2","pub":{{"data":"{}"}}}}}}"#,
                    &data[1..]
                ),
                Incoming::Corrupted,
            ),
            (
                r#"{"push":{"channel":"r2","join":{}}}"#.to_owned(),
                Incoming::Other,
            ),
            (r#"{"id":3,"subscribe":{}}"#.to_owned(), Incoming::Joined),
            (r#"{"id":4,"publish":{}}"#.to_owned(), Incoming::Other),
            (
                r#"{"id":3,"error":{"code":103,"message":"no"}}"#.to_owned(),
                Incoming::Refused("no".into()),
            ),
            ("nonsense".to_owned(), Incoming::Corrupted),
        ] {
            check(CentrifugeNotation::Json, TEXT, message.as_bytes(), expected);
        }
    }

    #[test]
    fn protobuf_is_understood() {
        let reply = |fields: &[Vec<u8>]| {
            let fields = fields.concat();
            [varint(fields.len() as u64), fields].concat()
        };
        let data = format!("\"{}\"", data(&STAMP));
        let publication = [field(5, b""), field(4, data.as_bytes())].concat();
        let push = [field(2, b"r2"), field(4, &publication)].concat();
        for (message, expected) in [
            (reply(&[field(4, &push)]), Incoming::Delivery(STAMP)),
            (reply(&[field(4, &field(2, b"r2"))]), Incoming::Other),
            (reply(&[vec![8, 3], field(6, b"")]), Incoming::Joined),
            (
                reply(&[
                    vec![8, 3],
                    field(2, &[vec![8, 103], field(2, b"no")].concat()),
                ]),
                Incoming::Refused("no".into()),
            ),
            (b"\x05\x08".to_vec(), Incoming::Corrupted),
            (b"\x01\x0d".to_vec(), Incoming::Corrupted),
        ] {
            check(CentrifugeNotation::Protobuf, BINARY, &message, expected);
        }
    }

    #[test]
    fn a_connection_is_in_use_once_its_first_commands_are_answered() {
        let mut centrifuge = centrifuge(CentrifugeNotation::Json);
        let connected = br#"{"id":1,"connect":{"client":"x"}}"#;
        assert_eq!(meaning(&mut centrifuge, TEXT, connected), Incoming::Welcome);
        assert_eq!(meaning(&mut centrifuge, TEXT, connected), Incoming::Other);
        centrifuge.begin(0, Role::Echoer { number: 1 });
        let early = heard(&mut centrifuge, 0, TEXT, connected, &mut Vec::new());
        assert_eq!(early, Ok(vec![]), "it is no answer to anything yet");
        let subscribed = br#"{"id":2,"subscribe":{}}"#;
        assert_eq!(
            meaning(&mut centrifuge, TEXT, subscribed),
            Incoming::Welcome
        );
        let mut out = Vec::new();
        let heard = heard(
            &mut centrifuge,
            0,
            TEXT,
            b"{}\n{\"id\":4,\"publish\":{}}",
            &mut out,
        );
        assert_eq!(heard, Ok(vec![Incoming::Other, Incoming::Other]));
        assert_eq!(sent(|pong| *pong = out), [(TEXT, "{}".to_owned())]);
    }
}
