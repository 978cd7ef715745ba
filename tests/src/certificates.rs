//! Certificates made for one test: an authority, and two servers that it vouches for.
//!
//! Invariant: the files go when this is dropped. Used by the tests of clients and of attacks, whose
//! clients trust this authority and no other.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::WantsClientCert;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// In a folder of their own.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
    authority: CertificateDer<'static>,
}

/// Files and names of the servers: the first is for whoever asks for no name.
pub const SERVERS: [&str; 2] = ["localhost", "other.test"];

impl Certificates {
    /// Makes them.
    pub fn make() -> Certificates {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-certificates-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a new folder");
        let write = |name: &str, text: String| {
            let mut file = OpenOptions::new();
            // Keys are nobody else's to read, and the server warns of those that are.
            let file = file.write(true).create_new(true).mode(0o600);
            let mut file = file.open(folder.join(name)).expect("a new file");
            file.write_all(text.as_bytes()).expect("space for it");
        };
        let key = || KeyPair::generate().expect("a key");

        let mut wanted = CertificateParams::new(Vec::new()).expect("no names");
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wanted
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let own = key();
        let authority = wanted.self_signed(&own).expect("a certificate");
        write("authority.pem", authority.pem());
        let issuer = Issuer::new(wanted, own);
        for server in SERVERS {
            let names = vec![server.to_owned(), "127.0.0.1".to_owned()];
            let mut wanted = CertificateParams::new(names).expect("names");
            wanted.distinguished_name.push(DnType::CommonName, server);
            let own = key();
            let issued = wanted.signed_by(&own, &issuer).expect("a certificate");
            write(&format!("{server}.pem"), issued.pem());
            write(&format!("{server}.key"), own.serialize_pem());
        }
        Certificates {
            folder,
            authority: authority.der().clone(),
        }
    }

    /// The path of a file: `authority.pem`, or `.pem` and `.key` of a server.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// The server's configuration for them, on a port of its own.
    pub fn toml(&self) -> String {
        let files = |end| {
            SERVERS
                .map(|server| self.file(&format!("{server}.{end}")))
                .join(",")
        };
        format!(
            "[tls]\nlisten = \"127.0.0.1:0\"\ncertificates = \"{}\"\nkeys = \"{}\"\n",
            files("pem"),
            files("key")
        )
    }

    /// What a client of rustls needs to trust them.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut config = self.trusting().with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// The same for one that shows the second server's certificate of these as its own.
    pub fn client_showing(&self, shown: &Certificates) -> Arc<ClientConfig> {
        let path = |end| shown.file(&format!("{}.{end}", SERVERS[1]));
        let chain = CertificateDer::pem_file_iter(path("pem")).expect("a file");
        let chain = chain.map(|certificate| certificate.expect("a certificate"));
        let key = PrivateKeyDer::from_pem_file(path("key")).expect("a key");
        let config = self.trusting();
        let config = config.with_client_auth_cert(chain.collect(), key);
        Arc::new(config.expect("a pair"))
    }

    fn trusting(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("both");
        builder.with_root_certificates(roots)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.folder);
    }
}

/// A session of TLS for the first server over a socket; the handshake comes with the first bytes.
pub fn secure(
    config: &Arc<ClientConfig>,
    stream: TcpStream,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from(SERVERS[0]).expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
    StreamOwned::new(session, stream)
}
