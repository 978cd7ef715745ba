//! Maps that hold who is in a room: which rooms they are, by the names of the rooms that they are
//! about.
//!
//! Invariant: a namespace that names such maps leads to one whose rooms are maps of that kind.

use crate::namespace::{ClientKey, MapOf, Namespace, NamespaceError, Namespaces, PresenceMaps};

impl Namespace {
    /// Whether joining or leaving a room changes a map.
    pub(crate) fn changes_maps(&self) -> bool {
        let PresenceMaps { connections, users } = &self.presence_maps;
        connections.is_some() || users.is_some() || self.removes_left()
    }

    /// Whether the key of a connection leaves the map that a room is with its connection.
    pub(crate) fn removes_left(&self) -> bool {
        let map = self.map.as_ref();
        map.is_some_and(|map| map.remove_left && map.client_key == ClientKey::Connection)
    }
}

impl Namespaces {
    /// Whether joining or leaving some room changes a map.
    pub(crate) fn change_maps(&self) -> bool {
        self.0.changes_maps
    }

    /// Whether some room is a map.
    pub(crate) fn have_maps(&self) -> bool {
        let mut all = self.all();
        all.any(|(_, namespace)| namespace.map.is_some())
    }

    fn all(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        let named = self.0.named.iter();
        let named = named.map(|(name, class)| (&**name, &class.namespace));
        std::iter::once(("", &self.0.default.namespace)).chain(named)
    }

    pub(super) fn check_presence_maps(&self) -> Result<(), NamespaceError> {
        for (name, namespace) in self.all() {
            let PresenceMaps { connections, users } = &namespace.presence_maps;
            for (field, prefix, of, rule) in [
                (
                    "connections",
                    connections,
                    MapOf::Connections,
                    OF_CONNECTIONS,
                ),
                ("users", users, MapOf::Users, OF_USERS),
            ] {
                let Some(prefix) = prefix else { continue };
                let map = self.find(&format!("{prefix}x")).ok();
                let map = map.and_then(|namespace| namespace.map.as_ref());
                if map.is_none_or(|map| map.of != of) {
                    return Err(NamespaceError::PresenceMap(name.to_owned(), field, rule));
                }
            }
        }
        Ok(())
    }
}

const OF_CONNECTIONS: &str = "how rooms of a namespace of maps of connections begin";
const OF_USERS: &str = "how rooms of a namespace of maps of users begin";
