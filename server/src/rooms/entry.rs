//! What is published to a room that is a map: under which key, and what the event is called that
//! says so, which clients of the Centrifuge protocol and other nodes read.
//!
//! Invariant: what a map's room publishes has a key, and the event's name has the same. Used by the
//! dispatch, for clients, and by events of the application.

use crate::namespace::resolved::ResolvedRoom;
use crate::namespace::{ClientKey, MapOf, RoomMap};
use crate::session::context::Context;
use shardcast_engine::{Content, Data, DataEncoding, Publication, PublicationKind};
use shardcast_protocol::dialect::centrifuge::{
    KeyChange, MapEntry, PUBLICATION, TAG_OF_EVENTS, entry_of, named_entry, removal_of, tags_of,
};
use shardcast_protocol::dialect::{Code, KEY_BYTES_MAX, Problem, PublishKeys};
use shardcast_protocol::json::Raw;

/// A change of a map that a client asks for.
#[derive(Debug)]
pub(crate) struct EntryOfClient {
    pub(crate) key: String,
    pub(crate) change: KeyChange,
    /// What the event is called.
    pub(crate) name: String,
}

impl EntryOfClient {
    /// `None`: the room is no map.
    ///
    /// # Errors
    /// `bad_request`: there is no key, or one that is too long; `unauthorized`: the client has
    /// none; `forbidden`: the server alone publishes.
    #[cold]
    pub(crate) fn of(
        cx: &Context<'_>,
        room: &ResolvedRoom<'_>,
        keys: &PublishKeys<'_>,
    ) -> Result<Option<EntryOfClient>, Problem> {
        let Some(map) = room.map() else {
            return Ok(None);
        };
        may_publish(map)?;
        let key = key_of(cx, map, keys.conflation.as_deref())?;
        check(&key)?;
        let change = keys.change.unwrap_or_default();
        let (client, identity) = (cx.connection().text(), cx.identity());
        let info = identity.claims().and_then(|claims| claims.info());
        let entry = MapEntry {
            key: &key,
            change,
            client: client.as_str(),
            user: identity.name().unwrap_or(""),
            info: info.unwrap_or(""),
        };
        let name = named_entry(None, &entry);
        Ok(Some(EntryOfClient { key, change, name }))
    }
}

/// Whether what is published to a map is not the server's own business.
///
/// # Errors
/// `forbidden`: it is.
pub(crate) fn may_publish(map: &RoomMap) -> Result<(), Problem> {
    match map.of {
        MapOf::Published => Ok(()),
        MapOf::Connections | MapOf::Users => Err(Problem::new(Code::Forbidden, OF_MEMBERS)),
    }
}

fn key_of(cx: &Context<'_>, map: &RoomMap, said: Option<&str>) -> Result<String, Problem> {
    match (map.client_key, said) {
        (ClientKey::Any, Some(key)) => Ok(key.to_owned()),
        (ClientKey::Any, None) => Err(Problem::new(Code::BadRequest, NO_MAP_KEY)),
        (ClientKey::Connection, _) => Ok(cx.connection().text().as_str().to_owned()),
        (ClientKey::User, _) => match cx.identity().name() {
            Some(user) => Ok(user.to_owned()),
            None => Err(Problem::new(Code::Unauthorized, NO_USER)),
        },
    }
}

fn check(key: &str) -> Result<(), Problem> {
    match (1..=KEY_BYTES_MAX).contains(&key.len()) {
        true => Ok(()),
        false => Err(Problem::new(Code::BadRequest, BAD_MAP_KEY)),
    }
}

/// What an event of the application is called that changes a map: it keeps its tags, and has its
/// name for one where it has none.
///
/// # Errors
/// `bad_request`: there is no key, or one that is too long.
pub(crate) fn name_of_event(
    name: &str,
    key: Option<&str>,
    change: KeyChange,
) -> Result<String, Problem> {
    let key = key.ok_or_else(|| Problem::new(Code::BadRequest, NO_MAP_KEY))?;
    check(key)?;
    let entry = MapEntry::of_server(key, change);
    let own = (name != PUBLICATION).then(|| serde_json::json!({ TAG_OF_EVENTS: name }).to_string());
    let tags = match (tags_of(name), &own) {
        (Some(tags), _) => Some(tags),
        (None, own) => own.as_deref().map(Raw::of_serializer),
    };
    Ok(named_entry(tags, &entry))
}

/// What becomes of a key, by the name of an event that another node brings.
pub(crate) fn change_of(event: &str) -> Option<KeyChange> {
    Some(entry_of(event)?.change)
}

/// What is published of a key whose time is over, which every node sees for itself.
pub(crate) fn removal(last: &Publication<'_>) -> Option<Content> {
    let PublicationKind::Event { name } = last.kind else {
        return None;
    };
    let publication = Publication {
        topic: last.topic,
        kind: PublicationKind::Event {
            name: &removal_of(name)?,
        },
        data: Data::Text(Raw::NULL.as_str()),
        data_encoding: DataEncoding::default(),
    };
    Some(Content::of_elsewhere(&publication, None))
}

/// What is answered where a publish to a map has no key.
pub(crate) const NO_MAP_KEY: &str = "this room is a map: what is published has a conflation key";
const OF_MEMBERS: &str = "keys of this map are of who is in another room";
const BAD_MAP_KEY: &str = "a key of a map has 1 to 128 bytes";
const _: () = assert!(KEY_BYTES_MAX == 128, "the text says so");
const NO_USER: &str = "keys of this map are names of users, and the connection is none";
/// What is answered where a change of a map goes to a room that is none.
pub(crate) const NO_MAP: &str = "this room is no map: its namespace needs the option map";
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_map_has_its_key() {
        let set = KeyChange::Set;
        for (name, tags) in [
            (PUBLICATION, None),
            ("price", Some(r#"{"event":"price"}"#)),
            ("publication\0{\"a\":\"b\"}", Some(r#"{"a":"b"}"#)),
        ] {
            let event = name_of_event(name, Some("k"), set).expect("it has a key");
            assert_eq!(
                tags_of(&event)
                    .map(|tags| tags.as_str().to_owned())
                    .as_deref(),
                tags
            );
            assert_eq!(entry_of(&event), Some(MapEntry::of_server("k", set)));
            let last = Publication {
                topic: None,
                kind: PublicationKind::Event { name: &event },
                data: Data::Text("1"),
                data_encoding: DataEncoding::default(),
            };
            assert!(removal(&last).is_some());
        }
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for key in [None, Some(""), Some(&*long)] {
            let problem = name_of_event("e", key, set).expect_err("no such key");
            assert_eq!(problem.code, Code::BadRequest);
        }
    }
}
