//! Compressed bytes out of messages (RFC 7692 §7.2.1): one deflater serves all connections of a shard whose messages stand for
//! themselves; a connection with context takeover has a [`DeflateStream`]. Called by whoever sends.

use super::{TAIL, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use flate2::{Compress, Compression, FlushCompress};
use libdeflater::{CompressionLvl, Compressor};

/// libdeflate's fastest: half of zlib's time for the same size (`bench/results/tried.md`).
const SHARED_LEVEL: i32 = 1;
/// zlib's: the first that finds what JSON repeats (`bench/results/tried.md`).
const STREAM_LEVEL: u32 = 2;
/// zlib has no window of 2^8 bytes.
const STREAM_WINDOW_BITS_MIN: u8 = 9;

/// Output that is kept between messages, in bytes; what a larger message needed is given back.
const OUTPUT_BYTES_KEPT: usize = 64 << 10;

/// Compresses whole messages, one after the other.
pub struct Deflater {
    compressor: Compressor,
    /// For messages that are longer than a peer's small window, by its size. Made when they are needed.
    small: [Option<Compress>; (WINDOW_BITS_MAX - STREAM_WINDOW_BITS_MIN) as usize],
    output: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        let level = CompressionLvl::new(SHARED_LEVEL).expect("libdeflate has levels 0 to 12");
        Deflater {
            compressor: Compressor::new(level),
            small: Default::default(),
            output: Vec::new(),
        }
    }
}

impl Deflater {
    /// A frame's payload that inflates to `payload` in a window of 2^`window_bits` bytes. `None` when it would not be shorter:
    /// then the message goes as it is, which is always allowed (RFC 7692 §6).
    pub fn deflate(&mut self, payload: &[u8], window_bits: u8) -> Option<&[u8]> {
        if self.output.capacity() > OUTPUT_BYTES_KEPT {
            self.output = Vec::new();
        }
        // No message refers further back than to its own beginning.
        if payload.len() <= 1 << window_bits || window_bits >= WINDOW_BITS_MAX {
            self.final_block(payload)
        } else {
            self.small_window(payload, window_bits)
        }
    }

    /// A stream that ends: its last block is final, and a zero byte behind it begins the empty block whose rest is the tail that is
    /// not sent (RFC 7692 §7.2.3.4).
    fn final_block(&mut self, payload: &[u8]) -> Option<&[u8]> {
        let room = payload.len().checked_sub(2)?;
        self.output.resize(room, 0);
        let compressed = self.compressor.deflate_compress(payload, &mut self.output);
        self.output.truncate(compressed.ok()?);
        self.output.push(0);
        Some(&self.output)
    }

    #[cold]
    fn small_window(&mut self, payload: &[u8], window_bits: u8) -> Option<&[u8]> {
        let index = window_bits.checked_sub(STREAM_WINDOW_BITS_MIN)?;
        let compress = self
            .small
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
    /// For a peer whose window is 2^`window_bits` bytes; `None` for the 2^8 that zlib does not have: such a peer is sent plain
    /// messages.
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

    /// Appends the payload of a frame that inflates to `payload`. It must be sent: what follows may refer to it.
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
