//! As whom a node comes to NATS: nobody, a token, a user with a password, or a user's JWT with the
//! seed of its key, which signs what the server asks.
//!
//! Invariant: a seed that is kept has been checked, and neither it nor a password is shown. Used by
//! the dial.

use crate::bounded;
use crate::broker::options::Credentials;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::path::Path;

/// As whom.
pub(super) enum NatsLogin {
    Nobody,
    Token(String),
    User { name: String, password: String },
    Jwt { jwt: String, key: Ed25519KeyPair },
}

/// Why a node cannot say who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadNatsLogin {
    #[error("the server asks for no signature, so it does not know users by their keys")]
    NoNonce,
    #[error("the file of credentials has no JWT of a user")]
    Jwt,
    #[error("the file of credentials has no seed of a user's key")]
    Seed,
}

impl NatsLogin {
    /// # Errors
    /// For the operator: what cannot be used.
    pub(super) fn new(credentials: &Credentials) -> Result<NatsLogin, String> {
        let password = credentials.password.as_ref().map(|secret| secret.0.clone());
        match (&credentials.file, &credentials.user, password) {
            (Some(file), _, _) => NatsLogin::read_file(file),
            (None, Some(name), password) => Ok(NatsLogin::User {
                name: name.clone(),
                password: password.unwrap_or_default(),
            }),
            (None, None, Some(token)) => Ok(NatsLogin::Token(token)),
            (None, None, None) => Ok(NatsLogin::Nobody),
        }
    }

    fn read_file(file: &Path) -> Result<NatsLogin, String> {
        let shown = file.display();
        let text = bounded::read_file(file, FILE_BYTES_MAX)
            .map_err(|error| format!("{shown}: {error}"))?;
        let text = String::from_utf8_lossy(&text);
        NatsLogin::read(&text).map_err(|error| format!("{shown}: {error}"))
    }

    /// What `nsc` writes: each part between lines of dashes.
    fn read(text: &str) -> Result<NatsLogin, BadNatsLogin> {
        let part = |name: &str| {
            let begins = |line: &&str| line.starts_with("-----BEGIN") && line.contains(name);
            let mut lines = text
                .lines()
                .map(str::trim)
                .skip_while(|line| !begins(line))
                .skip(1);
            lines.find(|line| !line.is_empty())
        };
        let jwt = part("NATS USER JWT").filter(|jwt| jwt.split('.').count() == 3);
        let key = part("USER NKEY SEED").and_then(key_of);
        Ok(NatsLogin::Jwt {
            jwt: jwt.ok_or(BadNatsLogin::Jwt)?.to_owned(),
            key: key.ok_or(BadNatsLogin::Seed)?,
        })
    }

    /// What the greeting says of it.
    pub(super) fn fields(
        &self,
        nonce: Option<&str>,
    ) -> Result<Vec<(&'static str, String)>, BadNatsLogin> {
        Ok(match self {
            NatsLogin::Nobody => Vec::new(),
            NatsLogin::Token(token) => vec![("auth_token", token.clone())],
            NatsLogin::User { name, password } => {
                vec![("user", name.clone()), ("pass", password.clone())]
            }
            NatsLogin::Jwt { jwt, key } => {
                let nonce = nonce.ok_or(BadNatsLogin::NoNonce)?;
                let signature = URL_SAFE_NO_PAD.encode(key.sign(nonce.as_bytes()));
                vec![("jwt", jwt.clone()), ("sig", signature)]
            }
        })
    }
}

/// Longest file of credentials.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The key of a user's seed (`SU…`): two bytes that say whose it is, 32 of the seed, two of a
/// checksum, in base32.
fn key_of(seed: &str) -> Option<Ed25519KeyPair> {
    /// A seed; of a user.
    const PREFIX: [u8; 2] = [0x95, 0x00];
    let bytes = base32(seed)?;
    let (bytes, sum) = bytes.split_last_chunk::<2>()?;
    let (prefix, seed) = bytes.split_first_chunk::<2>()?;
    if *prefix != PREFIX || crc16(bytes) != u16::from_le_bytes(*sum) {
        return None;
    }
    Ed25519KeyPair::from_seed_unchecked(seed).ok()
}

/// RFC 4648 §6, without padding.
fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => return None,
        };
        held = (held << 5 | u32::from(value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Some(bytes)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| {
            let shifted = sum << 1;
            if sum & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::options::BrokerPassword;
    use aws_lc_rs::signature::{ED25519, KeyPair, UnparsedPublicKey};

    /// The pair that the documentation of NATS shows.
    const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    const PUBLIC: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

    fn file(jwt: &str, seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ****** IMPORTANT ******\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n\
             ------END USER NKEY SEED------\n"
        )
    }

    #[test]
    fn a_file_of_credentials_signs_what_the_server_asks() {
        let login = NatsLogin::read(&file("a.b.c", SEED)).expect("a file");
        let fields = login.fields(Some("nonce")).expect("a signature");
        let [("jwt", jwt), ("sig", signature)] = &fields[..] else {
            panic!("{fields:?}");
        };
        assert_eq!(jwt, "a.b.c");
        let public = base32(PUBLIC).expect("base32");
        // One byte of what it is, the key, the checksum.
        let key = &public[1..33];
        assert_eq!(key_of(SEED).expect("a seed").public_key().as_ref(), key);
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        let checked = UnparsedPublicKey::new(&ED25519, key).verify(b"nonce", &signature);
        assert!(checked.is_ok());
        assert_eq!(login.fields(None).err(), Some(BadNatsLogin::NoNonce));
    }

    #[test]
    fn what_is_no_file_of_credentials_is_refused() {
        let other = SEED.replace("CSSL3", "CSSL4");
        for (text, error) in [
            (String::new(), BadNatsLogin::Jwt),
            (file("a.b", SEED), BadNatsLogin::Jwt),
            (file("a.b.c", PUBLIC), BadNatsLogin::Seed),
            (file("a.b.c", &other), BadNatsLogin::Seed),
            (file("a.b.c", "SU"), BadNatsLogin::Seed),
            (file("a.b.c", ""), BadNatsLogin::Seed),
            (file("a.b.c", "ä"), BadNatsLogin::Seed),
        ] {
            assert_eq!(NatsLogin::read(&text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn who_comes_is_told_by_what_is_configured() {
        let secret = || Some(BrokerPassword("s".to_owned()));
        let credentials = |user: Option<&str>, password| Credentials {
            user: user.map(str::to_owned),
            password,
            file: None,
        };
        for (credentials, fields) in [
            (credentials(None, None), vec![]),
            (credentials(None, secret()), vec![("auth_token", "s")]),
            (
                credentials(Some("u"), secret()),
                vec![("user", "u"), ("pass", "s")],
            ),
        ] {
            let login = NatsLogin::new(&credentials).expect("good");
            let said = login.fields(None).expect("no signature");
            let said: Vec<_> = said
                .iter()
                .map(|(name, value)| (*name, &value[..]))
                .collect();
            assert_eq!(said, fields);
        }
    }
}
