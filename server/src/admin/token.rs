//! The operators' token: whoever shows it may use the admin port.
//!
//! Invariant: comparing takes the same time wherever the difference is, and the token stands in no
//! log, error or metric. Read from a file or the environment at start and on SIGHUP; asked by the
//! guard.

use crate::bounded::read_file;
use std::fmt;
use std::path::Path;
use subtle::ConstantTimeEq;

/// What operators show: one token, or two while one replaces the other.
#[derive(Clone)]
pub(crate) struct AdminToken(Vec<Box<str>>);

/// Why there is no token where there should be one; names no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// The file cannot be read.
    #[error("admin.token_file = {path:?} cannot be read: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: String,
    },
    /// The variable is not there.
    #[error("admin.token_env = {0:?}: there is no such variable, or it is not UTF-8")]
    Variable(String),
    /// What stands there is none.
    #[error(
        "{0} must hold a token of {min} to {max} visible ASCII characters, or two on a line each",
        min = AdminToken::CHARS_MIN,
        max = AdminToken::CHARS_MAX
    )]
    Content(&'static str),
}

impl AdminToken {
    /// Shortest token: 128 bits in hexadecimal.
    pub(crate) const CHARS_MIN: usize = 32;
    /// Longest.
    pub(crate) const CHARS_MAX: usize = 512;
    /// Longest file: two tokens, and as much again for whitespace.
    const FILE_BYTES_MAX: u64 = 4 * AdminToken::CHARS_MAX as u64;

    /// From a file: one line, or two while a new token replaces the old one.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn from_file(path: &Path) -> Result<AdminToken, TokenError> {
        let bytes = read_file(path, AdminToken::FILE_BYTES_MAX);
        let bytes = bytes.map_err(|error| TokenError::File {
            path: path.display().to_string(),
            error: error.to_string(),
        })?;
        let parsed = str::from_utf8(&bytes).ok().and_then(AdminToken::parse);
        parsed.ok_or(TokenError::Content("admin.token_file"))
    }

    /// From a variable of the environment.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn from_variable(name: &str) -> Result<AdminToken, TokenError> {
        let text = std::env::var(name).map_err(|_| TokenError::Variable(name.to_owned()))?;
        AdminToken::parse(&text).ok_or(TokenError::Content("admin.token_env"))
    }

    fn parse(text: &str) -> Option<AdminToken> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let tokens: Vec<Box<str>> = lines.map(Into::into).collect();
        let range = AdminToken::CHARS_MIN..=AdminToken::CHARS_MAX;
        let good = |token: &str| {
            range.contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let fits = (1..=2).contains(&tokens.len()) && tokens.iter().all(|token| good(token));
        fits.then_some(AdminToken(tokens))
    }

    /// Whether this is one of them.
    pub(crate) fn is(&self, shown: &str) -> bool {
        let same = self
            .0
            .iter()
            .map(|token| token.as_bytes().ct_eq(shown.as_bytes()));
        // All are compared, so that the time does not tell which one it is.
        same.fold(subtle::Choice::from(0), |one, other| one | other)
            .into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn tokens_have_a_form() {
        let (long, longer) = ("x".repeat(512), "x".repeat(513));
        let two = format!("{TOKEN}\n\n{long}\n");
        for (text, good) in [
            (TOKEN, true),
            (&format!(" {TOKEN} \r\n"), true),
            (&long, true),
            (&two, true),
            (&longer, false),
            (&TOKEN[1..], false),
            (&format!("{TOKEN} {TOKEN}"), false),
            (&format!("{two}{TOKEN}"), false),
            (&TOKEN.replace('0', "é"), false),
            ("", false),
        ] {
            assert_eq!(AdminToken::parse(text).is_some(), good, "{text}");
        }
    }

    #[test]
    fn either_of_two_is_it_and_nothing_else() {
        let other = "fedcba9876543210fedcba9876543210";
        let tokens = AdminToken::parse(&format!("{TOKEN}\n{other}")).expect("two tokens");
        assert!(tokens.is(TOKEN) && tokens.is(other));
        for wrong in [
            "",
            &TOKEN[..31],
            &format!("{TOKEN}0"),
            &TOKEN.to_uppercase(),
        ] {
            assert!(!tokens.is(wrong), "{wrong}");
        }
        assert_eq!(format!("{tokens:?}"), "AdminToken");
    }

    #[test]
    fn errors_name_the_place_and_not_what_stands_there() {
        let path = std::env::temp_dir().join(format!("shardcast-token-{}", std::process::id()));
        let missing = AdminToken::from_file(&path)
            .expect_err("no file")
            .to_string();
        assert!(
            missing.contains("token_file") && missing.contains("No such file"),
            "{missing}"
        );
        fs::write(&path, "planted-secret").expect("a temporary file");
        let short = AdminToken::from_file(&path)
            .expect_err("too short")
            .to_string();
        assert!(
            !short.contains("planted") && short.contains("32 to 512"),
            "{short}"
        );
        let _ = fs::remove_file(&path);
        let variable = AdminToken::from_variable("SHARDCAST_NO_SUCH").expect_err("none");
        assert!(variable.to_string().contains("SHARDCAST_NO_SUCH"));
    }
}
