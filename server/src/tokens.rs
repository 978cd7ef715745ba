//! `shardcast gen-token` and `shardcast check-token`: tokens by the keys of the configuration, for
//! tests and for looking into what an issuer sends.
//!
//! Invariant: `gen-token` prints the token and nothing else to standard output, and `check-token`
//! tells the first rule that a token breaks, as the server would.

use crate::admin::kept::Refusing;
use crate::auth::claims::{Purpose, Verified};
use crate::auth::compact::CompactToken;
use crate::auth::fault::TokenFault;
use crate::auth::files::{self, Material, read_file};
use crate::auth::grants::{Grants, RoomAction};
use crate::auth::key_set::KeySet;
use crate::auth::keys::KeyRing;
use crate::auth::rules::unix_now;
use crate::auth::verifier::Verifier;
use crate::bounded::read_all;
use crate::config::{AuthSettings, TokenKeySettings, read_duration};
use clap::Args;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a token is to say.
#[derive(Args)]
pub(crate) struct NewToken {
    /// User (sub).
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Role; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// How long it is valid: 90s, 15m, 1h, 30d.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    ttl: Duration,
    /// The key of the configuration, [auth.keys.NAME], where there are several.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Private key in PEM, where the key's algorithm has a public one.
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Rooms that the user may join whatever their namespace says: a name, or a beginning and a
    /// star; may be repeated.
    #[arg(long, value_name = "ROOMS")]
    join: Vec<String>,
    /// Rooms that the user may publish to.
    #[arg(long, value_name = "ROOMS")]
    publish: Vec<String>,
    /// Rooms whose members the user may see.
    #[arg(long, value_name = "ROOMS")]
    presence: Vec<String>,
    /// Rooms whose history the user may read.
    #[arg(long, value_name = "ROOMS")]
    history: Vec<String>,
    /// The role whose limits hold for the user.
    #[arg(long, value_name = "ROLE")]
    limits: Option<String>,
    /// The token's own name (jti), by which it can be revoked.
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// Audience; the first of auth.audience unless it is given.
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// Issuer; the first of auth.issuer unless it is given.
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Any other claim; may be repeated.
    #[arg(long = "claim", value_name = "NAME=JSON")]
    claims: Vec<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    read_duration(text).ok_or_else(|| "a number with ms, s, m, h or d".to_owned())
}

impl NewToken {
    /// The token, or why there is none.
    pub(crate) fn make(&self, settings: &AuthSettings) -> Result<String, String> {
        let (name, key) = self.key(settings)?;
        let (claims, signing) = (self.claims(settings)?, self.signing(key)?);
        let mut header = Header::new(key.algorithm.in_library());
        header.kid = key.key_id.0.clone();
        let token = jsonwebtoken::encode(&header, &claims, &signing);
        let token = token.map_err(|error| format!("auth.keys.{name}: {error}"))?;
        // What the server would refuse is of no use to anybody.
        let purpose = match claims.contains_key("room") || claims.contains_key("channel") {
            true => Purpose::Room,
            false => Purpose::Connection,
        };
        Verified::read(claims, purpose).map_err(|fault| fault.to_string())?;
        Ok(token)
    }

