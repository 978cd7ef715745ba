//! How bad one run's network and kernel are: drawn once per seed, so that each seed is bad in its
//! own way.

use crate::driver::boundary::Millis;
use crate::driver::sim::random::Random;

/// Probabilities (per mille) and sizes of one run.
#[derive(Clone, Debug)]
pub struct Faults {
    /// A transmit leaves short although the socket had room.
    pub short_permille: usize,
    /// A send breaks its connection.
    pub broken_permille: usize,
    /// A tracked send ends although it could go on.
    pub cut_permille: usize,
    /// A tracked send completes later than its last byte left.
    pub late_permille: usize,
    /// Bytes stay in the network for a while.
    pub delay_permille: usize,
    /// Longest lateness or delay.
    pub delay_ms_max: Millis,
    /// A close lets one last `Received` of the stale ticket through.
    pub stale_permille: usize,
    /// Receive buffers of a shard.
    pub receive_buffers: usize,
    /// Bytes in each.
    pub receive_buffer_bytes: usize,
    /// A receive takes buffers until there are no more bytes, or no more buffers, before others
    /// have their turn.
    pub greedy_permille: usize,
    /// A receive takes fewer bytes than there are.
    pub split_permille: usize,
    /// Completions in one reap, at most.
    pub reap_max: usize,
    /// Room in a socket's buffer, each direction.
    pub socket_buffer_bytes: usize,
    /// Connections that a shard's table holds at once; further clients wait in the backlog.
    pub slots: usize,
}

impl Faults {
    /// A network without faults and with room for everything.
    pub fn none() -> Faults {
        Faults {
            short_permille: 0,
            broken_permille: 0,
            cut_permille: 0,
            late_permille: 0,
            delay_permille: 0,
            delay_ms_max: 1,
            stale_permille: 0,
            receive_buffers: 64,
            receive_buffer_bytes: 16 << 10,
            greedy_permille: 0,
            split_permille: 0,
            reap_max: 1024,
            socket_buffer_bytes: 1 << 20,
            slots: 1024,
        }
    }

    /// One seed's faults: each is off, rare or frequent.
    pub fn draw(random: &mut Random) -> Faults {
        Faults {
            short_permille: random.pick(&[0, 20, 200, 900]),
            broken_permille: random.pick(&[0, 0, 1, 10]),
            cut_permille: random.pick(&[0, 20, 200]),
            late_permille: random.pick(&[0, 100, 500]),
            delay_permille: random.pick(&[0, 20, 200]),
            delay_ms_max: random.pick(&[1, 20, 200]),
            stale_permille: random.pick(&[0, 300, 1000]),
            receive_buffers: random.pick(&[1, 2, 4, 64]),
            receive_buffer_bytes: random.pick(&[16, 100, 1000, 16 << 10]),
            greedy_permille: random.pick(&[0, 300, 1000]),
            split_permille: random.pick(&[0, 100, 700]),
            reap_max: random.pick(&[1, 3, 16, 256]),
            socket_buffer_bytes: random.pick(&[64, 300, 4096, 64 << 10]),
            slots: random.pick(&[4, 8, 64]),
        }
    }
}
