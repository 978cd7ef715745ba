//! Where Redis is: the servers that are named, or those that sentinels name, who are asked at each
//! attempt to connect.
//!
//! Invariant: a question to a sentinel ends within [`CONNECT_WITHIN`], whatever it says. Sentinels
//! may know other users than Redis does: who is refused as itself asks them as nobody. Used by the
//! adapter.

use crate::bounded;
use crate::broker::options::{BadCluster, BrokerTls, Cluster, Credentials};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, TlsCertificates,
};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use tokio_rustls::rustls::crypto;

/// How long a connection may take to be made, and a sentinel to answer.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Most bytes of a file with certificates or a key.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// The servers of a node's broker.
#[derive(Debug)]
pub(super) enum RedisServers {
    /// One for each server; one of them is the primary.
    Named(Vec<Client>),
    /// Sentinels know it.
    Watched(RedisSentinels),
}

/// Who is asked where the primary is.
pub(super) struct RedisSentinels {
    urls: Vec<String>,
    /// What they call the primary.
    primary: String,
    login: Credentials,
    certificates: TlsCertificates,
}

impl fmt::Debug for RedisSentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisSentinels");
        shown.field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl RedisServers {
    /// Checks the URLs, and reads the files for TLS.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(super) fn new(cluster: &Cluster) -> Result<RedisServers, BadCluster> {
        let certificates = certificates_of(&cluster.tls)?;
        let login = &cluster.credentials;
        let clients = cluster.urls.iter().map(|url| {
            let client = client_of(url, Some(login), &certificates);
            client.map_err(|why| BadCluster { key: "url", why })
        });
        let clients = clients.collect::<Result<_, _>>()?;
        Ok(match &cluster.sentinel {
            None => RedisServers::Named(clients),
            Some(primary) => RedisServers::Watched(RedisSentinels {
                urls: cluster.urls.clone(),
                primary: primary.clone(),
                login: login.clone(),
                certificates,
            }),
        })
    }

    /// Which of the named servers comes in this turn.
    pub(super) fn name(&self, turn: usize) -> String {
        match self {
            RedisServers::Named(clients) => {
                let client = &clients[turn % clients.len()];
                client.get_connection_info().addr().to_string()
            }
            RedisServers::Watched(sentinels) => sentinels.in_turn(turn).to_owned(),
        }
    }

    /// What may be the primary, by way of the server whose turn it is.
    ///
    /// # Errors
    /// A sentinel does not know it.
    pub(super) async fn primary(&self, turn: usize) -> Result<Client, String> {
        match self {
            RedisServers::Named(clients) => Ok(clients[turn % clients.len()].clone()),
            RedisServers::Watched(sentinels) => sentinels.primary(sentinels.in_turn(turn)).await,
        }
    }
}

impl RedisSentinels {
    fn in_turn(&self, turn: usize) -> &str {
        &self.urls[turn % self.urls.len()]
    }

    async fn primary(&self, sentinel: &str) -> Result<Client, String> {
        let asked = match self.ask(sentinel, Some(&self.login)).await {
            Err(_) if self.login.password.is_some() => self.ask(sentinel, None).await,
            asked => asked,
        };
        let (host, port) = asked?;
        let host = match host.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            Ok(IpAddr::V4(_)) | Err(_) => host,
        };
        let scheme = sentinel.split("://").next().unwrap_or("redis");
        let url = format!("{scheme}://{host}:{port}");
        client_of(&url, Some(&self.login), &self.certificates)
    }

    /// Asks a sentinel where the primary is.
    async fn ask(
        &self,
        sentinel: &str,
        login: Option<&Credentials>,
    ) -> Result<(String, u16), String> {
        let client = client_of(sentinel, login, &self.certificates)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(CONNECT_WITHIN));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|error| error.to_string())?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        let answer = question.query_async::<Option<(String, u16)>>(&mut connection);
        let answer = answer.await.map_err(|error| error.to_string())?;
        answer.ok_or_else(|| format!("the sentinel knows no {:?}", self.primary))
    }
}

/// A way to one server.
fn client_of(
    url: &str,
    login: Option<&Credentials>,
    certificates: &TlsCertificates,
) -> Result<Client, String> {
    let info = info_of(url, login)?;
    let is_encrypted = url.starts_with("rediss://") || url.starts_with("valkeys://");
    let client = match is_encrypted {
        true => Client::build_with_tls(info, certificates.clone()),
        false => Client::open(info),
    };
    client.map_err(|error| error.to_string())
}

/// A server's address with whom the node comes as. `None`: as nobody.
fn info_of(url: &str, login: Option<&Credentials>) -> Result<ConnectionInfo, String> {
    const SCHEMES: [&str; 4] = ["redis://", "rediss://", "valkey://", "valkeys://"];
    if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        return Err("a URL of Redis begins with redis://, or rediss:// for TLS".to_owned());
    }
    if url.contains(['@', '#']) {
        return Err(
            "a password does not stand in a URL (cluster.password_file, cluster.password_env), nor anything behind #"
                .to_owned(),
        );
    }
    let info = url
        .into_connection_info()
        .map_err(|error| error.to_string())?;
    let mut redis = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    if let Some(user) = login.and_then(|login| login.user.as_ref()) {
        redis = redis.set_username(user);
    }
    if let Some(password) = login.and_then(|login| login.password.as_ref()) {
        redis = redis.set_password(&password.0);
    }
    Ok(info.set_redis_settings(redis))
}

fn certificates_of(tls: &BrokerTls) -> Result<TlsCertificates, BadCluster> {
    // The crate asks for the process's cryptography; where another is set already, that is used.
    let _other = crypto::aws_lc_rs::default_provider().install_default();
    let read = |key, path: &Path| {
        bounded::read_file(path, PEM_BYTES_MAX).map_err(|error| BadCluster {
            key,
            why: format!("{}: {error}", path.display()),
        })
    };
    let client_tls = match &tls.certificate {
        None => None,
        Some((certificate, key)) => Some(ClientTlsConfig {
            client_cert: read("tls_certificate", certificate)?,
            client_key: read("tls_key", key)?,
        }),
    };
    let root_cert = tls.ca.as_deref().map(|path| read("tls_ca", path));
    Ok(TlsCertificates {
        client_tls,
        root_cert: root_cert.transpose()?,
    })
}
