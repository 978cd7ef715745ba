//! Where clients connect, as it is written: an address, a path of a Unix socket, a socket that the
//! process is given, or nowhere.

use super::value::ConfigValue;
use shardcast_engine::ListenSource;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `none`.
    Nowhere,
    /// `127.0.0.1:8000`.
    Address(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `inherited:NAME`; `inherited`, with an empty name, is the only socket that there is.
    Inherited(String),
}

const NONE: &str = "none";
const UNIX: &str = "unix:";
const INHERITED: &str = "inherited";

impl Place {
    /// Clients can connect.
    pub(crate) fn is_somewhere(&self) -> bool {
        *self != Place::Nowhere
    }

    /// The address, where it stands in the configuration.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Place::Address(address) => Some(*address),
            Place::Nowhere | Place::Unix(_) | Place::Inherited(_) => None,
        }
    }

    /// Only one of two listeners can have it.
    pub(crate) fn is_same(&self, other: &Place) -> bool {
        match self {
            Place::Address(address) => self == other && address.port() != 0,
            Place::Unix(_) | Place::Inherited(_) => self == other,
            Place::Nowhere => false,
        }
    }

    /// As the engine has it, with a socket that the process was given under this name.
    pub(crate) fn source<E>(
        &self,
        given: impl FnOnce(&str) -> Result<ListenSource, E>,
    ) -> Result<Option<ListenSource>, E> {
        Ok(match self {
            Place::Nowhere => None,
            Place::Address(address) => Some(ListenSource::Bind(*address)),
            Place::Unix(path) => Some(ListenSource::Unix(path.clone())),
            Place::Inherited(name) => Some(given(name)?),
        })
    }
}

impl ConfigValue for Place {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = if text == NONE {
            Place::Nowhere
        } else if let Some(path) = text.strip_prefix(UNIX) {
            Place::Unix(path_of(path)?)
        } else if let Some(name) = text.strip_prefix(INHERITED) {
            Place::Inherited(name_of(name)?)
        } else {
            Place::Address(text.parse().ok()?)
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            Place::Nowhere => NONE.to_owned(),
            Place::Address(address) => address.to_string(),
            Place::Unix(path) => format!("{UNIX}{}", path.display()),
            Place::Inherited(name) if name.is_empty() => INHERITED.to_owned(),
            Place::Inherited(name) => format!("{INHERITED}:{name}"),
        }
    }
}

/// A page of the configuration shows values without escapes.
fn path_of(text: &str) -> Option<PathBuf> {
    let plain = !text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'));
    let fits = (1..=ListenSource::PATH_BYTES_MAX).contains(&text.len());
    (plain && fits).then(|| text.into())
}

/// As `FileDescriptorName=` takes it (`systemd.socket(5)`): at most 255 ASCII characters, none of
/// them control, colon, and here, quote.
fn name_of(rest: &str) -> Option<String> {
    const NAME_BYTES_MAX: usize = 255;
    if rest.is_empty() {
        return Some(String::new());
    }
    let name = rest.strip_prefix(':')?;
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, ':' | '"' | '\\');
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    (fits && name.chars().all(plain)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back_as_they_are_shown() {
        let long = format!("unix:/{}", "a".repeat(106));
        let too_long = format!("unix:/{}", "a".repeat(107));
        for (text, want) in [
            ("none", Some(Place::Nowhere)),
            (
                "[::1]:0",
                Some(Place::Address(SocketAddr::from((
                    [0, 0, 0, 0, 0, 0, 0, 1],
                    0,
                )))),
            ),
            ("unix:/run/s.sock", Some(Place::Unix("/run/s.sock".into()))),
            ("unix:s", Some(Place::Unix("s".into()))),
            (&long, Some(Place::Unix(long[5..].into()))),
            (&too_long, None),
            ("unix:", None),
            ("unix:a\"b", None),
            ("unix:a\nb", None),
            ("unix", None),
            ("inherited", Some(Place::Inherited(String::new()))),
            ("inherited:web", Some(Place::Inherited("web".into()))),
            ("inherited:", None),
            ("inherited:a:b", None),
            ("inherited:a b", None),
            ("inheriteds", None),
            ("localhost:80", None),
            ("/run/s.sock", None),
        ] {
            let mut place = Place::Nowhere;
            let read = place.read(text).map(|()| place.clone());
            assert_eq!(read, want, "{text:?}");
            if read.is_some() {
                assert_eq!(place.show(), text);
            }
        }
    }
}
