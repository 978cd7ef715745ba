//! Whether somebody may do something in a room: by the rule of the room's namespace and as one of
//! those whose room it is, or because a token grants it.
//!
//! Invariant: what nobody may do no token grants. A refusal costs the same whether the room's
//! namespace exists or not, once one is secret: the rule, the owners and the grants are looked at
//! in both cases. Asked by whoever acts for clients.

use crate::auth::grants::RoomAction;
use crate::namespace::resolved::ResolvedRoom;
use crate::namespace::{Caller, Denied, Namespace, Owners, Standing, Who};

impl ResolvedRoom<'_> {
    /// Whether the caller may do this in the room. Of what the room keeps a member may read more
    /// than a stranger ([`ResolvedRoom::may_read`]).
    #[inline]
    pub(crate) fn may(
        &self,
        action: RoomAction,
        caller: &(impl Caller + ?Sized),
    ) -> Result<(), Denied> {
        let namespace = self.namespace();
        let by_rule = match action {
            RoomAction::Join => namespace.may_join(caller),
            RoomAction::Publish => namespace.may_publish(caller),
            RoomAction::Presence => namespace.may_see(caller),
            RoomAction::History => namespace.may_read(caller, Standing::Member),
        };
        match (by_rule, namespace.owners) {
            (Ok(()), Owners::Nobody) => Ok(()),
            (by_rule, _) => self.may_all_the_same(action, caller, by_rule),
        }
    }

    /// Whether the caller, who stands so to the room, may read what it keeps.
    pub(crate) fn may_read(
        &self,
        caller: &(impl Caller + ?Sized),
        standing: Standing,
    ) -> Result<(), Denied> {
        if standing == Standing::Stranger {
            self.may(RoomAction::Join, caller)?;
        }
        self.may(RoomAction::History, caller)
    }

    #[cold]
    fn may_all_the_same(
        &self,
        action: RoomAction,
        caller: &(impl Caller + ?Sized),
        by_rule: Result<(), Denied>,
    ) -> Result<(), Denied> {
        let namespace = self.namespace();
        let is_granted = caller.is_granted(action, self.name());
        let is_owner = namespace.owners.include(caller.user(), self.own_name());
        match by_rule {
            Ok(()) if is_owner => Ok(()),
            Err(Denied::Unauthorized | Denied::Forbidden) | Ok(())
                if is_granted && *rule(namespace, action) != Who::Nobody =>
            {
                Ok(())
            }
            Ok(()) if !namespace.secret && caller.user().is_none() => Err(Denied::Unauthorized),
            Ok(()) => Err(Denied::Forbidden),
            Err(denied) => Err(denied),
        }
    }
}

fn rule(namespace: &Namespace, action: RoomAction) -> &Who {
    match action {
        RoomAction::Join => &namespace.join,
        RoomAction::Publish => &namespace.publish,
        RoomAction::Presence => &namespace.presence,
        RoomAction::History => &namespace.history_read,
    }
}
