//! The certificate files of section `[tls]`, turned into what the engine needs: at start, by
//! `check-config`, and on SIGHUP.

mod expiry;

use crate::config::{ClientAuth, TlsSettings};
use shardcast_engine::{ClientCertificates, Identity, Tls, TlsError, TlsOptions};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

/// TLS that can serve, and what an operator should know about it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) tls: Tls,
    pub(crate) warnings: Vec<String>,
}

/// A file that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The key that names it.
    key: &'static str,
    path: String,
    why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.key, self.path, self.why)
    }
}

/// Reads all files of a checked configuration. Sessions of `before` can be resumed.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub(crate) fn prepare(
    settings: &TlsSettings,
    before: Option<&Tls>,
) -> Result<Prepared, Vec<Fault>> {
    let (mut identities, mut faults, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for (certificate, key) in settings.certificates.0.iter().zip(&settings.keys.0) {
        match identity(certificate, key) {
            Ok(identity) => {
                warnings.extend(expired(certificate, &identity));
                warnings.extend(exposed(key));
                identities.push(identity);
            }
            Err(found) => faults.extend(found),
        }
    }
    let clients = clients(settings).map_err(|fault| faults.push(fault));
    let (Ok(clients), true) = (clients, faults.is_empty()) else {
        return Err(faults);
    };
    let options = TlsOptions {
        identities,
        minimum: settings.minimum,
        clients,
    };
    let made = match before {
        Some(before) => before.renewed(options),
        None => Tls::new(options),
    };
    match made {
        Ok(tls) => Ok(Prepared { tls, warnings }),
        Err(error) => Err(vec![unusable(settings, &error)]),
    }
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, Vec<Fault>> {
    let chain = read("tls.certificates", certificate);
    let secret = read("tls.keys", key);
    let (chain, secret) = match (chain, secret) {
        (Ok(chain), Ok(secret)) => (chain, secret),
        (chain, secret) => return Err(chain.err().into_iter().chain(secret.err()).collect()),
    };
    Identity::from_pem(&chain, &secret).map_err(|error| {
        let (name, path) = match &error {
            TlsError::KeyMissing
            | TlsError::KeyEncrypted
            | TlsError::KeyUnreadable(_)
            | TlsError::KeyUnsupported
            | TlsError::KeyMismatch => ("tls.keys", key),
            TlsError::CertificateMissing
            | TlsError::CertificateUnreadable(_)
            | TlsError::IdentityMissing
            | TlsError::ClientAuthority(_)
            | TlsError::Setup(_) => ("tls.certificates", certificate),
        };
        let of = match error {
            TlsError::KeyMismatch => format!(" in {}", certificate.display()),
            _ => String::new(),
        };
        vec![fault(name, path, format!("{error}{of}"))]
    })
}

fn clients(settings: &TlsSettings) -> Result<ClientCertificates, Fault> {
    let authority = || {
        let path = settings.client_ca.first().unwrap_or(Path::new(""));
        read("tls.client_ca", path)
    };
    Ok(match settings.client_certificates {
        ClientAuth::None => ClientCertificates::NotAsked,
        ClientAuth::Optional => ClientCertificates::Optional(authority()?),
        ClientAuth::Required => ClientCertificates::Required(authority()?),
    })
}

/// Why TLS cannot serve although every certificate and key is fine.
fn unusable(settings: &TlsSettings, error: &TlsError) -> Fault {
    let (key, files) = match error {
        TlsError::ClientAuthority(_) => ("tls.client_ca", &settings.client_ca),
        TlsError::CertificateMissing
        | TlsError::CertificateUnreadable(_)
        | TlsError::KeyMissing
        | TlsError::KeyEncrypted
        | TlsError::KeyUnreadable(_)
        | TlsError::KeyUnsupported
        | TlsError::KeyMismatch
        | TlsError::IdentityMissing
        | TlsError::Setup(_) => ("tls.certificates", &settings.certificates),
    };
    fault(
        key,
        files.first().unwrap_or(Path::new("")),
        error.to_string(),
    )
}

fn expired(path: &Path, identity: &Identity) -> Option<String> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    let end = expiry::of(identity.certificate())?;
    (end.seconds < now.as_secs() as i64).then(|| {
        format!(
            "tls.certificates: {}: the certificate expired on {end}",
            path.display()
        )
    })
}

/// A user who can read the key can pose as this server.
fn exposed(path: &Path) -> Option<String> {
    /// Other users of the host may read it (`chmod(2)`).
    const OTHERS_READ: u32 = 0o004;
    let mode = path.metadata().ok()?.permissions().mode();
    (mode & OTHERS_READ != 0).then(|| {
        format!(
            "tls.keys: {}: every user of this host can read the private key (mode {:03o}); chmod 600 keeps it to its owner",
            path.display(),
            mode & 0o777
        )
    })
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let file = File::open(path);
    let length = file.and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match length {
        Ok(length) if length as u64 > FILE_BYTES_MAX => Err(fault(
            key,
            path,
            format!("it is longer than {FILE_BYTES_MAX} bytes"),
        )),
        Ok(_) => Ok(bytes),
        Err(error) => Err(fault(key, path, format!("it cannot be read: {error}"))),
    }
}

fn fault(key: &'static str, path: &Path, why: String) -> Fault {
    Fault {
        key,
        path: path.display().to_string(),
        why,
    }
}

/// Longest file in bytes: authorities by the hundred fit.
const FILE_BYTES_MAX: u64 = 1 << 20;
