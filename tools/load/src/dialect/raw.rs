//! The raw protocol of measuring: binary messages, of which the first byte says what they are for.
//! Invariant: a body begins with neither `S` nor `P`. Called through `Speech`.

use super::echo::Echo;
use super::{Incoming, Role, Speech, blanks};
use crate::message::{Body, Kind, STAMP_BYTES, Stamp};
use crate::websocket::{BINARY, Template};

/// One topic for everyone, on top of an echo server.
#[derive(Debug)]
pub(super) struct Raw {
    echo: Echo,
    /// By variant of the body.
    publishes: Vec<Template>,
}

impl Raw {
    pub(super) fn new(body: Body, path: &str) -> Raw {
        let publish = |blank: &Vec<u8>| Template::new(BINARY, &[b"P", &blank[..]].concat());
        Raw {
            publishes: blanks(&body).iter().map(publish).collect(),
            echo: Echo::new(body, path),
        }
    }
}

impl Speech for Raw {
    fn path(&self, role: Role) -> String {
        self.echo.path(role)
    }

    fn has_welcome(&self) -> bool {
        self.echo.has_welcome()
    }

    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        self.echo.append_echo(out, stamp);
    }

    fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let body = &self.echo.body;
        let patch = (1 + body.head_at(), body.head(stamp, &mut head));
        self.publishes[body.variant(stamp)].append(out, &[patch]);
    }

    /// The server does not answer: the echo of a barrier behind it does.
    fn append_subscribe(&self, out: &mut Vec<u8>, _: usize, sender: u32, room: u32) {
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

    /// A delivery is told from an echo by its stamp.
    fn read(
        &mut self,
        connection: usize,
        opcode: u8,
        rest: &mut Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, String> {
        self.echo.read(connection, opcode, rest, out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::message::Encoding;
    use crate::websocket::TEXT;

    #[test]
    fn raw_words_are_as_documented() {
        let mut raw = Raw::new(body(Encoding::Binary), "/ws");
        let written = |stamp: &Stamp| raw.echo.body.write(stamp);
        let (published, echoed) = (written(&STAMP), written(&ECHO));
        let text = |bytes: &[u8]| bytes.iter().map(|&b| char::from(b)).collect::<String>();
        assert_eq!(
            sent(|out| raw.append_publish(out, &STAMP)),
            [(BINARY, format!("P{}", text(&published)))]
        );
        assert_eq!(
            sent(|out| raw.append_echo(out, &ECHO)),
            [(BINARY, text(&echoed))]
        );
        let subscribe = sent(|out| raw.append_subscribe(out, 0, 1, 0));
        assert_eq!(subscribe[0], (BINARY, "S".into()));
        for (opcode, payload, expected) in [
            (BINARY, published.clone(), Incoming::Delivery(STAMP)),
            (BINARY, echoed, Incoming::Echo(ECHO)),
            (BINARY, [b"P", &published[..]].concat(), Incoming::Corrupted),
            (TEXT, published, Incoming::Corrupted),
            (BINARY, Vec::new(), Incoming::Corrupted),
        ] {
            assert_eq!(
                meaning(&mut raw, opcode, &payload),
                expected,
                "{opcode} {payload:x?}"
            );
        }
    }
}
