//! The id of a connection: its address as text.
//!
//! Invariant: one text per address and one address per text, for as long as the process runs. On
//! the wire it stands in `welcome` and `from`; applications name connections by it.

use shardcast_engine::{Address, Ticket};
use std::fmt;
use std::str::FromStr;

/// Names a connection of this process. `shard-slot-generation`, each in lower-case hexadecimal
/// without leading zeros. No secret: it counts upwards. The id of a connection that is gone reaches
/// no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub(crate) Address);

impl ConnectionId {
    /// Its text.
    pub(crate) fn text(self) -> IdText {
        IdText::new(self.0)
    }
}

/// Of a member in a list.
impl From<Address> for ConnectionId {
    fn from(address: Address) -> ConnectionId {
        ConnectionId(address)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

/// The text names no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a connection's id is three numbers in lower-case hexadecimal, joined by hyphens")]
pub struct BadConnectionId;

impl FromStr for ConnectionId {
    type Err = BadConnectionId;

    fn from_str(text: &str) -> Result<ConnectionId, BadConnectionId> {
        let mut parts = text.split('-');
        let mut part = || {
            parts
                .next()
                .and_then(|part| u32::from_str_radix(part, 16).ok())
        };
        let (Some(shard), Some(slot), Some(generation)) = (part(), part(), part()) else {
            return Err(BadConnectionId);
        };
        let address = Address {
            shard: u16::try_from(shard).map_err(|_| BadConnectionId)?,
            ticket: Ticket { slot, generation },
        };
        let id = ConnectionId(address);
        // One text per address: no leading zeros, no signs, no capitals, no fourth part.
        (id.text().as_str() == text)
            .then_some(id)
            .ok_or(BadConnectionId)
    }
}

/// The text of an id, without an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdText {
    bytes: [u8; ID_BYTES_MAX],
    start: usize,
}

/// 4 digits of shard, 8 of slot, 8 of generation, two hyphens.
const ID_BYTES_MAX: usize = 22;

impl IdText {
    fn new(address: Address) -> IdText {
        let mut id = IdText {
            bytes: [b'-'; ID_BYTES_MAX],
            start: ID_BYTES_MAX,
        };
        // From the last digit to the first; the hyphens are there already.
        id.prepend_hex(address.ticket.generation);
        id.start -= 1;
        id.prepend_hex(address.ticket.slot);
        id.start -= 1;
        id.prepend_hex(address.shard.into());
        id
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.start..]).expect("digits and hyphens are ASCII")
    }

    fn prepend_hex(&mut self, mut number: u32) {
        loop {
            self.start -= 1;
            self.bytes[self.start] = b"0123456789abcdef"[(number & 15) as usize];
            number >>= 4;
            if number == 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_its_text_and_back() {
        for (shard, slot, generation, text) in [
            (0, 0, 0, "0-0-0"),
            (1, 31, 2, "1-1f-2"),
            (16, 0x00ab_cdef, 0x0010_0000, "10-abcdef-100000"),
            (u16::MAX, u32::MAX, u32::MAX, "ffff-ffffffff-ffffffff"),
        ] {
            let ticket = Ticket { slot, generation };
            let id = ConnectionId(Address { shard, ticket });
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn other_texts_name_nobody() {
        for text in [
            "",
            "0-0",
            "0-0-0-0",
            "00-0-0",
            "A-0-0",
            "+1-0-0",
            "10000-0-0",
            "0-0-100000000",
        ] {
            assert_eq!(text.parse::<ConnectionId>(), Err(BadConnectionId), "{text}");
        }
    }
}
