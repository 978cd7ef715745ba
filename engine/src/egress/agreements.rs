//! What connections agreed on at their handshakes, and how their frames are compressed and read by
//! it.
//!
//! Invariant: a connection with `ALONE` has an entry in the table of those, and one with
//! `DEFLATES` alone counts among the sharers of the process. Called where connections open, write
//! and end, and by whoever reads compressed frames.

use crate::connection::admission::ProcessCounts;
use crate::connection::slot::Flags;
use crate::counters::ShardCounters;
use crate::egress::deflate::{Compressing, Inflation, Own, SHARED_WINDOW_BITS};
use shardcast_protocol::deflate::{Agreement, InflateLimits, Takeover};
use shardcast_protocol::frame::{self, Header};

impl Compressing {
    /// A connection agreed on compression, at the handshake.
    pub(crate) fn agree(
        &mut self,
        slot: u32,
        flags: &mut Flags,
        agreement: Agreement,
        process: &ProcessCounts,
    ) {
        flags.set(Flags::DEFLATES);
        let shares = agreement.server_takeover == Takeover::Never
            && agreement.client_takeover == Takeover::Never
            && agreement.server_window_bits() == SHARED_WINDOW_BITS;
        if agreement.client_takeover == Takeover::Never && !agreement.client_offered_no_takeover {
            flags.set(Flags::MAY_REFER);
        }
        if shares {
            process.count_sharer();
        } else {
            flags.set(Flags::ALONE);
            let own = Own {
                agreement,
                deflate: None,
                inflate: None,
            };
            self.own.insert(slot, own);
        }
    }

    /// The connection is gone, and its windows with it.
    pub(crate) fn forget(
        &mut self,
        slot: u32,
        flags: Flags,
        process: &ProcessCounts,
        counters: &ShardCounters,
    ) {
        if flags.has(Flags::MAY_REFER) {
            drop(self.take_window(slot));
            counters.windows_bytes.set(self.windows_bytes as u64);
        }
        if flags.has(Flags::ALONE) {
            self.own.remove(&slot);
        } else if flags.has(Flags::DEFLATES) {
            process.discount_sharer();
        }
    }

    /// Compresses the data frame that stands in `out` from `start` on, if that is worth it.
    pub(crate) fn deflate_frame(
        &mut self,
        slot: u32,
        out: &mut Vec<u8>,
        start: usize,
        counters: &ShardCounters,
    ) {
        let (opcode, payload) = frame::written(&out[start..]);
        if opcode.is_control() {
            return;
        }
        let plain = &out[start + payload.start..start + payload.end];
        let Some(deflated) = self.deflate(slot, plain) else {
            return;
        };
        counters.deflated_messages.add(1);
        counters.deflated_bytes_in.add(plain.len() as u64);
        counters.deflated_bytes_out.add(deflated.len() as u64);
        let header = Header::server(opcode, deflated.len()).compressed();
        out.truncate(start);
        out.extend_from_slice(&header);
        out.extend_from_slice(deflated);
    }

    /// What reads a connection's compressed messages, until [`Compressing::put_inflater`].
    pub(crate) fn take_inflater(
        &mut self,
        slot: u32,
        flags: Flags,
        message_bytes_max: usize,
    ) -> Inflation {
        let own = if flags.has(Flags::MAY_REFER) {
            Some(self.take_window(slot))
        } else if flags.has(Flags::ALONE) {
            let own = self.own.get_mut(&slot);
            own.filter(|own| own.agreement.client_takeover == Takeover::Allowed)
                .map(|own| own.inflate.take().unwrap_or_default())
        } else {
            None
        };
        Inflation {
            inflater: self.inflater.take().unwrap_or_default(),
            own,
            limits: InflateLimits {
                message_bytes_max,
                ratio_max: self.options.ratio_max,
            },
        }
    }

    /// Counts what was inflated, and keeps the windows for the next frame.
    pub(crate) fn put_inflater(
        &mut self,
        slot: u32,
        flags: &mut Flags,
        mut inflation: Inflation,
        counters: &ShardCounters,
    ) {
        let tally = inflation.inflater.tally();
        counters.inflated_messages.add(tally.messages);
        counters.inflated_bytes_in.add(tally.bytes_in);
        counters.inflated_bytes_out.add(tally.bytes_out);
        self.inflater = Some(inflation.inflater);
        let Some(stream) = inflation.own else {
            return;
        };
        if !flags.has(Flags::MAY_REFER) {
            if let Some(own) = self.own.get_mut(&slot) {
                own.inflate = Some(stream);
            }
        } else if stream.is_over() {
            flags.clear(Flags::MAY_REFER);
        } else if !stream.is_new() {
            self.put_window(slot, stream);
        }
        counters.windows_bytes.set(self.windows_bytes as u64);
    }
}
