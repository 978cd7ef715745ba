//! Tokens and keys of the tests, and the files that a server reads them from.
//!
//! Invariant: a folder and everything in it goes when its value is dropped.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// What nobody may ever read in anything that the server puts out.
pub(crate) const SECRET: &str = "planted-secret-0123456789abcdefghij";
/// Another one.
pub(crate) const OTHER_SECRET: &str = "another-secret-0123456789abcdefghij";

/// Files of one test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-tokens-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    /// Writes a file, and returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a temporary file");
        path.display().to_string()
    }

    /// The text of a file.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("a file")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("a clock behind 1970").as_secs()
}

/// Claims that every server of these tests takes.
pub(crate) fn claims() -> Value {
    json!({"sub": "ann", "iat": now(), "exp": now() + 600})
}

/// The same with one claim more, or another.
pub(crate) fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// A token of a secret.
pub(crate) fn hs256(secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes()).expect("not empty");
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("claims")
}

/// A pair of keys for ES256.
pub(crate) fn es256_pair() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a pair")
}

/// A token of such a pair.
pub(crate) fn es256(pair: &KeyPair, kid: Option<&str>, claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("PEM");
    let mut header = Header::new(Algorithm::ES256);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, &key).expect("claims")
}
