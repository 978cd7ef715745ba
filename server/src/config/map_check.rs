//! The rules between options of rooms that are maps, and of rooms that maps are about.

use super::key::Key;
use super::room_keys;
use super::rooms::Rooms;
use super::settings::Settings;
use crate::namespace::{ClientKey, MapOf, RoomMap, RoomOrder};
use std::collections::BTreeMap;
use std::iter;

/// An option of a namespace that breaks a rule.
pub(super) struct BrokenOption<'s> {
    /// `None`: the default one.
    pub(super) namespace: Option<&'s str>,
    pub(super) rooms: &'s Rooms,
    pub(super) key: &'static Key,
    pub(super) rule: &'static str,
}

/// All of them.
pub(super) fn problems(settings: &Settings) -> Vec<BrokenOption<'_>> {
    let mut problems = Vec::new();
    for (namespace, rooms) in all(settings) {
        let of_room = rules(settings, rooms).into_iter();
        problems.extend(of_room.filter_map(|(is_broken, key, rule)| {
            is_broken.then_some(BrokenOption {
                namespace,
                rooms,
                key,
                rule,
            })
        }));
    }
    problems
}

/// What an operator should know of maps.
pub(crate) fn warnings(settings: &Settings) -> Vec<String> {
    if settings.persistence().is_none() {
        return Vec::new();
    }
    let maps = all(settings).filter(|(_, rooms)| rooms.map);
    let maps = maps.map(|(namespace, _)| match namespace {
        None => IN_MEMORY.replace("{}", "rooms"),
        Some(name) => IN_MEMORY.replace("{}", &format!("namespaces.{name}")),
    });
    maps.collect()
}

const IN_MEMORY: &str = "{}.map: what a map holds is in memory, and gone with the process, although persistence.path is set";

fn all(settings: &Settings) -> impl Iterator<Item = (Option<&str>, &Rooms)> {
    let named = settings.namespaces.iter();
    let named = named.map(|(name, rooms)| (Some(name.as_str()), rooms));
    iter::once((None, &settings.rooms)).chain(named)
}

/// Whether a rule is broken, by which key, and what that must be.
fn rules(settings: &Settings, rooms: &Rooms) -> [(bool, &'static Key, &'static str); 7] {
    let leads_to = |prefix: &Option<String>, of| {
        let prefix = prefix.as_deref();
        let all = (&settings.rooms, &settings.namespaces);
        prefix.is_none_or(|prefix| map_behind(all, prefix) == Some(of))
    };
    let is_possible = rooms.history.is_some()
        && rooms.order == RoomOrder::Fast
        && RoomMap::has_all_changes(rooms.slow_reader);
    [
        (rooms.map && !is_possible, &room_keys::MAP, NO_MAP),
        (
            rooms.map && is_possible && settings.cluster.is_one_of_many(),
            &room_keys::MAP,
            NO_MAP_IN_A_CLUSTER,
        ),
        (
            !rooms.map && rooms.map_of != MapOf::Published,
            &room_keys::MAP_OF,
            "must be published unless map is true",
        ),
        (
            rooms.map_of != MapOf::Published && rooms.map_key_ttl.is_some(),
            &room_keys::MAP_KEY_TTL,
            "must be none unless map_of is published: a key stays as long as who it is of",
        ),
        (
            rooms.map_remove_left && rooms.map_client_key != ClientKey::Connection,
            &room_keys::MAP_REMOVE_LEFT,
            "must be false unless map_client_key is connection",
        ),
        (
            !leads_to(&rooms.presence_connections, MapOf::Connections),
            &room_keys::CONNECTIONS_MAP,
            "must be none, or how rooms of a namespace begin whose map_of is connections",
        ),
        (
            !leads_to(&rooms.presence_users, MapOf::Users),
            &room_keys::USERS_MAP,
            "must be none, or how rooms of a namespace begin whose map_of is users",
        ),
    ]
}

const NO_MAP: &str = "must be false unless history says how many publications are kept, order is fast, and slow_reader is disconnect, conflate or catch_up";
const NO_MAP_IN_A_CLUSTER: &str = "must be false in a cluster (cluster.broker): each node would hold a map of its own, without what was published before it heard the room";

/// What keys of the maps are of whose rooms begin so, if that are maps.
fn map_behind((default, named): (&Rooms, &BTreeMap<String, Rooms>), prefix: &str) -> Option<MapOf> {
    let rooms = match prefix.split_once(':') {
        Some((name, _)) if !named.is_empty() => named.get(name)?,
        Some(_) | None => default,
    };
    rooms.map.then_some(rooms.map_of)
}

/// Of namespaces of which some have stayed as they were, or were left out: who names maps that are
/// not there names none.
pub(super) fn drop_missing(rooms: &mut Rooms, namespaces: &mut BTreeMap<String, Rooms>) {
    let all = (rooms.clone(), namespaces.clone());
    let leads_to = |prefix: &Option<String>, of| {
        let prefix = prefix.as_deref();
        prefix.is_none_or(|prefix| map_behind((&all.0, &all.1), prefix) == Some(of))
    };
    for rooms in iter::once(rooms).chain(namespaces.values_mut()) {
        if !leads_to(&rooms.presence_connections, MapOf::Connections) {
            rooms.presence_connections = None;
        }
        if !leads_to(&rooms.presence_users, MapOf::Users) {
            rooms.presence_users = None;
        }
    }
}
