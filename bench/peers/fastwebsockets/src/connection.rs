//! One connection: reads messages, writes their answers itself, and hands its writing side to a
//! task of its own once it subscribes, because the library's read cannot be given up half-way.
//! `main` runs one per client.

use crate::Flush;
use crate::topic::{Outgoing, Subscription, Topic};
use bytes::{Bytes, BytesMut};
use fastwebsockets::{
    Frame, OpCode, Payload, Role, WebSocketError, WebSocketRead, after_handshake_split,
};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The largest message, and the largest announced frame.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Above it header and payload leave as two parts, without a copy: the library's own threshold.
const VECTORED_BYTES_MIN: usize = 1024;
/// A subscriber's messages are merged into one write up to this many bytes.
const MERGED_BYTES_MAX: usize = 8 * 1024;
/// Messages taken from the queue before a flush.
const BATCH_MESSAGES_MAX: usize = 64;

pub(crate) struct Connection {
    reader: WebSocketRead<OwnedReadHalf>,
    output: Output,
    topic: Topic,
    flush: Flush,
    /// The message under way, while it comes in fragments.
    fragments: Option<(OpCode, BytesMut)>,
}

/// Who writes.
enum Output {
    /// The reading task itself: nobody else has anything to say to this client. `None` only while
    /// the side changes hands.
    Direct(Option<OwnedWriteHalf>, Vec<u8>),
    /// A task of its own, which ends by itself or is ended when it is too slow.
    Queued(Subscription, JoinHandle<()>),
}

/// Why a connection ends.
pub(crate) enum Ending {
    Closed,
    /// The peer broke the protocol or a limit, or vanished.
    Broken,
}

impl From<WebSocketError> for Ending {
    fn from(_: WebSocketError) -> Self {
        Self::Broken
    }
}

impl From<std::io::Error> for Ending {
    fn from(_: std::io::Error) -> Self {
        Self::Broken
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, topic: Topic, flush: Flush) -> Self {
        let (reader, writer) = stream.into_split();
        // The library's writing half comes with the first subscription.
        let (mut reader, _) = after_handshake_split(reader, tokio::io::sink(), Role::Server);
        reader.set_max_message_size(MESSAGE_BYTES_MAX);
        // Answered here, since whoever writes changes.
        reader.set_auto_close(false);
        reader.set_auto_pong(false);
        Self {
            reader,
            output: Output::Direct(Some(writer), Vec::new()),
            topic,
            flush,
            fragments: None,
        }
    }

    pub(crate) async fn run(mut self) -> Result<(), Ending> {
        loop {
            let (opcode, payload) = self.read().await?;
            match opcode {
                OpCode::Binary if payload.first() == Some(&b'S') => self.subscribe(),
                OpCode::Binary if payload.first() == Some(&b'P') => {
                    self.topic.publish(&payload.freeze().slice(1..));
                }
                OpCode::Text | OpCode::Binary => self.send(opcode, payload).await?,
                OpCode::Ping => self.send(OpCode::Pong, payload).await?,
                OpCode::Close => {
                    self.send(OpCode::Close, payload).await?;
                    return Err(Ending::Closed);
                }
                OpCode::Pong | OpCode::Continuation => {}
            }
        }
    }

    /// The next control frame or whole message.
    async fn read(&mut self) -> Result<(OpCode, BytesMut), Ending> {
        loop {
            let mut never = |_| std::future::ready(Ok::<(), WebSocketError>(()));
            let frame = match &mut self.output {
                Output::Direct(..) => self.reader.read_frame(&mut never).await?,
                Output::Queued(_, writer) => tokio::select! {
                    frame = self.reader.read_frame(&mut never) => frame?,
                    _ = writer => return Err(Ending::Broken),
                },
            };
            let (last, opcode) = (frame.fin, frame.opcode);
            let payload = match frame.payload {
                Payload::Bytes(payload) => payload,
                other => BytesMut::from(&other[..]),
            };
            match opcode {
                OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok((opcode, payload)),
                OpCode::Text | OpCode::Binary if self.fragments.is_some() => {
                    return Err(Ending::Broken);
                }
                OpCode::Text | OpCode::Binary if last => return Ok((opcode, payload)),
                OpCode::Text | OpCode::Binary => self.fragments = Some((opcode, payload)),
                OpCode::Continuation => {
                    let (opcode, mut message) = self.fragments.take().ok_or(Ending::Broken)?;
                    if message.len() + payload.len() > MESSAGE_BYTES_MAX {
                        return Err(Ending::Broken);
                    }
                    message.extend_from_slice(&payload);
                    if last {
                        return Ok((opcode, message));
                    }
                    self.fragments = Some((opcode, message));
                }
            }
        }
    }

    async fn send(&mut self, opcode: OpCode, payload: BytesMut) -> Result<(), Ending> {
        match &mut self.output {
            Output::Direct(Some(writer), scratch) => {
                let mut frame = Frame::new(true, opcode, None, Payload::Bytes(payload));
                if frame.payload.len() > VECTORED_BYTES_MIN {
                    frame.writev(writer).await?;
                } else {
                    writer.write_all(frame.write(scratch)).await?;
                }
                Ok(())
            }
            Output::Direct(None, _) => Err(Ending::Broken),
            Output::Queued(subscription, _) => {
                let payload = payload.freeze();
                let message = Outgoing { opcode, payload };
                let sent = subscription.inbox.try_send(message);
                sent.map_err(|_| Ending::Broken)
            }
        }
    }

    fn subscribe(&mut self) {
        if let Output::Direct(writer, _) = &mut self.output
            && let Some(writer) = writer.take()
        {
            let mut task = None;
            let subscription = self.topic.subscribe(|inbox| {
                let spawned = tokio::task::spawn_local(write(writer, inbox, self.flush));
                let handle = spawned.abort_handle();
                task = Some(spawned);
                handle
            });
            if let Some(task) = task {
                self.output = Output::Queued(subscription, task);
            }
        }
    }
}

/// A subscriber's writing task. The library writes frame by frame and leaves merging to the stream
/// below it, so there is a buffer, and one flush for all that is in the queue. Its end closes the
/// socket's writing side.
async fn write(writer: OwnedWriteHalf, mut inbox: mpsc::Receiver<Outgoing>, flush: Flush) {
    let buffered = BufWriter::with_capacity(MERGED_BYTES_MAX, writer);
    let (_, mut writer) = after_handshake_split(tokio::io::empty(), buffered, Role::Server);
    let mut batch = Vec::new();
    while inbox.recv_many(&mut batch, BATCH_MESSAGES_MAX).await > 0 {
        for Outgoing { opcode, payload } in batch.drain(..) {
            let frame = Frame::new(true, opcode, None, borrowed(&payload));
            if writer.write_frame(frame).await.is_err() {
                return;
            }
            if matches!(flush, Flush::Each) && writer.flush().await.is_err() {
                return;
            }
        }
        if writer.flush().await.is_err() {
            return;
        }
    }
}

fn borrowed(payload: &Bytes) -> Payload<'_> {
    Payload::Borrowed(payload)
}