    fn key<'s>(
        &self,
        settings: &'s AuthSettings,
    ) -> Result<(&'s str, &'s TokenKeySettings), String> {
        let mut keys = settings.keys.iter();
        match &self.key {
            Some(name) => match settings.keys.get_key_value(name) {
                Some((name, key)) => Ok((name, key)),
                None => Err(format!("the configuration has no [auth.keys.{name}]")),
            },
            None => match (keys.next(), keys.next()) {
                (Some((name, key)), None) => Ok((name, key)),
                (None, _) => Err("the configuration has no [auth.keys.NAME]".to_owned()),
                (Some(_), Some(_)) => {
                    Err("the configuration has several keys: choose one with --key".to_owned())
                }
            },
        }
    }

    fn signing(&self, key: &TokenKeySettings) -> Result<EncodingKey, String> {
        let name = key.algorithm.name();
        let bad = || format!("there is no key for {name} in it");
        if key.algorithm.is_symmetric() {
            let secret = Material::read(&key.current)?.ok_or("the key has no secret")?;
            return EncodingKey::from_secret(secret.secret()).map_err(|_| bad());
        }
        let path = self.private_key.as_ref();
        let path = path.ok_or_else(|| format!("{name} signs with --private-key FILE"))?;
        let pem = read_file(path)?;
        let read = EncodingKey::from_rsa_pem(&pem)
            .or_else(|_| EncodingKey::from_ec_pem(&pem))
            .or_else(|_| EncodingKey::from_ed_pem(&pem));
        read.map_err(|_| format!("{}: {}", path.display(), bad()))
    }

    fn claims(&self, settings: &AuthSettings) -> Result<Map<String, Value>, String> {
        let now = unix_now();
        let mut claims = Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value);
            }
        };
        let first = |given: &Option<String>, configured: &[String]| {
            let chosen = given.as_ref().or(configured.first());
            chosen.map(|text| text.as_str().into())
        };
        let grants = Grants::default()
            .with(RoomAction::Join, &self.join)
            .with(RoomAction::Publish, &self.publish)
            .with(RoomAction::Presence, &self.presence)
            .with(RoomAction::History, &self.history);
        add("sub", self.user.as_deref().map(Value::from));
        add("iat", Some(now.into()));
        add("exp", Some(now.saturating_add(self.ttl.as_secs()).into()));
        add("iss", first(&self.issuer, &settings.issuers.0));
        add("aud", first(&self.audience, &settings.audiences.0));
        add("jti", self.id.as_deref().map(Value::from));
        add("roles", (!self.roles.is_empty()).then(|| json!(self.roles)));
        add("rooms", grants.claim());
        add("limits", self.limits.as_deref().map(Value::from));
        for claim in &self.claims {
            let (name, text) = claim
                .split_once('=')
                .ok_or_else(|| format!("--claim {claim:?} is not NAME=JSON"))?;
            let value: Result<Value, _> = serde_json::from_str(text);
            add(
                name,
                Some(value.map_err(|_| format!("--claim {name}: the value is no JSON"))?),
            );
        }
        Ok(claims)
    }
}

/// What the server would say of a token: the page, and whether it takes it.
/// Those that operators have revoked are known by the file that keeps them.
pub(crate) fn check(
    settings: &AuthSettings,
    state_file: Option<&Path>,
    token: &str,
) -> Result<(String, bool), Vec<String>> {
    let read = files::read(settings);
    let read = read.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let sets: Vec<_> = (read.sets.into_iter().map(KeySet::new))
        .map(Arc::new)
        .collect();
    fetch(&sets).map_err(|why| vec![why])?;
    let keys = KeyRing::new(read.keys, sets);
    let mut page = String::new();
    describe(&mut page, token);
    let verifier = Verifier::new(keys, settings.rules());
    if let Some(path) = state_file {
        let refusing = Refusing {
            bans: Arc::default(),
            revocations: Some(verifier.revocations().clone()),
        };
        let read = refusing.read(path);
        read.map_err(|error| vec![error.to_string()])?;
    }
    let verified = match verifier.verify(token, Purpose::Connection) {
        // It names a room.
        Err(TokenFault::Purpose) => verifier.verify(token, Purpose::Room),
        verified => verified,
    };
    let mut line = |text: String| writeln!(page, "{text}").expect("a String takes everything");
    match &verified {
        Ok(Verified::Connection(claims)) => {
            let user = claims.user().unwrap_or("(nobody)");
            line(format!("valid: a connection's token of {user}"));
        }
        Ok(Verified::Room(claims)) => {
            line(format!("valid: a token for the room {}", claims.room()));
        }
        Err(fault) => {
            line(format!("refused: {}: {fault}", fault.code()));
            if let Some(hint) = hint(settings, *fault) {
                line(format!("  {hint}"));
            }
        }
    }
    Ok((page, verified.is_ok()))
}

