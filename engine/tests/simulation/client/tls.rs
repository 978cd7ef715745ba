//! A client's TLS: what it says and hears passes through here on its way to and from the socket.
//!
//! Everything has the same length in every run of a seed: an Ed25519 certificate with a fixed
//! serial number, no resumption.

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use shardcast_engine::{Identity, Tls, TlsOptions};
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

/// One client's side of TLS.
#[derive(Debug)]
pub(crate) struct Secure {
    connection: ClientConnection,
    /// Records on their way to the socket.
    pub(crate) records: Vec<u8>,
}

impl Secure {
    pub(crate) fn new() -> Secure {
        let name = NAME.try_into().expect("a name");
        let mut connection =
            ClientConnection::new(Arc::clone(&CLIENT), name).expect("a configuration");
        connection.set_buffer_limit(None);
        let mut secure = Secure {
            connection,
            records: Vec::new(),
        };
        secure.collect();
        secure
    }

    pub(crate) fn say(&mut self, plain: &[u8]) {
        let written = self.connection.writer().write_all(plain);
        written.expect("no limit");
        self.collect();
    }

    /// What the server's records say. They are whole and right, whatever the network does to them.
    pub(crate) fn hear(&mut self, mut records: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !records.is_empty() {
            let read = self.connection.read_tls(&mut records);
            read.expect("memory");
            let progress = self.connection.process_new_packets();
            progress.expect("the server speaks TLS");
            // `WouldBlock`: no more for now.
            let _ = self.connection.reader().read_to_end(&mut plain);
        }
        self.collect();
        plain
    }

    fn collect(&mut self) {
        while self.connection.wants_write() {
            let written = self.connection.write_tls(&mut self.records);
            written.expect("memory");
        }
    }
}

/// The server's side.
pub(crate) fn server() -> Tls {
    ISSUED.0.clone()
}

const NAME: &str = "simulation.test";

static ISSUED: LazyLock<(Tls, CertificateDer<'static>)> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let mut params = rcgen::CertificateParams::new([NAME.to_owned()]).expect("a name");
    params.serial_number = Some(1.into());
    let certificate = params.self_signed(&key).expect("a certificate");
    let (chain, key) = (certificate.pem(), key.serialize_pem());
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect("an identity");
    let tls = Tls::new(TlsOptions::new(identity)).expect("TLS");
    (tls, certificate.der().clone())
});

static CLIENT: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add(ISSUED.1.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
});
