//! Whether nearly all that comes belongs to large messages. Pure; owned by the
//! shard, asked once for each large message.

/// How much of what comes belongs to messages that are larger than most.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    /// Bytes of such messages since the last look.
    bytes: u64,
    /// All bytes that had come by then.
    since: u64,
}

impl Bulk {
    /// Bytes of large messages between two looks.
    const LOOK_BYTES: u64 = 1 << 20;

    /// A large message came; `all` is what has come in all. True if that is nearly all since the
    /// last look, which was a while ago.
    pub(super) fn is_most(&mut self, message_bytes: usize, all: u64) -> bool {
        self.bytes += message_bytes as u64;
        if self.bytes < Self::LOOK_BYTES {
            return false;
        }
        let others = (all - self.since).saturating_sub(self.bytes);
        let is_most = others <= self.bytes / 4;
        (self.bytes, self.since) = (0, all);
        is_most
    }
}

#[cfg(test)]
mod tests {
    use super::Bulk;

    #[test]
    fn bulk_is_when_nearly_all_belongs_to_large_messages() {
        let (mut bulk, mut all) = (Bulk::default(), 0);
        // Bytes of others beside each large message.
        let table = [(0, true), (20_000, false), (12_000, true), (60_000, false)];
        for (others, is_most) in table {
            let mut found = None;
            while found.is_none() {
                all += 60_000 + others;
                let before = bulk.since;
                let most = bulk.is_most(60_000, all);
                found = (bulk.since != before).then_some(most);
            }
            assert_eq!(found, Some(is_most), "{others}");
        }
    }
}
