//! This turn's departures: who is owed which bytes, and the memory they stand in.

use crate::Ticket;
use bytes::Bytes;

/// Bytes that leave in this turn: a span of the scratch, or of a shared batch.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    source: u32,
    start: u32,
    len: u32,
}

/// Everything that leaves in one turn. One departure per connection, its segments in order.
#[derive(Debug, Default)]
pub struct Outgoing {
    departures: Vec<Departure>,
    links: Vec<Link>,
    scratch: Vec<u8>,
    shared: Vec<Bytes>,
}

#[derive(Clone, Copy, Debug)]
struct Departure {
    ticket: Ticket,
    first: Segment,
    next: u32,
    last: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    segment: Segment,
    next: u32,
}

impl Outgoing {
    /// Number of departures.
    pub fn len(&self) -> usize { self.departures.len() }
    /// Nothing leaves.
    pub fn is_empty(&self) -> bool { self.departures.is_empty() }
    /// The n-th departure's connection.
    pub fn ticket(&self, index: usize) -> Ticket { self.departures[index].ticket }
    /// The n-th departure's bytes, in order (one slice nearly always).
    pub fn slices(&self, index: usize) -> impl Iterator<Item = &[u8]> {
        let departure = &self.departures[index];
        let mut at = Some((departure.first, departure.next));
        std::iter::from_fn(move || {
            let (segment, next) = at?;
            at = self.links.get(next as usize).map(|link| (link.segment, link.next));
            let (start, end) = (segment.start as usize, segment.start as usize + segment.len as usize);
            Some(match self.shared.get(segment.source as usize) {
                Some(bytes) => &bytes[start..end],
                None => &self.scratch[start..end],
            })
        })
    }
}
