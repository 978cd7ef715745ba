//! What a token lets its bearer do in which rooms, beyond what namespaces let everybody do.
//!
//! Invariant: there are at most [`Grants::PATTERNS_MAX`] patterns, and each is compared once per
//! question, so a question costs as much as the longest list of one action.

use serde_json::{Map, Value};

/// What is done in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoomAction {
    /// Become a member.
    Join,
    /// Publish to it.
    Publish,
    /// See its members.
    Presence,
    /// Read what it keeps.
    History,
}

impl RoomAction {
    /// Every action.
    pub const ALL: [RoomAction; 4] = [
        RoomAction::Join,
        RoomAction::Publish,
        RoomAction::Presence,
        RoomAction::History,
    ];

    /// Its name in the claim `rooms`, in logs and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            RoomAction::Join => "join",
            RoomAction::Publish => "publish",
            RoomAction::Presence => "presence",
            RoomAction::History => "history",
        }
    }
}

/// The claim `rooms`: for each action the rooms in which it is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// By action.
    rooms: [Box<[RoomPattern]>; RoomAction::ALL.len()],
}

/// Rooms by name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RoomPattern {
    /// The one of this name.
    Exactly(Box<str>),
    /// All whose names begin so: written with a star behind.
    Beginning(Box<str>),
}

impl Grants {
    /// Patterns of one token, of all actions together.
    pub const PATTERNS_MAX: usize = 256;

    /// Whether the action is granted in this room.
    pub fn has(&self, action: RoomAction, room: &str) -> bool {
        let patterns = &self.rooms[action as usize];
        patterns.iter().any(|pattern| pattern.fits(room))
    }

    /// The patterns of an action, as they are written.
    pub fn patterns(&self, action: RoomAction) -> impl Iterator<Item = String> + '_ {
        let patterns = self.rooms[action as usize].iter();
        patterns.map(|pattern| match pattern {
            RoomPattern::Exactly(name) => name.to_string(),
            RoomPattern::Beginning(start) => format!("{start}*"),
        })
    }

    /// The claim as it is written. `None`: it is malformed.
    pub(crate) fn read(claim: &Value) -> Option<Grants> {
        let mut grants = Grants::default();
        let mut count = 0;
        for (name, patterns) in claim.as_object()? {
            // A name that is mistyped would grant nothing, and nobody would know why.
            let action = RoomAction::ALL
                .into_iter()
                .find(|action| action.name() == name)?;
            let patterns = patterns.as_array()?;
            count += patterns.len();
            if count > Grants::PATTERNS_MAX {
                return None;
            }
            let patterns = patterns
                .iter()
                .map(|text| RoomPattern::read(text.as_str()?));
            grants.rooms[action as usize] = patterns.collect::<Option<_>>()?;
        }
        Some(grants)
    }

    /// The same with what the claim `caps` grants, as tokens for the Centrifuge protocol have it: a
    /// list of `channels`, how they are meant (`match`) and what is allowed there (`allow`).
    /// `None`: it is malformed, or asks for patterns that there are not.
    pub(crate) fn with_capabilities(self, claim: &Value) -> Option<Grants> {
        let mut grants = self;
        for capability in claim.as_array()? {
            let texts = |name: &str| -> Option<Vec<&str>> {
                let texts = capability.get(name)?.as_array()?.iter();
                texts.map(Value::as_str).collect()
            };
            let patterns = match capability.get("match").and_then(Value::as_str) {
                None | Some("") => {
                    let names = texts("channels")?.into_iter();
                    let names = names
                        .map(|name| (!name.is_empty()).then(|| RoomPattern::Exactly(name.into())));
                    names.collect::<Option<Vec<_>>>()?
                }
                Some("wildcard") => {
                    let patterns = texts("channels")?.into_iter().map(RoomPattern::read);
                    patterns.collect::<Option<Vec<_>>>()?
                }
                Some(_) => return None,
            };
            for allowed in texts("allow")? {
                let action = match allowed {
                    "sub" => RoomAction::Join,
                    "pub" => RoomAction::Publish,
                    "prs" => RoomAction::Presence,
                    "hst" => RoomAction::History,
                    _ => return None,
                };
                let all = &mut grants.rooms[action as usize];
                *all = all.iter().chain(&patterns).cloned().collect();
            }
        }
        let count: usize = grants.rooms.iter().map(|patterns| patterns.len()).sum();
        (count <= Grants::PATTERNS_MAX).then_some(grants)
    }

    /// The claim for a token. `None`: nothing is granted.
    pub(crate) fn claim(&self) -> Option<Value> {
        let granted = RoomAction::ALL.into_iter().filter_map(|action| {
            let patterns: Vec<Value> = self.patterns(action).map(Value::from).collect();
            (!patterns.is_empty()).then(|| (action.name().to_owned(), patterns.into()))
        });
        let granted: Map<String, Value> = granted.collect();
        (!granted.is_empty()).then(|| granted.into())
    }

    /// The same with an action granted in more rooms.
    #[must_use]
    pub fn with<P: AsRef<str>>(
        mut self,
        action: RoomAction,
        rooms: impl IntoIterator<Item = P>,
    ) -> Grants {
        let more = rooms.into_iter().map(|room| RoomPattern::of(room.as_ref()));
        let patterns = &mut self.rooms[action as usize];
        *patterns = std::mem::take(patterns).into_iter().chain(more).collect();
        self
    }
}

