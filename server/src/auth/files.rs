//! The keys of `[auth.keys.NAME]`, read from the files and variables that the configuration names:
//! at start, by the commands about tokens, and on SIGHUP.
//!
//! Invariant: neither a fault nor a warning shows anything of a secret.

use crate::auth::key::{KeyMaterial, TokenKey};
use crate::auth::key_set::KeySetOptions;
use crate::bounded;
use crate::config::{AuthSettings, KeySetSettings, MaterialSettings, TokenKeySettings};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Keys that check tokens, and what an operator should know about them.
#[derive(Debug)]
pub(crate) struct ReadKeys {
    pub(crate) keys: Vec<TokenKey>,
    pub(crate) sets: Vec<KeySetOptions>,
    pub(crate) warnings: Vec<String>,
}

/// A key that cannot be used, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyFault {
    /// The table that it stands in, below `auth`.
    table: String,
    why: String,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "auth.{}: {}", self.table, self.why)
    }
}

/// Reads the keys of a checked configuration.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub(crate) fn read(settings: &AuthSettings) -> Result<ReadKeys, Vec<KeyFault>> {
    let (mut keys, mut faults, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for (name, settings) in &settings.keys {
        let files = [&settings.current, &settings.previous];
        let exposed = files.into_iter().filter_map(exposed);
        warnings.extend(exposed.map(|warning| format!("auth.keys.{name}: {warning}")));
        match key(name, settings) {
            Ok(key) => keys.push(key),
            Err(why) => faults.push(KeyFault {
                table: format!("keys.{name}"),
                why,
            }),
        }
    }
    let mut sets = Vec::new();
    for (name, settings) in &settings.sets {
        match key_set(name, settings) {
            Ok(set) => sets.push(set),
            Err(why) => faults.push(KeyFault {
                table: format!("jwks.{name}"),
                why,
            }),
        }
    }
    match faults.is_empty() {
        true => Ok(ReadKeys {
            keys,
            sets,
            warnings,
        }),
        false => Err(faults),
    }
}

/// A set of keys. Only a file of authorities is read; the set is when the server runs.
fn key_set(name: &str, settings: &KeySetSettings) -> Result<KeySetOptions, String> {
    let made = match (&settings.url.0, &settings.file.0) {
        (Some(url), _) => {
            let made = KeySetOptions::url(name, url, settings.authorities.0.as_deref());
            made.map_err(|error| format!("{url}: {error}"))?
        }
        (None, Some(path)) => KeySetOptions::file(name, path),
        (None, None) => return Err("it has neither url nor file".to_owned()),
    };
    Ok(made.times(settings.refresh, settings.stale))
}

fn key(name: &str, settings: &TokenKeySettings) -> Result<TokenKey, String> {
    let algorithm = settings.algorithm;
    let bad = |of: &Material, error: &dyn fmt::Display| {
        format!("{}: {} {error}", of.origin, algorithm.name())
    };
    let current =
        Material::read(&settings.current)?.ok_or("it has nothing to check tokens with")?;
    let made = TokenKey::new(name, algorithm, current.as_key());
    let mut made = made.map_err(|error| bad(&current, &error))?;
    if let Some(key_id) = &settings.key_id.0 {
        made = made.with_key_id(key_id.as_str());
    }
    let previous = Material::read(&settings.previous)?;
    if let Some((previous, until)) = previous.zip(settings.previous_until.moment()) {
        let with = made.with_previous(previous.as_key(), until);
        made = with.map_err(|error| bad(&previous, &error))?;
    }
    Ok(made)
}

/// What tokens are checked with, and where it stands.
pub(crate) struct Material {
    origin: String,
    bytes: Vec<u8>,
    kind: MaterialKind,
}

enum MaterialKind {
    Secret,
    PublicKey,
}

impl Material {
    /// `None`: nothing is named.
    pub(crate) fn read(settings: &MaterialSettings) -> Result<Option<Material>, String> {
        let MaterialSettings {
            secret_file,
            secret_variable,
            public_key,
        } = settings;
        let (origin, bytes, kind) = if let Some(path) = &secret_file.0 {
            (shown(path), read_file(path)?, MaterialKind::Secret)
        } else if let Some(variable) = &secret_variable.0.0 {
            let bytes = read_variable(variable)?;
            (format!("variable {variable}"), bytes, MaterialKind::Secret)
        } else if let Some(path) = &public_key.0 {
            (shown(path), read_file(path)?, MaterialKind::PublicKey)
        } else {
            return Ok(None);
        };
        Ok(Some(Material {
            origin,
            bytes,
            kind,
        }))
    }

    /// The secret, without the line breaks that editors put at its end.
    pub(crate) fn secret(&self) -> &[u8] {
        let mut secret = &self.bytes[..];
        while let [rest @ .., b'\n' | b'\r'] = secret {
            secret = rest;
        }
        secret
    }

    fn as_key(&self) -> KeyMaterial<'_> {
        match self.kind {
            MaterialKind::Secret => KeyMaterial::Secret(self.secret()),
            MaterialKind::PublicKey => KeyMaterial::Pem(&self.bytes),
        }
    }
}

/// Reads a file of a key.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    /// A chain of certificates fits.
    const FILE_BYTES_MAX: u64 = 64 << 10;
    let read = bounded::read_file(path, FILE_BYTES_MAX);
    read.map_err(|error| format!("{}: it cannot be read: {error}", shown(path)))
}

fn read_variable(name: &str) -> Result<Vec<u8>, String> {
    match std::env::var_os(name) {
        Some(value) => Ok(value.into_encoded_bytes()),
        None => Err(format!("variable {name}: it is not set")),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A user who can read the secret can be anybody to this server.
fn exposed(settings: &MaterialSettings) -> Option<String> {
    /// Other users of the host may read it (`chmod(2)`).
    const OTHERS_READ: u32 = 0o004;
    let path = settings.secret_file.0.as_ref()?;
    let mode = path.metadata().ok()?.permissions().mode();
    (mode & OTHERS_READ != 0).then(|| {
        format!(
            "{}: every user of this host can read the secret (mode {:03o}); chmod 600 keeps it to its owner",
            path.display(),
            mode & 0o777
        )
    })
}
