//! One connection: reads into one buffer, answers out of the same buffer, and hands its writing
//! side to a task of its own once it subscribes. Whatever is sent leaves in the order in which it
//! was caused. `server` runs one per client.

use crate::arguments::{Buffers, Flush};
use crate::framing::{self, Header, MESSAGE_BYTES_MAX, Opcode, Violation};
use crate::topic::{Outbox, Subscription, Topic};
use bytes::Bytes;
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::TcpStream;
use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

/// Bytes per connection for receiving; a connection that sends larger messages keeps a larger
/// buffer.
pub(crate) const READ_BUFFER_BYTES: usize = 4096;
/// Buffers that are kept for whoever receives next, where connections share them.
const SHARED_BUFFERS_MAX: usize = 64;

/// What connections have together.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) topic: Topic,
    pub(crate) flush: Flush,
    pub(crate) buffers: Buffers,
    pub(crate) spare: Rc<RefCell<Vec<Vec<u8>>>>,
}

pub(crate) struct Connection {
    stream: Stream,
    inbound: Inbound,
    surroundings: Surroundings,
}

/// Who writes.
enum Stream {
    /// The reading task itself: nobody else has anything to say to this client.
    Whole(TcpStream),
    /// A task that takes from the subscription's outbox.
    Reading(OwnedReadHalf<TcpStream>),
}

impl Connection {
    /// `bytes` came behind the handshake.
    pub(crate) fn new(stream: TcpStream, bytes: Vec<u8>, surroundings: Surroundings) -> Self {
        let inbound = Inbound {
            bytes,
            fragments: Vec::new(),
            fragments_opcode: None,
            topic: surroundings.topic.clone(),
            socket: stream.as_raw_fd(),
            subscription: None,
        };
        Self {
            stream: Stream::Whole(stream),
            inbound,
            surroundings,
        }
    }

    /// Ends with the connection.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        loop {
            let mut more = true;
            while more {
                let step = self.inbound.step().map_err(|Violation| violation())?;
                self.reply(&step).await?;
                self = self.with_writer();
                if step.closing {
                    return Ok(());
                }
                more = step.assembled.is_some();
                self.inbound.discard(step.consumed);
            }
            if self.read().await? == 0 {
                return Ok(());
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        if let Stream::Whole(stream) = &self.stream
            && self.surroundings.buffers == Buffers::Shared
            && self.inbound.bytes.is_empty()
        {
            self.inbound.lend(&self.surroundings.spare);
            // Not what the runtime remembers: that is only corrected by a receive that finds
            // nothing, for which there would have to be a buffer.
            stream.readable(false).await?;
            self.inbound.borrow(&self.surroundings.spare);
        }
        let bytes = self.inbound.take_with_room();
        let held = bytes.len();
        let slice = bytes.slice_mut(held..);
        let (result, slice) = match &mut self.stream {
            Stream::Whole(stream) => stream.read(slice).await,
            Stream::Reading(reader) => reader.read(slice).await,
        };
        self.inbound.bytes = slice.into_inner();
        result
    }

    async fn reply(&mut self, step: &Step) -> io::Result<()> {
        match &mut self.stream {
            Stream::Whole(stream) => {
                if !step.replies.is_empty() {
                    let bytes = std::mem::take(&mut self.inbound.bytes);
                    let (result, slice) = stream.write_all(bytes.slice(step.replies.clone())).await;
                    self.inbound.bytes = slice.into_inner();
                    result?;
                }
                if let Some(frame) = &step.assembled
                    && !frame.is_empty()
                {
                    stream.write_all(frame.clone()).await.0?;
                }
            }
            Stream::Reading(_) => {
                let Some(subscription) = &self.inbound.subscription else {
                    return Ok(());
                };
                if !step.replies.is_empty() {
                    let replies = &self.inbound.bytes[step.replies.clone()];
                    subscription.outbox.push(Bytes::copy_from_slice(replies));
                }
                if let Some(frame) = &step.assembled
                    && !frame.is_empty()
                {
                    subscription.outbox.push(frame.clone());
                }
            }
        }
        Ok(())
    }

    /// A task of its own writes once there is a subscription.
    fn with_writer(mut self) -> Self {
        self.stream = match (self.stream, &self.inbound.subscription) {
            (Stream::Whole(stream), Some(subscription)) => {
                let (reader, writer) = stream.into_split();
                let outbox = Rc::clone(&subscription.outbox);
                monoio::spawn(write(writer, outbox, self.surroundings.flush));
                Stream::Reading(reader)
            }
            (stream, _) => stream,
        };
        self
    }
}

