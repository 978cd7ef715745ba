//! Tokens that clients of a comparison show, and the files of the server that checks them. Nobody
//! is kept out by them: the secret stands here. Called by `prepare`.

use std::fs;
use std::io;
use std::path::Path;

const SECRET: &str = "a secret of the bench, which everybody knows";

/// Checks tokens of ES256, none of which anybody can sign: the private key was thrown away.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESkTrPki3l1xNdQZOOURVlqLPyt6O\n\
    Qwmabwkoa0qPl0KgWYtfd3l4P27Wdb0IyMWawZZcJKPqmkKD/eJ3dpj3Qg==\n\
    -----END PUBLIC KEY-----\n";

/// Of nobody, until the year 2286.
pub const NOBODY: &str = "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjk5OTk5OTk5OTl9.c1NAhPcU4Jt0U79irHhf99LTpENWi52NnKHo0I9xAE0";

/// Of a user.
pub const USER: &str = "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6OTk5OTk5OTk5OX0.w0xR9gp-rEys7mXofh9w6mkJoHhETe_Es1lEgtjZNy8";

/// Of ES256, with a signature of the right length.
pub const UNSIGNED: &str = "Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJldmUiLCJleHAiOjk5OTk5OTk5OTl9.\
    AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4_QA";

/// As long as that, and no token.
pub const MALFORMED: &str = "Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJldmUiLCJleHAiOjk5OTk5OTk5OTl9_\
    AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4_QA";

/// Writes the configuration, and secret and public key beside it.
///
/// # Errors
/// The files cannot be written.
pub fn write(configuration: &Path) -> io::Result<()> {
    let secret = configuration.with_extension("secret");
    let key = configuration.with_extension("pem");
    fs::write(&secret, SECRET)?;
    fs::write(&key, PUBLIC_KEY)?;
    let text = format!(
        "[auth]\ntokens = \"required\"\n\
         [auth.keys.main]\nalgorithm = \"HS256\"\nsecret_file = \"{}\"\n\
         [auth.keys.public]\nalgorithm = \"ES256\"\npublic_key = \"{}\"\n",
        secret.display(),
        key.display()
    );
    fs::write(configuration, text)
}
