//! The values in force as operators see them, by name, and which of them differ from others.
//!
//! Invariant: credentials in a URL are not shown; other secrets stand in files and variables, which
//! the configuration names and never holds.

use super::group::{self, Group};
use super::key::Key;
use super::keys::KEYS;
use super::settings::Settings;
use serde_json::Value;
use std::collections::BTreeMap;

/// Every value by `section.key`, those of named tables included: numbers and booleans as such,
/// everything else as the file has it.
pub(crate) fn shown(settings: &Settings) -> BTreeMap<String, Value> {
    let values = values(settings).into_iter();
    let values = values.map(|(name, text)| {
        let text = without_credentials(&text);
        let value = match (text.parse::<u64>(), text.parse::<bool>()) {
            (Ok(number), _) => Value::from(number),
            (_, Ok(is)) => Value::from(is),
            (Err(_), Err(_)) => Value::from(text),
        };
        (name, value)
    });
    values.collect()
}

/// The names of values that differ, those of tables that only one of both has included.
pub(crate) fn differences(one: &Settings, other: &Settings) -> Vec<String> {
    let (one, other) = (values(one), values(other));
    let names = one.keys().chain(other.keys());
    let names = names.filter(|name| one.get(*name) != other.get(*name));
    let mut names: Vec<String> = names.cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn values(settings: &Settings) -> BTreeMap<String, String> {
    let of_keys = KEYS.iter();
    let of_keys = of_keys.map(|key| (key.name.to_owned(), key.show(settings)));
    let mut values: BTreeMap<String, String> = of_keys.collect();
    let mut add = |group: &Group, table: &str, own: &Settings| {
        let of_table = group.keys();
        values.extend(of_table.map(|key: &Key| (group.option(table, key), key.show(own))));
    };
    for (name, rooms) in &settings.namespaces {
        add(&group::NAMESPACES, name, &Settings::of_rooms(rooms.clone()));
    }
    for (name, key) in &settings.auth.keys {
        add(
            &group::TOKEN_KEYS,
            name,
            &Settings::of_token_key(key.clone()),
        );
    }
    for (name, set) in &settings.auth.sets {
        add(&group::KEY_SETS, name, &Settings::of_key_set(set.clone()));
    }
    for (role, limits) in &settings.limits.roles {
        let mut own = settings.clone();
        own.limits.everybody = limits.clone();
        add(&group::ROLES, role, &own);
    }
    values
}

/// URLs in the text without what stands before an `@`.
fn without_credentials(text: &str) -> String {
    const SCHEME_END: &str = "://";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(SCHEME_END) {
        let (before, behind) = rest.split_at(at + SCHEME_END.len());
        let end = behind.find(['/', ',', '?', ' ']).unwrap_or(behind.len());
        shown.push_str(before);
        if let Some(at) = behind[..end].rfind('@') {
            shown.push_str("***");
            rest = &behind[at..];
        } else {
            rest = behind;
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_urls_are_not_shown() {
        for (text, shown) in [
            ("none", "none"),
            ("https://a.example/x@y", "https://a.example/x@y"),
            ("redis://:secret@a:6379/0", "redis://***@a:6379/0"),
            ("nats://u:p@ss@a,nats://u:p@b", "nats://***@a,nats://***@b"),
            ("://@", "://***@"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn what_differs_is_named_and_nothing_else() {
        let (one, mut other) = (Settings::default(), Settings::default());
        assert_eq!(differences(&one, &other), Vec::<String>::new());
        other.depth_max = 3;
        other.insecure = true;
        assert_eq!(
            differences(&one, &other),
            ["limits.max_depth", "server.insecure"]
        );
        let values = shown(&other);
        assert_eq!(values["limits.max_depth"], 3);
        assert_eq!(values["server.insecure"], true);
        assert_eq!(values["server.listen"], "127.0.0.1:8000");
    }
}
