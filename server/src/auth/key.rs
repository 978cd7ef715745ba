//! One key that checks tokens: its name, its one algorithm, and what the signatures are compared
//! with. During a rotation it has what it had before, too, until a moment.
//!
//! Invariant: the material fits the algorithm (a secret is long enough, an RSA modulus has a size
//! that is used, a point is on its curve's length), so a signature is the only thing that can be
//! wrong with a token of the key. Neither `Debug` nor an error shows a secret.

use crate::auth::algorithm::{KeyKind, TokenAlgorithm};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::RsaParameters;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::SystemTime;

/// A key that checks tokens. It has one algorithm; a token that names another is refused.
#[derive(Clone)]
pub struct TokenKey {
    name: Box<str>,
    algorithm: TokenAlgorithm,
    /// `kid` of its tokens, where tokens have to name it.
    key_id: Option<Box<str>>,
    current: Checker,
    previous: Option<Previous>,
}

/// What signatures are compared with.
#[derive(Clone)]
enum Checker {
    /// The key of an HMAC, hashed once instead of for every token.
    Hmac(Box<hmac::Key>),
    Public(DecodingKey),
}

/// What a key had before.
#[derive(Clone)]
struct Previous {
    material: Checker,
    /// In seconds since 1970.
    until: u64,
}

/// What tokens of a key are checked with.
#[derive(Clone, Copy)]
pub enum KeyMaterial<'m> {
    /// Of an HMAC: [`TokenKey::SECRET_BYTES`] bytes.
    Secret(&'m [u8]),
    /// A public key or a certificate in PEM.
    Pem(&'m [u8]),
}

/// Why something is no key of an algorithm. It shows nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// An HMAC takes a secret.
    #[error("takes a secret, and this is a public key")]
    SecretWanted,
    /// All others take a public key.
    #[error("takes a public key, and this is a secret")]
    PublicKeyWanted,
    /// The secret is a key or a certificate in PEM. Whoever knows the public one could sign with
    /// it.
    #[error("takes a secret, and this is a PEM file")]
    SecretIsPem,
    /// The secret has not [`TokenKey::SECRET_BYTES`] bytes.
    #[error("takes a secret of {} to {} bytes", TokenKey::SECRET_BYTES.start(), TokenKey::SECRET_BYTES.end())]
    SecretLength,
    /// The PEM has no public key, or one of another kind.
    #[error("takes a public key of its kind in PEM, or a certificate with one")]
    NoSuchKey,
    /// The RSA modulus has not [`TokenKey::RSA_BITS`] bits.
    #[error("takes an RSA key of {} to {} bits", TokenKey::RSA_BITS.start(), TokenKey::RSA_BITS.end())]
    RsaSize,
}

impl TokenKey {
    /// Bytes of a secret. Shorter ones can be guessed from a token (RFC 7518 §3.2).
    pub const SECRET_BYTES: RangeInclusive<usize> = 32..=4 << 10;
    /// Bits of an RSA modulus (RFC 7518 §3.3).
    pub const RSA_BITS: RangeInclusive<u32> = 2_048..=8_192;

    /// A key. `name` is for logs and errors.
    ///
    /// # Errors
    /// The material is none of this algorithm.
    pub fn new(
        name: impl Into<Box<str>>,
        algorithm: TokenAlgorithm,
        material: KeyMaterial<'_>,
    ) -> Result<TokenKey, BadKey> {
        Ok(TokenKey {
            name: name.into(),
            algorithm,
            key_id: None,
            current: checker(algorithm, material)?,
            previous: None,
        })
    }

    /// The same for tokens whose `kid` is this, and no others.
    #[must_use]
    pub fn with_key_id(self, key_id: impl Into<Box<str>>) -> TokenKey {
        let key_id = Some(key_id.into());
        TokenKey { key_id, ..self }
    }

    /// The same with what it had before, whose tokens are taken until this moment.
    ///
    /// # Errors
    /// The material is none of its algorithm.
    pub fn with_previous(
        self,
        material: KeyMaterial<'_>,
        until: SystemTime,
    ) -> Result<TokenKey, BadKey> {
        let until = until.duration_since(SystemTime::UNIX_EPOCH);
        let previous = Some(Previous {
            material: checker(self.algorithm, material)?,
            until: until.map_or(0, |until| until.as_secs()),
        });
        Ok(TokenKey { previous, ..self })
    }

