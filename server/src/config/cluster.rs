//! The values of section `[cluster]`: which broker, as whom, and how much may wait. Nothing is
//! opened here but the file with the password, when the node is started.

use super::value::ConfigValue;
use super::word::{FilePath, VariableName, Word, is_short_and_plain};
use crate::bounded;
use crate::broker::{BrokerKind, BrokerPassword, BrokerTls, Cluster, ClusterSessions, Credentials};
use std::num::NonZeroU16;
use std::time::Duration;

/// Section `[cluster]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterSettings {
    pub(super) broker: BrokerChoice,
    pub(super) urls: BrokerUrls,
    pub(super) sentinel: Word,
    pub(super) room_partitions: Option<usize>,
    pub(super) node: NodeName,
    pub(super) prefix: ClusterPrefix,
    pub(super) user: Word,
    pub(super) password_file: FilePath,
    pub(super) password_env: VariableName,
    pub(super) credentials_file: FilePath,
    pub(super) tls_ca: FilePath,
    pub(super) tls_certificate: FilePath,
    pub(super) tls_key: FilePath,
    pub(super) presence_lease: Duration,
    pub(super) linger: Duration,
    pub(super) queue_messages: usize,
    pub(super) queue_bytes: usize,
    pub(super) streams: usize,
    pub(super) sessions: ClusterSessions,
}

/// Which broker, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BrokerChoice(Option<BrokerKind>);

/// Its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BrokerUrls(Vec<String>);

/// What the node is called. `None`: something else at each start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeName(Option<String>);

/// What names at the broker begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClusterPrefix(String);

/// The password is not there, or is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub(crate) struct PasswordFault {
    pub(crate) key: &'static str,
    why: String,
}

impl Default for ClusterSettings {
    fn default() -> ClusterSettings {
        let Cluster {
            prefix,
            presence_lease,
            linger,
            queue_messages,
            queue_bytes,
            streams,
            sessions,
            ..
        } = Cluster::new(BrokerKind::Redis, "", "");
        ClusterSettings {
            broker: BrokerChoice::default(),
            urls: BrokerUrls::default(),
            sentinel: Word::default(),
            room_partitions: None,
            node: NodeName::default(),
            prefix: ClusterPrefix(prefix),
            user: Word::default(),
            password_file: FilePath::default(),
            password_env: VariableName::default(),
            credentials_file: FilePath::default(),
            tls_ca: FilePath::default(),
            tls_certificate: FilePath::default(),
            tls_key: FilePath::default(),
            presence_lease,
            linger,
            queue_messages,
            queue_bytes,
            streams,
            sessions,
        }
    }
}

/// Within what the key takes.
fn partitions_of(count: usize) -> Option<NonZeroU16> {
    NonZeroU16::new(u16::try_from(count).ok()?)
}

impl ClusterSettings {
    /// Most bytes of a password.
    const PASSWORD_BYTES_MAX: u64 = 4096;

    /// Whether there are other nodes.
    pub(crate) fn is_one_of_many(&self) -> bool {
        self.broker.0.is_some()
    }

    /// Values that do not fit each other: the key, and what it must be.
    pub(super) fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        if self.is_one_of_many() && self.urls.0.is_empty() {
            problems.push(("cluster.url", "must name the broker (cluster.broker)"));
        }
        if self.password_file.0.is_some() && self.password_env.0.0.is_some() {
            problems.push((
                "cluster.password_env",
                "must be none where cluster.password_file is not",
            ));
        }
        if self.credentials_file.0.is_some() && self.broker.0 != Some(BrokerKind::Nats) {
            problems.push((
                "cluster.credentials_file",
                "must be none unless cluster.broker is nats",
            ));
        }
        if self.sentinel.0.is_some() && self.broker.0 != Some(BrokerKind::Redis) {
            problems.push((
                "cluster.sentinel",
                "must be none unless cluster.broker is redis",
            ));
        }
        if self.tls_certificate.0.is_some() != self.tls_key.0.is_some() {
            problems.push((
                "cluster.tls_key",
                "must be given with cluster.tls_certificate, and only with it",
            ));
        }
        problems
    }

    /// What the node is told; the password is read now. `None`: it is a node by itself.
    ///
    /// # Errors
    /// The password is not where it is said to be.
    pub(crate) fn options(&self) -> Result<Option<Cluster>, PasswordFault> {
        let Some(broker) = self.broker.0 else {
            return Ok(None);
        };
        let certificate = self.tls_certificate.0.clone().zip(self.tls_key.0.clone());
        let node = self.node.0.clone();
        Ok(Some(Cluster {
            urls: self.urls.0.clone(),
            sentinel: self.sentinel.0.clone(),
            room_partitions: self.room_partitions.and_then(partitions_of),
            prefix: self.prefix.0.clone(),
            credentials: Credentials {
                user: self.user.0.clone(),
                password: self.password()?,
                file: self.credentials_file.0.clone(),
            },
            tls: BrokerTls {
                ca: self.tls_ca.0.clone(),
                certificate,
            },
            presence_lease: self.presence_lease,
            linger: self.linger,
            queue_messages: self.queue_messages,
            queue_bytes: self.queue_bytes,
            streams: self.streams,
            sessions: self.sessions,
            ..Cluster::new(broker, "", node.unwrap_or_else(random_name))
        }))
    }

    fn password(&self) -> Result<Option<BrokerPassword>, PasswordFault> {
        let fault = |key, why: String| PasswordFault { key, why };
        let (key, text) = match (&self.password_file.0, &self.password_env.0.0) {
            (None, None) => return Ok(None),
            (Some(path), _) => {
                let key = "cluster.password_file";
                let bytes = bounded::read_file(path, Self::PASSWORD_BYTES_MAX);
                let bytes = bytes.map_err(|error| fault(key, error.to_string()))?;
                let text = String::from_utf8(bytes);
                (
                    key,
                    text.map_err(|_| fault(key, "it is not UTF-8".to_owned()))?,
                )
            }
            (None, Some(name)) => {
                let key = "cluster.password_env";
                let text = std::env::var(name);
                (
                    key,
                    text.map_err(|_| fault(key, format!("there is no variable {name}")))?,
                )
            }
        };
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(fault(key, "it is empty".to_owned())),
            password => Ok(Some(BrokerPassword(password.to_owned()))),
        }
    }
}

