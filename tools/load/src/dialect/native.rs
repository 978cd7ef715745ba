//! Shardcast's native JSON dialect, version 1. Invariant: an echo is an answer only with the id
//! that was asked with. Called through `Speech`.

use super::{EVERYONE, Incoming, Role, Speech, blank, stamped};
use crate::message::{Body, STAMP_BYTES, Stamp};
use crate::websocket::{TEXT, Template};
use serde::Deserialize;
use std::borrow::Cow;

/// Rooms `r0`, `r1`, ….
#[derive(Debug)]
pub(super) struct Native {
    path: String,
    pub(super) body: Body,
    echo: Template,
    /// To a room, each with the place of the body; the last is to everyone.
    publish: Vec<(Template, usize)>,
    /// What each connection has had of its room; empty: nobody recovers.
    positions: Vec<Position>,
}

/// Up to where a connection knows its room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Position {
    /// Empty: not at all.
    epoch: String,
    offset: u64,
}

const ECHO_HEAD: &[u8] = br#"{"type":"echo","id":"#;
const ECHO_MIDDLE: &[u8] = br#","data":""#;
const MESSAGE_HEAD: &[u8] = br#"{"type":"message","#;
const OFFSET: &[u8] = br#""offset":"#;
const TAIL: &[u8] = br#""}"#;

impl Native {
    pub(super) fn new(body: Body, rooms: u32, path: &str) -> Native {
        let blank = blank(&body);
        let echo = [ECHO_HEAD, b"1000000000", ECHO_MIDDLE, &blank, TAIL].concat();
        let heads = (0..rooms)
            .map(|room| format!(r#"{{"type":"broadcast","room":"r{room}","data":""#))
            .chain([r#"{"type":"broadcast","data":""#.to_owned()]);
        let publish = heads
            .map(|head| {
                let whole = [head.as_bytes(), &blank, TAIL].concat();
                (Template::new(TEXT, &whole), head.len())
            })
            .collect();
        Native {
            path: path.to_owned(),
            echo: Template::new(TEXT, &echo),
            publish,
            positions: Vec::new(),
            body,
        }
    }

    /// Takes note of the offset that stands before the body.
    fn note_offset(&mut self, index: usize, payload: &[u8]) {
        let Some(place) = self.positions.get_mut(index) else {
            return;
        };
        let head = payload.strip_suffix(TAIL).unwrap_or(payload);
        let head = &head[..head.len().min(HEAD_BYTES_MAX)];
        let mut starts = head.windows(OFFSET.len());
        if let Some(at) = starts.position(|window| window == OFFSET) {
            let digits = head[at + OFFSET.len()..].iter();
            let digits = digits.take_while(|byte| byte.is_ascii_digit());
            place.offset = digits.fold(0, |sum: u64, digit| {
                sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
            });
        }
    }

    /// A join was answered. The words of a server that could not bring what was missed.
    fn note_join(&mut self, index: usize, envelope: &NativeEnvelope<'_>) -> Option<String> {
        let place = self.positions.get_mut(index)?;
        let position = envelope.epoch.as_deref().zip(envelope.offset);
        let Some((epoch, offset)) = position else {
            return Some("the room keeps no history".to_owned());
        };
        match envelope.recovered {
            // What was missed follows: the place is still that of the last message.
            Some(true) => None,
            Some(false) => {
                let reason = envelope.reason.as_deref().unwrap_or_default();
                Some(format!("not recovered: {reason}"))
            }
            None => {
                *place = Position {
                    epoch: epoch.to_owned(),
                    offset,
                };
                None
            }
        }
    }

    /// The body, where servers usually put it: at the end. Only a fast way: `read_json` takes any
    /// order of fields.
    pub(super) fn usual_place<'b>(&self, payload: &'b [u8]) -> Option<&'b [u8]> {
        let usual = payload.starts_with(MESSAGE_HEAD) || payload.starts_with(ECHO_HEAD);
        let end = payload.len().checked_sub(TAIL.len())?;
        if !usual || payload[end..] != *TAIL {
            return None;
        }
        let mut starts = self
            .body
            .lengths()
            .filter_map(|bytes| end.checked_sub(bytes));
        let start = starts.find(|&start| payload[..start].ends_with(ECHO_MIDDLE))?;
        Some(&payload[start..end])
    }

    pub(super) fn read_json(&mut self, index: usize, payload: &[u8]) -> Incoming {
        let Ok(envelope) = serde_json::from_slice::<NativeEnvelope<'_>>(payload) else {
            return Incoming::Corrupted;
        };
        match &*envelope.kind {
            "welcome" => Incoming::Welcome,
            "joined" => match self.note_join(index, &envelope) {
                Some(words) => Incoming::Refused(words),
                None => Incoming::Joined,
            },
            "missed" => Incoming::Refused(String::from_utf8_lossy(payload).into_owned()),
            "error" | "closing" => Incoming::Refused(String::from_utf8_lossy(payload).into_owned()),
            "echo" | "message" => match envelope.data {
                Some(data) => stamped(self.body.read(data.as_bytes())),
                None => Incoming::Corrupted,
            },
            _ => Incoming::Other,
        }
    }
}

impl Speech for Native {
    fn path(&self, _: Role) -> String {
        self.path.clone()
    }

