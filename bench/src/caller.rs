//! A client that blocks: it says something and waits for what it names. For works in which one
//! thread speaks for many connections and only the server's time counts. Called by `recovery`,
//! `stalled`, `joins`, `deltas` and `uploads`.

use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

/// Without an answer for so long, the server is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a client keeps of what it reads: many of them are there at once.
const READ_BYTES: usize = 4 << 10;

/// One connection.
#[derive(Debug)]
pub(crate) struct Caller(WebSocket<TcpStream>);

/// The kernel's receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiveBuffer {
    /// As the host has it.
    Usual,
    /// Of about so many bytes (`SO_RCVBUF`).
    Bytes(usize),
}

impl Caller {
    /// Connects and is upgraded.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub(crate) fn connect(
        address: SocketAddr,
        path: &str,
        buffer: ReceiveBuffer,
    ) -> io::Result<Caller> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if let ReceiveBuffer::Bytes(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect(&address.into())?;
        socket.set_tcp_nodelay(true)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let url = format!("ws://{address}{path}");
        let (socket, _) = tungstenite::client::client_with_config(url, stream, Some(config))
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Caller(socket))
    }

    /// As many, one after the other.
    ///
    /// # Errors
    /// As with one.
    pub(crate) fn connect_many(
        count: usize,
        address: SocketAddr,
        path: &str,
        buffer: ReceiveBuffer,
    ) -> io::Result<Vec<Caller>> {
        (0..count)
            .map(|_| Caller::connect(address, path, buffer))
            .collect()
    }

    /// Says it.
    ///
    /// # Errors
    /// The connection is gone, or takes nothing.
    pub(crate) fn say(&mut self, message: impl Into<Message>) -> io::Result<()> {
        self.0.send(message.into()).map_err(of)
    }

    /// The next message, text or binary.
    ///
    /// # Errors
    /// The connection is gone, or says nothing in time.
    pub(crate) fn hear(&mut self) -> io::Result<Message> {
        loop {
            let message = self.0.read().map_err(of)?;
            if message.is_text() || message.is_binary() {
                return Ok(message);
            }
        }
    }

    /// Reads on to a message of this kind of the native dialect, and returns it.
    ///
    /// # Errors
    /// Besides those of [`Caller::hear`]: the server answers with an error.
    pub(crate) fn hear_of(&mut self, kind: &str) -> io::Result<String> {
        let wanted = format!("{{\"type\":\"{kind}\"");
        loop {
            let text = self.hear()?.into_text().map_err(of)?.to_string();
            if text.starts_with(&wanted) {
                return Ok(text);
            }
            if text.starts_with("{\"type\":\"error\"") {
                return Err(io::Error::other(text));
            }
        }
    }

    /// The socket, for who sends less than a message.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }
}

fn of(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}
