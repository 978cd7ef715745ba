//! nchan on nginx: text messages, and the path says what a connection is for. `/sub/t` hears what
//! each frame to `/pub/t` publishes; `/ps/eN` publishes to itself. Invariant: a publisher's answers
//! mean nothing. Called through `Speech`.

use super::{Incoming, Role, Speech, blank, stamped};
use crate::message::{Body, STAMP_BYTES, Stamp};
use crate::websocket::{TEXT, Template};

/// One topic, `t`.
#[derive(Debug)]
pub(super) struct Nchan {
    /// What stands before `/sub/t`.
    base: String,
    body: Body,
    message: Template,
    /// By connection.
    publishes: Vec<bool>,
}

impl Nchan {
    pub(super) fn new(body: Body, path: &str) -> Nchan {
        Nchan {
            base: path.trim_end_matches('/').to_owned(),
            message: Template::new(TEXT, &blank(&body)),
            body,
            publishes: Vec::new(),
        }
    }
}

impl Speech for Nchan {
    fn path(&self, role: Role) -> String {
        let base = &self.base;
        match role {
            Role::Echoer { number } => format!("{base}/ps/e{number}"),
            Role::Subscriber { .. } => format!("{base}/sub/t"),
            Role::Publisher => format!("{base}/pub/t"),
        }
    }

    fn begin(&mut self, index: usize, role: Role) {
        if self.publishes.len() <= index {
            self.publishes.resize(index + 1, false);
        }
        self.publishes[index] = role == Role::Publisher;
    }

    fn has_welcome(&self) -> bool {
        false
    }

    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        self.message
            .append(out, &[(0, self.body.head(stamp, &mut head))]);
    }

    fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        self.append_echo(out, stamp);
    }

    /// The path did it (`Protocol::subscribes`).
    fn append_subscribe(&self, _: &mut Vec<u8>, _: usize, _: u32, _: u32) {}

    fn read(
        &mut self,
        index: usize,
        opcode: u8,
        rest: &mut Option<&[u8]>,
        _: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, String> {
        Ok(rest.take().map(|payload| match opcode {
            _ if self.publishes[index] => Incoming::Other,
            TEXT => stamped(self.body.read(payload)),
            _ => Incoming::Corrupted,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::message::Encoding;
    use crate::websocket::BINARY;

    #[test]
    fn the_path_says_what_a_connection_is_for() {
        for (url, base) in [("/", ""), ("/chat", "/chat"), ("/chat/", "/chat")] {
            let nchan = Nchan::new(body(Encoding::Hex), url);
            for (role, path) in [
                (Role::Echoer { number: 17 }, "/ps/e17"),
                (Role::Subscriber { room: 0 }, "/sub/t"),
                (Role::Publisher, "/pub/t"),
            ] {
                assert_eq!(nchan.path(role), format!("{base}{path}"));
            }
        }
    }

    #[test]
    fn a_frame_is_a_body() {
        let mut nchan = Nchan::new(body(Encoding::Hex), "/");
        nchan.begin(0, Role::Subscriber { room: 0 });
        nchan.begin(1, Role::Publisher);
        let (published, echoed) = (nchan.body.write(&STAMP), nchan.body.write(&ECHO));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(
            sent(|out| nchan.append_publish(out, &STAMP)),
            [(TEXT, text(&published))]
        );
        assert_eq!(
            sent(|out| nchan.append_echo(out, &ECHO)),
            [(TEXT, text(&echoed))]
        );
        assert_eq!(sent(|out| nchan.append_subscribe(out, 0, 0, 0)), []);
        for (opcode, payload, expected) in [
            (TEXT, &published[..], Incoming::Delivery(STAMP)),
            (TEXT, &echoed, Incoming::Echo(ECHO)),
            (BINARY, &published, Incoming::Corrupted),
            (TEXT, &published[1..], Incoming::Corrupted),
        ] {
            assert_eq!(meaning(&mut nchan, opcode, payload), expected);
        }
        let status = heard(
            &mut nchan,
            1,
            TEXT,
            b"queued messages: 1\r\n",
            &mut Vec::new(),
        );
        assert_eq!(status, Ok(vec![Incoming::Other]));
    }
}
