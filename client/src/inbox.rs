//! What comes over one connection: bytes to messages.
//!
//! Invariant: between two reads only what is incomplete is kept: a part of a frame, or of a large
//! message, within `message_bytes_max`. Owned by the core, fed by the driver.

use shardcast_protocol::close::ProtocolError;
use shardcast_protocol::deflate::{InflateLimits, Inflater, next as next_compressed};
use shardcast_protocol::frame::Kind;
use shardcast_protocol::reader::{Assembly, FrameEvent, ReadLimits, Role, Step, next};
use std::cell::RefCell;

/// Whether the server may compress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Inflating {
    #[default]
    Off,
    On,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    /// Of a frame that is not complete.
    partial: Vec<u8>,
    assembly: Option<Box<Assembly>>,
    pub(crate) inflating: Inflating,
    limits: InflateLimits,
}

/// What a frame was.
#[derive(Debug)]
pub(crate) enum Heard<'b> {
    Text(&'b str),
    Binary(&'b [u8]),
    Ping(&'b [u8]),
    Pong(&'b [u8]),
    /// 1005 where there was no code.
    Close(u16, &'b str),
}

/// Whether more is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    GoesOn,
    Ends,
}

/// RFC 6455 §7.1.5: there was no code.
const NO_CODE: u16 = 1005;

thread_local! {
    /// Messages stand for themselves, so all connections of a thread share it.
    static INFLATER: RefCell<Inflater> = RefCell::default();
}

impl Inbox {
    pub(crate) fn new(message_bytes_max: usize) -> Inbox {
        Inbox {
            partial: Vec::new(),
            assembly: None,
            inflating: Inflating::Off,
            limits: InflateLimits {
                message_bytes_max,
                ratio_max: InflateLimits::RATIO_MAX_DEFAULT,
            },
        }
    }

    /// Of a connection that is gone.
    pub(crate) fn clear(&mut self) {
        self.partial = Vec::new();
        self.assembly = None;
        self.inflating = Inflating::Off;
    }

    /// Takes bytes as they come, and hands on what they complete.
    ///
    /// # Errors
    /// The server broke the protocol.
    pub(crate) fn feed(
        &mut self,
        bytes: &mut [u8],
        mut on: impl FnMut(Heard<'_>) -> Reading,
    ) -> Result<(), ProtocolError> {
        if self.partial.is_empty() {
            let used = self.read(bytes, &mut on)?;
            self.partial.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let used = self.read(&mut all, &mut on)?;
        all.drain(..used);
        if !all.is_empty() {
            self.partial = all;
        }
        Ok(())
    }

    fn read(
        &mut self,
        bytes: &mut [u8],
        on: &mut impl FnMut(Heard<'_>) -> Reading,
    ) -> Result<usize, ProtocolError> {
        match self.inflating {
            Inflating::Off => self.read_plain(bytes, on),
            Inflating::On => {
                INFLATER.with_borrow_mut(|inflater| self.read_compressed(bytes, inflater, on))
            }
        }
    }

    fn read_plain(
        &mut self,
        bytes: &mut [u8],
        on: &mut impl FnMut(Heard<'_>) -> Reading,
    ) -> Result<usize, ProtocolError> {
        let limits = ReadLimits {
            message_bytes_max: self.limits.message_bytes_max,
        };
        let mut at = 0;
        while at < bytes.len() {
            let step = next(&mut bytes[at..], &mut self.assembly, Role::Client, &limits)?;
            let Step::Event { event, used } = step else {
                break;
            };
            at += used;
            if heard(event, &mut self.assembly, on) == Reading::Ends {
                return Ok(bytes.len());
            }
        }
        Ok(at)
    }

    fn read_compressed(
        &mut self,
        bytes: &mut [u8],
        inflater: &mut Inflater,
        on: &mut impl FnMut(Heard<'_>) -> Reading,
    ) -> Result<usize, ProtocolError> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            let (assembly, limits) = (&mut self.assembly, &self.limits);
            let step = next_compressed(rest, assembly, Role::Client, limits, inflater, None)?;
            let Step::Event { event, used } = step else {
                break;
            };
            at += used;
            if heard(event, &mut self.assembly, on) == Reading::Ends {
                return Ok(bytes.len());
            }
        }
        Ok(at)
    }
}

fn heard(
    event: FrameEvent<'_>,
    assembly: &mut Option<Box<Assembly>>,
    on: &mut impl FnMut(Heard<'_>) -> Reading,
) -> Reading {
    match event {
        FrameEvent::Text(text) => on(Heard::Text(text)),
        FrameEvent::Binary(bytes) => on(Heard::Binary(bytes)),
        FrameEvent::Ping(payload) => on(Heard::Ping(payload)),
        FrameEvent::Pong(payload) => on(Heard::Pong(payload)),
        FrameEvent::Fragment => Reading::GoesOn,
        FrameEvent::Close(close) => {
            let code = close.code.map_or(NO_CODE, |code| code.get());
            on(Heard::Close(code, close.reason));
            Reading::Ends
        }
        FrameEvent::Assembled => match assembly.take().map(|assembly| assembly.finish()) {
            None => Reading::GoesOn,
            Some((Kind::Binary, bytes)) => on(Heard::Binary(&bytes)),
            // The reader has looked that it is text.
            Some((Kind::Text, bytes)) => on(Heard::Text(str::from_utf8(&bytes).unwrap_or(""))),
        },
    }
}
