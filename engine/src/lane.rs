//! Letters between shards: one SPSC ring per direction, kind and pair.

/// Room for letters in one lane: requests and deliveries alike.
#[derive(Clone, Copy, Debug)]
pub struct LaneCapacity(pub usize);

/// A shard's ends of all lanes, and the doorbells.
#[derive(Debug)]
pub struct Mailbox {
    _private: (),
}

/// Connects `shards` mailboxes with each other.
pub fn mesh(_shards: usize, _capacity: LaneCapacity) -> Vec<Mailbox> { todo!() }