    /// A key of a set.
    pub(crate) fn of_set(
        name: Box<str>,
        algorithm: TokenAlgorithm,
        key_id: Option<Box<str>>,
        current: DecodingKey,
    ) -> TokenKey {
        TokenKey {
            name,
            algorithm,
            key_id,
            current: Checker::Public(current),
            previous: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its one algorithm.
    pub fn algorithm(&self) -> TokenAlgorithm {
        self.algorithm
    }

    /// `kid` of its tokens, if they must name it.
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whether a token that names this `kid`, or none, may be of this key.
    pub(crate) fn answers_to(&self, key_id: Option<&str>) -> bool {
        match (self.key_id(), key_id) {
            (Some(own), Some(named)) => own == named,
            (Some(_) | None, _) => true,
        }
    }

    /// Whether this is the key's signature of `signed`, at this time in seconds since 1970.
    pub(crate) fn has_signed(&self, signed: &str, signature: &str, now: u64) -> bool {
        let is_of = |material: &Checker| match material {
            Checker::Hmac(key) => has_tag(key, signed, signature),
            Checker::Public(material) => {
                let algorithm = self.algorithm.in_library();
                let checked =
                    jsonwebtoken::crypto::verify(signature, signed.as_bytes(), material, algorithm);
                // An error is a signature that is not base64url: as wrong as any other.
                checked.unwrap_or(false)
            }
        };
        let previous = self.previous.as_ref();
        let previous = previous.filter(|previous| now < previous.until);
        is_of(&self.current) || previous.is_some_and(|previous| is_of(&previous.material))
    }
}

/// Whether this is the HMAC of `signed`, in base64url.
fn has_tag(key: &hmac::Key, signed: &str, signature: &str) -> bool {
    let mut tag = [0; TAG_BYTES_MAX];
    match URL_SAFE_NO_PAD.decode_slice(signature, &mut tag) {
        Ok(length) => hmac::verify(key, signed.as_bytes(), &tag[..length]).is_ok(),
        Err(_) => false,
    }
}

/// The material as the library takes it.
fn checker(algorithm: TokenAlgorithm, material: KeyMaterial<'_>) -> Result<Checker, BadKey> {
    let (kind, pem) = match (algorithm.key_kind(), material) {
        (KeyKind::Secret, KeyMaterial::Secret(secret)) => return of_secret(algorithm, secret),
        (KeyKind::Secret, KeyMaterial::Pem(_)) => return Err(BadKey::SecretWanted),
        (_, KeyMaterial::Secret(_)) => return Err(BadKey::PublicKeyWanted),
        (kind, KeyMaterial::Pem(pem)) => (kind, pem),
    };
    let key = match kind {
        KeyKind::Secret => return Err(BadKey::SecretWanted),
        KeyKind::Rsa => DecodingKey::from_rsa_pem(pem),
        KeyKind::P256 | KeyKind::P384 => DecodingKey::from_ec_pem(pem),
        KeyKind::Ed25519 => DecodingKey::from_ed_pem(pem),
    };
    let key = key.map_err(|_| BadKey::NoSuchKey)?;
    let bytes = key.try_get_as_bytes().map_err(|_| BadKey::NoSuchKey)?;
    match kind {
        KeyKind::Rsa => {
            let bits = RsaParameters::public_modulus_len(bytes);
            let bits = bits.map_err(|_| BadKey::NoSuchKey)?;
            if !TokenKey::RSA_BITS.contains(&bits) {
                return Err(BadKey::RsaSize);
            }
        }
        kind if bytes.len() != point_bytes(kind) => return Err(BadKey::NoSuchKey),
        _ => {}
    }
    Ok(Checker::Public(key))
}

/// Bytes of a public key on its curve: an uncompressed point (SEC 1 §2.3.3), or RFC 8032 §5.1.5.
pub(crate) fn point_bytes(kind: KeyKind) -> usize {
    match kind {
        KeyKind::Secret | KeyKind::Rsa => 0,
        KeyKind::P256 => 1 + 2 * 32,
        KeyKind::P384 => 1 + 2 * 48,
        KeyKind::Ed25519 => 32,
    }
}

fn of_secret(algorithm: TokenAlgorithm, secret: &[u8]) -> Result<Checker, BadKey> {
    if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Err(BadKey::SecretIsPem);
    }
    if !TokenKey::SECRET_BYTES.contains(&secret.len()) {
        return Err(BadKey::SecretLength);
    }
    let hash = match algorithm {
        TokenAlgorithm::Hs384 => hmac::HMAC_SHA384,
        TokenAlgorithm::Hs512 => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    Ok(Checker::Hmac(Box::new(hmac::Key::new(hash, secret))))
}

/// The longest HMAC has 64 bytes, which the decoder takes for a few more.
const TAG_BYTES_MAX: usize = 72;

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm.name())
            .finish_non_exhaustive()
    }
}
