//! The secret that server and backend share, and what is signed with it: HMAC-SHA256 over a time
//! and what is sent, so that what was recorded is worth nothing later.

use aws_lc_rs::hmac;
use std::fmt;
use std::fmt::Write;

/// A secret of 16 bytes at least. It is not shown.
#[derive(Clone)]
pub(crate) struct GatewaySecret(hmac::Key);

impl GatewaySecret {
    /// Shortest secret, in bytes.
    pub(crate) const BYTES_MIN: usize = 16;

    /// `None`: it is too short to keep anybody out.
    pub(crate) fn new(bytes: &[u8]) -> Option<GatewaySecret> {
        let long_enough = bytes.len() >= GatewaySecret::BYTES_MIN;
        long_enough.then(|| GatewaySecret(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The signature of `TIME_S.CONTENT`, in hexadecimal digits.
    pub(crate) fn sign(&self, time_s: u64, content: &[u8]) -> String {
        let mut signed = hmac::Context::with_key(&self.0);
        signed.update(time_s.to_string().as_bytes());
        signed.update(b".");
        signed.update(content);
        let digits = signed.sign();
        digits
            .as_ref()
            .iter()
            .fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("a String takes everything");
                text
            })
    }
}

impl fmt::Debug for GatewaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewaySecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_can_be_signed_elsewhere() {
        let secret = GatewaySecret::new(b"0123456789abcdef").expect("long enough");
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(
            secret.sign(1_700_000_000, b"{}"),
            "e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e"
        );
        assert_ne!(secret.sign(1, b"1"), secret.sign(11, b""));
        assert!(GatewaySecret::new(b"short").is_none());
    }
}