fn violation() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// A subscriber's writing task. What is in the outbox when a send is done leaves with the next one:
/// a task cannot know what other tasks are about to publish, so a burst is merged as far as it was
/// published before this task ran.
async fn write(mut writer: OwnedWriteHalf<TcpStream>, outbox: Rc<Outbox>, flush: Flush) {
    let mut merged = Vec::new();
    while let Some(first) = outbox.next().await {
        let alone = match flush {
            Flush::Batch => outbox.merge(first, &mut merged),
            Flush::Each => Some(first),
        };
        let result = match alone {
            Some(frame) => writer.write_all(frame).await.0,
            None => {
                let (result, bytes) = writer.write_all(merged).await;
                merged = bytes;
                merged.clear();
                result
            }
        };
        if result.is_err() {
            return;
        }
    }
}

/// What came from the client, and what it means.
struct Inbound {
    bytes: Vec<u8>,
    /// The message under way, while it comes in fragments.
    fragments: Vec<u8>,
    fragments_opcode: Option<Opcode>,
    topic: Topic,
    socket: RawFd,
    subscription: Option<Subscription>,
}

/// What one pass over the buffer amounts to.
struct Step {
    /// Where in the buffer the replies stand, as they go onto the wire.
    replies: Range<usize>,
    /// A message that came in fragments is complete: its reply (or nothing), to be sent behind the
    /// others. Another pass is due.
    assembled: Option<Bytes>,
    /// Bytes of the buffer that are done with.
    consumed: usize,
    /// The last of the replies is the answer to a close.
    closing: bool,
}

impl Inbound {
    /// Handles every complete frame. A reply is never longer than its frame, whose mask it drops,
    /// so it takes the frame's place; the first does not even move.
    fn step(&mut self) -> Result<Step, Violation> {
        let mut step = Step {
            replies: 0..0,
            assembled: None,
            consumed: 0,
            closing: false,
        };
        while !step.closing && step.assembled.is_none() {
            let Some(header) = Header::parse(&self.bytes[step.consumed..])? else {
                break;
            };
            let start = step.consumed + header.header_bytes;
            let payload = start..start + header.payload_bytes;
            if payload.end > self.bytes.len() {
                // The rest is read in one go if the kernel has it.
                self.bytes.reserve_exact(
                    payload.end - self.bytes.len() + framing::SERVER_HEADER_BYTES_MAX,
                );
                break;
            }
            framing::unmask(&mut self.bytes[payload.clone()], header.key);
            step.consumed = payload.end;
            match header.opcode {
                Opcode::Continuation => step.assembled = self.fragment(&header, payload)?,
                Opcode::Text | Opcode::Binary if !header.last => {
                    step.assembled = self.fragment(&header, payload)?;
                }
                Opcode::Text | Opcode::Binary if self.fragments_opcode.is_some() => {
                    return Err(Violation);
                }
                Opcode::Text | Opcode::Binary => {
                    if !self.obey(header.opcode, payload.clone()) {
                        self.put_reply(&mut step.replies, header.opcode, payload);
                    }
                }
                Opcode::Ping => self.put_reply(&mut step.replies, Opcode::Pong, payload),
                Opcode::Pong => {}
                Opcode::Close => {
                    self.put_reply(&mut step.replies, Opcode::Close, payload);
                    step.closing = true;
                }
            }
        }
        Ok(step)
    }

    /// Whether the message is a command of the raw protocol, which is carried out.
    fn obey(&mut self, opcode: Opcode, payload: Range<usize>) -> bool {
        let payload = &self.bytes[payload];
        match (opcode, payload.first()) {
            (Opcode::Binary, Some(b'S')) => {
                let (topic, socket) = (&self.topic, self.socket);
                self.subscription
                    .get_or_insert_with(|| topic.subscribe(socket));
                true
            }
            (Opcode::Binary, Some(b'P')) => {
                let frame = framing::encode(Opcode::Binary, &payload[1..]);
                self.topic.publish(&Bytes::from(frame));
                true
            }
            _ => false,
        }
    }

    fn put_reply(&mut self, replies: &mut Range<usize>, opcode: Opcode, payload: Range<usize>) {
        let header_bytes = framing::server_header_bytes(payload.len());
        if replies.start == replies.end {
            *replies = payload.start - header_bytes..payload.start - header_bytes;
        }
        let at = replies.end + header_bytes;
        replies.end = at + payload.len();
        let payload_bytes = payload.len();
        if at != payload.start {
            self.bytes.copy_within(payload, at);
        }
        framing::put_header(&mut self.bytes[at - header_bytes..], opcode, payload_bytes);
    }

