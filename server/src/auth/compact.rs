//! A token in compact form (RFC 7515 §3.1), taken apart: header, claims and signature, none of it
//! believed yet. Used by the verifier and by `check-token`.

use crate::auth::fault::TokenFault;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// The parts of a token.
#[derive(Debug)]
pub(crate) struct CompactToken<'t> {
    pub(crate) header: TokenHeader,
    /// What is signed: header and claims as they came.
    pub(crate) signed: &'t str,
    pub(crate) signature: &'t str,
    claims: &'t str,
}

/// What a token says of its signature.
#[derive(Debug)]
pub(crate) struct TokenHeader {
    pub(crate) algorithm: Box<str>,
    pub(crate) key_id: Option<Box<str>>,
}

/// As it is written.
#[derive(Deserialize)]
struct HeaderFields {
    alg: Box<str>,
    kid: Option<Box<str>>,
    crit: Option<IgnoredAny>,
}

impl<'t> CompactToken<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn parse(token: &'t str) -> Result<CompactToken<'t>, TokenFault> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Malformed("a signed token has three parts"));
        };
        let fields = decode(header, "its header is not base64url")?;
        let fields: HeaderFields = serde_json::from_slice(&fields).map_err(|_| {
            TokenFault::Malformed("its header is no JSON object with alg, and kid a string")
        })?;
        if fields.crit.is_some() {
            return Err(TokenFault::Critical);
        }
        Ok(CompactToken {
            header: TokenHeader {
                algorithm: fields.alg,
                key_id: fields.kid,
            },
            signed: &token[..header.len() + 1 + claims.len()],
            signature,
            claims,
        })
    }

    /// What the token claims. Of a name that stands twice the last one counts (RFC 7519 §4).
    ///
    /// # Errors
    /// The claims are no JSON object.
    pub(crate) fn claims(&self) -> Result<Map<String, Value>, TokenFault> {
        let json = decode(self.claims, "its claims are not base64url")?;
        serde_json::from_slice(&json)
            .map_err(|_| TokenFault::Malformed("its claims are no JSON object"))
    }
}

fn decode(part: &str, otherwise: &'static str) -> Result<Vec<u8>, TokenFault> {
    let decoded = URL_SAFE_NO_PAD.decode(part);
    decoded.map_err(|_| TokenFault::Malformed(otherwise))
}
