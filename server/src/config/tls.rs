//! The values of section `[tls]`: which files, which versions, which clients. Nothing is opened
//! here; `crate::tls` reads the files.

use super::place::Place;
use super::value::{ConfigValue, OwnSize};
use shardcast_engine::TlsVersion;
use std::path::{Path, PathBuf};

/// Section `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    /// Where clients connect with TLS.
    pub(crate) listen: Place,
    /// Certificate chains, in PEM.
    pub(crate) certificates: Files,
    /// Their private keys, in the same order.
    pub(crate) keys: Files,
    /// Older versions are refused.
    pub(crate) minimum: TlsVersion,
    /// Whether clients show certificates.
    pub(crate) client_certificates: ClientAuth,
    /// Who may have issued those: at most one file.
    pub(crate) client_ca: Files,
    /// Largest message of a client that came with TLS.
    pub(crate) message_bytes_max: OwnSize,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        TlsSettings {
            listen: Place::Nowhere,
            certificates: Files(Vec::new()),
            keys: Files(Vec::new()),
            minimum: TlsVersion::V1_2,
            client_certificates: ClientAuth::None,
            client_ca: Files(Vec::new()),
            message_bytes_max: OwnSize::Same,
        }
    }
}

impl TlsSettings {
    /// Most certificates: the name that a client asks for is looked up in them one by one.
    pub(super) const CERTIFICATES_MAX: usize = 64;

    /// What does not fit together, as key and rule.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut add = |key, rule: &str| problems.push((key, rule.to_owned()));
        let (certificates, keys) = (self.certificates.0.len(), self.keys.0.len());
        if !self.listen.is_somewhere() && certificates + keys > 0 {
            add(
                "tls.listen",
                "must be an address, or nobody uses tls.certificates and tls.keys",
            );
        }
        if self.listen.is_somewhere() && certificates == 0 {
            add(
                "tls.certificates",
                "must name a file: nobody can be met at tls.listen without a certificate",
            );
        }
        if certificates != keys && certificates > 0 {
            let rule = format!(
                "must name one file for each of tls.certificates, in the same order ({certificates})"
            );
            add("tls.keys", &rule);
        }
        match (self.client_certificates, self.client_ca.0.len()) {
            (ClientAuth::None, 0) | (ClientAuth::Optional | ClientAuth::Required, 1) => {}
            (ClientAuth::None, _) => add(
                "tls.client_certificates",
                "must be optional or required, or nobody uses tls.client_ca",
            ),
            (ClientAuth::Optional | ClientAuth::Required, _) => add(
                "tls.client_ca",
                "must name one file: client certificates are checked against what is in it",
            ),
        }
        problems
    }
}

/// Paths, separated by commas. A file that is called `none` is `./none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files(pub(crate) Vec<PathBuf>);

impl ConfigValue for Files {
    fn read(&mut self, text: &str) -> Option<()> {
        if text == NONE {
            self.0.clear();
            return Some(());
        }
        // A page of the configuration shows values without escapes.
        if text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\')) {
            return None;
        }
        let paths: Vec<PathBuf> = text.split(',').map(|path| path.trim().into()).collect();
        let named = paths.iter().all(|path| !path.as_os_str().is_empty());
        self.0 =
            Some(paths).filter(|paths| named && paths.len() <= TlsSettings::CERTIFICATES_MAX)?;
        Some(())
    }

    fn show(&self) -> String {
        if self.0.is_empty() {
            return NONE.to_owned();
        }
        let shown: Vec<_> = self.0.iter().map(|path| path.to_string_lossy()).collect();
        shown.join(",")
    }
}

impl Files {
    pub(crate) fn first(&self) -> Option<&Path> {
        self.0.first().map(PathBuf::as_path)
    }
}

impl ConfigValue for TlsVersion {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "1.2" => TlsVersion::V1_2,
            "1.3" => TlsVersion::V1_3,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            TlsVersion::V1_2 => "1.2".to_owned(),
            TlsVersion::V1_3 => "1.3".to_owned(),
        }
    }
}

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// Not at all.
    None,
    /// One that is shown must be valid.
    Optional,
    /// Nobody comes without.
    Required,
}

impl ConfigValue for ClientAuth {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            NONE => ClientAuth::None,
            "optional" => ClientAuth::Optional,
            "required" => ClientAuth::Required,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            ClientAuth::None => NONE.to_owned(),
            ClientAuth::Optional => "optional".to_owned(),
            ClientAuth::Required => "required".to_owned(),
        }
    }
}

const NONE: &str = "none";
