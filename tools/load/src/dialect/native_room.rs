//! Shardcast's native JSON dialect where an echo is what a connection publishes to a room of its
//! own: the way of a round trip by the Centrifuge protocol, which has no echo. Invariant: a
//! connection that echoes is in use once it is in its room. Called through `Speech`.

use super::native::Native;
use super::{Incoming, Role, Speech, blank, stamped};
use crate::message::{Body, STAMP_BYTES, Stamp};
use crate::websocket::{TEXT, Template};

/// Rooms `r0`, `r1`, …; rooms `e0000000000`, … of those that echo.
#[derive(Debug)]
pub(super) struct NativeRoom {
    native: Native,
    echo: Template,
    /// By connection: it echoes, and is not in its room yet.
    awaited: Vec<bool>,
}

/// The publish is acknowledged, as one of the Centrifuge protocol is.
const HEAD: &str = r#"{"type":"broadcast","id":4,"room":"e"#;
const MIDDLE: &str = r#"","data":""#;
const TAIL: &str = r#""}"#;
const DIGITS: usize = 10;

impl NativeRoom {
    pub(super) fn new(body: Body, rooms: u32, path: &str) -> NativeRoom {
        let zeros = "0".repeat(DIGITS);
        let [head, middle, tail] = [HEAD, MIDDLE, TAIL].map(str::as_bytes);
        let echo = [head, zeros.as_bytes(), middle, &blank(&body), tail].concat();
        NativeRoom {
            native: Native::new(body, rooms, path),
            echo: Template::new(TEXT, &echo),
            awaited: Vec::new(),
        }
    }
}

impl Speech for NativeRoom {
    fn path(&self, role: Role) -> String {
        self.native.path(role)
    }

    fn begin(&mut self, index: usize, role: Role) {
        if self.awaited.len() <= index {
            self.awaited.resize(index + 1, false);
        }
        self.awaited[index] = matches!(role, Role::Echoer { .. });
    }

    fn has_welcome(&self) -> bool {
        true
    }

    fn append_greeting(&self, out: &mut Vec<u8>, role: Role) {
        if let Role::Echoer { number } = role {
            let join = format!(r#"{{"type":"join_room","id":1,"room":"e{number:010}"}}"#);
            Template::new(TEXT, join.as_bytes()).append(out, &[]);
        }
    }

    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let head = self.native.body.head(stamp, &mut head);
        let digits = format!("{:010}", stamp.sender);
        let body_at = HEAD.len() + DIGITS + MIDDLE.len();
        let patches = [(HEAD.len(), digits.as_bytes()), (body_at, head)];
        self.echo.append(out, &patches);
    }

    fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        self.native.append_publish(out, stamp);
    }

    fn append_subscribe(&self, out: &mut Vec<u8>, index: usize, sender: u32, room: u32) {
        self.native.append_subscribe(out, index, sender, room);
    }

    fn read(
        &mut self,
        index: usize,
        opcode: u8,
        rest: &mut Option<&[u8]>,
        _: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, String> {
        Ok(rest.take().and_then(|payload| {
            if opcode != TEXT {
                return Some(Incoming::Corrupted);
            }
            if let Some(body) = self.native.usual_place(payload) {
                return Some(stamped(self.native.body.read(body)));
            }
            let awaited = self.awaited.get_mut(index);
            let is_awaited = awaited.as_ref().is_some_and(|awaited| **awaited);
            match (self.native.read_json(index, payload), awaited) {
                // Not in use yet: that means nothing.
                (Incoming::Welcome, _) if is_awaited => None,
                (Incoming::Joined, Some(awaited)) if is_awaited => {
                    *awaited = false;
                    Some(Incoming::Welcome)
                }
                (incoming, _) => Some(incoming),
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::message::Encoding;
    use crate::websocket::BINARY;

    fn data(stamp: &Stamp) -> String {
        String::from_utf8(body(Encoding::Hex).write(stamp)).unwrap()
    }

    #[test]
    fn an_echo_is_published_to_a_room_of_ones_own() {
        let dialect = NativeRoom::new(body(Encoding::Hex), 3, "/ws");
        let role = Role::Echoer { number: 7 };
        let joins = r#"{"type":"join_room","id":1,"room":"e0000000007"}"#;
        let greeting = sent(|out| dialect.append_greeting(out, role));
        assert_eq!(greeting, [(TEXT, joins.to_owned())]);
        assert_eq!(
            sent(|out| dialect.append_greeting(out, Role::Publisher)),
            []
        );
        let publish = format!(
            r#"{{"type":"broadcast","id":4,"room":"e0000000001","data":"{}"}}"#,
            data(&ECHO)
        );
        let echo = sent(|out| dialect.append_echo(out, &ECHO));
        assert_eq!(echo, [(TEXT, publish)]);
    }

    #[test]
    fn who_echoes_is_in_use_from_its_room_on() {
        let mut dialect = NativeRoom::new(body(Encoding::Hex), 3, "/ws");
        let welcome = br#"{"type":"welcome","connection":"1-1"}"#;
        let joined = br#"{"type":"joined","id":1,"room":"e0000000007","members":1}"#;
        dialect.begin(0, Role::Echoer { number: 7 });
        let mut out = Vec::new();
        let heard = heard(&mut dialect, 0, TEXT, welcome, &mut out);
        assert_eq!(heard, Ok(Vec::new()), "not yet, and nothing else");
        for meant in [Incoming::Welcome, Incoming::Joined] {
            assert_eq!(meaning(&mut dialect, TEXT, joined), meant);
        }
        dialect.begin(0, Role::Publisher);
        assert_eq!(meaning(&mut dialect, TEXT, welcome), Incoming::Welcome);
        let message = |stamp: &Stamp| {
            let data = data(stamp);
            format!(r#"{{"type":"message","room":"e0000000001","from":"x","data":"{data}"}}"#)
        };
        for (text, meant) in [
            (message(&ECHO), Incoming::Echo(ECHO)),
            (message(&STAMP), Incoming::Delivery(STAMP)),
            (r#"{"type":"ack","id":4}"#.to_owned(), Incoming::Other),
        ] {
            assert_eq!(meaning(&mut dialect, TEXT, text.as_bytes()), meant);
        }
        let binary = meaning(&mut dialect, BINARY, message(&ECHO).as_bytes());
        assert_eq!(binary, Incoming::Corrupted);
    }
}
