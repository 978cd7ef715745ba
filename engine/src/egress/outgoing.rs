//! This turn's transmits: which bytes leave for which connection, and the memory they stand in.
//!
//! The shard fills it, the driver reads it inside one `turn`, the shard settles the short sends
//! from it and clears it.

use crate::types::account::Account;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use shardcast_protocol::frame::HEADER_BYTES_MAX;
use std::fmt;
use std::rc::Rc;

/// Bytes that leave in this turn: a span of the scratch, of a shared batch, of the TLS records, or
/// of a receive buffer.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Index in `shared`, or [`SCRATCH`], or [`RECORDS`]; from [`LEASES`] on, in `leases`.
    source: u32,
    start: u32,
    len: u32,
}

const SCRATCH: u32 = u32::MAX;
const RECORDS: u32 = u32::MAX - 1;
const LEASES: u32 = 1 << 31;
const NONE: u32 = u32::MAX;

/// A receive buffer whose bytes leave again.
pub(crate) trait LeasedBytes: AsRef<[u8]> + fmt::Debug {}

impl<L: AsRef<[u8]> + fmt::Debug> LeasedBytes for L {}

/// Bytes shared by several transmits of this turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared(u32);

/// Everything that leaves in one turn. One transmit per connection, its segments in order.
#[derive(Debug, Default)]
pub struct Outgoing {
    transmits: Vec<Transmit>,
    links: Vec<Link>,
    scratch: Vec<u8>,
    shared: Vec<Bytes>,
    /// Which of `shared` stand on an account already; nearly always none.
    tracked: Vec<u32>,
    /// Of messages that are answered with parts of themselves. Whoever has lent them waits for the
    /// end of the turn.
    leases: Vec<Rc<dyn LeasedBytes>>,
    /// What leaves over TLS, once it is encrypted.
    records: Vec<u8>,
    /// Plain bytes that will be encrypted for one connection each.
    unencrypted: usize,
    /// Bytes of messages that leave from where they stand; in `shared` and `leases`.
    own: usize,
    /// Transmits that do not leave: they moved to an outbox, or there was nothing to encrypt.
    withdrawn: usize,
}

#[derive(Clone, Copy, Debug)]
struct Transmit {
    ticket: Ticket,
    first: Segment,
    /// Index of the second segment's link, or `NONE`.
    next: u32,
    /// Index of the last segment's link, or `NONE` when `first` is the last.
    last: u32,
    segments: u32,
    bytes: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    segment: Segment,
    next: u32,
}

impl Outgoing {
    /// Segments of one transmit; the shard moves a connection that needs more to its outbox. Below
    /// the kernel's `UIO_MAXIOV` of 1,024.
    pub const SEGMENTS_MAX: usize = 64;
    /// Bytes of one transmit after its first segment: the kernel cuts a send at 2 GiB and reports
    /// it as complete.
    const BYTES_MAX: u32 = 1 << 30;
    /// Frames that may stand in the scratch before they leave, in bytes.
    pub(crate) const SCRATCH_BYTES_MAX: usize = 256 << 10;
    /// Scratch, and records, that are kept between turns; what a large message needed beyond that
    /// is given back.
    const SCRATCH_BYTES_KEPT: usize = 512 << 10;
    /// Bytes to be encrypted after which a turn is due: a broadcast over TLS is a copy for each of
    /// its readers.
    const UNENCRYPTED_BYTES_MAX: usize = 1 << 20;

    /// Number of transmits.
    pub fn len(&self) -> usize {
        self.transmits.len()
    }

    /// Transmits that leave: as many sends.
    pub(crate) fn sends(&self) -> usize {
        self.transmits.len() - self.withdrawn
    }

    /// `transmits_max` transmits stand, or as much as one turn should encrypt, or as much as the
    /// scratch should hold: a turn is due.
    pub(crate) fn is_full(&self, transmits_max: usize) -> bool {
        self.transmits.len() >= transmits_max
            || self.unencrypted >= Self::UNENCRYPTED_BYTES_MAX
            || self.pending_bytes() > Self::SCRATCH_BYTES_MAX
    }

