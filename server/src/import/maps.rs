//! Namespaces of maps: what stands in an object of its own there stands beside the other options
//! here. Called for each namespace.

use super::values::duration;
use serde_json::{Map, Value};

/// Publications of a map's stream where nothing is said.
const STREAM_SIZE: u64 = 100;
/// And how long they are kept.
const STREAM_TTL: &str = "300s";
/// What a map's stream is called beside the other options.
const STREAM: [(&str, &str); 2] = [
    ("stream_size", "history_size"),
    ("stream_ttl", "history_ttl"),
];
/// Who may publish and remove, which is one rule here.
const WHO: [&str; 3] = ["anonymous", "client", "subscriber"];

/// What a namespace of maps sets besides, and what of it has no counterpart, with the reason.
#[derive(Debug, Default)]
pub(super) struct ImportedMap {
    pub(super) set: Vec<(&'static str, String)>,
    pub(super) left_out: Vec<(String, &'static str)>,
}

/// Puts what a map says of itself beside the other options. Nothing, if the namespace is none of
/// maps.
pub(super) fn spread(given: &mut Map<String, Value>) -> ImportedMap {
    let mut imported = ImportedMap::default();
    let kind = given.get("subscription_type").and_then(Value::as_str);
    let is_map = match kind {
        None | Some("" | "stream") => false,
        Some("map") => true,
        // It is told as everything that there is not.
        Some(_) => return imported,
    };
    given.remove("subscription_type");
    if !is_map {
        return imported;
    }
    let mut map = match given.remove("map") {
        Some(Value::Object(map)) => map,
        Some(none) => {
            given.insert("map".to_owned(), none);
            Map::new()
        }
        // All of it is as where nothing is said.
        None => Map::new(),
    };
    for (theirs, name) in STREAM {
        if let Some(value) = map.remove(theirs) {
            given.insert(name.to_owned(), value);
        }
    }
    let or = |given: &mut Map<String, Value>, name: &str, value: Value| {
        given.entry(name).or_insert(value);
    };
    or(given, "history_size", STREAM_SIZE.into());
    or(given, "history_ttl", STREAM_TTL.into());
    given.insert("force_recovery".to_owned(), true.into());
    imported.set.push(("map", "true".to_owned()));
    if let Some(ttl) = map.remove("key_ttl").as_ref().and_then(duration) {
        imported.set.push(("map_key_ttl", format!("\"{ttl}\"")));
    }
    let keys = client_keys(&mut map, &mut imported);
    publishers(given, &mut map, keys, &mut imported);
    for (name, _) in map {
        let why = match &*name {
            "mode" => "a map is in memory, and whoever comes back goes on",
            _ => "there is no such option",
        };
        imported.left_out.push((format!("map.{name}"), why));
    }
    imported
}

/// Whether it is known under which keys clients publish.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientKeys {
    Known,
    /// What is said of it there is not here.
    Unknown,
}

/// Under which keys clients publish.
fn client_keys(map: &mut Map<String, Value>, imported: &mut ImportedMap) -> ClientKeys {
    let key = match map.remove("client_key") {
        None => return ClientKeys::Known,
        Some(Value::String(template)) => match &*template {
            "" => return ClientKeys::Known,
            "client_id" => Some("\"connection\""),
            "user_id" => Some("\"user\""),
            _ => None,
        },
        Some(_) => None,
    };
    match key {
        Some(key) => {
            imported.set.push(("map_client_key", key.to_owned()));
            ClientKeys::Known
        }
        None => {
            let why = "a key is any, the connection's or the user's";
            imported.left_out.push(("map.client_key".to_owned(), why));
            ClientKeys::Unknown
        }
    }
}

/// Who may publish, where that may be said here: by one rule with who may remove, and to keys that
/// are the same.
fn publishers(
    given: &mut Map<String, Value>,
    map: &mut Map<String, Value>,
    keys: ClientKeys,
    imported: &mut ImportedMap,
) {
    let yes = Some(Value::Bool(true));
    for who in WHO {
        let publish = format!("allow_publish_for_{who}");
        if given.remove(&publish) == yes {
            let why = "who may publish to a map is said of the map";
            imported.left_out.push((publish.clone(), why));
        }
        let removes = map.remove(&format!("allow_remove_for_{who}")) == yes;
        if map.remove(&publish) != yes {
            continue;
        }
        let why = match (keys, removes) {
            (ClientKeys::Known, true) => {
                given.insert(publish, true.into());
                continue;
            }
            (ClientKeys::Known, false) => "who may publish to a map may remove its keys",
            (ClientKeys::Unknown, _) => "its clients could change the keys of others",
        };
        imported.left_out.push((format!("map.{publish}"), why));
    }
}
