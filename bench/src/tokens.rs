//! Tokens that clients of a comparison show, and the files of the server that checks them. Nobody
//! is kept out by them: the secret stands here. Called by `prepare`.

use std::fs;
use std::io;
use std::path::Path;

const SECRET: &str = "a secret of the bench, which everybody knows";

/// Of nobody, until the year 2286.
pub const NOBODY: &str = "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjk5OTk5OTk5OTl9.c1NAhPcU4Jt0U79irHhf99LTpENWi52NnKHo0I9xAE0";

/// Of a user.
pub const USER: &str = "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6OTk5OTk5OTk5OX0.w0xR9gp-rEys7mXofh9w6mkJoHhETe_Es1lEgtjZNy8";

/// Writes the configuration, and the secret beside it.
///
/// # Errors
/// The files cannot be written.
pub fn write(configuration: &Path) -> io::Result<()> {
    let secret = configuration.with_extension("secret");
    fs::write(&secret, SECRET)?;
    let secret = secret.display();
    fs::write(
        configuration,
        format!(
            "[auth]\ntokens = \"required\"\n[auth.keys.main]\nalgorithm = \"HS256\"\nsecret_file = \"{secret}\"\n"
        ),
    )
}