    /// Nothing leaves.
    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty()
    }

    /// Segments of all transmits (an upper bound of what a driver needs for its vectors).
    pub fn segments(&self) -> usize {
        self.transmits.len() + self.links.len()
    }

    /// The n-th transmit's connection.
    pub fn ticket(&self, index: usize) -> Ticket {
        self.transmits[index].ticket
    }

    /// How many bytes the n-th transmit has; 0 when it moved to the outbox.
    pub fn bytes(&self, index: usize) -> usize {
        self.transmits[index].bytes as usize
    }

    /// The n-th transmit's bytes, in order (one slice nearly always; none when it moved to the
    /// outbox).
    pub fn slices(&self, index: usize) -> impl Iterator<Item = &[u8]> {
        let transmit = &self.transmits[index];
        let mut at = (transmit.segments > 0).then_some((transmit.first, transmit.next));
        std::iter::from_fn(move || {
            let (segment, next) = at?;
            at = self
                .links
                .get(next as usize)
                .map(|link| (link.segment, link.next));
            Some(self.slice(segment))
        })
    }

    fn slice(&self, segment: Segment) -> &[u8] {
        let span = segment.start as usize..(segment.start + segment.len) as usize;
        match self.shared.get(segment.source as usize) {
            Some(bytes) => &bytes[span],
            None if segment.source == SCRATCH => &self.scratch[span],
            None if segment.source == RECORDS => &self.records[span],
            None => &(*self.leases[(segment.source - LEASES) as usize]).as_ref()[span],
        }
    }

    /// Receive buffers whose bytes leave in this turn.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn leases(&self) -> usize {
        self.leases.len()
    }

    /// Bytes written to the scratch since the last turn.
    pub(crate) fn scratch_bytes(&self) -> usize {
        self.scratch.len()
    }

    /// Bytes that stand ready for single connections: in the scratch, or in memory of their own.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.scratch.len() + self.own
    }

    /// The scratch, to append to; `attach_scratch` or `detach_scratch` follows.
    pub(crate) fn scratch(&mut self) -> &mut Vec<u8> {
        &mut self.scratch
    }

    /// What was appended since `start` leaves for `ticket`. Returns false when the transmit is as
    /// long as it may be.
    pub(crate) fn attach_scratch(&mut self, ticket: Ticket, at: &mut u32, start: usize) -> bool {
        let len = (self.scratch.len() - start) as u32;
        self.attach(
            ticket,
            at,
            Segment {
                source: SCRATCH,
                start: start as u32,
                len,
            },
        )
    }

    /// A few bytes leave for `ticket` by the scratch. Returns false when the transmit is as long as
    /// it may be.
    pub(crate) fn attach_bytes(&mut self, ticket: Ticket, at: &mut u32, bytes: &[u8]) -> bool {
        let start = self.scratch.len();
        self.scratch.extend_from_slice(bytes);
        self.attach_scratch(ticket, at, start)
    }

    /// The ticket has a transmit, though nothing was attached yet: its TLS session has something to
    /// say.
    pub(crate) fn touch(&mut self, ticket: Ticket, at: &mut u32) {
        // A transmit that is as long as it may be is one all the same.
        let _ = self.attach_scratch(ticket, at, self.scratch.len());
    }

    /// The n-th transmit went to an outbox instead.
    pub(crate) fn is_withdrawn(&self, index: usize) -> bool {
        self.transmits[index].segments == 0
    }

    /// What was appended since `start` does not leave in this turn.
    pub(crate) fn detach_scratch(&mut self, start: usize) -> Bytes {
        let bytes = Bytes::copy_from_slice(&self.scratch[start..]);
        self.scratch.truncate(start);
        bytes
    }

    /// `bytes` of what was attached will be encrypted.
    pub(crate) fn expect_encryption(&mut self, bytes: usize) {
        self.unencrypted += bytes;
    }

    /// Replaces the n-th transmit by the records that `encrypt` makes of it. The last thing that
    /// happens to it before the driver gets it.
    pub(crate) fn encrypt<E>(
        &mut self,
        index: usize,
        encrypt: impl FnOnce(&mut dyn Iterator<Item = &[u8]>, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut records = std::mem::take(&mut self.records);
        let start = records.len();
        let encrypted = encrypt(&mut self.slices(index), &mut records);
        let segment = Segment {
            source: RECORDS,
            start: start as u32,
            len: (records.len() - start) as u32,
        };
        self.records = records;
        let transmit = &mut self.transmits[index];
        (transmit.first, transmit.bytes) = (segment, segment.len);
        (transmit.next, transmit.last) = (NONE, NONE);
        transmit.segments = u32::from(segment.len > 0);
        self.withdrawn += usize::from(segment.len == 0);
        encrypted
    }

    /// Bytes that several transmits of this turn will share.
    pub(crate) fn share(&mut self, bytes: Bytes) -> Shared {
        self.shared.push(bytes);
        Shared((self.shared.len() - 1) as u32)
    }

    /// The same for bytes that stand on an account already.
    pub(crate) fn share_tracked(&mut self, bytes: Bytes) -> Shared {
        let shared = self.share(bytes);
        self.tracked.push(shared.0);
        shared
    }

    /// A part of what is shared, as bytes that outlive the turn and stand on this account.
    pub(crate) fn piece_of(
        &mut self,
        Shared(index): Shared,
        start: usize,
        end: usize,
        account: &Account,
    ) -> Bytes {
        let bytes = &mut self.shared[index as usize];
        if !self.tracked.contains(&index) {
            *bytes = account.track(std::mem::take(bytes));
            self.tracked.push(index);
        }
        piece(bytes, start, end, account)
    }

    /// Bytes that nobody else is sent leave for `ticket`. Returns false when the transmit is as
    /// long as it may be.
    pub(crate) fn attach_own(&mut self, ticket: Ticket, at: &mut u32, bytes: Bytes) -> bool {
        let len = bytes.len();
        self.own += len;
        let shared = self.share(bytes);
        self.attach_shared(ticket, at, shared, 0, len)
    }

    /// A span of a receive buffer leaves for `ticket`. Returns false when the transmit is as long
    /// as it may be.
    pub(crate) fn attach_lease(
        &mut self,
        ticket: Ticket,
        at: &mut u32,
        lease: &Rc<dyn LeasedBytes>,
        start: usize,
        len: usize,
    ) -> bool {
        self.own += len;
        if !(self.leases.last()).is_some_and(|last| Rc::ptr_eq(last, lease)) {
            self.leases.push(Rc::clone(lease));
        }
        let segment = Segment {
            source: LEASES + (self.leases.len() - 1) as u32,
            start: start as u32,
            len: len as u32,
        };
        self.attach(ticket, at, segment)
    }

    /// Whether a frame of such a payload finds room in two segments.
    pub(crate) fn has_room(&self, ticket: Ticket, at: u32, payload_bytes: usize) -> bool {
        let transmit = self.transmits.get(at as usize);
        transmit
            .filter(|transmit| transmit.ticket == ticket)
            .is_none_or(|transmit| {
                transmit.segments as usize + 2 <= Self::SEGMENTS_MAX
                    && transmit.bytes as usize + HEADER_BYTES_MAX + payload_bytes
                        <= Self::BYTES_MAX as usize
            })
    }

    /// A span of shared bytes leaves for `ticket`. Returns false when the transmit is as long as it
    /// may be.
    pub(crate) fn attach_shared(
        &mut self,
        ticket: Ticket,
        at: &mut u32,
        shared: Shared,
        start: usize,
        end: usize,
    ) -> bool {
        let segment = Segment {
            source: shared.0,
            start: start as u32,
            len: (end - start) as u32,
        };
        self.attach(ticket, at, segment)
    }

    #[inline]
    fn attach(&mut self, ticket: Ticket, at: &mut u32, segment: Segment) -> bool {
        let Some(transmit) = self
            .transmits
            .get_mut(*at as usize)
            .filter(|found| found.ticket == ticket)
        else {
            *at = self.transmits.len() as u32;
            self.transmits.push(Transmit {
                ticket,
                first: segment,
                next: NONE,
                last: NONE,
                segments: 1,
                bytes: segment.len,
            });
            return true;
        };
        let bytes = transmit.bytes.saturating_add(segment.len);
        if transmit.segments as usize >= Self::SEGMENTS_MAX || bytes > Self::BYTES_MAX {
            return false;
        }
        transmit.bytes = bytes;
        if transmit.segments == 0 {
            (transmit.first, transmit.segments) = (segment, 1);
            self.withdrawn -= 1;
            return true;
        }
        let last = match self.links.get_mut(transmit.last as usize) {
            Some(link) => &mut link.segment,
            None => &mut transmit.first,
        };
        if last.source == segment.source && last.start + last.len == segment.start {
            last.len += segment.len;
            return true;
        }
        let link = self.links.len() as u32;
        match self.links.get_mut(transmit.last as usize) {
            Some(tail) => tail.next = link,
            None => transmit.next = link,
        }
        transmit.last = link;
        transmit.segments += 1;
        self.links.push(Link {
            segment,
            next: NONE,
        });
        true
    }

    /// What is left of a transmit after its first `skip` bytes, as bytes that outlive the turn and
    /// stand on this account. The transmit is empty afterwards.
    pub(crate) fn remainder(
        &mut self,
        ticket: Ticket,
        at: u32,
        mut skip: usize,
        account: &Account,
        into: &mut Vec<Bytes>,
    ) {
        let Some(transmit) = self
            .transmits
            .get(at as usize)
            .filter(|found| found.ticket == ticket)
        else {
            return;
        };
        let mut next = (transmit.segments > 0).then_some((transmit.first, transmit.next));
        while let Some((segment, link)) = next {
            next = self
                .links
                .get(link as usize)
                .map(|link| (link.segment, link.next));
            let len = segment.len as usize;
            if skip >= len {
                skip -= len;
                continue;
            }
            let (start, end) = (segment.start as usize + skip, segment.start as usize + len);
            skip = 0;
            into.push(match self.shared.get(segment.source as usize) {
                Some(_) => self.piece_of(Shared(segment.source), start, end, account),
                None => {
                    let (start, len) = (start as u32, (end - start) as u32);
                    let rest = Segment {
                        start,
                        len,
                        ..segment
                    };
                    account.track(Bytes::copy_from_slice(self.slice(rest)))
                }
            });
        }
        let transmit = &mut self.transmits[at as usize];
        self.withdrawn += usize::from(transmit.segments > 0);
        (transmit.segments, transmit.bytes) = (0, 0);
        (transmit.next, transmit.last) = (NONE, NONE);
    }

    /// Between turns: keeps nothing for the next.
    pub(crate) fn release_memory(&mut self) {
        debug_assert!(self.is_empty() && self.scratch.is_empty() && self.shared.is_empty());
        *self = Outgoing::default();
    }

    /// Forgets the turn.
    pub(crate) fn clear(&mut self) {
        self.transmits.clear();
        self.links.clear();
        self.shared.clear();
        self.tracked.clear();
        self.leases.clear();
        (self.unencrypted, self.own, self.withdrawn) = (0, 0, 0);
        for scratch in [&mut self.scratch, &mut self.records] {
            scratch.clear();
            if scratch.capacity() > Self::SCRATCH_BYTES_KEPT {
                scratch.shrink_to(Self::SCRATCH_BYTES_KEPT);
            }
        }
    }
}

