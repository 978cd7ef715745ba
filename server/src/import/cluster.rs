//! The broker by which nodes exchange what is published: Redis as an engine or a broker, or NATS.

use super::imported::Imported;
use super::names::ForeignKeys;
use super::page::Page;
use serde_json::Value;

/// What is by name where, and how its URLs begin.
struct ForeignBroker {
    name: &'static str,
    section: &'static str,
    address: &'static str,
    schemes: [&'static str; 2],
}

const BROKERS: [ForeignBroker; 3] = [
    ForeignBroker {
        name: "redis",
        section: "engine",
        address: "engine.redis.address",
        schemes: ["redis://", "rediss://"],
    },
    ForeignBroker {
        name: "redis",
        section: "broker",
        address: "broker.redis.address",
        schemes: ["redis://", "rediss://"],
    },
    ForeignBroker {
        name: "nats",
        section: "broker",
        address: "broker.nats.url",
        schemes: ["nats://", "tls://"],
    },
];

pub(super) fn import(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported) {
    keys.take("broker.enabled");
    for broker in BROKERS {
        let kind = format!("{}.type", broker.section);
        if keys.text(&kind) == Some(broker.name) {
            keys.take(&kind);
            return import_broker(&broker, keys, page, imported);
        }
    }
}

fn import_broker(
    broker: &ForeignBroker,
    keys: &mut ForeignKeys,
    page: &mut Page,
    imported: &mut Imported,
) {
    let options = format!("{}.{}", broker.section, broker.name);
    let is_encrypted = keys.take_flag(&format!("{options}.tls.enabled"));
    let given = keys.take(broker.address);
    let addresses: Vec<&str> = match &given {
        Some(Value::String(text)) => text.split(',').map(str::trim).collect(),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let urls = addresses
        .iter()
        .map(|address| url_of(broker, address, is_encrypted));
    let urls: Option<Vec<String>> = urls.collect();
    let url = urls
        .filter(|urls| !urls.is_empty())
        .map(|urls| urls.join(","));
    let Some(url) = url.filter(|url| page.set_text("cluster.url", url).is_ok()) else {
        let why = "cluster.url has the addresses of servers, and no passwords";
        imported.left_out.push(format!("{}: {why}", broker.address));
        return;
    };
    debug_assert!(!url.is_empty(), "it was looked at");
    page.set("cluster.broker", format!("\"{}\"", broker.name));
    if let Some(prefix) = keys.take_text(&format!("{options}.prefix")) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        match prefix.len() <= 64 && prefix.bytes().all(is_word) {
            true => page.set("cluster.prefix", format!("\"{prefix}\"")),
            false => imported
                .left_out
                .push(format!("{options}.prefix: it is no word")),
        }
    }
    if let Some(user) = keys.take_text(&format!("{options}.user"))
        && page.set_text("cluster.user", &user).is_err()
    {
        imported
            .left_out
            .push(format!("{options}.user: a configuration has no quotes"));
    }
    if keys.take_text(&format!("{options}.password")).is_some() {
        let variable = "CENTRIFUGO_ENGINE_REDIS_PASSWORD";
        page.set("cluster.password_env", format!("\"{variable}\""));
        let text = format!("put {options}.password into the environment variable {variable}");
        imported.to_do.push(text);
    }
}

/// The URL of an address, which may be one. `None`: it bears a password, or a database.
fn url_of(broker: &ForeignBroker, address: &str, is_encrypted: bool) -> Option<String> {
    let [plain, encrypted] = broker.schemes;
    let (scheme, host) = match address.split_once("://") {
        Some((scheme, host)) => (format!("{scheme}://"), host),
        None => (
            if is_encrypted { encrypted } else { plain }.to_owned(),
            address,
        ),
    };
    let is_known = broker.schemes.contains(&&*scheme);
    let host = host.trim_end_matches('/');
    let is_plain = !host.is_empty() && !host.contains(['@', '/', '?']);
    (is_known && is_plain).then(|| format!("{scheme}{host}"))
}
