//! Where the server listens, who may connect, and with which tokens.
//!
//! Invariant: an address that other hosts reach is only written where tokens are required, or where
//! anybody was let in before, which is said.

use super::imported::Imported;
use super::names::ForeignKeys;
use super::page::Page;
use super::values::count;
use serde_json::Value;
use std::net::IpAddr;

pub(super) fn import(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported) {
    let admits = tokens(keys, page, imported);
    listen(keys, page, imported, admits);
    origins(keys, page, imported);
    api(keys, page, imported);
    users(keys, page, imported);
}

/// Whom the server lets in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admits {
    Bearers,
    /// Who has no token is nobody.
    Anybody,
    /// There is nothing by which anybody could be let in.
    Nobody,
}

fn tokens(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported) -> Admits {
    if keys.take_flag("client.insecure") {
        for key in SECRETS
            .iter()
            .chain(&["jwks_public_endpoint", "audience", "issuer"])
        {
            keys.take(&format!("client.token.{key}"));
        }
        keys.take("client.allow_anonymous_connect_without_token");
        return Admits::Anybody;
    }
    let anybody = keys.take_flag("client.allow_anonymous_connect_without_token");
    let found = token_keys(keys, page, imported);
    let admits = match (found, anybody) {
        (true, false) => Admits::Bearers,
        (_, true) => Admits::Anybody,
        (false, false) => Admits::Nobody,
    };
    if found {
        let mode = if anybody { "optional" } else { "required" };
        page.set("auth.tokens", format!("\"{mode}\""));
        page.set("auth.require_exp", false);
        for claim in ["audience", "issuer"] {
            if let Some(text) = keys.take_text(&format!("client.token.{claim}"))
                && page.set_text(&format!("auth.{claim}"), &text).is_err()
            {
                unwritable(imported, &format!("client.token.{claim}"));
            }
        }
    }
    admits
}

const SECRETS: [&str; 3] = ["hmac_secret_key", "rsa_public_key", "ecdsa_public_key"];

/// The environment variable that has the secret of tokens.
const SECRET: &str = "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY";

/// Whether there is a key.
fn token_keys(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported) -> bool {
    let mut found = false;
    if let Some(secret) = keys.take_text("client.token.hmac_secret_key") {
        found = true;
        page.set("auth.keys.hmac.algorithm", "\"HS256\"");
        page.set("auth.keys.hmac.secret_env", format!("\"{SECRET}\""));
        let text =
            format!("put client.token.hmac_secret_key into the environment variable {SECRET}");
        imported.to_do.push(text);
        if secret.len() < 32 {
            let text = "client.token.hmac_secret_key is too short: secrets have at least 32 bytes";
            imported.to_do.push(text.to_owned());
        }
    }
    for (key, algorithm) in [("rsa", "RS256"), ("ecdsa", "ES256")] {
        let name = format!("client.token.{key}_public_key");
        if keys.take_text(&name).is_some() {
            found = true;
            let file = format!("centrifugo-{key}.pem");
            page.set(
                &format!("auth.keys.{key}.algorithm"),
                format!("\"{algorithm}\""),
            );
            page.set(
                &format!("auth.keys.{key}.public_key"),
                format!("\"{file}\""),
            );
            imported
                .to_do
                .push(format!("put {name} into the file {file}"));
        }
    }
    let endpoint = "client.token.jwks_public_endpoint";
    if let Some(url) = keys.take_text(endpoint) {
        // Centrifugo puts parts of a token's issuer into such a place.
        if url.contains("{{") {
            let text = format!("{endpoint}: a set of keys has one URL");
            imported.left_out.push(text);
        } else if page.set_text("auth.jwks.centrifugo.url", &url).is_err() {
            unwritable(imported, endpoint);
        } else {
            found = true;
        }
    }
    found
}

fn unwritable(imported: &mut Imported, key: &str) {
    let text = format!("{key}: a configuration has no quotes, backslashes and control characters");
    imported.left_out.push(text);
}

