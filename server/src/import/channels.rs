//! Namespaces of channels, each with all its options, as namespaces of rooms.
//!
//! Invariant: nobody may do in a room what it could not do in the channel. Where a rule was about
//! who is in the channel, nobody has it here but by a token, and that is told.

use super::imported::Imported;
use super::maps;
use super::names::ForeignKeys;
use super::options::OPTIONS;
use super::page::Page;
use super::values::{count, duration};
use serde_json::{Map, Value};

/// The role of nobody: who is let in by it has a token for the room.
const BY_TOKEN: &str = "[\"by-token\"]";

pub(super) fn import(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported) {
    let meta_ttl = keys.take("channel.history_meta_ttl");
    let mut default = Map::new();
    for option in OPTIONS {
        if let Some(value) = keys.take(&format!("channel.without_namespace.{option}")) {
            default.insert((*option).to_owned(), value);
        }
    }
    namespace(
        page,
        imported,
        ("rooms", "channel.without_namespace"),
        default,
        meta_ttl.as_ref(),
    );
    let Some(Value::Array(namespaces)) = keys.take("channel.namespaces") else {
        return;
    };
    for options in namespaces {
        let Value::Object(mut options) = options else {
            continue;
        };
        let name = options.remove("name");
        let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
        let theirs = format!("channel.namespaces.{name}");
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_word) {
            let why = "a name is 1 to 64 of A-Z a-z 0-9 _ -";
            imported.left_out.push(format!("{theirs}: {why}"));
            continue;
        }
        let ours = format!("namespaces.{name}");
        namespace(page, imported, (&ours, &theirs), options, meta_ttl.as_ref());
    }
}

/// Options that are left of a namespace, and where it stands.
struct NamespaceSource<'i> {
    given: Map<String, Value>,
    theirs: &'i str,
    imported: &'i mut Imported,
}

impl NamespaceSource<'_> {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.given.remove(name)
    }

    fn flag(&mut self, name: &str) -> bool {
        self.take(name) == Some(Value::Bool(true))
    }

    fn leave_out(&mut self, name: &str, why: &str) {
        let text = format!("{}.{name}: {why}", self.theirs);
        self.imported.left_out.push(text);
    }

    /// Who may do something; `by_members`: what becomes of a rule about those in the channel.
    fn who(&mut self, what: &str, members: AboutMembers) -> &'static str {
        let anonymous = self.flag(&format!("allow_{what}_for_anonymous"));
        let client = self.flag(&format!("allow_{what}_for_client"));
        let subscriber = self.flag(&format!("allow_{what}_for_subscriber"));
        match (client, anonymous) {
            (true, true) => "\"anyone\"",
            (true, false) => "\"users\"",
            (false, _) if subscriber && members == AboutMembers::Known => "\"anyone\"",
            (false, _) if subscriber => {
                let name = format!("allow_{what}_for_subscriber");
                self.leave_out(
                    &name,
                    "rules do not ask who is in the room; a token's caps may grant it",
                );
                BY_TOKEN
            }
            (false, _) => BY_TOKEN,
        }
    }
}

/// Whether what a rule is about is for those in the room alone, whatever the rule says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AboutMembers {
    Known,
    Unknown,
}

fn namespace(
    page: &mut Page,
    imported: &mut Imported,
    (ours, theirs): (&str, &str),
    mut given: Map<String, Value>,
    meta_ttl: Option<&Value>,
) {
    let map = maps::spread(&mut given);
    let mut options = NamespaceSource {
        given,
        theirs,
        imported,
    };
    let mut set = |name: &str, value: &str| page.set(&format!("{ours}.{name}"), value);
    let join = options.who("subscribe", AboutMembers::Unknown);
    set("join", join);
    set("publish", options.who("publish", AboutMembers::Unknown));
    let presence = options.who("presence", AboutMembers::Unknown);
    let has_presence = options.flag("presence");
    set(
        "presence",
        if has_presence { presence } else { "\"nobody\"" },
    );
    if options.flag("allow_user_limited_channels") {
        set("owned_by", "\"hash\"");
        set("join", "\"users\"");
        if join != BY_TOKEN {
            let why = "where rooms are of users by their names, no others are there";
            options.leave_out("allow_subscribe_for_client", why);
        }
    }
    options.take("force_push_join_leave");
    if options.flag("join_leave") {
        set("presence_events", "true");
        set("presence_grace", "\"0ms\"");
    }
    history(&mut options, &mut set, meta_ttl);
    for (name, value) in &map.set {
        set(name, value);
    }
    for (name, why) in &map.left_out {
        options.leave_out(name, why);
    }
    // Who asks for patches gets them where the server makes any, and everything otherwise.
    options.take("allowed_delta_types");
    options.take("delta_publish");
    // Where nothing is said, who asks for less may have less.
    if options.take("allow_tags_filter") == Some(Value::Bool(false)) {
        set("tag_filters", "false");
    }
    let rest: Vec<String> = options.given.keys().cloned().collect();
    for name in rest {
        let why = match name.contains("proxy") {
            true => "what asks a backend is configured otherwise",
            false => "there is no such option",
        };
        options.leave_out(&name, why);
    }
}

fn history(
    options: &mut NamespaceSource<'_>,
    set: &mut impl FnMut(&str, &str),
    meta_ttl: Option<&Value>,
) {
    let read = options.who("history", AboutMembers::Known);
    let recovers = [
        "force_recovery",
        "allow_recovery",
        "force_positioning",
        "allow_positioning",
    ]
    .map(|name| options.flag(name))
    .contains(&true);
    let mode = options.take("force_recovery_mode");
    let size = options.take("history_size");
    let ttl = options.take("history_ttl");
    let meta_ttl = options
        .take("history_meta_ttl")
        .or_else(|| meta_ttl.cloned());
    // There is none without both.
    let (Some(size), Some(ttl)) = (
        size.as_ref().and_then(count),
        ttl.as_ref().and_then(duration),
    ) else {
        return;
    };
    set("history", &size.to_string());
    set("history_ttl", &format!("\"{ttl}\""));
    // Who may be told what it missed may read it.
    set("history_read", if recovers { "\"anyone\"" } else { read });
    if let Some(meta_ttl) = meta_ttl.as_ref().and_then(duration) {
        set("epoch_ttl", &format!("\"{meta_ttl}\""));
    }
    if mode.as_ref().and_then(Value::as_str) == Some("cache") {
        set("last", "\"newest\"");
    }
}
