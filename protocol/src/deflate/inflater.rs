//! Messages out of compressed bytes (RFC 7692 §7.2.2): one inflater serves all connections of a
//! shard, and stops at the first byte beyond a limit. Its output buffer is kept within
//! [`OUTPUT_BYTES_KEPT`] between messages. Called by the reader.

use super::TAIL;
use super::past::{Past, STREAM_BYTES, WINDOW_BYTES, fresh};
use crate::reader::ProtocolError;
use flate2::{Decompress, FlushDecompress, Status};

/// What a compressed message may become.
#[derive(Clone, Copy, Debug)]
pub struct InflateLimits {
    /// Largest message in bytes.
    pub message_bytes_max: usize,
    /// Bytes that each compressed byte may become, beyond the first
    /// [`InflateLimits::RATIO_FREE_BYTES`].
    pub ratio_max: u32,
}

impl InflateLimits {
    /// DEFLATE reaches 1,032 : 1 at most; text of people and programs stays below 20 : 1. 200 : 1
    /// leaves room for sparse tables.
    pub const RATIO_MAX_DEFAULT: u32 = 200;

    /// Not judged by its ratio: a message of this size costs no more than a plain one that
    /// everybody may send (the default limit of a message is 64 KiB), and an array of zeros
    /// honestly compresses 500 : 1.
    pub const RATIO_FREE_BYTES: usize = 64 << 10;

    /// The cap of a message's size that its compressed size sets.
    fn ratio_cap(&self, compressed_bytes: usize) -> usize {
        compressed_bytes
            .saturating_mul(self.ratio_max as usize)
            .max(Self::RATIO_FREE_BYTES)
    }
}

/// Output that is kept between messages, in bytes; what a larger message needed is given back.
const OUTPUT_BYTES_KEPT: usize = 64 << 10;
/// The output begins with room for this many times the input, and doubles.
const FIRST_RATIO: usize = 4;
const OUTPUT_BYTES_MIN: usize = 1 << 10;

/// Behind a message: the tail that was not sent, then a final empty block. Only a stream that
/// stands between two blocks comes to its end there, so a message that stops in the middle of one
/// is found out.
const TAIL_AND_END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// What was inflated, to be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages.
    pub messages: u64,
    /// Compressed bytes.
    pub bytes_in: u64,
    /// Bytes that they became.
    pub bytes_out: u64,
}

/// What one connection's compressed messages may refer to.
#[derive(Debug)]
pub struct InflateStream(Reach);

#[derive(Debug)]
enum Reach {
    /// The messages before: context takeover was agreed, or the client does so against what was
    /// agreed. 48 KiB.
    Window(Box<Decompress>),
    /// Nothing, as was agreed.
    Past(Past),
}

/// Context takeover was agreed on.
impl Default for InflateStream {
    fn default() -> Self {
        InflateStream(Reach::Window(Box::new(fresh())))
    }
}

impl InflateStream {
    /// Of a client that was answered `client_no_context_takeover` without having offered it, and
    /// may refer to earlier messages all the same. It keeps nothing until there is room.
    pub fn may_refer() -> InflateStream {
        InflateStream(Reach::Past(Past::default()))
    }

    /// The memory that the stream of a client that may refer back takes from now on at most, in
    /// bytes. What does not fit is forgotten, and a message that refers to it fails with
    /// [`ProtocolError::NoWindowLeft`].
    pub fn set_room(&mut self, bytes: usize) {
        if let Reach::Past(past) = &mut self.0 {
            past.room_bytes = bytes;
        }
    }

    /// Its memory, in bytes.
    pub fn taken_bytes(&self) -> usize {
        match &self.0 {
            Reach::Window(_) => STREAM_BYTES,
            Reach::Past(past) => past.taken_bytes(),
        }
    }

    /// No compressed message has come yet.
    pub fn is_new(&self) -> bool {
        matches!(&self.0, Reach::Past(past) if past.is_new())
    }

    /// The client has shown that it refers to no earlier message: its messages need no stream from
    /// now on.
    pub fn is_over(&self) -> bool {
        matches!(&self.0, Reach::Past(past) if past.is_over())
    }
}

/// Inflates complete messages, one after the other.
#[derive(Debug)]
pub struct Inflater {
    shared: Decompress,
    /// Always initialised to its full length; a message stands at its start.
    output: Vec<u8>,
    tally: Tally,
}

impl Default for Inflater {
    fn default() -> Self {
        Inflater {
            shared: fresh(),
            output: Vec::new(),
            tally: Tally::default(),
        }
    }
}

impl Inflater {
    /// The message that `compressed` is. `own`: what it may refer to; `None`: only itself.
    ///
    /// # Errors
    /// A limit is passed (1009), or the bytes are no DEFLATE stream or refer to what they must not
    /// (1007: RFC 7692 names no code, and RFC 6455 §7.4.1 has that one for content that is not what
    /// the message says it is). A connection's own window is of no use afterwards.
    pub fn inflate(
        &mut self,
        compressed: &[u8],
        own: Option<&mut InflateStream>,
        limits: &InflateLimits,
    ) -> Result<&[u8], ProtocolError> {
        if self.output.len() > OUTPUT_BYTES_KEPT {
            self.output.truncate(OUTPUT_BYTES_KEPT);
            self.output.shrink_to_fit();
        }
        let ratio_cap = limits.ratio_cap(compressed.len());
        let mut filling = Filling {
            output: &mut self.output,
            filled: 0,
            cap: limits.message_bytes_max.min(ratio_cap),
            error: if limits.message_bytes_max <= ratio_cap {
                ProtocolError::InflatedTooBig
            } else {
                ProtocolError::InflatedTooMuch
            },
            expected: compressed.len().saturating_mul(FIRST_RATIO),
        };
        match own.map(|own| &mut own.0) {
            None => filling.alone(&mut self.shared, compressed)?,
            Some(Reach::Window(window)) => filling.continued(window, compressed)?,
            Some(reach) => filling.may_refer(&mut self.shared, reach, compressed)?,
        }
        let filled = filling.filled;
        self.tally.messages += 1;
        self.tally.bytes_in += compressed.len() as u64;
        self.tally.bytes_out += filled as u64;
        Ok(&self.output[..filled])
    }

