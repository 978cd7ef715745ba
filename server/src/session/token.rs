//! What a client shows to go on with its session: where the session is, and a secret.
//!
//! Invariant: a secret is 128 bits of the kernel's randomness, and comparing two takes the same
//! time wherever they differ. Made when a connection opens, read when one wants to go on.

use crate::wire::connection_id::ConnectionId;
use aws_lc_rs::digest::{SHA256, digest};
use shardcast_engine::Address;
use std::fmt;

/// Names a session: the connection that it is or was, and its secret. As text, the connection's id,
/// a hyphen and 32 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionToken {
    pub(crate) connection: Address,
    pub(crate) secret: Secret,
}

impl SessionToken {
    /// The token of a text, if it is one.
    pub(crate) fn parse(text: &str) -> Option<SessionToken> {
        let (connection, secret) = text.rsplit_once('-')?;
        let ConnectionId(connection) = connection.parse().ok()?;
        let secret = Secret::parse(secret)?;
        Some(SessionToken { connection, secret })
    }
}

impl fmt::Display for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", ConnectionId(self.connection))?;
        self.secret
            .0
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What only the client of a session knows.
#[derive(Clone, Copy)]
pub(crate) struct Secret([u8; Secret::BYTES]);

impl Secret {
    const BYTES: usize = 16;

    fn parse(text: &str) -> Option<Secret> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 2 * Secret::BYTES || !text.bytes().all(is_digit) {
            return None;
        }
        Some(Secret(u128::from_str_radix(text, 16).ok()?.to_be_bytes()))
    }
}

impl Secret {
    /// What a secret is known by where it must not be found.
    pub(crate) fn digest(self) -> SecretDigest {
        let digest = digest(&SHA256, &self.0);
        SecretDigest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// The SHA-256 of a secret: whoever reads it cannot go on with the session. What comparing two
/// tells of them tells nothing of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SecretDigest(pub(crate) [u8; SecretDigest::BYTES]);

impl SecretDigest {
    pub(crate) const BYTES: usize = 32;
}

/// In the same time for all.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        let different = self.0.iter().zip(&other.0);
        let different = different.fold(0, |sum, (one, other)| sum | (one ^ other));
        std::hint::black_box(different) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// One shard's secrets that nobody has yet: the kernel is asked once for several.
pub(crate) struct Secrets {
    bytes: [u8; Secrets::BYTES],
    used: usize,
    source: SecretSource,
}

/// Where secrets come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SecretSource {
    #[default]
    Kernel,
    /// The same in every run, for simulations.
    Counted(u64),
}

impl Secrets {
    const BYTES: usize = 16 * Secret::BYTES;

    pub(crate) fn new(source: SecretSource) -> Secrets {
        Secrets {
            bytes: [0; Secrets::BYTES],
            used: Secrets::BYTES,
            source,
        }
    }

    /// A secret that nobody else gets. `None`: the kernel has no randomness.
    pub(crate) fn take(&mut self) -> Option<Secret> {
        if let SecretSource::Counted(count) = &mut self.source {
            *count += 1;
            return Some(Secret(u128::from(*count).to_be_bytes()));
        }
        if self.used == Secrets::BYTES {
            getrandom::fill(&mut self.bytes).ok()?;
            self.used = 0;
        }
        let secret = self.bytes[self.used..].first_chunk().copied();
        // What was given out does not stay here.
        self.bytes[self.used..self.used + Secret::BYTES].fill(0);
        self.used += Secret::BYTES;
        secret.map(Secret)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_engine::Ticket;
    use std::collections::HashSet;

    #[test]
    fn a_token_reads_back_and_nothing_else_does() {
        let ticket = Ticket {
            slot: 31,
            generation: 3,
        };
        let token = SessionToken {
            connection: Address { shard: 1, ticket },
            secret: Secret([0xab; 16]),
        };
        let text = token.to_string();
        assert_eq!(text, format!("1-1f-3-{}", "ab".repeat(16)));
        assert_eq!(SessionToken::parse(&text), Some(token));
        for at in 0..text.len() {
            let mut other = text.clone();
            other.replace_range(at..=at, if &text[at..=at] == "a" { "b" } else { "a" });
            assert_ne!(SessionToken::parse(&other), Some(token), "{other}");
            assert_ne!(SessionToken::parse(&text[at + 1..]), Some(token));
            assert_eq!(SessionToken::parse(&text[..at]), None);
        }
        let upper = text.to_uppercase();
        let signed = text.replacen("-ab", "-+a", 1);
        for wrong in ["", "-", "é", "1-1f-3", &upper, &signed, &format!("{text}0")] {
            assert_eq!(SessionToken::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_secret_comes_twice() {
        let mut secrets = Secrets::new(SecretSource::Kernel);
        let taken = (0..1_000).map(|_| secrets.take().expect("randomness").0);
        let different: HashSet<[u8; 16]> = taken.collect();
        assert_eq!(different.len(), 1_000);
    }

    #[test]
    fn secrets_are_the_same_if_all_of_them_is() {
        for at in 0..16 {
            let mut other = [7; 16];
            assert_eq!(Secret(other), Secret([7; 16]));
            other[at] ^= 0x80;
            assert_ne!(Secret(other), Secret([7; 16]), "{at}");
        }
    }
}
