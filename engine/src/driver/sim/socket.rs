//! A virtual TCP connection: two pipes of bytes, and how each of them ends.
//!
//! Invariant: bytes of one direction keep their order; a reset may cut the tail off, nothing else
//! loses a byte.

use crate::driver::boundary::Millis;
use crate::driver::sim::random::Random;
use std::collections::VecDeque;

/// How the network treats one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// As the run's faults say.
    Faulty,
    /// As the run's faults say, but sends never break it.
    Lasting,
    /// Large buffers, no faults in what the server sends.
    Perfect,
}

/// Index of a [`Socket`] in its world. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub(super) usize);

/// What a reader finds at the front of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// Nothing yet.
    Nothing,
    Bytes,
    /// All bytes are read, and the writer finished.
    Finished,
    /// What survived is read, and the connection is broken.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Finished,
    Broken,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    /// Until then the network keeps what is in the pipe from the reader.
    pub(super) held_until: Millis,
    end: End,
}

impl Pipe {
    fn new(bytes_max: usize) -> Pipe {
        Pipe {
            bytes: VecDeque::new(),
            bytes_max,
            held_until: 0,
            end: End::Open,
        }
    }

    pub(super) fn room(&self) -> usize {
        self.bytes_max - self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn is_open(&self) -> bool {
        self.end == End::Open
    }

    pub(super) fn is_broken(&self) -> bool {
        self.end == End::Broken
    }

    /// Takes what there is room for; returns how many bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        assert!(self.is_open(), "written after its end");
        let count = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..count]);
        count
    }

    pub(super) fn read(&mut self, bytes_max: usize) -> Vec<u8> {
        let count = self.bytes.len().min(bytes_max);
        self.bytes.drain(..count).collect()
    }

    pub(super) fn finish(&mut self) {
        if self.end == End::Open {
            self.end = End::Finished;
        }
    }

    fn break_off(&mut self, random: &mut Random) {
        if self.end != End::Broken {
            let survivors = random.below(self.bytes.len() + 1);
            self.bytes.truncate(survivors);
            self.end = End::Broken;
        }
    }

    /// What the reader finds at `now`.
    pub(super) fn front(&self, now: Millis) -> Front {
        if self.held_until > now && self.end != End::Broken {
            return Front::Nothing;
        }
        match (self.bytes.is_empty(), self.end) {
            (false, _) => Front::Bytes,
            (true, End::Open) => Front::Nothing,
            (true, End::Finished) => Front::Finished,
            (true, End::Broken) => Front::Broken,
        }
    }

    /// When the reader will find something that it does not find at `now`, if time alone brings it.
    pub(super) fn ripe_at(&self, now: Millis) -> Option<Millis> {
        let something = !self.bytes.is_empty() || self.end != End::Open;
        (something && self.end != End::Broken && self.held_until > now).then_some(self.held_until)
    }
}

/// One connection, both ends.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) to_server: Pipe,
    pub(super) to_client: Pipe,
    /// The server closed it (not merely half-closed).
    pub(super) server_gone: bool,
    /// The client closed it (not merely half-closed).
    pub(super) client_gone: bool,
    /// Which faults apply.
    pub(super) line: Line,
    /// The shard and slot that serve it, while they do.
    pub(super) served_by: Option<(u16, u32)>,
}

impl Socket {
    pub(super) fn new(bytes_max: usize, line: Line) -> Socket {
        Socket {
            to_server: Pipe::new(bytes_max),
            to_client: Pipe::new(bytes_max),
            server_gone: false,
            client_gone: false,
            line,
            served_by: None,
        }
    }

    /// Both directions end at once; a random tail of what was under way is lost.
    pub(super) fn reset(&mut self, random: &mut Random) {
        self.to_server.break_off(random);
        self.to_client.break_off(random);
    }

    /// The server's kernel takes bytes for the client; `None` when the connection is beyond
    /// sending.
    pub(super) fn send(&mut self, bytes: &[u8], random: &mut Random) -> Option<usize> {
        if self.to_client.is_broken() {
            return None;
        }
        if self.client_gone {
            // The kernel takes the bytes; the peer's kernel answers them with a reset.
            self.reset(random);
            return Some(bytes.len());
        }
        Some(self.to_client.write(bytes))
    }

    /// The server closes: a clean end, unless bytes of the client were never read (then a reset, as
    /// Linux does).
    pub(super) fn close_by_server(&mut self, random: &mut Random) {
        self.server_gone = true;
        if self.to_server.is_empty() {
            self.to_client.finish();
        } else {
            self.reset(random);
        }
    }
}