    /// Takes one fragment; the reply to the message if it was the last.
    fn fragment(
        &mut self,
        header: &Header,
        payload: Range<usize>,
    ) -> Result<Option<Bytes>, Violation> {
        let is_first = header.opcode != Opcode::Continuation;
        if is_first == self.fragments_opcode.is_some()
            || self.fragments.len() + payload.len() > MESSAGE_BYTES_MAX
        {
            return Err(Violation);
        }
        let opcode = *self.fragments_opcode.get_or_insert(header.opcode);
        self.fragments.extend_from_slice(&self.bytes[payload]);
        if !header.last {
            return Ok(None);
        }
        self.fragments_opcode = None;
        let message = std::mem::take(&mut self.fragments);
        let whole = std::mem::replace(&mut self.bytes, message);
        let is_command = self.obey(opcode, 0..self.bytes.len());
        let message = std::mem::replace(&mut self.bytes, whole);
        Ok(Some(match is_command {
            true => Bytes::new(),
            false => Bytes::from(framing::encode(opcode, &message)),
        }))
    }

    fn discard(&mut self, consumed: usize) {
        if consumed == self.bytes.len() {
            self.bytes.clear();
        } else {
            self.bytes.drain(..consumed);
        }
    }

    /// Gives an empty buffer to whoever receives next; one that grew goes.
    fn lend(&mut self, spare: &RefCell<Vec<Vec<u8>>>) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut spare = spare.borrow_mut();
        if bytes.capacity() == READ_BUFFER_BYTES && spare.len() < SHARED_BUFFERS_MAX {
            spare.push(bytes);
        }
    }

    fn borrow(&mut self, spare: &RefCell<Vec<Vec<u8>>>) {
        if let Some(bytes) = spare.borrow_mut().pop() {
            self.bytes = bytes;
        }
    }

    /// The buffer, with room to read into.
    fn take_with_room(&mut self) -> Vec<u8> {
        if self.bytes.len() == self.bytes.capacity() {
            self.bytes.reserve(READ_BUFFER_BYTES);
        }
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(first: u8, payload: &[u8]) -> Vec<u8> {
        let key = [7, 0, 200, 31];
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(long as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&key);
        let start = frame.len();
        frame.extend_from_slice(payload);
        framing::unmask(&mut frame[start..], key);
        frame
    }

    /// Feeds `input` in pieces of `piece_bytes` and returns everything that is sent.
    fn replies(input: &[u8], piece_bytes: usize) -> Result<Vec<u8>, Violation> {
        let mut inbound = Inbound {
            bytes: Vec::new(),
            fragments: Vec::new(),
            fragments_opcode: None,
            topic: Topic::default(),
            socket: -1,
            subscription: None,
        };
        let mut sent = Vec::new();
        for piece in input.chunks(piece_bytes) {
            inbound.bytes.extend_from_slice(piece);
            loop {
                let step = inbound.step()?;
                sent.extend_from_slice(&inbound.bytes[step.replies.clone()]);
                sent.extend_from_slice(step.assembled.as_deref().unwrap_or_default());
                inbound.discard(step.consumed);
                if step.closing {
                    return Ok(sent);
                }
                if step.assembled.is_none() {
                    break;
                }
            }
        }
        Ok(sent)
    }

    #[test]
    fn replies_are_the_same_however_the_input_is_cut() {
        let long = vec![0x5a; 300];
        let input = [
            client(0x82, b"one"),
            client(0x81, b"two"),
            client(0x02, b"th"),
            client(0x89, b"ping"),
            client(0x8a, b"pong"),
            client(0x80, b"ree"),
            client(0x82, &long),
            client(0x82, b""),
            client(0x82, b"S"),
            client(0x82, b"Pnot to me directly"),
            client(0x88, &[0x03, 0xe8]),
            client(0x82, b"after the close"),
        ]
        .concat();
        let expected = [
            framing::encode(Opcode::Binary, b"one"),
            framing::encode(Opcode::Text, b"two"),
            framing::encode(Opcode::Pong, b"ping"),
            framing::encode(Opcode::Binary, b"three"),
            framing::encode(Opcode::Binary, &long),
            framing::encode(Opcode::Binary, b""),
            framing::encode(Opcode::Close, &[0x03, 0xe8]),
        ]
        .concat();
        for piece_bytes in 1..=input.len() {
            assert_eq!(
                replies(&input, piece_bytes).as_ref(),
                Ok(&expected),
                "{piece_bytes}"
            );
        }
    }

    #[test]
    fn fragments_out_of_place_are_refused() {
        for input in [
            client(0x80, b"no beginning"),
            [client(0x02, b"a"), client(0x02, b"b")].concat(),
            [client(0x02, b"a"), client(0x82, b"b")].concat(),
        ] {
            assert_eq!(replies(&input, input.len()), Err(Violation));
        }
    }
}
