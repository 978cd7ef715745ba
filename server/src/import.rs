//! What a configuration of Centrifugo (version 5 with flat keys, 6 with sections) means here, as a
//! configuration file of ours. Asked for on the command line (`import-centrifugo`).
//!
//! Invariant: a key is carried over, means nothing here because it is so anyway, or is told; never
//! is more permitted than it was. Secrets are not copied: the file names the variables that have
//! them.

mod access;
mod channels;
mod cluster;
mod imported;
mod maps;
mod names;
mod options;
mod page;
mod plain;
mod values;

pub(crate) use imported::Imported;

use crate::bounded;
use crate::import::names::ForeignKeys;
use crate::import::page::Page;
use std::path::Path;

/// Longest configuration that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a file, JSON or by its name TOML.
///
/// # Errors
/// It cannot be read, or is none.
pub(crate) fn read(path: &Path) -> Result<Imported, String> {
    let named = |error: &dyn ToString| format!("{}: {}", path.display(), error.to_string());
    let bytes = bounded::read_file(path, BYTES_MAX).map_err(|error| named(&error))?;
    let text = str::from_utf8(&bytes).map_err(|error| named(&error))?;
    let is_toml = path
        .extension()
        .is_some_and(|extension| extension == "toml");
    let value = match is_toml {
        true => toml::from_str(text).map_err(|error| named(&error))?,
        false => serde_json::from_str(text).map_err(|error| named(&error))?,
    };
    import(&value).map_err(|error| named(&error))
}

/// # Errors
/// It is no object.
fn import(config: &serde_json::Value) -> Result<Imported, &'static str> {
    let object = config.as_object().ok_or("it is no object")?;
    let mut keys = ForeignKeys::new(object);
    let mut page = Page::default();
    let mut imported = Imported::default();
    access::import(&mut keys, &mut page, &mut imported);
    channels::import(&mut keys, &mut page, &mut imported);
    cluster::import(&mut keys, &mut page, &mut imported);
    plain::import(&mut keys, &mut page, &mut imported);
    for name in keys.rest() {
        imported
            .left_out
            .push(format!("{name}: {}", plain::why(&name)));
    }
    imported.page = page.text();
    Ok(imported)
}

#[cfg(test)]
mod tests;
