//! The keys of section `[persistence]`.

use super::key::{Key, ValueKind};
use crate::store::options::Persistence;

pub(super) const PATH: Key = Key {
    name: "persistence.path",
    flag: None,
    what: "Directory in which it is stored what rooms keep and what waits for users, so that it outlives the process; none stores nothing. One process at a time uses it.",
    kind: ValueKind::Other("none or the path of a directory", |settings| {
        &mut settings.persistence_path
    }),
};
pub(super) const SYNC: Key = Key {
    name: "persistence.sync",
    flag: None,
    what: "What a crash may lose: what was published within so much time before it. Half of it goes by between two writes to the disk.",
    kind: ValueKind::Time(Persistence::SYNC, |settings| &mut settings.persistence_sync),
};
