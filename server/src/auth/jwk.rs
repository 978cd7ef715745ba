//! A set of public keys (JWK set, RFC 7517), read entry by entry: what is no key that checks
//! signatures, or one that nobody should use, is left out, and the others count.

use crate::auth::algorithm::{KeyKind, TokenAlgorithm};
use crate::auth::key::{TokenKey, point_bytes};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;

/// Keys of one set; further ones are left out.
pub(crate) const SET_KEYS_MAX: usize = 64;

/// The keys of a set, and how many entries were left out. `None`: it is no set.
pub(crate) fn read(set: &str, json: &[u8]) -> Option<(Vec<TokenKey>, usize)> {
    let document: Value = serde_json::from_slice(json).ok()?;
    let entries = document.get("keys")?.as_array()?;
    let keys = entries.iter().filter_map(|entry| key(set, entry));
    let keys: Vec<TokenKey> = keys.take(SET_KEYS_MAX).collect();
    let left_out = entries.len() - keys.len();
    Some((keys, left_out))
}

fn key(set: &str, entry: &Value) -> Option<TokenKey> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    // Keys for encryption, and those that only sign.
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    if let Some(operations) = entry.get("key_ops") {
        let mut operations = operations.as_array()?.iter();
        operations.find(|operation| operation.as_str() == Some("verify"))?;
    }
    let kind = match (text("kty")?, text("crv")) {
        ("RSA", _) => KeyKind::Rsa,
        ("EC", Some("P-256")) => KeyKind::P256,
        ("EC", Some("P-384")) => KeyKind::P384,
        ("OKP", Some("Ed25519")) => KeyKind::Ed25519,
        // A secret that everybody may fetch is none.
        _ => return None,
    };
    let algorithm = match text("alg") {
        Some(name) => TokenAlgorithm::from_name(name)?,
        None => default_algorithm(kind)?,
    };
    let material = (algorithm.key_kind() == kind).then(|| material(kind, entry))??;
    let key_id = text("kid").map(Into::into);
    Some(TokenKey::of_set(set.into(), algorithm, key_id, material))
}

/// What a key without `alg` checks: there is one algorithm for each curve, and for RSA the one that
/// all issuers mean.
fn default_algorithm(kind: KeyKind) -> Option<TokenAlgorithm> {
    match kind {
        KeyKind::Secret => None,
        KeyKind::Rsa => Some(TokenAlgorithm::Rs256),
        KeyKind::P256 => Some(TokenAlgorithm::Es256),
        KeyKind::P384 => Some(TokenAlgorithm::Es384),
        KeyKind::Ed25519 => Some(TokenAlgorithm::EdDsa),
    }
}

fn material(kind: KeyKind, entry: &Value) -> Option<DecodingKey> {
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(entry.get(name)?.as_str()?).ok();
    match kind {
        KeyKind::Secret => None,
        KeyKind::Rsa => {
            let (modulus, exponent) = (bytes("n")?, bytes("e")?);
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let modulus = &modulus[zeros..];
            let bits = u32::try_from(modulus.len()).ok()? * 8 - modulus.first()?.leading_zeros();
            let fits = TokenKey::RSA_BITS.contains(&bits) && (1..=8).contains(&exponent.len());
            fits.then(|| DecodingKey::from_rsa_raw_components(modulus, &exponent))
        }
        KeyKind::P256 | KeyKind::P384 => {
            let point = [&[4], &*bytes("x")?, &*bytes("y")?].concat();
            (point.len() == point_bytes(kind)).then(|| DecodingKey::from_ec_der(&point))
        }
        KeyKind::Ed25519 => {
            let point = bytes("x")?;
            (point.len() == point_bytes(kind)).then(|| DecodingKey::from_ed_der(&point))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn b64(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0xc3; bytes])
    }

    #[test]
    fn entries_that_nobody_should_use_are_left_out_and_the_others_count() {
        let ec = |more: Value| {
            let mut entry = json!({"kty": "EC", "crv": "P-256", "x": b64(32), "y": b64(32)});
            let more = more.as_object().unwrap().clone();
            entry.as_object_mut().unwrap().extend(more);
            entry
        };
        for (entry, want) in [
            (ec(json!({})), Some(TokenAlgorithm::Es256)),
            (
                ec(json!({"use": "sig", "key_ops": ["verify"]})),
                Some(TokenAlgorithm::Es256),
            ),
            (ec(json!({"use": "enc"})), None),
            (ec(json!({"key_ops": ["sign"]})), None),
            (ec(json!({"key_ops": "verify"})), None),
            (ec(json!({"alg": "ES384"})), None),
            (ec(json!({"alg": "RS256"})), None),
            (ec(json!({"alg": "ES512"})), None),
            (ec(json!({"x": b64(31)})), None),
            (ec(json!({"x": "!"})), None),
            (ec(json!({"crv": "secp256k1"})), None),
            (json!({"kty": "oct", "k": b64(64), "alg": "HS256"}), None),
            (
                json!({"kty": "RSA", "n": b64(256), "e": "AQAB"}),
                Some(TokenAlgorithm::Rs256),
            ),
            (
                json!({"kty": "RSA", "n": b64(256), "e": "AQAB", "alg": "PS512"}),
                Some(TokenAlgorithm::Ps512),
            ),
            (json!({"kty": "RSA", "n": b64(128), "e": "AQAB"}), None),
            (json!({"kty": "RSA", "n": b64(2048), "e": "AQAB"}), None),
            (json!({"kty": "RSA", "n": "", "e": "AQAB"}), None),
            (
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(32)}),
                Some(TokenAlgorithm::EdDsa),
            ),
            (json!({"kty": "OKP", "crv": "X25519", "x": b64(32)}), None),
            (json!("key"), None),
        ] {
            let set = json!({"keys": [entry, ec(json!({"kid": "last"}))]}).to_string();
            let (keys, left_out) = read("s", set.as_bytes()).unwrap();
            let algorithms: Vec<_> = keys.iter().map(TokenKey::algorithm).collect();
            let expected: Vec<_> = want.into_iter().chain([TokenAlgorithm::Es256]).collect();
            assert_eq!(algorithms, expected, "{entry}");
            assert_eq!(left_out, 2 - expected.len());
        }
        for no_set in ["", "[]", "{}", "{\"keys\":1}", "null"] {
            assert!(read("s", no_set.as_bytes()).is_none(), "{no_set}");
        }
        let many = json!({"keys": vec![ec(json!({})); 100]}).to_string();
        assert_eq!(read("s", many.as_bytes()).unwrap().0.len(), SET_KEYS_MAX);
    }
}
