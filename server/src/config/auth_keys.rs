//! The keys of section `[auth]`, and of its tables `[auth.keys.NAME]`.

use super::key::{Key, ValueKind};
use crate::auth::key_set::KeySetOptions;
use crate::auth::rules::TokenRules;
use std::time::Duration;

pub(super) const TOKENS: Key = Key {
    name: "auth.tokens",
    flag: None,
    what: "Whether clients prove who they are with a token (JWT): off looks for none, optional takes one and lets others in as nobody, required lets nobody in without. A token that breaks a rule is refused in any case.",
    kind: ValueKind::Other("off, optional or required", |settings| {
        &mut settings.auth.tokens
    }),
};
pub(super) const SOURCES: Key = Key {
    name: "auth.sources",
    flag: None,
    what: "Where tokens are looked for, in this order: header (Authorization: Bearer), query (token=), subprotocol (shardcast.token.TOKEN), cookie (shardcast_token), message (the request auth, as the first).",
    kind: ValueKind::Other(
        "one or more of header, query, subprotocol, cookie and message, separated by commas",
        |settings| &mut settings.auth.sources,
    ),
};
pub(super) const ISSUER: Key = Key {
    name: "auth.issuer",
    flag: None,
    what: "Accepted issuers (iss). With none the claim is not looked at.",
    kind: ValueKind::Other(NAMES_RULE, |settings| &mut settings.auth.issuers),
};
pub(super) const AUDIENCE: Key = Key {
    name: "auth.audience",
    flag: None,
    what: "Audiences that this server is, of which a token must name one (aud). With none a token that names any is refused, for it is for somebody else.",
    kind: ValueKind::Other(NAMES_RULE, |settings| &mut settings.auth.audiences),
};
pub(super) const LEEWAY: Key = Key {
    name: "auth.leeway",
    flag: None,
    what: "How far the clocks of issuers may be from this host's: tokens end so much later (exp) and begin so much earlier (nbf, iat).",
    kind: ValueKind::Time(Duration::ZERO..=TokenRules::LEEWAY_MAX, |settings| {
        &mut settings.auth.leeway
    }),
};
pub(super) const REQUIRE_EXP: Key = Key {
    name: "auth.require_exp",
    flag: None,
    what: "Refuses tokens that never end (without exp).",
    kind: ValueKind::Other("true or false", |settings| &mut settings.auth.require_exp),
};
pub(super) const MAX_TOKEN_BYTES: Key = Key {
    name: "auth.max_token_bytes",
    flag: None,
    what: "Longest token; a longer one is refused without a look at it. limits.max_head_bytes bounds it, too, where it comes with a request.",
    kind: ValueKind::Size(TokenRules::TOKEN_BYTES, |settings| {
        &mut settings.auth.token_bytes_max
    }),
};

pub(super) const MESSAGE_TIMEOUT: Key = Key {
    name: "auth.message_timeout",
    flag: None,
    what: "How long a client that came without a token may wait with its first message, auth, where a token is required; after it the connection is closed with 4003.",
    kind: ValueKind::Time(
        Duration::from_millis(100)..=Duration::from_secs(60),
        |settings| &mut settings.auth.message_timeout,
    ),
};
pub(super) const EXPIRING: Key = Key {
    name: "auth.expiring",
    flag: None,
    what: "How long before its token ends a client is told (expiring), so that it sends a new one (refresh). 0s tells nobody.",
    kind: ValueKind::Time(Duration::ZERO..=Duration::from_secs(3_600), |settings| {
        &mut settings.auth.expiring
    }),
};

