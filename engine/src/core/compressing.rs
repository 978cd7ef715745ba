//! permessage-deflate on one shard: one deflater and one inflater for all connections, and the
//! windows of those that asked for windows of their own, or that keep one though they were told not
//! to. What has no such connection allocates none of it.

use super::releasing::shrink_map;
use super::{Core, ProcessCounts};
use crate::connection::Flags;
use crate::counters::ShardCounters;
use crate::{Compression, Frame, Ticket};
use shardcast_protocol::deflate::{
    Agreement, DeflateStream, Deflater, InflateLimits, InflateStream, Inflater, Takeover,
};
use shardcast_protocol::frame::{self, Header};
use std::collections::HashMap;

/// Compression on one shard.
#[derive(Debug)]
pub(crate) struct Compressing {
    options: Compression,
    /// Made when first needed.
    deflater: Option<Box<Deflater>>,
    /// Made when first needed; lent while a frame is read.
    inflater: Option<Box<Inflater>>,
    /// Connections with [`Flags::OWN_WINDOW`], by slot.
    own: HashMap<u32, Own>,
    /// What connections with [`Flags::MAY_REFER`] said compressed, by slot.
    windows: HashMap<u32, InflateStream>,
    /// Memory of `told`: at most the shard's share of [`Compression::windows_bytes_max`], and none
    /// of it while one is lent.
    windows_bytes: usize,
    windows_bytes_max: usize,
    /// What a stream of messages deflates to, before it stands behind its header.
    output: Vec<u8>,
}

/// A connection whose messages are not the ones that others get.
#[derive(Debug)]
struct Own {
    agreement: Agreement,
    deflate: Option<Box<DeflateStream>>,
    inflate: Option<InflateStream>,
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

    /// Compresses and inflates with what is made anew when it is needed; windows of connections stay.
    pub(crate) fn release_memory(&mut self) {
        (self.deflater, self.inflater) = (None, None);
        self.output = Vec::new();
        shrink_map(&mut self.own);
        shrink_map(&mut self.windows);
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
    fn take_window(&mut self, slot: u32) -> InflateStream {
        let windows = self.windows.remove(&slot);
        let mut stream = windows.unwrap_or_else(InflateStream::told);
        self.windows_bytes -= stream.taken_bytes();
        stream.set_room(self.windows_bytes_max - self.windows_bytes);
        stream
    }

    /// Keeps it for the next frame.
    fn put_window(&mut self, slot: u32, stream: InflateStream) {
        self.windows_bytes += stream.taken_bytes();
        self.windows.insert(slot, stream);
    }

    /// The compressed payload of a message for one connection; `None`: it goes as it is.
    fn deflate(&mut self, slot: u32, payload: &[u8]) -> Option<&[u8]> {
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

/// A frame that its home is about to send out: compressed once, if somebody in the process takes it so.
pub(super) fn compress_for_sharers(
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
const SHARED_WINDOW_BITS: u8 = 15;

impl Core {
    /// The connection agreed on compression, at the handshake.
    pub(super) fn agree(&mut self, ticket: Ticket, agreement: Agreement) {
        let Some(compressing) = &mut self.compressing else {
            return;
        };
        let flags = &mut self.connections.at(ticket.slot).flags;
        flags.set(Flags::DEFLATES);
        let shares = agreement.server_takeover == Takeover::Never
            && agreement.client_takeover == Takeover::Never
            && agreement.server_window_bits() == SHARED_WINDOW_BITS;
        if agreement.client_takeover == Takeover::Never && !agreement.client_offered_no_takeover {
            flags.set(Flags::MAY_REFER);
        }
        if shares {
            self.admission.count_sharer();
        } else {
            flags.set(Flags::OWN_WINDOW);
            let own = Own {
                agreement,
                deflate: None,
                inflate: None,
            };
            compressing.own.insert(ticket.slot, own);
        }
    }

    /// The connection is gone, and its windows with it.
    pub(super) fn forget_agreement(&mut self, ticket: Ticket) {
        let flags = self.connections.at(ticket.slot).flags;
        if flags.has(Flags::MAY_REFER)
            && let Some(compressing) = &mut self.compressing
        {
            drop(compressing.take_window(ticket.slot));
            let bytes = compressing.windows_bytes as u64;
            self.counters.windows_bytes.set(bytes);
        }
        if flags.has(Flags::OWN_WINDOW) {
            if let Some(compressing) = &mut self.compressing {
                compressing.own.remove(&ticket.slot);
            }
        } else if flags.has(Flags::DEFLATES) {
            self.admission.discount_sharer();
        }
    }

    /// Compresses the data frame that stands in `out` from `start` on, if that is worth it.
    pub(super) fn deflate(&mut self, ticket: Ticket, out: &mut Vec<u8>, start: usize) {
        let Some(compressing) = &mut self.compressing else {
            return;
        };
        let (opcode, payload) = frame::written(&out[start..]);
        if opcode.is_control() {
            return;
        }
        let plain = &out[start + payload.start..start + payload.end];
        let Some(deflated) = compressing.deflate(ticket.slot, plain) else {
            return;
        };
        self.counters.deflated_messages.add(1);
        self.counters.deflated_bytes_in.add(plain.len() as u64);
        self.counters.deflated_bytes_out.add(deflated.len() as u64);
        let header = Header::server(opcode, deflated.len()).compressed();
        out.truncate(start);
        out.extend_from_slice(&header);
        out.extend_from_slice(deflated);
    }

    /// What reads a connection's compressed messages, until [`Core::put_inflater`].
    pub(crate) fn take_inflater(&mut self, ticket: Ticket) -> Option<Inflation> {
        let connection = self.connections.at(ticket.slot);
        let message_bytes_max = self.limits.message_bytes_max[usize::from(connection.listener)];
        let flags = connection.flags;
        let compressing = self.compressing.as_mut()?;
        let own = if flags.has(Flags::MAY_REFER) {
            Some(compressing.take_window(ticket.slot))
        } else if flags.has(Flags::OWN_WINDOW) {
            let own = compressing.own.get_mut(&ticket.slot);
            own.filter(|own| own.agreement.client_takeover == Takeover::Allowed)
                .map(|own| own.inflate.take().unwrap_or_default())
        } else {
            None
        };
        Some(Inflation {
            inflater: compressing.inflater.take().unwrap_or_default(),
            own,
            limits: InflateLimits {
                message_bytes_max,
                ratio_max: compressing.options.ratio_max,
            },
        })
    }

    /// Counts what was inflated, and keeps the windows for the next frame.
    pub(crate) fn put_inflater(&mut self, ticket: Ticket, mut inflation: Inflation) {
        let tally = inflation.inflater.tally();
        self.counters.inflated_messages.add(tally.messages);
        self.counters.inflated_bytes_in.add(tally.bytes_in);
        self.counters.inflated_bytes_out.add(tally.bytes_out);
        let Some(compressing) = &mut self.compressing else {
            return;
        };
        compressing.inflater = Some(inflation.inflater);
        let Some(stream) = inflation.own else {
            return;
        };
        let flags = &mut self.connections.at(ticket.slot).flags;
        if !flags.has(Flags::MAY_REFER) {
            if let Some(own) = compressing.own.get_mut(&ticket.slot) {
                own.inflate = Some(stream);
            }
        } else if stream.is_over() {
            flags.clear(Flags::MAY_REFER);
        } else if !stream.is_new() {
            compressing.put_window(ticket.slot, stream);
        }
        let bytes = compressing.windows_bytes as u64;
        self.counters.windows_bytes.set(bytes);
    }
}

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
