//! What a connection is called on the wire: its address as text.
//!
//! Invariant: one text per address and one address per text, for as long as the process runs. Made by the native
//! application whenever a client is told about a connection, itself or a sender.

use shardcast_engine::Address;

/// `shard-slot-generation`, each in lower-case hexadecimal without leading zeros. No secret: it counts upwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionId {
    bytes: [u8; ID_BYTES_MAX],
    start: usize,
}

/// 4 digits of shard, 8 of slot, 8 of generation, two hyphens.
const ID_BYTES_MAX: usize = 22;

impl ConnectionId {
    pub(crate) fn new(address: Address) -> ConnectionId {
        let mut id = ConnectionId {
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
    use super::ConnectionId;
    use shardcast_engine::{Address, Ticket};

    #[test]
    fn an_address_becomes_its_text() {
        for (shard, slot, generation, text) in [
            (0, 0, 0, "0-0-0"),
            (1, 31, 2, "1-1f-2"),
            (16, 0x00ab_cdef, 0x0010_0000, "10-abcdef-100000"),
            (u16::MAX, u32::MAX, u32::MAX, "ffff-ffffffff-ffffffff"),
        ] {
            let id = ConnectionId::new(Address {
                shard,
                ticket: Ticket { slot, generation },
            });
            assert_eq!(id.as_str(), text);
        }
    }
}
