//! A client by tungstenite, an implementation that knows nothing of ours. Whatever it does not
//! expect is a failed test.

use crate::{PATIENCE, Server, shard_of};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

/// A connected client.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<TcpStream>,
    id: String,
    welcome: String,
}

impl Client {
    /// Connects to the native dialect and reads the welcome.
    #[track_caller]
    pub fn native(server: &Server) -> Client {
        Client::native_at(server.address())
    }

    /// The same for a server in another process.
    #[track_caller]
    pub fn native_at(address: SocketAddr) -> Client {
        let mut client = Client::plain_at(address);
        let welcome = client.hear();
        let id = welcome
            .strip_prefix(r#"{"type":"welcome","connection":""#)
            .and_then(|rest| rest.split_once('"'))
            .map(|(id, _)| id.to_owned());
        client.id = id.unwrap_or_else(|| panic!("no welcome: {welcome}"));
        client.welcome = welcome;
        client
    }

    /// Connects and expects nothing.
    #[track_caller]
    pub fn plain(server: &Server) -> Client {
        Client::plain_at(server.address())
    }

    #[track_caller]
    fn plain_at(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server accepts");
        Client::over(stream, address, None).0
    }

    /// Connects offering subprotocols; also the server's answer.
    #[track_caller]
    pub fn offering(server: &Server, subprotocols: &str) -> (Client, Response) {
        let stream = TcpStream::connect(server.address()).expect("the server accepts");
        Client::over(stream, server.address(), Some(subprotocols))
    }

    /// Connects to a path (`/ws?user=ann`) offering subprotocols.
    #[track_caller]
    pub fn asking(address: SocketAddr, path: &str, subprotocols: &str) -> Client {
        let stream = TcpStream::connect(address).expect("the server accepts");
        Client::upgrade(stream, address, path, Some(subprotocols)).0
    }

    /// Upgrades a socket that the test has prepared.
    #[track_caller]
    pub fn over(
        stream: TcpStream,
        address: SocketAddr,
        offered: Option<&str>,
    ) -> (Client, Response) {
        Client::upgrade(stream, address, "/ws", offered)
    }

    #[track_caller]
    fn upgrade(
        stream: TcpStream,
        address: SocketAddr,
        path: &str,
        offered: Option<&str>,
    ) -> (Client, Response) {
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        let url = format!("ws://{address}{path}");
        let mut request = url.into_client_request().expect("a URL");
        if let Some(offered) = offered {
            let offered = HeaderValue::from_str(offered).expect("a header");
            request
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", offered);
        }
        let (socket, response) = tungstenite::client(request, stream).expect("an upgrade");
        let client = Client {
            socket,
            id: String::new(),
            welcome: String::new(),
        };
        (client, response)
    }

    /// What the server calls this connection (native only).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the server said first (native only).
    pub fn welcome(&self) -> &str {
        &self.welcome
    }

    /// The socket below.
    pub fn stream(&self) -> &TcpStream {
        self.socket.get_ref()
    }

    /// Sends a text message.
    #[track_caller]
    pub fn say(&mut self, text: &str) {
        self.send(Message::text(text));
    }

    /// Sends any message.
    #[track_caller]
    pub fn send(&mut self, message: Message) {
        self.socket.send(message).expect("the server reads");
    }

    /// The next message of any kind.
    #[track_caller]
    pub fn hear_any(&mut self) -> Message {
        loop {
            match self.socket.read() {
                Ok(message) => return message,
                // A child of the test has ended: a read with a deadline does not begin again.
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{}: nothing to hear: {error}", self.id),
            }
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// There is none any more.
    pub fn try_hear(&mut self) -> Result<Message, Error> {
        self.socket.read()
    }

    /// The next message, which is text. Pings are answered by tungstenite and passed over.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        loop {
            match self.hear_any() {
                Message::Text(text) => return text.as_str().to_owned(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{}: not text: {other:?}", self.id),
            }
        }
    }

    /// Says something and hears the next message.
    #[track_caller]
    pub fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear()
    }

    /// Says something and expects exactly this as the next message.
    #[track_caller]
    pub fn check(&mut self, text: &str, expected: &str) {
        let answer = self.ask(text);
        assert_eq!(answer, expected, "to {text}");
    }

    /// Expects exactly this as the next message.
    #[track_caller]
    pub fn expect(&mut self, expected: &str) {
        assert_eq!(self.hear(), expected);
    }

    /// The connection is open and nothing had been sent to it that was not heard (native only).
    #[track_caller]
    pub fn check_quiet(&mut self) {
        self.check(
            r#"{"type":"ping","id":"quiet"}"#,
            r#"{"type":"pong","id":"quiet"}"#,
        );
    }

    /// Joins a room, passing over messages of others (native only). The number of members.
    #[track_caller]
    pub fn join(&mut self, room: &str) -> u32 {
        self.say(&format!(
            r#"{{"type":"join_room","id":"join","room":"{room}"}}"#
        ));
        let start = format!(r#"{{"type":"joined","id":"join","room":"{room}","members":"#);
        loop {
            let heard = self.hear();
            if let Some(members) = heard.strip_prefix(&start) {
                // A room that keeps history says more.
                let members = members.split([',', '}']).next();
                return members.unwrap_or_default().parse().expect("a number");
            }
            assert!(heard.starts_with(r#"{"type":"message","#), "{heard}");
        }
    }

    /// The next thing is a close frame, and then the end of the stream. Its code (1005: none) and
    /// reason.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        match self.hear_any() {
            Message::Close(close) => {
                self.ended();
                close.map_or((1005, String::new()), |close| {
                    (close.code.into(), close.reason.as_str().to_owned())
                })
            }
            other => panic!("{}: not closed: {other:?}", self.id),
        }
    }

    /// Nothing more comes: the server closed the socket.
    #[track_caller]
    fn ended(&mut self) {
        match self.socket.read() {
            Err(Error::ConnectionClosed) => {}
            other => panic!("{}: not ended cleanly: {other:?}", self.id),
        }
    }

    /// Closes with 1000 and waits for the answer and the end, whatever comes before.
    #[track_caller]
    pub fn leave(mut self) {
        let close = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        self.socket.close(Some(close)).expect("the server reads");
        loop {
            match self.socket.read() {
                Ok(Message::Close(close)) => {
                    assert_eq!(close.map(|close| u16::from(close.code)), Some(1000));
                    return self.ended();
                }
                Ok(_) => {}
                Err(error) => panic!("{}: no close: {error}", self.id),
            }
        }
    }
}

/// Clients of all its shards.
impl Server {
    /// One native client on every shard, in the order of the shards.
    ///
    /// # Panics
    /// The kernel leaves a shard out of 1,000 connects.
    #[track_caller]
    pub fn spread(&self) -> Vec<Client> {
        let mut found: Vec<Option<Client>> = (0..self.shards).map(|_| None).collect();
        for _ in 0..1000 {
            let client = Client::native(self);
            let shard = shard_of(client.id());
            match &mut found[shard] {
                place @ None => *place = Some(client),
                Some(_) => client.leave(),
            }
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        let clients = found.into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(clients.len(), self.shards, "a shard that nobody reaches");
        // Whoever was superfluous is gone when the counters say so, and not in anybody's counts.
        let expected = clients.len() as u64;
        self.wait_until("only one client on each shard", |server| {
            server.sum(|shard| &shard.connections) == expected
        });
        clients
    }
}