/// A part of shared bytes that outlives the turn. A small one is copied: it would keep all the
/// others in memory, and an outbox counts what waits in it. The bytes stand on the account already.
fn piece(bytes: &Bytes, start: usize, end: usize, account: &Account) -> Bytes {
    if 2 * (end - start) < bytes.len() {
        account.track(Bytes::copy_from_slice(&bytes[start..end]))
    } else {
        bytes.slice(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ticket = Ticket {
        slot: 1,
        generation: 1,
    };
    const B: Ticket = Ticket {
        slot: 2,
        generation: 1,
    };

    fn write(outgoing: &mut Outgoing, ticket: Ticket, at: &mut u32, bytes: &[u8]) -> bool {
        let start = outgoing.scratch_bytes();
        outgoing.scratch().extend_from_slice(bytes);
        outgoing.attach_scratch(ticket, at, start)
    }

    fn spans(outgoing: &Outgoing, index: usize) -> Vec<&[u8]> {
        let spans: Vec<&[u8]> = outgoing.slices(index).collect();
        let bytes: usize = spans.iter().map(|span| span.len()).sum();
        assert_eq!(outgoing.bytes(index), bytes);
        spans
    }

    #[test]
    fn neighbours_merge_and_strangers_chain() {
        let (mut outgoing, mut a, mut b) = (Outgoing::default(), NONE, NONE);
        assert!(write(&mut outgoing, A, &mut a, b"one"));
        assert!(write(&mut outgoing, A, &mut a, b"two"));
        assert!(write(&mut outgoing, B, &mut b, b"three"));
        assert!(write(&mut outgoing, A, &mut a, b"four"));
        let shared = outgoing.share(Bytes::from_static(b"batch"));
        assert!(outgoing.attach_shared(A, &mut a, shared, 1, 3));
        assert!(outgoing.attach_shared(A, &mut a, shared, 3, 5));
        assert_eq!(outgoing.len(), 2);
        assert_eq!(spans(&outgoing, 0), [&b"onetwo"[..], b"four", b"atch"]);
        assert_eq!(spans(&outgoing, 1), [b"three"]);
        outgoing.clear();
        assert!(write(&mut outgoing, B, &mut b, b"next"));
        assert_eq!((outgoing.len(), b), (1, 0));
    }

    #[test]
    fn a_remainder_starts_at_every_byte() {
        let account = Account::default();
        for skip in 0..=12 {
            let (mut outgoing, mut a, mut b) = (Outgoing::default(), NONE, NONE);
            write(&mut outgoing, A, &mut a, b"abc");
            write(&mut outgoing, B, &mut b, b"-");
            write(&mut outgoing, A, &mut a, b"defg");
            let shared = outgoing.share(Bytes::from_static(b"hijkl"));
            outgoing.attach_shared(A, &mut a, shared, 0, 5);
            let mut rest = Vec::new();
            outgoing.remainder(A, a, skip, &account, &mut rest);
            assert_eq!(rest.concat(), b"abcdefghijkl"[skip..], "after {skip}");
            assert_eq!((outgoing.len(), outgoing.sends()), (2, 1));
            outgoing.remainder(A, a, skip, &account, &mut rest);
            assert_eq!(outgoing.sends(), 1, "withdrawn once");
            assert_eq!(spans(&outgoing, 0).len(), 0);
            assert_eq!(spans(&outgoing, 1), [b"-"]);
        }
    }

    #[test]
    fn a_transmit_has_a_longest_length() {
        let (mut outgoing, mut a, mut b) = (Outgoing::default(), NONE, NONE);
        for _ in 0..Outgoing::SEGMENTS_MAX {
            assert!(write(&mut outgoing, A, &mut a, b"a"));
            assert!(write(&mut outgoing, B, &mut b, b"b"));
        }
        assert!(!write(&mut outgoing, A, &mut a, b"a"));
    }

    #[test]
    fn an_encrypted_transmit_is_one_segment_of_records() {
        let (mut outgoing, mut a, mut b) = (Outgoing::default(), NONE, NONE);
        write(&mut outgoing, A, &mut a, b"abc");
        write(&mut outgoing, B, &mut b, b"-");
        write(&mut outgoing, A, &mut a, b"def");
        let encrypted = outgoing.encrypt(0, |plain, records| {
            plain.for_each(|slice| records.extend(slice.to_ascii_uppercase()));
            Ok::<(), ()>(())
        });
        assert_eq!(encrypted, Ok(()));
        assert_eq!(spans(&outgoing, 0), [b"ABCDEF"]);
        assert_eq!(spans(&outgoing, 1), [b"-"]);
        let mut rest = Vec::new();
        outgoing.remainder(A, a, 4, &Account::default(), &mut rest);
        assert_eq!(rest, [&b"EF"[..]]);
    }
}
