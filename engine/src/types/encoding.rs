//! Encodings: how the messages of a connection are encoded, as an index that only the application
//! gives a meaning to. A room may have members of all encodings; a publication is encoded once in
//! each encoding that is present, by [`crate::Application::encode`].
//!
//! Every encoding has a second one for members that are sent deltas, and a third for those with
//! filters: it belongs to a membership, and no connection has it.
//!
//! Used by whoever keeps members or messages of several encodings apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How a connection's messages are encoded; the application chooses it when it accepts the
/// connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodingId(u8);

impl EncodingId {
    /// Encodings that one process may have.
    pub const COUNT_MAX: usize = 8;
    /// The encoding of whoever does not choose one.
    pub const FIRST: EncodingId = EncodingId(0);

    /// The encoding with this index.
    ///
    /// # Panics
    /// If the index is not below [`EncodingId::COUNT_MAX`]. In a constant, that is an error of the
    /// compiler.
    pub const fn new(index: u8) -> EncodingId {
        assert!(
            (index as usize) < EncodingId::COUNT_MAX,
            "there are 8 encodings"
        );
        EncodingId(index)
    }

    /// Its index, 0..[`EncodingId::COUNT_MAX`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Encodings that the members of one topic may have: those of connections, and each for deltas
    /// and for filters.
    #[doc(hidden)] // For lanes, which benches build by themselves.
    pub const OF_MEMBERS_MAX: usize = 3 * EncodingId::COUNT_MAX;
    const DELTA: u8 = EncodingId::COUNT_MAX as u8;
    const FILTER: u8 = 2 * EncodingId::COUNT_MAX as u8;

    /// The same encoding, of members that are sent deltas. It comes behind all that connections
    /// have.
    pub(crate) const fn with_deltas(self) -> EncodingId {
        EncodingId(self.0 | EncodingId::DELTA)
    }

    /// Whether its members are sent deltas.
    pub(crate) const fn has_deltas(self) -> bool {
        self.0 & EncodingId::DELTA != 0
    }

    /// The same encoding, of members with filters. It comes behind all others.
    pub(crate) const fn with_filter(self) -> EncodingId {
        EncodingId(self.of_connections().0 | EncodingId::FILTER)
    }

    /// Whether its members have filters.
    pub(crate) const fn has_filter(self) -> bool {
        self.0 & EncodingId::FILTER != 0
    }

    /// The encoding of the connections that have it.
    pub(crate) const fn of_connections(self) -> EncodingId {
        EncodingId(self.0 & (EncodingId::DELTA - 1))
    }

    /// Whether a connection may have it.
    pub(crate) const fn is_of_connections(self) -> bool {
        self.0 < EncodingId::DELTA
    }

    /// The encoding whose frames its members are sent, if they are sent any.
    pub(crate) const fn of_frames(self) -> EncodingId {
        match self.has_filter() {
            true => self.of_connections(),
            false => self,
        }
    }

    /// All that connections may have.
    pub(crate) fn all() -> impl Iterator<Item = EncodingId> + Clone {
        (0..EncodingId::COUNT_MAX as u8).map(EncodingId)
    }

    fn bit(self) -> u8 {
        debug_assert!(self.is_of_connections());
        1 << self.0
    }
}

/// A set of encodings of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EncodingSet(u8);

const _: () = assert!(EncodingId::COUNT_MAX == u8::BITS as usize);

impl EncodingSet {
    pub(crate) fn has(self, encoding: EncodingId) -> bool {
        self.0 & encoding.bit() != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = EncodingId> + Clone {
        EncodingId::all().filter(move |encoding| self.has(*encoding))
    }
}

impl FromIterator<EncodingId> for EncodingSet {
    fn from_iter<I: IntoIterator<Item = EncodingId>>(encodings: I) -> EncodingSet {
        EncodingSet(
            encodings
                .into_iter()
                .fold(0, |set, encoding| set | encoding.bit()),
        )
    }
}

/// How many open connections of each encoding the process has: shared by its shards, and touched
/// once per connect and once per close.
#[derive(Clone, Debug, Default)]
pub struct EncodingsPresent(Arc<[AtomicU32; EncodingId::COUNT_MAX]>);

impl EncodingsPresent {
    /// A connection opens, and its client has not heard of it yet. So an encoding is present for
    /// whoever handles a message that was sent, as far as anybody can tell, while a connection of
    /// it is open: all this is in one total order, hence the strongest ordering.
    pub(crate) fn add(&self, encoding: EncodingId) {
        self.0[encoding.index()].fetch_add(1, Ordering::SeqCst);
    }

    /// A connection that was open is not open any more.
    pub(crate) fn remove(&self, encoding: EncodingId) {
        let before = self.0[encoding.index()].fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "it was added");
    }

    /// Whether an open connection of the process has this encoding.
    pub fn has(&self, encoding: EncodingId) -> bool {
        self.0[encoding.index()].load(Ordering::SeqCst) > 0
    }

    pub(crate) fn get(&self) -> EncodingSet {
        EncodingId::all()
            .filter(|encoding| self.has(*encoding))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_has_one_for_deltas_and_one_for_filters_behind_all_others() {
        for encoding in EncodingId::all() {
            let (deltas, filter) = (encoding.with_deltas(), encoding.with_filter());
            assert!(deltas.has_deltas() && !encoding.has_deltas() && !filter.has_deltas());
            assert!(filter.has_filter() && !encoding.has_filter() && !deltas.has_filter());
            assert!(encoding.is_of_connections());
            for of_members in [deltas, filter] {
                assert!(!of_members.is_of_connections());
                assert_eq!(of_members.of_connections(), encoding);
                assert!(of_members.index() < EncodingId::OF_MEMBERS_MAX);
            }
            assert_eq!(
                (deltas.of_frames(), filter.of_frames(), encoding.of_frames()),
                (deltas, encoding, encoding)
            );
            assert!(EncodingId::all().all(|other| other < deltas));
            assert!(EncodingId::all().all(|other| other.with_deltas() < filter));
        }
    }

    #[test]
    fn an_encoding_is_present_while_somebody_has_it() {
        let present = EncodingsPresent::default();
        assert_eq!(present.get().iter().count(), 0);
        for index in [7, 2, 7] {
            present.clone().add(EncodingId::new(index));
        }
        let indexes = || -> Vec<usize> { present.get().iter().map(EncodingId::index).collect() };
        assert_eq!(indexes(), [2, 7]);
        present.remove(EncodingId::new(7));
        assert_eq!(indexes(), [2, 7]);
        present.remove(EncodingId::new(7));
        assert_eq!(indexes(), [2]);
        assert!(present.has(EncodingId::new(2)) && !present.has(EncodingId::new(7)));
    }
}
