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
/// How maps of who is in a channel are called.
const PRESENCE: [(&str, &str); 2] = [
    (
        "map_clients_presence_channel_prefix",
        "presence_connections",
    ),
    ("map_users_presence_channel_prefix", "presence_users"),
];

/// What a namespace of maps sets besides, and what of it has no counterpart, with the reason.
#[derive(Debug, Default)]
pub(super) struct ImportedMap {
    pub(super) set: Vec<(&'static str, String)>,
    pub(super) left_out: Vec<(String, &'static str)>,
}

/// What keys of a map are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeysOf {
    Published,
    /// Of who is in another channel: what that is called here.
    Members(&'static str),
}

/// Puts what a map says of itself beside the other options. Of a namespace that is none of maps,
/// only which maps hold who is there.
pub(super) fn spread(given: &mut Map<String, Value>) -> ImportedMap {
    let mut imported = ImportedMap::default();
    for (theirs, ours) in PRESENCE {
        let prefix = given.remove(theirs);
        imported.presence(theirs, ours, prefix.as_ref());
    }
    let kind = given.get("subscription_type").and_then(Value::as_str);
    let of = match kind {
        None | Some("" | "stream") => None,
        Some("map") => Some(KeysOf::Published),
        Some("map_clients") => Some(KeysOf::Members("connections")),
        Some("map_users") => Some(KeysOf::Members("users")),
        // It is told as everything that there is not.
        Some(_) => return imported,
    };
    given.remove("subscription_type");
    let Some(of) = of else {
        return imported;
    };
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
    imported.ends_of_keys(of, &mut map);
    let keys = client_keys(&mut map, &mut imported);
    publishers(given, &mut map, (of, keys), &mut imported);
    imported.recovery(&mut map);
    for (name, _) in map {
        let why = match name.contains("proxy") {
            true => "what asks a backend is configured otherwise",
            false => "there is no such option",
        };
        imported.left_out.push((format!("map.{name}"), why));
    }
    imported
}

impl ImportedMap {
    fn leave_out(&mut self, name: &str, why: &'static str) {
        self.left_out.push((name.to_owned(), why));
    }

    /// How a map of who is in a channel is called.
    fn presence(&mut self, theirs: &str, ours: &'static str, prefix: Option<&Value>) {
        let prefix = prefix.and_then(Value::as_str).unwrap_or_default();
        let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
        match prefix.len() {
            0 => {}
            1..=64 if prefix.bytes().all(fits) => self.set.push((ours, format!("\"{prefix}\""))),
            _ => self.leave_out(theirs, "it is 1 to 64 visible ASCII characters"),
        }
    }

    /// How long keys stay, and with whom they go.
    fn ends_of_keys(&mut self, of: KeysOf, map: &mut Map<String, Value>) {
        if let KeysOf::Members(of) = of {
            self.set.push(("map_of", format!("\"{of}\"")));
        }
        if let Some(ttl) = map.remove("key_ttl").as_ref().and_then(duration) {
            match of {
                KeysOf::Published => self.set.push(("map_key_ttl", format!("\"{ttl}\""))),
                KeysOf::Members(_) => {
                    self.leave_out("map.key_ttl", "a key stays as long as who it is of");
                }
            }
        }
        if map.remove("remove_client_on_unsubscribe") != Some(Value::Bool(true)) {
            return;
        }
        match map.get("client_key").and_then(Value::as_str) {
            Some("client_id") => self.set.push(("map_remove_left", "true".to_owned())),
            Some(_) | None => {
                let why = "only a key that is the connection's goes with it";
                self.leave_out("map.remove_client_on_unsubscribe", why);
            }
        }
    }

    /// How clients that come back go on.
    fn recovery(&mut self, map: &mut Map<String, Value>) {
        match map.remove("mode").as_ref().and_then(Value::as_str) {
            Some("ephemeral") => self.set.push(("map_recovery", "\"state\"".to_owned())),
            Some("persistent") => self.leave_out("map.mode", "a map is in memory"),
            Some(_) | None => {}
        }
    }
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
            imported.leave_out("map.client_key", why);
            ClientKeys::Unknown
        }
    }
}

/// Who may publish, where that may be said here: by one rule with who may remove, and to keys that
/// are the same.
fn publishers(
    given: &mut Map<String, Value>,
    map: &mut Map<String, Value>,
    (of, keys): (KeysOf, ClientKeys),
    imported: &mut ImportedMap,
) {
    let yes = Some(Value::Bool(true));
    for who in WHO {
        let publish = format!("allow_publish_for_{who}");
        if given.remove(&publish) == yes {
            let why = "who may publish to a map is said of the map";
            imported.left_out.push((publish.clone(), why));
        }
        let remove = format!("allow_remove_for_{who}");
        let removes = map.remove(&remove) == yes;
        let publishes = map.remove(&publish) == yes;
        let (name, why) = match (of, keys, publishes, removes) {
            (_, _, false, false) => continue,
            (KeysOf::Published, ClientKeys::Known, true, true) => {
                given.insert(publish, true.into());
                continue;
            }
            (KeysOf::Members(_), _, true, _) => (publish, "the server alone publishes here"),
            (_, _, false, true) => (remove, "who may remove keys of a map may publish to it"),
            (_, ClientKeys::Known, true, false) => {
                (publish, "who may publish to a map may remove its keys")
            }
            (_, ClientKeys::Unknown, true, _) => {
                (publish, "its clients could change the keys of others")
            }
        };
        imported.left_out.push((format!("map.{name}"), why));
    }
}
