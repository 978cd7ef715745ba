//! permessage-deflate on one shard: one deflater and one inflater for all connections, and the
//! windows of those that have their own. A shard without such connections allocates none of it.

use crate::connection::admission::ProcessCounts;
use crate::counters::ShardCounters;
use crate::egress::compression::Compression;
use crate::types::frame::Frame;
use crate::types::shrink::shrink_map;
use shardcast_protocol::deflate::{
    Agreement, DeflateStream, Deflater, InflateLimits, InflateStream, Inflater, Takeover,
};
use shardcast_protocol::frame;
use std::collections::HashMap;

/// Compression on one shard.
#[derive(Debug)]
pub(crate) struct Compressing {
    pub(crate) options: Compression,
    /// Made when first needed.
    deflater: Option<Box<Deflater>>,
    /// Made when first needed; taken while a frame is read.
    pub(crate) inflater: Option<Box<Inflater>>,
    /// Connections with [`crate::connection::slot::Flags::ALONE`], by slot.
    pub(crate) own: HashMap<u32, Own>,
    /// What connections with [`crate::connection::slot::Flags::MAY_REFER`] said compressed, by
    /// slot.
    windows: HashMap<u32, InflateStream>,
    /// Memory of `windows`: at most the shard's share of [`Compression::windows_bytes_max`], and
    /// none of it while one is taken.
    pub(crate) windows_bytes: usize,
    windows_bytes_max: usize,
    /// What a stream of messages deflates to, before it stands behind its header.
    output: Vec<u8>,
}

/// A connection whose messages are not the ones that others get.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) agreement: Agreement,
    pub(crate) deflate: Option<Box<DeflateStream>>,
    pub(crate) inflate: Option<InflateStream>,
}

/// What reads one connection's compressed messages; given back after each frame.
#[derive(Debug)]
pub(crate) struct Inflation {
    pub(crate) inflater: Box<Inflater>,
    pub(crate) own: Option<InflateStream>,
    pub(crate) limits: InflateLimits,
}

impl Compressing {
    /// Output that is kept between messages, in bytes.
    const OUTPUT_BYTES_KEPT: usize = 64 << 10;

    pub(crate) fn new(options: Compression, shards: usize) -> Compressing {
        Compressing {
            windows: HashMap::new(),
            windows_bytes: 0,
            windows_bytes_max: options.windows_bytes_max / shards,
            options,
            deflater: None,
            inflater: None,
            own: HashMap::new(),
            output: Vec::new(),
        }
    }

    /// Compresses and inflates with what is made anew when it is needed; windows of connections
    /// stay.
    pub(crate) fn release_memory(&mut self) {
        (self.deflater, self.inflater) = (None, None);
        self.output = Vec::new();
        shrink_map(&mut self.own);
        shrink_map(&mut self.windows);
    }

    /// Memory of the windows that connections have. One of its own counts as if it were full.
    pub(crate) fn held_bytes(&self) -> u64 {
        let own = match self.options.takeover {
            Takeover::Never => 0,
            Takeover::Allowed => self.own.len() * Compression::TAKEOVER_BYTES,
        };
        (self.windows_bytes + own) as u64
    }

    /// Whether received messages may refer to earlier ones.
    pub(crate) fn takeover(&self) -> Takeover {
        self.options.takeover
    }

    /// The plain frame, and behind it the same compressed if that is worth it.
    fn compress(&mut self, frame: Frame) -> Frame {
        let plain = frame.bytes();
        let (opcode, payload) = frame::written(plain);
        let payload = &plain[payload];
        if payload.len() < self.options.threshold_bytes || frame.deflated().is_some() {
            return frame;
        }
        let deflater = self.deflater.get_or_insert_default();
        match deflater.deflate(payload, SHARED_WINDOW_BITS) {
            Some(deflated) => frame.with_deflated(opcode, deflated),
            None => frame,
        }
    }

    /// What the client of a connection said compressed until now, for a frame's time.
    pub(crate) fn take_window(&mut self, slot: u32) -> InflateStream {
        let windows = self.windows.remove(&slot);
        let mut stream = windows.unwrap_or_else(InflateStream::may_refer);
        self.windows_bytes -= stream.taken_bytes();
        stream.set_room(self.windows_bytes_max - self.windows_bytes);
        stream
    }

    /// Keeps it for the next frame.
    pub(crate) fn put_window(&mut self, slot: u32, stream: InflateStream) {
        self.windows_bytes += stream.taken_bytes();
        self.windows.insert(slot, stream);
    }

    /// The compressed payload of a message for one connection; `None`: it goes as it is.
    pub(crate) fn deflate(&mut self, slot: u32, payload: &[u8]) -> Option<&[u8]> {
        if payload.len() < self.options.threshold_bytes {
            return None;
        }
        let own = self.own.get_mut(&slot);
        let window_bits = own
            .as_ref()
            .map_or(SHARED_WINDOW_BITS, |own| own.agreement.server_window_bits());
        let Some(own) = own.filter(|own| own.agreement.server_takeover == Takeover::Allowed) else {
            let deflater = self.deflater.get_or_insert_default();
            return deflater.deflate(payload, window_bits);
        };
        if own.deflate.is_none() {
            own.deflate = Some(Box::new(DeflateStream::new(window_bits)?));
        }
        if self.output.capacity() > Self::OUTPUT_BYTES_KEPT {
            self.output = Vec::new();
        }
        self.output.clear();
        own.deflate.as_mut()?.deflate(payload, &mut self.output);
        Some(&self.output)
    }
}

/// A frame that its home is about to send out: compressed once, if somebody in the process takes it
/// so.
pub(crate) fn compress_for_sharers(
    compressing: Option<&mut Compressing>,
    admission: &ProcessCounts,
    counters: &ShardCounters,
    frame: Frame,
) -> Frame {
    let Some(compressing) = compressing.filter(|_| admission.has_sharers()) else {
        return frame;
    };
    let before = frame.deflated().is_some();
    let frame = compressing.compress(frame);
    if let Some(deflated) = frame.deflated().filter(|_| !before) {
        counters.deflated_messages.add(1);
        let (plain, deflated) = (frame::written(frame.bytes()).1, frame::written(deflated).1);
        counters.deflated_bytes_in.add(plain.len() as u64);
        counters.deflated_bytes_out.add(deflated.len() as u64);
    }
    frame
}

/// The window that most peers have (RFC 7692 §7.1.2): frames compressed for it are shared.
pub(crate) const SHARED_WINDOW_BITS: u8 = 15;

#[cfg(any(test, feature = "sim"))]
impl Compressing {
    /// Panics unless the memory of clients that may refer back is counted right.
    pub(crate) fn check(&self, counted_bytes: u64, may_refer: impl Fn(u32) -> bool) {
        let taken: usize = self.windows.values().map(InflateStream::taken_bytes).sum();
        assert_eq!((taken, taken as u64), (self.windows_bytes, counted_bytes));
        assert!(taken <= self.windows_bytes_max);
        assert!(self.windows.keys().all(|slot| may_refer(*slot)));
    }
}