fn listen(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported, admits: Admits) {
    let given = keys.take_text("http_server.address");
    let port = keys
        .take("http_server.port")
        .and_then(|port| port_of(&port))
        .unwrap_or(8000);
    let address: Option<IpAddr> = match given.as_deref() {
        None => Some(IpAddr::from([0, 0, 0, 0])),
        Some("localhost") => Some(IpAddr::from([127, 0, 0, 1])),
        Some(text) => text.parse().ok(),
    };
    let Some(address) = address else {
        let text = "http_server.address: it is no IP address";
        return imported.left_out.push(text.to_owned());
    };
    let place = match address {
        _ if admits == Admits::Nobody && !address.is_loopback() => {
            let text = "client.token: without a key nobody can connect; others than this host are not let in";
            imported.left_out.push(text.to_owned());
            format!("127.0.0.1:{port}")
        }
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    };
    let is_encrypted = keys.take_flag("http_server.tls.enabled");
    let files = ["cert_pem_file", "key_pem_file"]
        .map(|key| keys.take_text(&format!("http_server.tls.{key}")));
    match (is_encrypted, files) {
        (true, [Some(certificate), Some(key)]) => {
            page.set("server.listen", "\"none\"");
            page.set("tls.listen", format!("\"{place}\""));
            for (ours, file) in [("tls.certificates", certificate), ("tls.keys", key)] {
                if page.set_text(ours, &file).is_err() {
                    unwritable(imported, ours);
                }
            }
        }
        (true, _) => {
            let text = "http_server.tls: tls.certificates and tls.keys are files";
            imported.left_out.push(text.to_owned());
        }
        (false, _) => page.set("server.listen", format!("\"{place}\"")),
    }
    if admits == Admits::Anybody && !address.is_loopback() {
        page.set("server.insecure", true);
        imported.to_do.push(
            "anybody may connect from anywhere, as before: look at server.insecure".to_owned(),
        );
    }
}

fn port_of(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => u16::try_from(value.as_u64()?).ok(),
    }
}

fn origins(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported) {
    let Some(Value::Array(origins)) = keys.take("client.allowed_origins") else {
        return;
    };
    let origins: Vec<&str> = origins.iter().filter_map(Value::as_str).collect();
    let text = match &*origins {
        [] => return,
        origins if origins.contains(&"*") => "any".to_owned(),
        origins => origins.join(","),
    };
    if page.set_text("access.origins", &text).is_err() {
        unwritable(imported, "client.allowed_origins");
    }
}

/// The environment variable that has the key of the server API.
const API_KEY: &str = "CENTRIFUGO_HTTP_API_KEY";

fn api(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported) {
    let key = keys.take_text("http_api.key");
    if let Some(key) = &key {
        page.set("admin.token_env", format!("\"{API_KEY}\""));
        let text = format!(
            "put http_api.key into the environment variable {API_KEY}; the server API is at /centrifugo/api of the admin port"
        );
        imported.to_do.push(text);
        if key.len() < 32 {
            let text = "http_api.key is too short: operators' tokens have at least 32 characters";
            imported.to_do.push(text.to_owned());
        }
    }
    let Some(port) = keys.take("http_server.internal_port") else {
        return;
    };
    let address = keys.take_text("http_server.internal_address");
    let address: Option<IpAddr> = address.as_deref().unwrap_or("127.0.0.1").parse().ok();
    let address = address.filter(|address| key.is_some() || address.is_loopback());
    match (port_of(&port), address) {
        (Some(port), Some(address)) => {
            let place = std::net::SocketAddr::new(address, port);
            page.set("server.admin", format!("\"{place}\""));
        }
        _ => {
            let text =
                "http_server.internal_address: operators that come from other hosts have a token";
            imported.left_out.push(text.to_owned());
        }
    }
}

/// Channels of users' own, and how many connections each user has.
fn users(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported) {
    let personal = "client.subscribe_to_user_personal_channel";
    let mut same_user = None;
    if keys.take_flag(&format!("{personal}.enabled")) {
        let namespace = keys.take_text(&format!("{personal}.personal_channel_namespace"));
        let prefix = namespace.map_or_else(|| "#".to_owned(), |namespace| format!("{namespace}:#"));
        if page
            .set_text("centrifuge.personal_channels", &prefix)
            .is_err()
        {
            unwritable(imported, personal);
        }
        if keys.take_flag(&format!("{personal}.single_connection")) {
            same_user = Some(("replace", 1));
        }
    }
    let limit = keys.take("client.user_connection_limit");
    if let Some(limit) = limit.as_ref().and_then(count) {
        same_user = same_user.or(Some(("reject", limit)));
    }
    if let Some((what, limit)) = same_user {
        page.set("sessions.same_user", format!("\"{what}\""));
        page.set("sessions.max_per_user", limit);
    }
}
