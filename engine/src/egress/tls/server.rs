//! The TLS configuration of one listener, shared by all shards: certificates by name, versions, and
//! the keys that tickets are encrypted with.

use crate::egress::tls::error::TlsError;
use crate::egress::tls::identity::Identity;
use crate::egress::tls::options::{ClientCertificates, TlsOptions, TlsVersion};
use crate::egress::tls::provider::provider;
use crate::egress::tls::secrets::SecretCatcher;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

/// A listener's TLS. Cloning shares it.
///
/// ```no_run
/// use shardcast_engine::{Config, Identity, Listener, Tls, TlsOptions};
///
/// let (chain, key) = (std::fs::read("chain.pem")?, std::fs::read("key.pem")?);
/// let tls = Tls::new(TlsOptions::new(Identity::from_pem(&chain, &key)?))?;
/// let config = Config {
///     listeners: vec![Listener::secure(([127, 0, 0, 1], 8443).into(), tls)],
///     ..Config::default()
/// };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    clients: ClientCertificates,
}

impl Tls {
    /// Sets TLS up, with new ticket keys: they change every 6 hours and are good for 6 more, so a
    /// client may resume a session for 6 to 12 hours.
    ///
    /// # Errors
    /// No identity, or client certificates that nobody could be checked against.
    pub fn new(options: TlsOptions) -> Result<Tls, TlsError> {
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(setup)?;
        Tls::with_tickets(options, tickets)
    }

    /// The same with other certificates or versions: clients of before can resume their sessions.
    /// Not so when the rules for client certificates changed, because a resumed session is not
    /// checked against them again.
    ///
    /// # Errors
    /// As for [`Tls::new`].
    pub fn renewed(&self, options: TlsOptions) -> Result<Tls, TlsError> {
        if options.clients == self.clients {
            Tls::with_tickets(options, self.config.ticketer.clone())
        } else {
            Tls::new(options)
        }
    }

    fn with_tickets(
        options: TlsOptions,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Tls, TlsError> {
        if options.identities.is_empty() {
            return Err(TlsError::IdentityMissing);
        }
        let verifier = verifier(&options.clients)?;
        let mut config = ServerConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(versions(options.minimum))
            .map_err(setup)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(ByName(options.identities)));
        // RFC 6455 is spoken over HTTP/1.1 only; a client that insists on something else gets an
        // alert (RFC 7301 §3.2).
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = tickets;
        // Sessions travel in tickets alone: a cache would be memory that clients fill, and a lock
        // between shards.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Sessions take connections over after the handshake of TLS 1.3.
        config.enable_secret_extraction = true;
        config.key_log = Arc::new(SecretCatcher);
        Ok(Tls {
            config: Arc::new(config),
            clients: options.clients,
        })
    }

    /// The same with another configuration of rustls.
    #[cfg(test)]
    pub(super) fn altered(&self, alter: impl FnOnce(&mut ServerConfig)) -> Tls {
        let mut altered = self.clone();
        alter(Arc::make_mut(&mut altered.config));
        altered
    }

    pub(super) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

/// Two are equal when they are one.
impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Tls {}

const ONLY_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match minimum {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => ONLY_1_3,
    }
}

fn verifier(clients: &ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (pem, optional) = match clients {
        ClientCertificates::NotAsked => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientCertificates::Optional(pem) => (pem, true),
        ClientCertificates::Required(pem) => (pem, false),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(TlsError::ClientAuthority)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider().clone());
    let builder = if optional {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    builder
        .build()
        .map_err(|error| TlsError::ClientAuthority(error.to_string()))
}

fn setup(error: rustls::Error) -> TlsError {
    TlsError::Setup(error.to_string())
}

/// Chooses among identities by the name that the client asks for.
#[derive(Debug)]
struct ByName(Vec<Identity>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Of several for one name, the client may know only one kind of signature.
        let suits = |identity: &&Identity| {
            let key = &identity.certified().key;
            key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let named = hello.server_name().and_then(|name| {
            let mut named = self.0.iter().filter(|identity| identity.names(name));
            named.find(suits)
        });
        let chosen = named.or_else(|| self.0.iter().find(suits));
        chosen.map(|identity| identity.certified().clone())
    }
}
