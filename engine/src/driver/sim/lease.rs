//! Received bytes on loan from the simulated driver.

use std::fmt;

/// Received bytes on loan.
pub struct SimLease {
    pub(super) bytes: Vec<u8>,
    pub(super) shard: u16,
}

impl AsMut<[u8]> for SimLease {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for SimLease {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SimLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}
