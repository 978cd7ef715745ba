//! What a client shows to go on with its session: where the session is, and a secret.
//!
//! Invariant: a secret is the first 128 bits of HMAC-SHA-256 over the connection's address, under a
//! key of the process, so that no connection has to keep its own. No two connections of a process
//! have one address, and comparing two secrets takes the same time wherever they differ. Told when
//! a connection opens, checked when one wants to go on.

use crate::wire::connection_id::ConnectionId;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use shardcast_engine::Address;
use std::fmt;

/// Names a session: the connection that it is or was, at which node, and its secret. As text, the
/// connection's id, behind it `@` and the name of the node where others may have the session, a
/// hyphen and 32 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionToken<'t> {
    pub(crate) connection: Address,
    /// `None`: the node that is shown it.
    pub(crate) node: Option<&'t str>,
    pub(crate) secret: Secret,
}

impl<'t> SessionToken<'t> {
    /// Longest name of a node, in bytes.
    const NODE_BYTES_MAX: usize = 64;

    /// The token of a text, if it is one.
    pub(crate) fn parse(text: &'t str) -> Option<SessionToken<'t>> {
        let (address, secret) = text.rsplit_once('-')?;
        let (connection, node) = match address.split_once('@') {
            Some((connection, node)) => (connection, Some(node)),
            None => (address, None),
        };
        if node.is_some_and(|node| !(1..=Self::NODE_BYTES_MAX).contains(&node.len())) {
            return None;
        }
        let ConnectionId(connection) = connection.parse().ok()?;
        let secret = Secret::parse(secret)?;
        Some(SessionToken {
            connection,
            node,
            secret,
        })
    }
}

impl fmt::Display for SessionToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ConnectionId(self.connection))?;
        if let Some(node) = self.node {
            write!(f, "@{node}")?;
        }
        f.write_str("-")?;
        write_hex(f, &self.secret.0)
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

    /// What [`fmt::Display`] has written.
    pub(crate) fn parse(text: &str) -> Option<SecretDigest> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 2 * SecretDigest::BYTES || !text.bytes().all(is_digit) {
            return None;
        }
        let mut digest = [0; SecretDigest::BYTES];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(SecretDigest(digest))
    }
}

/// In hexadecimal, in lower case.
impl fmt::Display for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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

/// What the secrets of one process are made with.
#[derive(Clone)]
pub(crate) struct SessionKey(hmac::Key);

/// Where it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SessionKeySource {
    #[default]
    Kernel,
    /// The same in every run, for simulations.
    Fixed,
}

impl SessionKey {
    const BYTES: usize = 32;

    /// `None`: the kernel has no randomness.
    pub(crate) fn new(source: SessionKeySource) -> Option<SessionKey> {
        let mut bytes = [7; SessionKey::BYTES];
        if source == SessionKeySource::Kernel {
            getrandom::fill(&mut bytes).ok()?;
        }
        let key = SessionKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        bytes.fill(0);
        Some(key)
    }

    /// The secret of a connection's session.
    pub(crate) fn secret(&self, connection: Address) -> Secret {
        let Address { shard, ticket } = connection;
        let mut address = [0; 10];
        address[..2].copy_from_slice(&shard.to_be_bytes());
        address[2..6].copy_from_slice(&ticket.slot.to_be_bytes());
        address[6..].copy_from_slice(&ticket.generation.to_be_bytes());
        let tag = hmac::sign(&self.0, &address);
        let secret = tag.as_ref().first_chunk().copied();
        Secret(secret.expect("SHA-256 has 32 bytes"))
    }

    /// The token of a connection's session, with the name of its node where others may have it.
    pub(crate) fn token<'t>(&self, connection: Address, node: Option<&'t str>) -> SessionToken<'t> {
        let secret = self.secret(connection);
        SessionToken {
            connection,
            node,
            secret,
        }
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}

/// Secrets of one process, each another's.
#[cfg(test)]
pub(crate) fn some_secrets() -> impl Iterator<Item = Secret> {
    let key = SessionKey::new(SessionKeySource::Fixed).expect("it needs no randomness");
    (0..).map(move |slot| {
        let generation = 1;
        let ticket = shardcast_engine::Ticket { slot, generation };
        key.secret(Address { shard: 0, ticket })
    })
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
        for (node, begins) in [(None, "1-1f-3-"), (Some("web-2"), "1-1f-3@web-2-")] {
            let token = SessionToken {
                connection: Address { shard: 1, ticket },
                node,
                secret: Secret([0xab; 16]),
            };
            let text = token.to_string();
            assert_eq!(text, format!("{begins}{}", "ab".repeat(16)));
            assert_eq!(SessionToken::parse(&text), Some(token));
            for at in 0..text.len() {
                let mut other = text.clone();
                other.replace_range(at..=at, if &text[at..=at] == "a" { "b" } else { "a" });
                assert_ne!(SessionToken::parse(&other), Some(token), "{other}");
                assert_ne!(SessionToken::parse(&text[at + 1..]), Some(token));
                assert_eq!(SessionToken::parse(&text[..at]), None);
            }
        }
        let text = format!("1-1f-3-{}", "ab".repeat(16));
        let upper = text.to_uppercase();
        let signed = text.replacen("-ab", "-+a", 1);
        let nowhere = text.replacen("-ab", "@-ab", 1);
        let far = text.replacen("-ab", &format!("@{}-ab", "n".repeat(65)), 1);
        let longer = format!("{text}0");
        for wrong in [
            "", "-", "é", "1-1f-3", &upper, &signed, &longer, &nowhere, &far,
        ] {
            assert_eq!(SessionToken::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_digest_reads_back_from_its_text() {
        let digest = Secret([7; 16]).digest();
        let text = digest.to_string();
        assert_eq!(text.len(), 2 * SecretDigest::BYTES);
        assert_eq!(SecretDigest::parse(&text), Some(digest));
        let signed = format!("+1{}", &text[2..]);
        for wrong in [
            "",
            &text[1..],
            &text.to_uppercase(),
            &format!("{text}0"),
            &signed,
        ] {
            assert_eq!(SecretDigest::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_two_connections_and_no_two_processes_have_one_secret() {
        let keys = [SessionKeySource::Kernel; 2].map(SessionKey::new);
        let mut different = HashSet::new();
        for key in keys.iter().flatten() {
            for shard in 0..10 {
                for slot in 0..10 {
                    for generation in 0..10 {
                        let ticket = Ticket { slot, generation };
                        let secret = key.secret(Address { shard, ticket });
                        assert_eq!(secret, key.secret(Address { shard, ticket }));
                        different.insert(secret.0);
                    }
                }
            }
        }
        assert_eq!(different.len(), 2_000);
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