    fn has_welcome(&self) -> bool {
        true
    }

    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let id = echo_id(stamp.sequence);
        let body_at = ECHO_HEAD.len() + id.len() + ECHO_MIDDLE.len();
        let head = self.body.head(stamp, &mut head);
        self.echo
            .append(out, &[(ECHO_HEAD.len(), &id), (body_at, head)]);
    }

    fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        if self.body.is_mixed() {
            let head = format!(r#"{{"type":"broadcast","room":"r{}","data":""#, stamp.room);
            let whole = [head.as_bytes(), &self.body.write(stamp), TAIL].concat();
            return Template::new(TEXT, &whole).append(out, &[]);
        }
        let mut head = [0; 2 * STAMP_BYTES];
        let which = match stamp.room {
            EVERYONE => self.publish.len() - 1,
            room => room as usize,
        };
        let (template, body_at) = &self.publish[which];
        template.append(out, &[(*body_at, self.body.head(stamp, &mut head))]);
    }

    fn recover(&mut self, connections: usize) {
        self.positions = vec![Position::default(); connections];
    }

    fn append_subscribe(&self, out: &mut Vec<u8>, index: usize, _: u32, room: u32) {
        let known = self.positions.get(index);
        let since = match known.filter(|place| !place.epoch.is_empty()) {
            Some(Position { epoch, offset }) => {
                format!(r#","since":{{"epoch":"{epoch}","offset":{offset}}}"#)
            }
            None => String::new(),
        };
        let join = format!(r#"{{"type":"join_room","id":1,"room":"r{room}"{since}}}"#);
        Template::new(TEXT, join.as_bytes()).append(out, &[]);
    }

    fn read(
        &mut self,
        index: usize,
        opcode: u8,
        rest: &mut Option<&[u8]>,
        _: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, String> {
        Ok(rest.take().map(|payload| {
            if opcode != TEXT {
                return Incoming::Corrupted;
            }
            let Some(body) = self.usual_place(payload) else {
                return self.read_json(index, payload);
            };
            if !self.positions.is_empty() {
                self.note_offset(index, payload);
            }
            match stamped(self.body.read(body)) {
                Incoming::Echo(stamp) if !answers(payload, &stamp) => Incoming::Corrupted,
                incoming => incoming,
            }
        }))
    }
}

#[derive(Deserialize)]
struct NativeEnvelope<'b> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'b, str>,
    #[serde(borrow)]
    data: Option<Cow<'b, str>>,
    #[serde(borrow)]
    epoch: Option<Cow<'b, str>>,
    offset: Option<u64>,
    recovered: Option<bool>,
    #[serde(borrow)]
    reason: Option<Cow<'b, str>>,
}

/// Of a message's keys before its data: names of rooms and connections are short here.
const HEAD_BYTES_MAX: usize = 160;

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

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::message::Encoding;
    use crate::websocket::BINARY;

    fn native() -> Native {
        Native::new(body(Encoding::Hex), 3, "/ws")
    }

    fn data(stamp: &Stamp) -> String {
        String::from_utf8(body(Encoding::Hex).write(stamp)).unwrap()
    }

    #[test]
    fn native_words_are_as_documented() {
        let native = native();
        let everyone = Stamp {
            room: EVERYONE,
            ..STAMP
        };
        for (frames, expected) in [
            (
                sent(|out| native.append_publish(out, &STAMP)),
                format!(
                    r#"{{"type":"broadcast","room":"r2","data":"{}"}}"#,
                    data(&STAMP)
                ),
            ),
            (
                sent(|out| native.append_publish(out, &everyone)),
                format!(r#"{{"type":"broadcast","data":"{}"}}"#, data(&everyone)),
            ),
            (
                sent(|out| native.append_echo(out, &ECHO)),
                format!(
                    r#"{{"type":"echo","id":1000000041,"data":"{}"}}"#,
                    data(&ECHO)
                ),
            ),
            (
                sent(|out| native.append_subscribe(out, 0, 0, 1)),
                r#"{"type":"join_room","id":1,"room":"r1"}"#.into(),
            ),
        ] {
            assert_eq!(frames, [(TEXT, expected)]);
        }
    }

    #[test]
    fn native_answers_are_understood_in_any_order_of_fields() {
        let mut native = native();
        let (data, echoed) = (data(&STAMP), data(&ECHO));
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
                Incoming::Echo(ECHO),
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
            assert_eq!(
                meaning(&mut native, TEXT, text.as_bytes()),
                expected,
                "{text}"
            );
        }
        let missed = br#"{"type":"missed","room":"r1","count":7,"reason":"dropped"}"#;
        assert!(
            matches!(meaning(&mut native, TEXT, missed), Incoming::Refused(words) if words.contains("dropped"))
        );
        let error = br#"{"type":"error","id":1,"code":"room_limit","message":"full"}"#;
        assert!(
            matches!(meaning(&mut native, TEXT, error), Incoming::Refused(words) if words.contains("room_limit"))
        );
        assert_eq!(
            meaning(&mut native, BINARY, data.as_bytes()),
            Incoming::Corrupted
        );
    }

    /// Who comes back says what it had: the last message, or where it joined.
    #[test]
    fn a_place_is_kept_and_said() {
        let mut native = native();
        let join = |native: &Native| {
            sent(|out| native.append_subscribe(out, 0, 0, 1))
                .remove(0)
                .1
        };
        let plain = r#"{"type":"join_room","id":1,"room":"r1"}"#;
        let joined =
            |rest: &str| format!(r#"{{"type":"joined","id":1,"room":"r1","members":1{rest}}}"#);
        let place = r#","epoch":"k3","offset":40"#;
        assert_eq!(
            meaning(&mut native, TEXT, joined(place).as_bytes()),
            Incoming::Joined
        );
        assert_eq!(join(&native), plain, "nobody recovers");
        native.recover(1);
        assert_eq!(join(&native), plain, "the first time");
        assert_eq!(
            meaning(&mut native, TEXT, joined(place).as_bytes()),
            Incoming::Joined
        );
        let since = |offset: u64| {
            let since = format!(r#","since":{{"epoch":"k3","offset":{offset}}}}}"#);
            plain.replace('}', &since)
        };
        assert_eq!(join(&native), since(40));
        let data = data(&STAMP);
        let message =
            format!(r#"{{"type":"message","room":"r2","from":"x","offset":41,"data":"{data}"}}"#);
        assert_eq!(
            meaning(&mut native, TEXT, message.as_bytes()),
            Incoming::Delivery(STAMP)
        );
        assert_eq!(join(&native), since(41));
        let recovered = format!(r#"{},"recovered":true"#, place.replace("40", "50"));
        assert_eq!(
            meaning(&mut native, TEXT, joined(&recovered).as_bytes()),
            Incoming::Joined
        );
        assert_eq!(join(&native), since(41), "what was missed follows");
        for (rest, words) in [
            (
                format!(r#"{place},"recovered":false,"reason":"trimmed_by_size""#),
                "trimmed_by_size",
            ),
            (String::new(), "keeps no history"),
        ] {
            let heard = meaning(&mut native, TEXT, joined(&rest).as_bytes());
            assert!(
                matches!(heard, Incoming::Refused(said) if said.contains(words)),
                "{words}"
            );
        }
    }
}
