//! A client that cannot have a WebSocket: it reads an event stream by the letter of WHATWG HTML
//! §9.2.6, and posts.

use crate::{Raw, Server};

/// An open event stream.
#[derive(Debug)]
pub struct Events {
    raw: Raw,
    token: String,
    /// Of the chunk that came last: what was not read yet.
    chunk: Vec<u8>,
}

/// The request that opens a stream on `path`.
pub fn stream(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
}

/// A request that posts `body`.
pub fn post(path: &str, token: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path}?session={token} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

impl Events {
    /// Opens a stream and reads its token.
    #[track_caller]
    pub fn open(server: &Server) -> Events {
        Events::over(Raw::connect(server))
    }

    /// The same on a socket that the test has prepared.
    #[track_caller]
    pub fn over(raw: Raw) -> Events {
        Events::at(raw, "/sse")
    }

    /// The same with a path.
    #[track_caller]
    pub fn at(raw: Raw, path: &str) -> Events {
        Events::asking(raw, &stream(path))
    }

    /// The same with a request of the test's.
    #[track_caller]
    pub fn asking(mut raw: Raw, request: &str) -> Events {
        raw.send(request.as_bytes());
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        // Proxies write names as they like.
        let names = head.to_ascii_lowercase();
        let is_chunked = names.contains("\r\ntransfer-encoding: chunked\r\n");
        assert!(is_chunked && !names.contains("content-length"), "{head}");
        let mut events = Events {
            raw,
            token: String::new(),
            chunk: Vec::new(),
        };
        let (name, token) = events.event();
        assert_eq!(name, "session");
        events.token = token;
        events
    }

    /// What posts name.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The socket.
    pub fn raw(&mut self) -> &mut Raw {
        &mut self.raw
    }

    /// The next line of the stream, without its line feed: chunks end where events do.
    #[track_caller]
    pub fn line(&mut self) -> String {
        if self.chunk.is_empty() {
            self.chunk = self.raw.chunk();
            assert!(self.chunk.ends_with(b"\n\n"), "half an event, or the end");
        }
        let end = self.chunk.iter().position(|byte| *byte == b'\n');
        let line = self.chunk.drain(..=end.expect("a whole line")).collect();
        let mut line = String::from_utf8(line).expect("UTF-8");
        line.pop();
        line
    }

    /// Nothing more comes: the chunk that says so, and then the end.
    #[track_caller]
    pub fn ended(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.chunk), "");
        assert_eq!(String::from_utf8_lossy(&self.raw.chunk()), "");
        self.raw.ended();
    }

    /// The next event: its name and its data. Comments are passed over.
    #[track_caller]
    pub fn event(&mut self) -> (String, String) {
        let (mut name, mut data) = ("message".to_owned(), None::<String>);
        loop {
            let line = self.line();
            if line.is_empty() {
                match data {
                    Some(data) => return (name, data),
                    None => continue,
                }
            }
            let Some((field, value)) = line.split_once(':') else {
                panic!("not a line of an event: {line}");
            };
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => {}
                "event" => value.clone_into(&mut name),
                "data" => {
                    data = Some(match data {
                        None => value.to_owned(),
                        Some(before) => format!("{before}\n{value}"),
                    });
                }
                _ => panic!("a field that is not sent: {line}"),
            }
        }
    }

    /// The next event, which is a text message.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let (name, data) = self.event();
        assert_eq!(name, "message", "{data}");
        data
    }

    /// Posts a message over a connection of its own, which ends with it. The status.
    #[track_caller]
    pub fn post(&self, server: &Server, body: &str) -> u16 {
        let mut raw = Raw::connect(server);
        raw.send(post("/sse", &self.token, body).as_bytes());
        status(&raw.answer().0)
    }

    /// Posts what is taken.
    #[track_caller]
    pub fn say(&self, server: &Server, body: &str) {
        assert_eq!(self.post(server, body), 204, "{body}");
    }

    /// The next event closes the session: its data; and the stream ends.
    #[track_caller]
    pub fn closed(&mut self) -> String {
        let (name, data) = self.event();
        assert_eq!(name, "close", "{data}");
        self.ended();
        data
    }
}

/// The status of an answer's head.
#[track_caller]
pub fn status(head: &str) -> u16 {
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    status
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no status: {head}"))
}
