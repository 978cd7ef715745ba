//! The signature algorithms of tokens (RFC 7518 §3.1, RFC 8037). A key has exactly one; what a
//! token says of itself only has to agree with its key. Named by keys, configuration and the
//! command line.

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    Rs256,
    /// RSA, PKCS #1 v1.5, with SHA-384.
    Rs384,
    /// RSA, PKCS #1 v1.5, with SHA-512.
    Rs512,
    /// RSA, PSS, with SHA-256.
    Ps256,
    /// RSA, PSS, with SHA-384.
    Ps384,
    /// RSA, PSS, with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// What kind of key an algorithm takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl TokenAlgorithm {
    /// Every algorithm.
    pub const ALL: [TokenAlgorithm; 12] = [
        TokenAlgorithm::Hs256,
        TokenAlgorithm::Hs384,
        TokenAlgorithm::Hs512,
        TokenAlgorithm::Rs256,
        TokenAlgorithm::Rs384,
        TokenAlgorithm::Rs512,
        TokenAlgorithm::Ps256,
        TokenAlgorithm::Ps384,
        TokenAlgorithm::Ps512,
        TokenAlgorithm::Es256,
        TokenAlgorithm::Es384,
        TokenAlgorithm::EdDsa,
    ];

    /// Its name in a token's header.
    pub const fn name(self) -> &'static str {
        match self {
            TokenAlgorithm::Hs256 => "HS256",
            TokenAlgorithm::Hs384 => "HS384",
            TokenAlgorithm::Hs512 => "HS512",
            TokenAlgorithm::Rs256 => "RS256",
            TokenAlgorithm::Rs384 => "RS384",
            TokenAlgorithm::Rs512 => "RS512",
            TokenAlgorithm::Ps256 => "PS256",
            TokenAlgorithm::Ps384 => "PS384",
            TokenAlgorithm::Ps512 => "PS512",
            TokenAlgorithm::Es256 => "ES256",
            TokenAlgorithm::Es384 => "ES384",
            TokenAlgorithm::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name; upper and lower case differ (RFC 7515 §4.1.1).
    pub fn from_name(name: &str) -> Option<TokenAlgorithm> {
        let mut all = TokenAlgorithm::ALL.into_iter();
        all.find(|algorithm| algorithm.name() == name)
    }

    /// Signed and checked with the same secret.
    pub const fn is_symmetric(self) -> bool {
        matches!(self.key_kind(), KeyKind::Secret)
    }

    pub(crate) const fn key_kind(self) -> KeyKind {
        match self {
            TokenAlgorithm::Hs256 | TokenAlgorithm::Hs384 | TokenAlgorithm::Hs512 => {
                KeyKind::Secret
            }
            TokenAlgorithm::Rs256
            | TokenAlgorithm::Rs384
            | TokenAlgorithm::Rs512
            | TokenAlgorithm::Ps256
            | TokenAlgorithm::Ps384
            | TokenAlgorithm::Ps512 => KeyKind::Rsa,
            TokenAlgorithm::Es256 => KeyKind::P256,
            TokenAlgorithm::Es384 => KeyKind::P384,
            TokenAlgorithm::EdDsa => KeyKind::Ed25519,
        }
    }

    /// As the library that computes it calls it.
    pub(crate) const fn in_library(self) -> jsonwebtoken::Algorithm {
        match self {
            TokenAlgorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            TokenAlgorithm::Hs384 => jsonwebtoken::Algorithm::HS384,
            TokenAlgorithm::Hs512 => jsonwebtoken::Algorithm::HS512,
            TokenAlgorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            TokenAlgorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
            TokenAlgorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
            TokenAlgorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
            TokenAlgorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
            TokenAlgorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
            TokenAlgorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            TokenAlgorithm::Es384 => jsonwebtoken::Algorithm::ES384,
            TokenAlgorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}
