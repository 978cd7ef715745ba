//! The two secrets that the traffic keys of a TLS 1.3 connection come from (RFC 8446 §7.1), as
//! rustls hands them to its key log.
//!
//! rustls' own way out of a connection hands over keys, but keeps the secrets of the next ones in
//! several hundred bytes. Invariant: a secret is caught while one connection is worked on, on this
//! thread, and belongs to that one; it is written nowhere, and wiped when it is dropped. Called by
//! sessions.

use rustls::KeyLog;
use std::cell::Cell;
use zeroize::Zeroizing;

/// A secret; as many bytes as the hash of the cipher suite has.
pub(super) type Secret = Zeroizing<[u8; SECRET_BYTES_MAX]>;

/// Of SHA-384, the longest hash of a suite.
pub(super) const SECRET_BYTES_MAX: usize = 48;

/// What the keys of both directions come from.
pub(super) struct TrafficSecrets {
    pub(super) client: Secret,
    pub(super) server: Secret,
}

/// Works on one connection, and returns the secrets that its handshake came to meanwhile, too.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> (T, Option<Box<TrafficSecrets>>) {
    CAUGHT.take();
    let outcome = work();
    let [client, server] = CAUGHT.take();
    let secrets = client
        .zip(server)
        .map(|(client, server)| Box::new(TrafficSecrets { client, server }));
    (outcome, secrets)
}

/// rustls' key log of every configuration here.
#[derive(Debug)]
pub(super) struct SecretCatcher;

impl KeyLog for SecretCatcher {
    fn will_log(&self, label: &str) -> bool {
        index(label).is_some()
    }

    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let Some(index) = index(label).filter(|_| secret.len() <= SECRET_BYTES_MAX) else {
            return;
        };
        let mut kept = Zeroizing::new([0; SECRET_BYTES_MAX]);
        kept[..secret.len()].copy_from_slice(secret);
        let mut caught = CAUGHT.take();
        caught[index] = Some(kept);
        CAUGHT.set(caught);
    }
}

thread_local! {
    /// The client's and the server's, of the connection that is worked on.
    static CAUGHT: Cell<[Option<Secret>; 2]> = const { Cell::new([None, None]) };
}

fn index(label: &str) -> Option<usize> {
    match label {
        "CLIENT_TRAFFIC_SECRET_0" => Some(0),
        "SERVER_TRAFFIC_SECRET_0" => Some(1),
        _ => None,
    }
}
