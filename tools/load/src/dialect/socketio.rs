//! Socket.IO 5 over Engine.IO 4, websocket transport only, to a server whose events are `sub`
//! (acknowledged), `pub` and `echo`. Invariant: a connection's step only advances. Called through
//! `Speech`.

use super::{Incoming, Role, Speech, blank, stamped};
use crate::message::{Body, STAMP_BYTES, Stamp};
use crate::websocket::{TEXT, Template};

/// Rooms `r0`, `r1`, ….
#[derive(Debug)]
pub(super) struct Socketio {
    path: String,
    body: Body,
    echo: Template,
    /// By room, each with the place of the body.
    publish: Vec<(Template, usize)>,
    steps: Vec<SocketIoStep>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketIoStep {
    /// Engine.IO's `open` packet is awaited.
    Opening,
    /// The answer to Socket.IO's `connect` packet is awaited.
    Connecting,
    Ready,
}

const DEFAULT_PATH: &str = "/socket.io/?EIO=4&transport=websocket";
const ECHO_HEAD: &[u8] = br#"42["echo",""#;
const DELIVERY_HEAD: &[u8] = br#"42["m",""#;
const TAIL: &[u8] = br#""]"#;

impl Socketio {
    pub(super) fn new(body: Body, rooms: u32, path: &str) -> Socketio {
        let blank = blank(&body);
        let publish = (0..rooms)
            .map(|room| {
                let head = format!(r#"42["pub","r{room}",""#);
                let whole = [head.as_bytes(), &blank, TAIL].concat();
                (Template::new(TEXT, &whole), head.len())
            })
            .collect();
        Socketio {
            path: if path == "/" { DEFAULT_PATH } else { path }.to_owned(),
            echo: Template::new(TEXT, &[ECHO_HEAD, &blank, TAIL].concat()),
            publish,
            body,
            steps: Vec::new(),
        }
    }

    fn event(&self, payload: &[u8]) -> Incoming {
        let rest = payload
            .strip_prefix(DELIVERY_HEAD)
            .or_else(|| payload.strip_prefix(ECHO_HEAD));
        match rest.and_then(|rest| rest.strip_suffix(TAIL)) {
            Some(body) => stamped(self.body.read(body)),
            None => Incoming::Corrupted,
        }
    }
}

impl Speech for Socketio {
    fn path(&self, _: Role) -> String {
        self.path.clone()
    }

    fn begin(&mut self, index: usize, _: Role) {
        if self.steps.len() <= index {
            self.steps.resize(index + 1, SocketIoStep::Opening);
        }
        self.steps[index] = SocketIoStep::Opening;
    }

    fn has_welcome(&self) -> bool {
        true
    }

    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let head = self.body.head(stamp, &mut head);
        self.echo.append(out, &[(ECHO_HEAD.len(), head)]);
    }

    fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let (template, body_at) = &self.publish[stamp.room as usize];
        template.append(out, &[(*body_at, self.body.head(stamp, &mut head))]);
    }

