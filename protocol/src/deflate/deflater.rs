//! Compressed bytes out of messages (RFC 7692 §7.2.1): one deflater serves all connections of a
//! shard whose messages stand for themselves; a connection with context takeover has a
//! [`DeflateStream`]. Called by whoever sends.

use super::sync_flush::unfinish;
use super::{TAIL, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use flate2::{Compress, Compression, FlushCompress};
use libdeflater::{CompressionLvl, Compressor};

/// libdeflate's fastest: a quarter of zlib's instructions for the same size
/// (`bench/results/tried.md`).
const SHARED_LEVEL: i32 = 1;
/// zlib's: the first that finds what JSON repeats (`bench/results/tried.md`).
const STREAM_LEVEL: u32 = 2;
/// zlib has no window of 2^8 bytes.
const STREAM_WINDOW_BITS_MIN: u8 = 9;

/// Output that is kept between messages, in bytes; what a larger message needed is given back.
const OUTPUT_BYTES_KEPT: usize = 64 << 10;

/// Bytes of a message that become one block, tried in turn: at its fastest level libdeflate ends a
/// block after 8,192 repetitions of 4 bytes or more, so it may end one within 64 KiB, and never
/// within 32 KiB.
const BLOCK_BYTES_MAX: [usize; 2] = [64 << 10, 32 << 10];

/// Compresses complete messages, one after the other.
pub struct Deflater {
    compressor: Compressor,
    /// zlib's, by the size of the window, for what libdeflate cannot do: messages that are longer
    /// than a peer's small window, and blocks whose end cannot be found. Made when they are needed.
    streams: [Option<Compress>; (WINDOW_BITS_MAX - STREAM_WINDOW_BITS_MIN + 1) as usize],
    output: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        let level = CompressionLvl::new(SHARED_LEVEL).expect("libdeflate has levels 0 to 12");
        Deflater {
            compressor: Compressor::new(level),
            streams: Default::default(),
            output: Vec::new(),
        }
    }
}

/// Why libdeflate made no payload of a message.
enum Failure {
    /// It would not be shorter than the message.
    TooLong,
    /// A piece became several blocks, or the end of its block cannot be found.
    NotOneBlock,
}

impl Deflater {
    /// A frame's payload that inflates to `payload` in a window of 2^`window_bits` bytes, without a
    /// final block, as if zlib had flushed it. `None` when it would not be shorter: then the
    /// message goes as it is, which is always allowed (RFC 7692 §6).
    pub fn deflate(&mut self, payload: &[u8], window_bits: u8) -> Option<&[u8]> {
        if self.output.capacity() > OUTPUT_BYTES_KEPT {
            self.output = Vec::new();
        }
        // No message refers further back than to its own beginning.
        if payload.len() <= 1 << window_bits || window_bits >= WINDOW_BITS_MAX {
            for block_bytes_max in BLOCK_BYTES_MAX {
                match self.blocks(payload, block_bytes_max) {
                    Ok(()) => return Some(&self.output),
                    Err(Failure::TooLong) => return None,
                    Err(Failure::NotOneBlock) => {}
                }
            }
        }
        self.stream(payload, window_bits)
    }

    /// A block of each `block_bytes_max` bytes, as even as can be, and an empty one behind each:
    /// the last without its tail.
    fn blocks(&mut self, payload: &[u8], block_bytes_max: usize) -> Result<(), Failure> {
        let room = payload.len().checked_sub(1).ok_or(Failure::TooLong)?;
        self.output.resize(room, 0);
        let pieces = payload.len().div_ceil(block_bytes_max);
        let mut filled = 0;
        for piece in payload.chunks(payload.len().div_ceil(pieces)) {
            if filled > 0 {
                let tail = self.output.get_mut(filled..filled + TAIL.len());
                tail.ok_or(Failure::TooLong)?.copy_from_slice(&TAIL);
                filled += TAIL.len();
            }
            let rest = &mut self.output[filled..];
            let compressed = self.compressor.deflate_compress(piece, rest);
            let bytes = compressed.map_err(|_| Failure::TooLong)?;
            let zeros = unfinish(&mut rest[..bytes]).ok_or(Failure::NotOneBlock)?;
            let behind = rest.get_mut(bytes..bytes + zeros);
            behind.ok_or(Failure::TooLong)?.fill(0);
            filled += bytes + zeros;
        }
        self.output.truncate(filled);
        Ok(())
    }

    #[cold]
    fn stream(&mut self, payload: &[u8], window_bits: u8) -> Option<&[u8]> {
        let index = window_bits.checked_sub(STREAM_WINDOW_BITS_MIN)?;
        let compress = self
            .streams
            .get_mut(usize::from(index))?
            .get_or_insert_with(|| {
                Compress::new_with_window_bits(Compression::new(STREAM_LEVEL), false, window_bits)
            });
        compress.reset();
        self.output.clear();
        flush(compress, payload, &mut self.output);
        (self.output.len() < payload.len()).then_some(&self.output)
    }
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

/// The compressor of one connection whose messages refer to earlier ones (context takeover).
#[derive(Debug)]
pub struct DeflateStream(Compress);

impl DeflateStream {
    /// For a peer whose window is 2^`window_bits` bytes; `None` for the 2^8 that zlib does not
    /// have: such a peer is sent plain messages.
    ///
    /// # Panics
    /// More than 15 bits: negotiation agrees on no such window.
    pub fn new(window_bits: u8) -> Option<DeflateStream> {
        assert!((WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&window_bits));
        (window_bits >= STREAM_WINDOW_BITS_MIN).then(|| {
            let level = Compression::new(STREAM_LEVEL);
            DeflateStream(Compress::new_with_window_bits(level, false, window_bits))
        })
    }

    /// Appends the payload of a frame that inflates to `payload`. It must be sent: what follows may
    /// refer to it.
    pub fn deflate(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if payload.is_empty() {
            // RFC 7692 §7.2.3.6: zlib writes nothing for a second flush in a row.
            out.push(0);
            return;
        }
        flush(&mut self.0, payload, out);
    }
}

/// Appends `payload` up to and including a sync flush, without the flush's tail.
fn flush(compress: &mut Compress, payload: &[u8], out: &mut Vec<u8>) {
    let mut rest = payload;
    // Room for what does not compress, in stored blocks; it is made again if that was not enough.
    out.reserve(payload.len() + payload.len() / 16 + 64);
    loop {
        let taken = compress.total_in();
        let result = compress.compress_vec(rest, out, FlushCompress::Sync);
        assert!(
            result.is_ok(),
            "a stream that was never finished takes everything"
        );
        rest = &rest[(compress.total_in() - taken) as usize..];
        // A flush is over when it left room (zlib's manual).
        if rest.is_empty() && out.len() < out.capacity() {
            break;
        }
        out.reserve(64);
    }
    assert!(out.ends_with(&TAIL), "a flush ends in an empty block");
    out.truncate(out.len() - TAIL.len());
}
