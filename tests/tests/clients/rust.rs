//! tungstenite as a puppet, over TLS by rustls. It has no compression: version 0.30 offers no
//! extension.

use crate::puppet::{Frames, Puppet};
use rustls::ClientConfig;
use serde_json::{Value, json};
use shardcast_tests::secure;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Error, Message, WebSocket};

/// Connected from the first `connect` on.
pub(crate) struct Tungstenite {
    tls: Arc<ClientConfig>,
    socket: Option<WebSocket<Box<dyn Wire>>>,
}

/// A socket, or TLS over one.
trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// As the other puppets' in `puppet.rs`.
const PATIENCE: Duration = Duration::from_secs(60);

impl Tungstenite {
    pub(crate) fn new(tls: Arc<ClientConfig>) -> Tungstenite {
        Tungstenite { tls, socket: None }
    }

    fn socket(&mut self) -> &mut WebSocket<Box<dyn Wire>> {
        self.socket.as_mut().expect("connected")
    }

    fn connect(&mut self, connect: &Value) -> Value {
        let url = connect["url"].as_str().expect("a URL");
        let mut request = url.into_client_request().expect("a URL");
        let subprotocol = connect["subprotocols"][0].as_str().expect("one");
        let subprotocol = subprotocol.parse().expect("a header");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", subprotocol);
        let host = request
            .uri()
            .authority()
            .expect("a URL with a host")
            .as_str();
        let stream = TcpStream::connect(host).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_nodelay(true).expect("a TCP socket");
        let wire: Box<dyn Wire> = match request.uri().scheme_str() {
            Some("wss") => Box::new(secure(&self.tls, stream)),
            _ => Box::new(stream),
        };
        match tungstenite::client(request, wire) {
            Ok((socket, response)) => {
                self.socket = Some(socket);
                let header = |name| {
                    let value = response.headers().get(name);
                    value
                        .map_or("", |value| value.to_str().expect("ASCII"))
                        .to_owned()
                };
                json!({"opened": [header("sec-websocket-protocol"), header("sec-websocket-extensions")]})
            }
            Err(error) => json!({"failed": error.to_string()}),
        }
    }

    fn send(&mut self, texts: &[Value]) -> Value {
        for text in texts {
            let text = text.as_str().expect("text");
            self.socket()
                .write(Message::text(text))
                .expect("the server reads");
        }
        self.socket().flush().expect("the server reads");
        json!({"sent": texts.len()})
    }

    fn pieces(&mut self, texts: &[Value]) -> Value {
        for (index, text) in texts.iter().enumerate() {
            let kind = if index == 0 {
                Data::Text
            } else {
                Data::Continue
            };
            let bytes = text.as_str().expect("text").to_owned();
            let frame = Frame::message(bytes, OpCode::Data(kind), index + 1 == texts.len());
            self.socket()
                .write(Message::Frame(frame))
                .expect("the server reads");
        }
        self.socket().flush().expect("the server reads");
        json!({"sent": 1})
    }

    fn hear(&mut self, count: u64) -> Value {
        let mut heard = Vec::new();
        while (heard.len() as u64) < count {
            match self.socket().read() {
                Ok(Message::Text(text)) => heard.push(text.as_str().to_owned()),
                Ok(Message::Ping(_)) => {}
                other => panic!("after {} messages: {other:?}", heard.len()),
            }
        }
        json!({"heard": heard})
    }

    fn ping(&mut self, payload: &str) -> Value {
        let ping = Message::Ping(payload.to_owned().into());
        self.socket().send(ping).expect("the server reads");
        match self.socket().read() {
            Ok(Message::Pong(bytes)) => json!({"ponged": String::from_utf8_lossy(&bytes)}),
            other => panic!("no pong: {other:?}"),
        }
    }

    /// Reads up to the close frame and the end behind it.
    fn ended(&mut self) -> Value {
        let mut closed = Value::Null;
        loop {
            match self.socket().read() {
                Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                    closed = json!({"closed": [u16::from(code), reason.as_str()]});
                }
                Ok(_) => {}
                Err(Error::ConnectionClosed) => return closed,
                Err(error) => panic!("no clean end: {error}"),
            }
        }
    }
}

impl Puppet for Tungstenite {
    fn obey(&mut self, order: &Value) -> Value {
        let (name, argument) = order
            .as_object()
            .and_then(|order| order.iter().next())
            .expect("an order");
        let list = || argument.as_array().expect("a list");
        match name.as_str() {
            "connect" => self.connect(argument),
            "send" => self.send(list()),
            "pieces" => self.pieces(list()),
            "hear" => self.hear(argument.as_u64().expect("a count")),
            "ping" => self.ping(argument.as_str().expect("text")),
            "close" => {
                let close = CloseFrame {
                    code: (list()[0].as_u64().expect("a code") as u16).into(),
                    reason: list()[1].as_str().expect("text").into(),
                };
                self.socket().close(Some(close)).expect("the server reads");
                self.ended()
            }
            "ended" => self.ended(),
            _ => panic!("no order: {name}"),
        }
    }

    fn frames(&self) -> Frames {
        Frames::Open
    }
}
