//! Values that are one short text or none: names, variables and paths. The configuration shows them
//! without escapes, so they have no character that needs one.

use super::value::{ConfigValue, VARIABLE_PREFIX, is_shown_plainly};
use std::path::{Path, PathBuf};

/// A text, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) Option<String>);

impl ConfigValue for Word {
    fn read(&mut self, text: &str) -> Option<()> {
        self.0 = match text {
            NONE => None,
            text if is_short_and_plain(text) => Some(text.to_owned()),
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        self.0.as_deref().unwrap_or(NONE).to_owned()
    }
}

/// The name of an environment variable, or none. Those of the server have meanings of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VariableName(pub(crate) Word);

impl ConfigValue for VariableName {
    fn read(&mut self, text: &str) -> Option<()> {
        let is_ours = text.starts_with(VARIABLE_PREFIX) || text.contains('=');
        (!is_ours).then(|| self.0.read(text))?
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

/// The path of a file, or none. A file that is called `none` is `./none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilePath(pub(crate) Option<PathBuf>);

impl ConfigValue for FilePath {
    fn read(&mut self, text: &str) -> Option<()> {
        self.0 = match text {
            NONE => None,
            text if is_short_and_plain(text) => Some(text.into()),
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        let path = self.0.as_deref().unwrap_or(Path::new(NONE));
        path.to_string_lossy().into_owned()
    }
}

/// A text of at most 1,024 bytes that is shown as it is.
pub(super) fn is_short_and_plain(text: &str) -> bool {
    text.len() <= 1_024 && is_shown_plainly(text)
}

const NONE: &str = "none";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_short_and_need_no_escapes() {
        let (longest, longer) = ("x".repeat(1_024), "x".repeat(1_025));
        for (text, fits, fits_as_variable) in [
            ("none", true, true),
            ("a", true, true),
            (&longest, true, true),
            (&longer, false, false),
            ("", false, false),
            ("a\"b", false, false),
            ("a\nb", false, false),
            ("SHARDCAST_A", true, false),
            ("a=b", true, false),
        ] {
            let (mut word, mut path) = (Word::default(), FilePath::default());
            let mut variable = VariableName::default();
            assert_eq!(word.read(text).is_some(), fits, "{text}");
            assert_eq!(path.read(text).is_some(), fits, "{text}");
            assert_eq!(variable.read(text).is_some(), fits_as_variable, "{text}");
            if fits {
                assert_eq!(
                    (word.show(), path.show()),
                    (text.to_owned(), text.to_owned())
                );
            }
        }
    }
}
