//! The configuration written out as TOML: the defaults with their meaning, and what is in force
//! with its sources.

use super::given::Given;
use super::group::{self, Group};
use super::key::Key;
use super::keys::KEYS;
use super::problem::Source;
use super::settings::Settings;
use crate::namespace::Namespace;
use std::fmt::{self, Write};

/// A commented file in which every key has its default; read back, it gives the defaults.
pub(crate) fn default_page() -> String {
    let mut page = String::from(
        "# Shardcast configuration. Every key stands here with its default; keep the lines that you change.\n\
         # A flag goes before an environment variable, that before this file, and this file before the default.\n",
    );
    let defaults = Settings::default();
    sections(&mut page, |page, key| {
        writeln!(
            page,
            "\n# {}\n# Value: {}. Environment: {}.",
            key.what,
            key.rule(),
            key.variable()
        )?;
        writeln!(page, "{} = {}", key.parts().1, key.show_toml(&defaults))
    });
    page.push_str(TABLES);
    page
}

/// The effective configuration as a file; a value that is not from the defaults bears its source.
pub(crate) fn effective_page(settings: &Settings, given: &Given) -> String {
    let mut page = String::new();
    sections(&mut page, |page, key| {
        let source = given.value(key).map(|(_, source)| source);
        effective_line(page, key, settings, source)
    });
    for (name, rooms) in &settings.namespaces {
        let settings = Settings::of_rooms(rooms.clone());
        table(&mut page, &group::NAMESPACES, name, &settings, given);
    }
    for (name, key) in &settings.auth.keys {
        let settings = Settings::of_token_key(key.clone());
        table(&mut page, &group::TOKEN_KEYS, name, &settings, given);
    }
    for (name, set) in &settings.auth.sets {
        let settings = Settings::of_key_set(set.clone());
        table(&mut page, &group::KEY_SETS, name, &settings, given);
    }
    for (role, limits) in &settings.limits.roles {
        let mut settings = settings.clone();
        settings.limits.everybody = limits.clone();
        table(&mut page, &group::ROLES, role, &settings, given);
    }
    page
}

/// A table that the user has named.
fn table(page: &mut String, group: &Group, name: &str, settings: &Settings, given: &Given) {
    let shown = match Namespace::is_prefix(name) {
        true => name.to_owned(),
        // No name has what needs an escape.
        false => format!("\"{name}\""),
    };
    writeln!(page, "\n[{}.{shown}]", group.path).expect("a String takes everything");
    for key in group.keys() {
        let source = given.option(group, name, key).map(|(_, source)| source);
        effective_line(page, key, settings, source).expect("a String takes everything");
    }
}

/// A value, and its source unless it is the default.
fn effective_line(
    page: &mut String,
    key: &Key,
    settings: &Settings,
    source: Option<&Source>,
) -> fmt::Result {
    write!(page, "{} = {}", key.parts().1, key.show_toml(settings))?;
    match source {
        None => writeln!(page),
        Some(source) => writeln!(page, " # {source}"),
    }
}

fn sections(page: &mut String, mut line: impl FnMut(&mut String, &Key) -> fmt::Result) {
    let mut current = "";
    for key in KEYS {
        let (section, _) = key.parts();
        if section != current {
            let gap = if page.is_empty() { "" } else { "\n" };
            writeln!(page, "{gap}[{section}]").expect("a String takes everything");
            current = section;
        }
        line(page, key).expect("a String takes everything");
    }
}

/// How tables are added that the user names.
const TABLES: &str = r#"
# Clients in the role bot have limits of their own, once it stands here: every key of [limits] that says what one client may do. What it
# does not say is what [limits] says. Of a client's roles the first that stands here, by its own order of roles, counts.
# [roles.bot]
# messages_per_second = 100

# Keys that check tokens, each with one algorithm. The secret stands in a file or in an environment variable, never here.
# [auth.keys.main]
# algorithm = "HS256"
# secret_file = "/etc/shardcast/token.secret"

# Rooms whose names begin with "chat:" are in the namespace chat, once it stands here. It may have every key of [rooms] and begins
# with the defaults of those keys, not with what [rooms] says. As soon as there is one, a prefix without its namespace is refused.
# [namespaces.chat]
# join = "users"
# publish = ["moderator", "member"]
"#;
