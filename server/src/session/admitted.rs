//! What is decided about a client that is let in: who it is, and what it begins with. Made by a
//! hook in the background; kept by the session until the client is welcomed.

use crate::session::identity::Identity;
use serde_json::value::RawValue;

/// A client that is let in.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Admitted {
    /// Who it is.
    pub identity: Identity,
    /// Rooms that it is in from the start, whatever their namespaces say of who may join. It is
    /// welcomed with their names; if one cannot be joined, it is disconnected.
    pub rooms: Vec<Box<str>>,
    /// What it is welcomed with.
    pub data: Option<Box<RawValue>>,
}

impl Admitted {
    /// Whether there is more to it than who it is.
    pub(crate) fn begins_with_something(&self) -> bool {
        !self.rooms.is_empty() || self.data.is_some()
    }

    /// The same in these rooms from the start.
    #[must_use]
    pub fn in_rooms<R: Into<Box<str>>>(self, rooms: impl IntoIterator<Item = R>) -> Admitted {
        let rooms = rooms.into_iter().map(Into::into).collect();
        Admitted { rooms, ..self }
    }

    /// The same, welcomed with this.
    #[must_use]
    pub fn with_data(self, data: Box<RawValue>) -> Admitted {
        let data = Some(data);
        Admitted { data, ..self }
    }
}

impl From<Identity> for Admitted {
    fn from(identity: Identity) -> Admitted {
        Admitted {
            identity,
            ..Admitted::default()
        }
    }
}