/// Reads the sets of keys, as far as they can be had.
fn fetch(sets: &[Arc<KeySet>]) -> Result<(), String> {
    if sets.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("cannot start to read sets of keys: {error}"))?;
    runtime.block_on(async {
        for set in sets {
            set.refresh().await;
        }
    });
    Ok(())
}

/// What the token says, believed or not.
fn describe(page: &mut String, token: &str) {
    let Ok(compact) = CompactToken::parse(token) else {
        return;
    };
    let header = &compact.header;
    let kid = header.key_id.as_deref().unwrap_or("(none)");
    let mut line = |text: String| writeln!(page, "{text}").expect("a String takes everything");
    line(format!("algorithm: {}", header.algorithm.escape_debug()));
    line(format!("kid: {}", kid.escape_debug()));
    let now = unix_now();
    for (name, value) in compact.claims().unwrap_or_default() {
        let name = name.escape_debug();
        line(match (&*name.to_string(), value.as_u64()) {
            ("exp" | "nbf" | "iat", Some(moment)) if moment <= now => {
                format!("claim {name}: {value} ({} s ago)", now - moment)
            }
            ("exp" | "nbf" | "iat", Some(moment)) => {
                format!("claim {name}: {value} (in {} s)", moment - now)
            }
            _ => format!("claim {name}: {value}"),
        });
    }
}

/// Which key of the configuration decides.
fn hint(settings: &AuthSettings, fault: TokenFault) -> Option<String> {
    let listed = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    Some(match fault {
        TokenFault::TooLong => format!(
            "it has more than auth.max_token_bytes ({})",
            settings.token_bytes_max
        ),
        TokenFault::UnknownKey => {
            let keys = settings.keys.iter();
            let keys = keys.map(|(name, key)| {
                let kid = key.key_id.0.as_deref();
                let kid = kid.map_or(String::new(), |kid| format!(" (kid {kid})"));
                format!("{name}{kid}")
            });
            format!("the keys are: {}", listed(&keys.collect::<Vec<_>>()))
        }
        TokenFault::Algorithm => {
            let keys = settings.keys.iter();
            let keys = keys.map(|(name, key)| format!("{name} {}", key.algorithm.name()));
            format!("the keys are: {}", listed(&keys.collect::<Vec<_>>()))
        }
        TokenFault::Signature => {
            "another secret or private key has signed it, or it was changed".to_owned()
        }
        TokenFault::Issuer => format!("auth.issuer is {}", listed(&settings.issuers.0)),
        TokenFault::Audience => format!("auth.audience is {}", listed(&settings.audiences.0)),
        TokenFault::Revoked => {
            "admin.state_file has its jti, its user, or a time before which all are revoked"
                .to_owned()
        }
        TokenFault::Expired | TokenFault::NotYetValid(_) => {
            format!("auth.leeway is {} s", settings.leeway.as_secs())
        }
        TokenFault::MissingClaim("exp") => "auth.require_exp is true".to_owned(),
        _ => return None,
    })
}

/// The token that a command names: `-` is the first line of standard input, which no other user of
/// the host sees.
pub(crate) fn token_of(argument: &str) -> Result<String, String> {
    const BYTES_MAX: u64 = 1 << 20;
    if argument != "-" {
        return Ok(argument.trim().to_owned());
    }
    let cannot =
        |why: &dyn std::fmt::Display| format!("cannot read the token from standard input: {why}");
    let read = read_all(std::io::stdin(), BYTES_MAX).map_err(|error| cannot(&error))?;
    let text = String::from_utf8(read).map_err(|_| cannot(&"it is no text"))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
