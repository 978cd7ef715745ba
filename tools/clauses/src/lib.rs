//! Which rule of which RFC is ours, where it is obeyed and where it is tested. Owns the list of
//! rules ([`rules`]) and what is demanded of each ([`Account::findings`]). Called by the binary
//! beside it and by the tests, so that CI fails on a rule that nobody keeps.
#![forbid(unsafe_code)]

mod account;
mod citation;
mod clause;

pub use account::Account;
pub use citation::{Citation, Origin, Sources, cited};
pub use clause::{Clause, Mistake, Party, Proof, Strength, clauses};

/// One RFC's rules as this folder keeps them.
#[derive(Clone, Copy, Debug)]
pub struct Rfc {
    /// Its number.
    pub number: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The file below `tools/clauses/`.
    pub file: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// Every RFC whose rules are listed.
pub const RFCS: [Rfc; 4] = [
    Rfc {
        number: "6455",
        title: "The WebSocket Protocol",
        file: "rfc6455.txt",
        text: include_str!("../rfc6455.txt"),
    },
    Rfc {
        number: "7692",
        title: "Compression Extensions for WebSocket",
        file: "rfc7692.txt",
        text: include_str!("../rfc7692.txt"),
    },
    Rfc {
        number: "9110",
        title: "HTTP Semantics, as far as a handshake and small answers meet it",
        file: "rfc9110.txt",
        text: include_str!("../rfc9110.txt"),
    },
    Rfc {
        number: "9112",
        title: "HTTP/1.1, as far as a handshake and small answers meet it",
        file: "rfc9112.txt",
        text: include_str!("../rfc9112.txt"),
    },
];

/// All rules of all files.
///
/// # Errors
/// Every line that is not as CONTRIBUTING.md writes it, with its file.
pub fn rules() -> Result<Vec<Clause>, Vec<Mistake>> {
    let (mut all, mut mistakes) = (Vec::new(), Vec::new());
    for rfc in RFCS {
        match clauses(rfc.file, rfc.number, rfc.text) {
            Ok(found) => all.extend(found),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() {
        Ok(all)
    } else {
        Err(mistakes)
    }
}
