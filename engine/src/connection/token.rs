//! Tokens of event streams: a connection's address under a key of the process, so that only who was
//! given one can post to it.
//!
//! Nothing is stored: a token is its own record. HMAC-SHA-256 over the address makes it
//! unguessable, and comparing takes the same time wherever the difference is. Made and read by the
//! shards; the key is made once per process.

use crate::config::Config;
use crate::types::stream_path::{StreamPath, StreamPurpose};
use crate::types::ticket::{Address, Ticket};
use aws_lc_rs::hmac;
use std::fmt;

/// The process's key for tokens.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

/// Where event streams are, and who may post to them.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Of our own events.
    own: Option<String>,
    others: Vec<StreamPath>,
    pub(crate) key: TokenKey,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamsAt {
    /// Our own streams, and posts to them.
    Own,
    /// Those whose protocol is the application's, or posts to them.
    Application(StreamPurpose),
}

impl Streams {
    /// Those of a configuration; `None`: it has none, or there is no key.
    pub(crate) fn of(config: &Config, key: Option<TokenKey>) -> Option<Streams> {
        let (own, others) = (config.event_streams.clone(), config.stream_paths.clone());
        let is_none = own.is_none() && others.is_empty();
        let key = key.filter(|_| !is_none)?;
        Some(Streams { own, others, key })
    }

    /// What requests to a path are for. `None`: no streams.
    pub(crate) fn at(&self, path: &str) -> Option<StreamsAt> {
        if self.own.as_deref() == Some(path) {
            return Some(StreamsAt::Own);
        }
        let other = self.others.iter().find(|other| other.path == path)?;
        Some(StreamsAt::Application(other.purpose))
    }
}

/// Shard, slot, generation.
const ADDRESS_BYTES: usize = 2 + 4 + 4;
const TAG_BYTES: usize = 32;
/// Two hexadecimal digits a byte.
const TOKEN_CHARS: usize = 2 * (ADDRESS_BYTES + TAG_BYTES);

impl TokenKey {
    /// A new key; `None` if the kernel has no random numbers.
    pub fn random() -> Option<TokenKey> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).ok()?;
        Some(TokenKey(key))
    }

    /// The same key every time, for simulations.
    pub fn fixed() -> TokenKey {
        TokenKey(hmac::Key::new(hmac::HMAC_SHA256, &[7; TAG_BYTES]))
    }

    /// The token of a connection.
    pub(crate) fn token(&self, address: Address) -> String {
        let address = bytes_of(address);
        let tag = hmac::sign(&self.0, &address);
        let mut token = String::with_capacity(TOKEN_CHARS);
        for byte in address.iter().chain(tag.as_ref()) {
            for digit in [byte >> 4, byte & 15] {
                token.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        token
    }

    /// The connection that the token was made for, if this process made it.
    pub(crate) fn address(&self, token: &str) -> Option<Address> {
        if token.len() != TOKEN_CHARS {
            return None;
        }
        let mut bytes = [0; ADDRESS_BYTES + TAG_BYTES];
        for (byte, digits) in bytes.iter_mut().zip(token.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        let (address, tag) = bytes.split_first_chunk::<ADDRESS_BYTES>()?;
        hmac::verify(&self.0, address, tag).ok()?;
        let &[s0, s1, a, b, c, d, e, f, g, h] = address;
        Some(Address {
            shard: u16::from_be_bytes([s0, s1]),
            ticket: Ticket {
                slot: u32::from_be_bytes([a, b, c, d]),
                generation: u32::from_be_bytes([e, f, g, h]),
            },
        })
    }
}

fn bytes_of(address: Address) -> [u8; ADDRESS_BYTES] {
    let [s0, s1] = address.shard.to_be_bytes();
    let [a, b, c, d] = address.ticket.slot.to_be_bytes();
    let [e, f, g, h] = address.ticket.generation.to_be_bytes();
    [s0, s1, a, b, c, d, e, f, g, h]
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_connection_and_nothing_else_does() {
        let key = TokenKey::fixed();
        let address = Address {
            shard: 258,
            ticket: Ticket {
                slot: 0x0102_0304,
                generation: 0x00ff_fffe,
            },
        };
        let token = key.token(address);
        assert_eq!(token.len(), TOKEN_CHARS);
        assert!(token.starts_with("01020102030400fffffe"), "{token}");
        assert_eq!(key.address(&token), Some(address));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key.address(&changed), None, "{at}");
            assert_eq!(key.address(&token[at..]).is_some(), at == 0, "{at}");
        }
        for wrong in ["", "é", &"é".repeat(TOKEN_CHARS / 2), &format!("{token}0")] {
            assert_eq!(key.address(wrong), None, "{wrong}");
        }
        let other = TokenKey::random().unwrap();
        assert_eq!(other.address(&token), None);
    }
}
