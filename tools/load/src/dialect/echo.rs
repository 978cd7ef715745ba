//! Any echo server: binary messages that come back as they were sent. Called through `Speech`, and
//! by `raw`, which adds a topic.

use super::{Incoming, Role, Speech, blanks, stamped};
use crate::message::{Body, STAMP_BYTES, Stamp};
use crate::websocket::{BINARY, Template};

/// No topics: `Protocol::has_topics` says so, and the plan refuses what needs one.
#[derive(Debug)]
pub(super) struct Echo {
    path: String,
    pub(super) body: Body,
    /// By variant of the body.
    messages: Vec<Template>,
}

impl Echo {
    pub(super) fn new(body: Body, path: &str) -> Echo {
        Echo {
            path: path.to_owned(),
            messages: blanks(&body)
                .iter()
                .map(|blank| Template::new(BINARY, blank))
                .collect(),
            body,
        }
    }
}

impl Speech for Echo {
    fn path(&self, _: Role) -> String {
        self.path.clone()
    }

    fn has_welcome(&self) -> bool {
        false
    }

    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let head = self.body.head(stamp, &mut head);
        self.messages[self.body.variant(stamp)].append(out, &[(self.body.head_at(), head)]);
    }

    fn append_publish(&self, _: &mut Vec<u8>, _: &Stamp) {
        unreachable!("the plan refuses to publish to an echo server");
    }

    fn append_subscribe(&self, _: &mut Vec<u8>, _: usize, _: u32, _: u32) {
        unreachable!("the plan refuses to subscribe to an echo server");
    }

    fn read(
        &mut self,
        _: usize,
        opcode: u8,
        rest: &mut Option<&[u8]>,
        _: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, String> {
        let Some(payload) = rest.take() else {
            return Ok(None);
        };
        if opcode == BINARY {
            return Ok(Some(stamped(self.body.read(payload))));
        }
        match greeting_of(payload) {
            Some(protocol) => Err(format!(
                "the server greets in another protocol: try --protocol {protocol}"
            )),
            None => Ok(Some(Incoming::Corrupted)),
        }
    }
}

/// The protocol in which a server of a text protocol speaks first, if this is how it begins.
fn greeting_of(text: &[u8]) -> Option<&'static str> {
    let greetings: [(&[u8], _); 3] = [
        (b"{\"type\":\"welcome\"", "native"),
        (b"{\"event\":\"pusher:", "pusher"),
        (b"0{\"sid\":", "socketio"),
    ];
    let mut found = greetings.into_iter();
    found.find_map(|(greeting, protocol)| text.starts_with(greeting).then_some(protocol))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::message::Encoding;
    use crate::websocket::TEXT;

    #[test]
    fn what_is_sent_is_what_must_come_back() {
        let mut echo = Echo::new(body(Encoding::Binary), "/any");
        let written = echo.body.write(&ECHO);
        let text: String = written.iter().map(|&byte| char::from(byte)).collect();
        assert_eq!(sent(|out| echo.append_echo(out, &ECHO)), [(BINARY, text)]);
        assert_eq!(echo.path(Role::Echoer { number: 1 }), "/any");
        for (opcode, payload, expected) in [
            (BINARY, &written[..], Incoming::Echo(ECHO)),
            (BINARY, &written[1..], Incoming::Corrupted),
            (TEXT, &written, Incoming::Corrupted),
        ] {
            assert_eq!(meaning(&mut echo, opcode, payload), expected);
        }
        for (greeting, protocol) in [
            (r#"{"type":"welcome","connection":"0-0-1"}"#, "native"),
            (r#"{"event":"pusher:connection_established"}"#, "pusher"),
            (r#"0{"sid":"a","upgrades":[]}"#, "socketio"),
        ] {
            let read = echo.read(0, TEXT, &mut Some(greeting.as_bytes()), &mut Vec::new());
            assert!(
                read.unwrap_err()
                    .ends_with(&format!("--protocol {protocol}"))
            );
        }
    }
}