impl RoomPattern {
    /// A star that is not the last character would be taken for a pattern that there is not.
    fn read(text: &str) -> Option<RoomPattern> {
        let start = text.strip_suffix('*').unwrap_or(text);
        (!text.is_empty() && !start.contains('*')).then(|| RoomPattern::of(text))
    }

    fn of(text: &str) -> RoomPattern {
        match text.strip_suffix('*') {
            Some(start) => RoomPattern::Beginning(start.into()),
            None => RoomPattern::Exactly(text.into()),
        }
    }

    fn fits(&self, room: &str) -> bool {
        match self {
            RoomPattern::Exactly(name) => **name == *room,
            RoomPattern::Beginning(start) => room.starts_with(&**start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_are_names_and_beginnings() {
        let grants = Grants::read(&json!({"join": ["chat:*", "news"], "publish": ["*"]})).unwrap();
        for (action, room, want) in [
            (RoomAction::Join, "chat:a", true),
            (RoomAction::Join, "chat:", true),
            (RoomAction::Join, "chat", false),
            (RoomAction::Join, "news", true),
            (RoomAction::Join, "news:a", false),
            (RoomAction::Publish, "anything", true),
            (RoomAction::Presence, "news", false),
            (RoomAction::History, "chat:a", false),
        ] {
            assert_eq!(grants.has(action, room), want, "{action:?} {room}");
        }
    }

    #[test]
    fn what_is_malformed_grants_nothing_in_silence() {
        let many: Vec<String> = (0..=Grants::PATTERNS_MAX).map(|n| n.to_string()).collect();
        for claim in [
            json!(null),
            json!([]),
            json!({"join": "chat:*"}),
            json!({"jion": ["chat:*"]}),
            json!({"join": [1]}),
            json!({"join": ["a*b"]}),
            json!({"join": ["**"]}),
            json!({"join": [""]}),
            json!({ "join": many }),
        ] {
            assert_eq!(Grants::read(&claim), None, "{claim}");
        }
    }

    #[test]
    fn capabilities_grant_what_they_name() {
        let caps = json!([
            {"channels": ["news", "chat:*"], "allow": ["sub"]},
            {"channels": ["chat:*"], "match": "wildcard", "allow": ["pub", "hst", "prs"]},
        ]);
        let grants = Grants::default().with(RoomAction::Publish, ["own"]);
        let grants = grants.with_capabilities(&caps).unwrap();
        for (action, room, want) in [
            (RoomAction::Join, "news", true),
            (RoomAction::Join, "chat:a", false),
            (RoomAction::Join, "chat:*", true),
            (RoomAction::Publish, "chat:a", true),
            (RoomAction::Publish, "own", true),
            (RoomAction::Publish, "news", false),
            (RoomAction::Presence, "chat:a", true),
            (RoomAction::History, "chat:a", true),
        ] {
            assert_eq!(grants.has(action, room), want, "{action:?} {room}");
        }
        let many: Vec<String> = (0..=Grants::PATTERNS_MAX).map(|n| n.to_string()).collect();
        for caps in [
            json!({}),
            json!(["sub"]),
            json!([{"channels": ["a"]}]),
            json!([{"channels": "a", "allow": ["sub"]}]),
            json!([{"channels": [""], "allow": ["sub"]}]),
            json!([{"channels": ["a"], "allow": ["all"]}]),
            json!([{"channels": ["a"], "allow": ["sub"], "match": "regex"}]),
            json!([{"channels": ["a*b"], "allow": ["sub"], "match": "wildcard"}]),
            json!([{"channels": many, "allow": ["sub"]}]),
        ] {
            assert_eq!(Grants::default().with_capabilities(&caps), None, "{caps}");
        }
    }

    #[test]
    fn a_claim_reads_back() {
        let grants = Grants::default()
            .with(RoomAction::Join, ["a", "b:*"])
            .with(RoomAction::History, ["*"]);
        let claim = grants.claim().unwrap();
        assert_eq!(claim, json!({"join": ["a", "b:*"], "history": ["*"]}));
        assert_eq!(Grants::read(&claim), Some(grants));
        assert_eq!(Grants::default().claim(), None);
    }
}