/// The keys of a table `[auth.keys.NAME]`.
pub(super) static OF_KEYS: &[Key] = &[
    Key {
        name: "key.algorithm",
        flag: None,
        what: "The one algorithm of its tokens; a token that says another is refused.",
        kind: ValueKind::Other(
            "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA",
            |settings| &mut settings.auth.key.algorithm,
        ),
    },
    Key {
        name: "key.kid",
        flag: None,
        what: "The kid of its tokens: one that names another is not of this key. With none the claim is not looked at.",
        kind: ValueKind::Other(WORD_RULE, |settings| &mut settings.auth.key.key_id),
    },
    SECRET_FILE,
    Key {
        name: "key.secret_env",
        flag: None,
        what: "The environment variable that has the secret instead.",
        kind: ValueKind::Other(VARIABLE_RULE, |settings| {
            &mut settings.auth.key.current.secret_variable
        }),
    },
    PUBLIC_KEY,
    PREVIOUS_SECRET_FILE,
    Key {
        name: "key.previous_secret_env",
        flag: None,
        what: "The environment variable that has it instead.",
        kind: ValueKind::Other(VARIABLE_RULE, |settings| {
            &mut settings.auth.key.previous.secret_variable
        }),
    },
    PREVIOUS_PUBLIC_KEY,
    PREVIOUS_UNTIL,
];

/// The keys of a table `[auth.jwks.NAME]`.
pub(super) static OF_SETS: &[Key] = &[
    SET_URL,
    Key {
        name: "set.file",
        flag: None,
        what: "The file that has the set instead.",
        kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.auth.set.file),
    },
    Key {
        name: "set.ca",
        flag: None,
        what: "Certificates in PEM that the server of url is trusted by, instead of those that the host trusts.",
        kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.auth.set.authorities),
    },
    Key {
        name: "set.refresh",
        flag: None,
        what: "How often the set is read again. A token whose key is not in the copy has it read at once, at most once in 10s.",
        kind: ValueKind::Time(KeySetOptions::REFRESH, |settings| {
            &mut settings.auth.set.refresh
        }),
    },
    Key {
        name: "set.stale",
        flag: None,
        what: "How much longer the copy is used while the set cannot be read. Then tokens of its keys are answered 503.",
        kind: ValueKind::Time(Duration::ZERO..=KeySetOptions::STALE_MAX, |settings| {
            &mut settings.auth.set.stale
        }),
    },
];

pub(super) const SET_URL: Key = Key {
    name: "set.url",
    flag: None,
    what: "Where the set of keys (JWK set) is. https, or http on a loopback address; redirects are not followed, 256 KiB and 5s are the most that a fetch takes.",
    kind: ValueKind::Other(WORD_RULE, |settings| &mut settings.auth.set.url),
};

pub(super) const SECRET_FILE: Key = Key {
    name: "key.secret_file",
    flag: None,
    what: "The file that has the secret of an HS algorithm: 32 bytes to 4 KiB, line breaks at its end not counted.",
    kind: ValueKind::Other(PATH_RULE, |settings| {
        &mut settings.auth.key.current.secret_file
    }),
};
pub(super) const PUBLIC_KEY: Key = Key {
    name: "key.public_key",
    flag: None,
    what: "The file that has the public key of another algorithm, or a certificate with it, in PEM. RSA has 2048 to 8192 bits.",
    kind: ValueKind::Other(PATH_RULE, |settings| {
        &mut settings.auth.key.current.public_key
    }),
};
pub(super) const PREVIOUS_SECRET_FILE: Key = Key {
    name: "key.previous_secret_file",
    flag: None,
    what: "The file that has the secret that was in use before; its tokens are taken until previous_until.",
    kind: ValueKind::Other(PATH_RULE, |settings| {
        &mut settings.auth.key.previous.secret_file
    }),
};
pub(super) const PREVIOUS_PUBLIC_KEY: Key = Key {
    name: "key.previous_public_key",
    flag: None,
    what: "The file that has the public key that was in use before, likewise.",
    kind: ValueKind::Other(PATH_RULE, |settings| {
        &mut settings.auth.key.previous.public_key
    }),
};
pub(super) const PREVIOUS_UNTIL: Key = Key {
    name: "key.previous_until",
    flag: None,
    what: "Until when tokens of what was in use before are taken.",
    kind: ValueKind::Other(
        "none, a date such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z",
        |settings| &mut settings.auth.key.previous_until,
    ),
};

const NAMES_RULE: &str = "none or up to 16 texts, separated by commas, without quotes, backslashes and control characters";
const WORD_RULE: &str = "none or a text without quotes, backslashes and control characters";
const PATH_RULE: &str =
    "none or the path of a file, without quotes, backslashes and control characters";
const VARIABLE_RULE: &str =
    "none or the name of an environment variable that does not begin with SHARDCAST_";