/// A name that no other node has, likely.
fn random_name() -> String {
    format!("node-{:08x}", fastrand::u32(..))
}

impl ConfigValue for BrokerChoice {
    fn read(&mut self, text: &str) -> Option<()> {
        self.0 = match text {
            NONE => None,
            "redis" => Some(BrokerKind::Redis),
            "nats" => Some(BrokerKind::Nats),
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        let name = match self.0 {
            None => NONE,
            Some(BrokerKind::Redis) => "redis",
            Some(BrokerKind::Nats) => "nats",
        };
        name.to_owned()
    }
}

impl ConfigValue for ClusterSessions {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "node" => ClusterSessions::Node,
            "broker" => ClusterSessions::Broker,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        let name = match self {
            ClusterSessions::Node => "node",
            ClusterSessions::Broker => "broker",
        };
        name.to_owned()
    }
}

impl ConfigValue for BrokerUrls {
    fn read(&mut self, text: &str) -> Option<()> {
        let urls: Vec<String> = match text {
            NONE => Vec::new(),
            list => list.split(',').map(|url| url.trim().to_owned()).collect(),
        };
        let fits = |url: &String| is_short_and_plain(url) && url.contains("://");
        if urls.len() > Cluster::URLS_MAX || !urls.iter().all(fits) {
            return None;
        }
        self.0 = urls;
        Some(())
    }

    fn show(&self) -> String {
        match &*self.0 {
            [] => NONE.to_owned(),
            urls => urls.join(","),
        }
    }
}

impl ConfigValue for NodeName {
    fn read(&mut self, text: &str) -> Option<()> {
        self.0 = match text {
            AUTO => None,
            name if Cluster::is_name(name) => Some(name.to_owned()),
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        self.0.as_deref().unwrap_or(AUTO).to_owned()
    }
}

impl ConfigValue for ClusterPrefix {
    fn read(&mut self, text: &str) -> Option<()> {
        self.0 = Some(text).filter(|text| Cluster::is_name(text))?.to_owned();
        Some(())
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

const NONE: &str = "none";
const AUTO: &str = "auto";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_a_list_of_urls() {
        let many = vec!["redis://h"; 17].join(",");
        for (text, shown) in [
            ("none", Some("none")),
            ("redis://a:1", Some("redis://a:1")),
            ("redis://a:1, rediss://b", Some("redis://a:1,rediss://b")),
            ("", None),
            ("a:1", None),
            ("redis://a,,redis://b", None),
            (&many, None),
        ] {
            let mut urls = BrokerUrls::default();
            let read = urls.read(text).map(|()| urls.show());
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn a_node_is_told_what_the_section_says() {
        let mut settings = ClusterSettings::default();
        assert_eq!(settings.options(), Ok(None));
        assert_eq!(settings.broker.read("redis"), Some(()));
        assert_eq!(settings.problems().len(), 1, "no server is named");
        assert_eq!(settings.urls.read("redis://a:1"), Some(()));
        assert_eq!(settings.node.read("one"), Some(()));
        assert_eq!(settings.problems(), []);
        let told = settings.options();
        let expected = Cluster::new(BrokerKind::Redis, "redis://a:1", "one");
        assert_eq!(told, Ok(Some(expected)));
        assert_eq!(settings.sentinel.read("main"), Some(()));
        let told = settings.options().expect("no password").expect("a node");
        assert_eq!(told.sentinel.as_deref(), Some("main"));
        settings.credentials_file.0 = Some("/nats.creds".into());
        assert_eq!(settings.problems().len(), 1, "Redis has no such file");
        settings.broker.0 = Some(BrokerKind::Nats);
        assert_eq!(settings.problems().len(), 1, "NATS has no sentinels");
        assert_eq!(settings.sentinel.read("none"), Some(()));
        assert_eq!(settings.problems(), []);
        let told = settings.options().expect("no password").expect("a node");
        assert_eq!(told.credentials.file, Some("/nats.creds".into()));
        settings.password_env.0.0 = Some("NO_SUCH_VARIABLE_IS_SET".to_owned());
        let fault = settings.options().expect_err("there is no password");
        assert_eq!(fault.key, "cluster.password_env");
    }
}
