//! The cryptography behind rustls.

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, LazyLock};

/// The cryptography behind rustls (`bench/results/tried.md`).
pub(super) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    &PROVIDER
}