    /// What was inflated since it was asked last.
    pub fn tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

/// The output of one message.
struct Filling<'o> {
    output: &'o mut Vec<u8>,
    filled: usize,
    /// Bytes that the message may have.
    cap: usize,
    /// What it is to have more.
    error: ProtocolError,
    /// Room to begin with.
    expected: usize,
}

impl Filling<'_> {
    /// A message that refers to no other.
    fn alone(
        &mut self,
        decompress: &mut Decompress,
        compressed: &[u8],
    ) -> Result<(), ProtocolError> {
        decompress.reset(false);
        let inflated = self.closed(decompress, compressed);
        inflated.map_err(|error| self.why(decompress, compressed, error))
    }

    /// A complete message, behind which its stream ends.
    fn closed(
        &mut self,
        decompress: &mut Decompress,
        compressed: &[u8],
    ) -> Result<(), ProtocolError> {
        if self.feed(decompress, compressed)? == Status::StreamEnd {
            return Ok(());
        }
        match self.feed(decompress, &TAIL_AND_END)? {
            Status::StreamEnd => Ok(()),
            Status::Ok | Status::BufError => Err(ProtocolError::CompressedDamaged),
        }
    }

    /// What is wrong with a message that does not stand for itself. If it inflates once there are
    /// messages before it, whatever they are, it refers to them. (The error of zlib-rs for it
    /// depends on how long the message is.)
    #[cold]
    fn why(
        &mut self,
        decompress: &mut Decompress,
        compressed: &[u8],
        error: ProtocolError,
    ) -> ProtocolError {
        if error != ProtocolError::CompressedDamaged {
            return error;
        }
        static ANY_WINDOW: [u8; WINDOW_BYTES] = [0; WINDOW_BYTES];
        decompress.reset(false);
        if decompress.set_dictionary(&ANY_WINDOW).is_err() {
            return error;
        }
        self.filled = 0;
        match self.closed(decompress, compressed) {
            Ok(()) => ProtocolError::ReferredBack,
            Err(error) => error,
        }
    }

    /// A message that must refer to no other, of a client that may not know it. The first that
    /// does changes what the next may refer to.
    #[cold]
    fn may_refer(
        &mut self,
        shared: &mut Decompress,
        reach: &mut Reach,
        compressed: &[u8],
    ) -> Result<(), ProtocolError> {
        let inflated = self.alone(shared, compressed);
        let Reach::Past(past) = reach else {
            return inflated;
        };
        match inflated {
            Ok(()) => past.record(compressed, &self.output[..self.filled]),
            Err(ProtocolError::ReferredBack) => {
                let mut window = past.window()?;
                self.filled = 0;
                let inflated = self.continued(&mut window, compressed);
                // Nothing else is wrong with it.
                inflated.map_err(|_| past.too_far())?;
                *reach = Reach::Window(Box::new(window));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A message that may refer to those before it.
    fn continued(
        &mut self,
        decompress: &mut Decompress,
        compressed: &[u8],
    ) -> Result<(), ProtocolError> {
        let status = self.feed(decompress, compressed)?;
        if status != Status::StreamEnd {
            self.feed(decompress, &TAIL)?;
        }
        Ok(())
    }

    /// Takes all of `input`. A final block inside it (RFC 7692 §7.2.3.4) ends a stream, and another
    /// one follows; `StreamEnd` says that a stream ended together with the input.
    fn feed(
        &mut self,
        decompress: &mut Decompress,
        mut input: &[u8],
    ) -> Result<Status, ProtocolError> {
        loop {
            self.make_room();
            let (taken, given) = (decompress.total_in(), decompress.total_out());
            let room = &mut self.output[self.filled..];
            let status = decompress
                .decompress(input, room, FlushDecompress::Sync)
                .map_err(|_| ProtocolError::CompressedDamaged)?;
            input = &input[(decompress.total_in() - taken) as usize..];
            self.filled += (decompress.total_out() - given) as usize;
            if self.filled > self.cap {
                return Err(self.error);
            }
            if status == Status::StreamEnd {
                decompress.reset(false);
                if input.is_empty() {
                    return Ok(status);
                }
            } else if self.filled < self.output.len() {
                // There was room, so all that the input inflates to is there.
                return if input.is_empty() {
                    Ok(status)
                } else {
                    Err(ProtocolError::CompressedDamaged)
                };
            }
        }
    }

    /// At least a byte of room, and never more than one beyond the cap: the byte that tells a
    /// message that is too big.
    fn make_room(&mut self) {
        if self.filled < self.output.len() {
            return;
        }
        let wanted = (2 * self.output.len())
            .max(self.expected)
            .max(OUTPUT_BYTES_MIN);
        self.output
            .resize(wanted.min(self.cap + 1).max(self.filled + 1), 0);
    }
}
