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

    /// Whether a member hears where the history is: the room has one, and the member may read it.
    /// Who may not could only name the place to be refused.
    pub(crate) fn tells_place_to(&self, member: &(impl Caller + ?Sized)) -> bool {
        self.history().is_some() && self.may_read(member, Standing::Member).is_ok()
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

impl Namespace {
    /// Whether the caller may join a room of this namespace.
    ///
    /// # Errors
    /// [`Denied::Unauthorized`] if the rule needs a user and the caller is none, else
    /// [`Denied::Forbidden`]; always [`Denied::Forbidden`] in a secret namespace.
    pub fn may_join(&self, caller: &(impl Caller + ?Sized)) -> Result<(), Denied> {
        self.may(&self.join, caller)
    }

    /// Whether the caller may publish to a room of this namespace.
    ///
    /// # Errors
    /// As [`Namespace::may_join`].
    pub fn may_publish(&self, caller: &(impl Caller + ?Sized)) -> Result<(), Denied> {
        self.may(&self.publish, caller)
    }

    /// Whether the caller may see the members of a room of this namespace.
    ///
    /// # Errors
    /// As [`Namespace::may_join`].
    pub fn may_see(&self, caller: &(impl Caller + ?Sized)) -> Result<(), Denied> {
        self.may(&self.presence, caller)
    }

    /// Whether the caller may read what a room of this namespace keeps; `standing` is how it stands
    /// to the room.
    ///
    /// # Errors
    /// As [`Namespace::may_join`]. A secret namespace whose rooms keep nothing refuses, as one that
    /// does not exist does.
    pub fn may_read(
        &self,
        caller: &(impl Caller + ?Sized),
        standing: Standing,
    ) -> Result<(), Denied> {
        if standing == Standing::Stranger {
            self.may_join(caller)?;
        }
        if self.secret && self.history.is_none() {
            return Err(Denied::Forbidden);
        }
        self.may(&self.history_read, caller)
    }

    fn may(&self, who: &Who, caller: &(impl Caller + ?Sized)) -> Result<(), Denied> {
        if who.includes(caller) {
            Ok(())
        } else if !self.secret && who.takes_a_user() && caller.user().is_none() {
            Err(Denied::Unauthorized)
        } else {
            Err(Denied::Forbidden)
        }
    }
}
