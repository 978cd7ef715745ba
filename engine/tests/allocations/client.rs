//! A blocking client on a socket of its own, just enough to keep a shard in step: it says something
//! and waits until it hears the answer.

use shardcast_engine::protocol::frame::{self, OpCode};
use shardcast_engine::protocol::upgrade;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Client(TcpStream);

impl Client {
    /// An upgraded connection.
    pub(crate) fn connect(to: SocketAddr, path: &str) -> Client {
        let mut stream = TcpStream::connect(to).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let mut request = Vec::new();
        let key = upgrade::encode_key([0; 16]);
        upgrade::write_request(&mut request, "localhost", path, &key, &[]);
        stream.write_all(&request).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.extend_from_slice(&byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        Client(stream)
    }

    /// Says the same `times` times, in one write.
    pub(crate) fn say(&mut self, opcode: OpCode, payload: &[u8], times: usize) {
        let mut bytes = Vec::new();
        frame::write_client_frame(&mut bytes, opcode, payload, [1, 2, 3, 4]);
        self.0.write_all(&bytes.repeat(times)).expect("sent");
    }

    /// The payload of the next frame, which has no more than 65,535 bytes.
    pub(crate) fn hear(&mut self) -> Vec<u8> {
        let [_, short] = self.take();
        let bytes = match short {
            0..126 => usize::from(short),
            126 => usize::from(u16::from_be_bytes(self.take())),
            _ => panic!("a server's frame is unmasked, and here it is short"),
        };
        let mut payload = vec![0; bytes];
        self.0.read_exact(&mut payload).expect("a payload");
        payload
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).expect("a frame");
        bytes
    }
}
