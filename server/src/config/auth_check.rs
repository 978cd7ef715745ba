//! What does not fit together in section `[auth]` and in the tables of its keys. Called by the
//! check of what was given.

use super::auth::{AuthSettings, KeySetSettings, MaterialSettings, TokenKeySettings, Until};
use super::auth_keys;
use super::key::Key;
use crate::auth::options::TokenMode;

/// What is wrong with a key, and the rule that it breaks.
type Broken = (&'static Key, &'static str);

/// What does not fit together in the section, as key and rule.
pub(super) fn problems(auth: &AuthSettings) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if auth.tokens != TokenMode::Off && auth.keys.is_empty() && auth.sets.is_empty() {
        let rule = "must be off unless the file has a key that checks tokens, such as [auth.keys.main], or a set of keys, such as [auth.jwks.main]";
        problems.push((auth_keys::TOKENS.name, rule.to_owned()));
    }
    problems
}

/// What does not fit together in the table of a set of keys.
pub(super) fn set_problem(set: &KeySetSettings) -> Option<Broken> {
    let rule = "must be a URL unless file names a file: a set is in one place";
    let is_in_one_place = set.url.0.is_some() != set.file.0.is_some();
    (!is_in_one_place).then_some((&auth_keys::SET_URL, rule))
}

/// What does not fit together in the table of a key.
pub(super) fn key_problems(key: &TokenKeySettings) -> Vec<Broken> {
    let (current, previous) = (&key.current, &key.previous);
    let is_symmetric = key.algorithm.is_symmetric();
    let keys: [&'static Key; 2] = match is_symmetric {
        true => [&auth_keys::SECRET_FILE, &auth_keys::PREVIOUS_SECRET_FILE],
        false => [&auth_keys::PUBLIC_KEY, &auth_keys::PREVIOUS_PUBLIC_KEY],
    };
    let mut problems = Vec::new();
    for (material, key) in [current, previous].into_iter().zip(keys) {
        problems.extend(material_problem(material, key, is_symmetric));
    }
    if count(current) == 0 {
        problems.push((
            keys[0],
            if is_symmetric {
                NO_SECRET
            } else {
                NO_PUBLIC_KEY
            },
        ));
    }
    if (count(previous) == 0) != (key.previous_until == Until(None)) {
        problems.push((&auth_keys::PREVIOUS_UNTIL, NO_UNTIL));
    }
    problems
}

fn material_problem(
    material: &MaterialSettings,
    key: &'static Key,
    is_symmetric: bool,
) -> Option<Broken> {
    let is_secret = material.public_key.0.is_none();
    match count(material) {
        0 => None,
        1 if is_secret == is_symmetric => None,
        1 => Some((
            key,
            if is_symmetric {
                TAKES_SECRET
            } else {
                TAKES_PUBLIC_KEY
            },
        )),
        _ => Some((key, ONLY_ONE)),
    }
}

/// Where the material stands: in one place, or in none.
fn count(material: &MaterialSettings) -> usize {
    let given = [
        material.secret_file.0.is_some(),
        material.secret_variable.0.0.is_some(),
        material.public_key.0.is_some(),
    ];
    given.into_iter().filter(|given| *given).count()
}

const NO_SECRET: &str =
    "must name a file unless secret_env names a variable, or nothing checks the key's tokens";
const NO_PUBLIC_KEY: &str = "must name a file, or nothing checks the key's tokens";
const TAKES_SECRET: &str = "must name a file unless the secret is in a variable: this algorithm takes a secret, and no public key";
const TAKES_PUBLIC_KEY: &str = "must name a file: this algorithm takes a public key, and no secret";
const ONLY_ONE: &str =
    "must be the only one: the secret stands in one place, or the public key does";
const NO_UNTIL: &str =
    "must be a moment if, and only if, there is something that was in use before it";
