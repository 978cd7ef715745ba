//! The task by which rooms come to know their members at other nodes: what has become of a member
//! there goes to the room's home here.
//!
//! Invariant: what a member has become in the end is told, however often it changed, and who is
//! gone counts as long as that waits, so what waits has a bound; and whatever another node says is
//! checked as far as clients rely on it.

use crate::broker::node::ClusterNode;
use crate::broker::share::others::MemberThere;
use crate::rooms::cursor::is_elsewhere;
use crate::session::identity::Identity;
use crate::wire::publication::is_shown;
use shardcast_engine::{MemberElsewhere, PresenceKey, PresentThere, Refused, Target};

/// Runs until the engine has stopped.
pub(crate) async fn place_members(node: ClusterNode) {
    loop {
        node.view.placing.notified().await;
        while let Some(member) = node.view.next_member() {
            if place(&node, member).await.is_none() {
                return;
            }
        }
    }
}

/// `None`: the engine has stopped.
async fn place(node: &ClusterNode, member: MemberThere) -> Option<()> {
    let MemberThere {
        run,
        room,
        key,
        shown,
    } = member;
    let class = node
        .shared
        .resolve(&room)
        .ok()
        .and_then(|room| room.presence());
    // A room here may have no use for members that one there has.
    let Some(class) = class.filter(|_| is_key(&key)) else {
        return Some(());
    };
    let told = MemberElsewhere {
        process: run,
        key,
        shown: shown.filter(is_sound),
    };
    loop {
        match node.engine.place_elsewhere(&room, class, told.clone()) {
            Ok(()) => return Some(()),
            Err(Refused::Busy) => node.engine.ready_at_home(Target::Room(&room)).await,
            Err(Refused::Memory | Refused::Stopped) => return None,
        }
    }
}

/// Whether a member of another node may be known so.
fn is_key(key: &PresenceKey) -> bool {
    match key {
        PresenceKey::Connection(_) => false,
        PresenceKey::User(user) => Identity::is_name(user),
        PresenceKey::Elsewhere(name) => is_elsewhere(name),
    }
}

/// Whether clients can be shown it.
fn is_sound(shown: &PresentThere) -> bool {
    let user = shown.user.as_deref();
    user.is_none_or(Identity::is_name) && shown.data.as_deref().is_none_or(is_shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_engine::{Data, DataEncoding, OwnedData, PresenceState};
    use std::sync::Arc;

    #[test]
    fn members_are_known_by_plain_names() {
        for (key, fits) in [
            (PresenceKey::Elsewhere("0-1f-2@node_1".into()), true),
            (PresenceKey::Elsewhere("0-1f-2".into()), false),
            (PresenceKey::Elsewhere("0-1f@node".into()), false),
            (PresenceKey::Elsewhere("0-1f-2@no\"de".into()), false),
            (PresenceKey::User("ann".into()), true),
            (PresenceKey::User("".into()), false),
        ] {
            assert_eq!(is_key(&key), fits, "{key:?}");
        }
    }

    #[test]
    fn what_members_show_is_what_it_says_it_is() {
        for (data, encoding, fits) in [
            (Data::Text("{\"a\":1}"), 0, true),
            (Data::Text("{\"a\":"), 0, false),
            (Data::Text("1"), 1, false),
            (Data::Binary(&[0xc0]), 1, true),
            (Data::Binary(&[0xc1]), 1, false),
            (Data::Binary(&[0xc1]), 2, true),
            (Data::Text("000001"), 3, false),
            (Data::Text("1"), 9, false),
        ] {
            let shown = PresentThere {
                user: None,
                data: Some(Arc::new(OwnedData::new(data, DataEncoding(encoding)))),
                state: PresenceState::Here,
            };
            assert_eq!(is_sound(&shown), fits, "{data:?} {encoding}");
        }
    }
}
