//! What joining and leaving a room changes of maps: of those that hold who is in the room, and of
//! the room itself, where a connection's key goes with it.
//!
//! Invariant: what a map has because of a connection its session knows, and it is given up once:
//! when the connection leaves the room or ends. Both travel the same way to the map's home, so what
//! is given up comes behind what has asked for it. Called by the service.

use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::event::EncodedEvent;
use crate::session::context::Context;
use crate::session::keys_in_maps::{KeyEnd, KeyInMap};
use crate::session::permits::Permit;
use crate::session::shared::Shared;
use shardcast_engine::{Publish, Refused, Target};
use shardcast_protocol::dialect::centrifuge::{KeyChange, MapEntry, named_entry};
use shardcast_protocol::dialect::{Dialect, KEY_BYTES_MAX};
use std::sync::Arc;
use std::time::Duration;

/// Keys of one shard that are to be given up and that its engine was too busy to take. What would
/// be more stays in its map until that is cleared.
const GIVEN_UP_LATER_MAX: usize = 65_536;
/// How long until the engine is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Context<'_> {
    /// The connection is in a room, perhaps once more.
    pub(crate) fn joined_in_maps(&mut self, room: &Arc<str>) {
        let shared = self.shared;
        let known = self.session.some();
        if known.is_some_and(|more| more.keys_in_maps.has_room(room)) {
            return;
        }
        let Ok(resolved) = shared.resolve(room) else {
            return;
        };
        if !resolved.namespace().changes_maps() {
            return;
        }
        let mut keys = self.hold_keys(&resolved);
        if resolved.namespace().removes_left() {
            keys.push(KeyInMap {
                map: Arc::clone(room),
                key: self.connection().text().as_str().into(),
                end: KeyEnd::Removed,
            });
        }
        self.session.more().keys_in_maps.enter(room, keys);
    }

    /// It is not any more.
    pub(crate) fn left_in_maps(&mut self, room: &str) {
        let Some(more) = self.session.some_mut() else {
            return;
        };
        let keys = more.keys_in_maps.leave(room);
        self.session.shrink();
        for key in keys {
            self.give_up_key(key);
        }
    }

    /// It is another user from here on.
    pub(crate) fn identified_in_maps(&mut self) {
        let Some(more) = self.session.some_mut() else {
            return;
        };
        for (room, held) in more.keys_in_maps.take_held() {
            for key in held {
                self.give_up_key(key);
            }
            let shared = self.shared;
            let Ok(resolved) = shared.resolve(&room) else {
                continue;
            };
            let keys = self.hold_keys(&resolved);
            self.session.more().keys_in_maps.add(&room, keys);
        }
        self.session.shrink();
    }

    /// It has ended.
    pub(crate) fn closed_in_maps(&mut self) {
        let Some(more) = self.session.some_mut() else {
            return;
        };
        for key in more.keys_in_maps.take_all() {
            self.give_up_key(key);
        }
    }

    /// Has maps hold the connection, and its user, as long as they are in a room; those that do.
    fn hold_keys(&mut self, room: &ResolvedRoom<'_>) -> Vec<KeyInMap> {
        let client = self.connection().text();
        let identity = self.identity().clone();
        let user = identity.name().unwrap_or("");
        let info = identity.claims().and_then(|claims| claims.info());
        let of_connection = MapEntry {
            client: client.as_str(),
            user,
            info: info.unwrap_or(""),
            ..MapEntry::of_server(client.as_str(), KeyChange::Set)
        };
        let of_user = MapEntry::of_server(user, KeyChange::Set);
        let maps = &room.namespace().presence_maps;
        let both = [(&maps.connections, of_connection), (&maps.users, of_user)];
        let both = both.into_iter();
        let held = both.filter_map(|(prefix, entry)| {
            let map = format!("{}{}", prefix.as_deref()?, room.name());
            self.hold_key(map.into(), &entry)
        });
        held.collect()
    }

    /// `None`: there is no such map, no such key, or the engine takes nothing now, and the
    /// connection is not shown.
    fn hold_key(&mut self, map: Arc<str>, entry: &MapEntry<'_>) -> Option<KeyInMap> {
        let publish = change(self.shared, &map, entry)?.holds(self.engine.address());
        self.engine.publish(Target::Room(&map), publish).ok()?;
        Some(KeyInMap {
            key: entry.key.into(),
            map,
            end: KeyEnd::Released,
        })
    }

    fn give_up_key(&mut self, given_up: KeyInMap) {
        let KeyInMap { map, key, end } = given_up;
        let entry = MapEntry::of_server(&key, KeyChange::Remove);
        let Some(publish) = change(self.shared, &map, &entry) else {
            return;
        };
        let publish = match end {
            KeyEnd::Released => publish.releases(self.engine.address()),
            KeyEnd::Removed => publish.removes(),
        };
        let given_up = self.engine.publish(Target::Room(&map), publish.clone());
        let later = &self.state.given_up_later;
        if given_up.is_err() && later.taken() < GIVEN_UP_LATER_MAX {
            let again = give_up_later(Arc::downgrade(self.shared), map, publish, later.take());
            drop(self.shared.runtime.spawn(again));
        }
    }
}

/// The change of a map. `None`: there is no such map, or no such key.
fn change(shared: &Shared, map: &str, entry: &MapEntry<'_>) -> Option<Publish> {
    if !(1..=KEY_BYTES_MAX).contains(&entry.key.len()) {
        return None;
    }
    let room = shared.resolve(map).ok()?;
    let name = named_entry(None, entry);
    let event = EncodedEvent::new(shared, Dialect::NativeJson, &name, &()).ok()?;
    event.change_of(room, entry.key).ok()
}

/// Asks the engine again until it takes what it was too busy for: a key must not stay.
async fn give_up_later(
    shared: std::sync::Weak<Shared>,
    map: Arc<str>,
    publish: Publish,
    _counted: Permit,
) {
    loop {
        tokio::time::sleep(AGAIN_AFTER).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let taken = shared
            .engine()
            .and_then(|engine| engine.publish(Target::Room(&map), publish.clone()));
        match taken {
            Ok(()) | Err(Refused::Stopped) => return,
            Err(Refused::Busy | Refused::Memory) => {}
        }
    }
}
