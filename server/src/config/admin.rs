//! The values of section `[admin]`: who is an operator, and where what operators decide is kept.
//! Nothing is opened here.

use super::word::{FilePath, VariableName};
use crate::admin::token::{AdminToken, TokenError};
use std::path::Path;

/// Section `[admin]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AdminSettings {
    pub(super) token_file: FilePath,
    pub(super) token_env: VariableName,
    /// With TLS: the chain of the port's certificate, in PEM.
    pub(super) certificate: FilePath,
    /// Its private key.
    pub(super) key: FilePath,
    /// Who issues the certificates that operators show.
    pub(super) client_ca: FilePath,
    pub(super) state_file: FilePath,
}

/// The files that TLS on the admin port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdminTlsFiles<'s> {
    pub(crate) certificate: &'s Path,
    pub(crate) key: &'s Path,
    pub(crate) client_ca: Option<&'s Path>,
}

impl AdminSettings {
    /// Whether operators prove who they are.
    pub(super) fn asks_for_proof(&self) -> bool {
        self.has_token() || self.client_ca.0.is_some()
    }

    /// The operators' token, read from where it is kept.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub(crate) fn token(&self) -> Result<Option<AdminToken>, TokenError> {
        match (&self.token_file.0, &self.token_env.0.0) {
            (Some(path), _) => AdminToken::from_file(path).map(Some),
            (None, Some(name)) => AdminToken::from_variable(name).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Whether there is a token.
    pub(crate) fn has_token(&self) -> bool {
        self.token_file.0.is_some() || self.token_env.0.0.is_some()
    }

    /// These settings, with what of the others is exchanged while the port serves.
    pub(super) fn with_what_is_exchanged(&self, others: &AdminSettings) -> AdminSettings {
        let mut merged = self.clone();
        if others.has_token() {
            merged.token_file = others.token_file.clone();
            merged.token_env = others.token_env.clone();
        }
        let asks = |settings: &AdminSettings| settings.client_ca.0.is_some();
        if self.tls().is_some() && others.tls().is_some() && asks(self) == asks(others) {
            merged.certificate = others.certificate.clone();
            merged.key = others.key.clone();
            merged.client_ca = others.client_ca.clone();
        }
        merged
    }

    /// Where bans and revocations are kept.
    pub(crate) fn state_file(&self) -> Option<&Path> {
        self.state_file.0.as_deref()
    }

    /// `None`: the port speaks without TLS.
    pub(crate) fn tls(&self) -> Option<AdminTlsFiles<'_>> {
        let certificate = self.certificate.0.as_deref()?;
        Some(AdminTlsFiles {
            certificate,
            key: self.key.0.as_deref()?,
            client_ca: self.client_ca.0.as_deref(),
        })
    }

    /// What does not fit together, as key and rule.
    pub(super) fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        if self.token_file.0.is_some() && self.token_env.0.0.is_some() {
            let rule = "must be none where admin.token_file names a file";
            problems.push(("admin.token_env", rule));
        }
        if self.certificate.0.is_some() != self.key.0.is_some() {
            let rule = "must name a file if, and only if, admin.certificate does: the two are one identity";
            problems.push(("admin.key", rule));
        }
        if self.client_ca.0.is_some() && self.certificate.0.is_none() {
            let rule = "must be none unless admin.certificate names a file: operators show certificates over TLS";
            problems.push(("admin.client_ca", rule));
        }
        problems
    }
}