    /// With the acknowledgement number 0.
    fn append_subscribe(&self, out: &mut Vec<u8>, _: usize, _: u32, room: u32) {
        let subscribe = format!(r#"420["sub","r{room}"]"#);
        Template::new(TEXT, subscribe.as_bytes()).append(out, &[]);
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
        let step = self.steps[index];
        let incoming = match (opcode, payload) {
            // Engine.IO: open, close, ping, noop.
            (TEXT, [b'0', ..]) if step == SocketIoStep::Opening => {
                self.steps[index] = SocketIoStep::Connecting;
                Template::new(TEXT, b"40").append(out, &[]);
                return Ok(None);
            }
            (TEXT, b"1") => Incoming::Refused("it closes (Engine.IO packet 1)".into()),
            (TEXT, b"2") => {
                Template::new(TEXT, b"3").append(out, &[]);
                return Ok(None);
            }
            (TEXT, b"6") => return Ok(None),
            // Socket.IO: connect, disconnect, event, acknowledgement, error.
            (TEXT, [b'4', b'0', ..]) if step == SocketIoStep::Connecting => {
                self.steps[index] = SocketIoStep::Ready;
                Incoming::Welcome
            }
            (TEXT, b"41" | [b'4', b'4', ..]) => {
                Incoming::Refused(String::from_utf8_lossy(payload).into_owned())
            }
            (TEXT, [b'4', b'2', ..]) if step == SocketIoStep::Ready => self.event(payload),
            (TEXT, b"430[]") if step == SocketIoStep::Ready => Incoming::Joined,
            _ => Incoming::Corrupted,
        };
        Ok(Some(incoming))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::message::Encoding;
    use crate::websocket::BINARY;

    fn socketio() -> Socketio {
        let mut socketio = Socketio::new(body(Encoding::Hex), 3, "/");
        socketio.begin(0, Role::Publisher);
        socketio
    }

    fn data(stamp: &Stamp) -> String {
        String::from_utf8(body(Encoding::Hex).write(stamp)).unwrap()
    }

    #[test]
    fn packets_are_as_socket_io_writes_them() {
        let socketio = socketio();
        for (frames, expected) in [
            (
                sent(|out| socketio.append_publish(out, &STAMP)),
                format!(r#"42["pub","r2","{}"]"#, data(&STAMP)),
            ),
            (
                sent(|out| socketio.append_echo(out, &ECHO)),
                format!(r#"42["echo","{}"]"#, data(&ECHO)),
            ),
            (
                sent(|out| socketio.append_subscribe(out, 0, 0, 1)),
                r#"420["sub","r1"]"#.into(),
            ),
        ] {
            assert_eq!(frames, [(TEXT, expected)]);
        }
        assert_eq!(
            socketio.path(Role::Publisher),
            "/socket.io/?EIO=4&transport=websocket"
        );
        let other = Socketio::new(body(Encoding::Hex), 0, "/x/?EIO=4&transport=websocket");
        assert_eq!(other.path(Role::Publisher), "/x/?EIO=4&transport=websocket");
    }

    #[test]
    fn a_connection_opens_in_two_steps_and_may_begin_again() {
        let mut socketio = socketio();
        for _ in 0..2 {
            socketio.begin(0, Role::Publisher);
            let mut out = Vec::new();
            let opened = heard(&mut socketio, 0, TEXT, br#"0{"sid":"a"}"#, &mut out);
            assert_eq!(opened, Ok(vec![]));
            assert_eq!(sent(|o| o.append(&mut out)), [(TEXT, "40".into())]);
            assert_eq!(
                meaning(&mut socketio, TEXT, br#"40{"sid":"b"}"#),
                Incoming::Welcome
            );
            assert_eq!(meaning(&mut socketio, TEXT, b"430[]"), Incoming::Joined);
        }
        let mut out = Vec::new();
        assert_eq!(heard(&mut socketio, 0, TEXT, b"2", &mut out), Ok(vec![]));
        assert_eq!(sent(|o| o.append(&mut out)), [(TEXT, "3".into())]);
        assert_eq!(heard(&mut socketio, 0, TEXT, b"6", &mut out), Ok(vec![]));
        for payload in [&b"1"[..], b"41", br#"44{"message":"no"}"#] {
            assert!(matches!(
                meaning(&mut socketio, TEXT, payload),
                Incoming::Refused(_)
            ));
        }
    }

    #[test]
    fn events_are_verified() {
        let mut socketio = socketio();
        let delivery = format!(r#"42["m","{}"]"#, data(&STAMP));
        assert_eq!(
            meaning(&mut socketio, TEXT, delivery.as_bytes()),
            Incoming::Corrupted,
            "before it is open"
        );
        heard(&mut socketio, 0, TEXT, b"0{}", &mut Vec::new()).unwrap();
        meaning(&mut socketio, TEXT, b"40{}");
        for (opcode, text, expected) in [
            (TEXT, delivery.clone(), Incoming::Delivery(STAMP)),
            (
                TEXT,
                format!(r#"42["echo","{}"]"#, data(&ECHO)),
                Incoming::Echo(ECHO),
            ),
            (TEXT, delivery.replace('7', "8"), Incoming::Corrupted),
            (TEXT, format!("{delivery} "), Incoming::Corrupted),
            (BINARY, delivery, Incoming::Corrupted),
            (TEXT, String::new(), Incoming::Corrupted),
            (TEXT, "431[]".into(), Incoming::Corrupted),
        ] {
            assert_eq!(
                meaning(&mut socketio, opcode, text.as_bytes()),
                expected,
                "{text}"
            );
        }
    }
}
