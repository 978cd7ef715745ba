//! Who a connection is: a user with roles, or nobody. Made by the connect hook or by a handler,
//! carried by the session.

use crate::auth::claims::Claims;
use crate::auth::grants::RoomAction;
use crate::auth::rules::unix_now_ms;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// A user and its roles; the default is nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    user: Option<Arc<str>>,
    roles: Arc<[Box<str>]>,
    /// When it ends whatever a token says, in milliseconds since 1970. `None`: it is not said.
    ends_ms: Option<NonZeroU64>,
    /// Of the token that proved it.
    claims: Option<Arc<Claims>>,
}

/// A user's name is empty, or longer than [`Identity::USER_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user's name has 1 to {} bytes", Identity::USER_BYTES_MAX)]
pub struct BadUser;

impl Identity {
    /// Longest name of a user, in bytes.
    pub const USER_BYTES_MAX: usize = shardcast_engine::USER_BYTES_MAX;

    /// Nobody: the identity of a connection that has no other.
    pub fn nobody() -> Identity {
        Identity::default()
    }

    /// A user without roles.
    ///
    /// # Errors
    /// The name has not 1 to [`Identity::USER_BYTES_MAX`] bytes.
    pub fn user(name: impl Into<Arc<str>>) -> Result<Identity, BadUser> {
        let name = name.into();
        if !Identity::is_name(&name) {
            return Err(BadUser);
        }
        Ok(Identity {
            user: Some(name),
            roles: Arc::default(),
            ends_ms: None,
            claims: None,
        })
    }

    /// Who a token says its bearer is.
    pub(crate) fn verified(claims: Arc<Claims>) -> Identity {
        let (user, roles) = claims.shared();
        Identity {
            user,
            roles,
            ends_ms: None,
            claims: Some(claims),
        }
    }

    /// The claims of the token that proved it, if one did.
    pub fn claims(&self) -> Option<&Arc<Claims>> {
        self.claims.as_ref()
    }

    /// The same with the claims of `proved`, unless it has claims of its own: what code of the
    /// application makes of a verified client is bound to the token all the same.
    pub(crate) fn bound_to(self, proved: &Identity) -> Identity {
        let claims = self.claims.or_else(|| proved.claims.clone());
        Identity { claims, ..self }
    }

    /// The same for so long from now on, whatever a token says; then the connection is closed
    /// (`token_expired`). It is rounded to milliseconds, one at least.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Identity {
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let ends_ms = unix_now_ms().saturating_add(time_ms.max(1));
        Identity {
            ends_ms: NonZeroU64::new(ends_ms),
            ..self
        }
    }

    /// The same with the end of `other`, if that has one of its own.
    pub(crate) fn ending_with(self, other: &Identity) -> Identity {
        let ends_ms = other.ends_ms.or(self.ends_ms);
        Identity { ends_ms, ..self }
    }

    /// How long it lasts, whatever a token says. `None`: that is not said.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        let ends_ms = self.ends_ms?.get();
        let left_ms = ends_ms.saturating_sub(unix_now_ms());
        Some(Duration::from_millis(left_ms))
    }

    /// Whether it is nobody's, for however long.
    pub(crate) fn is_nobody(&self) -> bool {
        self.user.is_none() && self.roles.is_empty() && self.claims.is_none()
    }

    /// The same user in the same roles, proved by nothing and without an end.
    pub(crate) fn without_claims(self) -> Identity {
        Identity {
            claims: None,
            ends_ms: None,
            ..self
        }
    }

    /// Whether a user may have this name: 1 to [`Identity::USER_BYTES_MAX`] bytes.
    pub fn is_name(name: &str) -> bool {
        (1..=Identity::USER_BYTES_MAX).contains(&name.len())
    }

    /// The same user in these roles, instead of those it had.
    pub fn in_roles<R: Into<Box<str>>>(self, roles: impl IntoIterator<Item = R>) -> Identity {
        let roles = roles.into_iter().map(Into::into).collect();
        Identity { roles, ..self }
    }

    /// The user's name, if the identity is a user's.
    pub fn name(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Its roles, in the order given.
    pub fn roles(&self) -> &[Box<str>] {
        &self.roles
    }

    /// Whether it has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|has| **has == *role)
    }
}

impl crate::namespace::Caller for Identity {
    fn user(&self) -> Option<&str> {
        self.name()
    }

    fn has_role(&self, role: &str) -> bool {
        Identity::has_role(self, role)
    }

    fn is_granted(&self, action: RoomAction, room: &str) -> bool {
        let claims = self.claims.as_ref();
        claims.is_some_and(|claims| claims.grants().has(action, room))
    }
}

impl From<BadUser> for shardcast_engine::Refusal {
    fn from(error: BadUser) -> Self {
        shardcast_engine::Refusal::new(403, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_bounds() {
        let longest = "x".repeat(Identity::USER_BYTES_MAX);
        for (name, ok) in [("", false), ("a", true), (&longest, true)] {
            assert_eq!(Identity::user(name).is_ok(), ok, "{name}");
        }
        assert_eq!(Identity::user(format!("{longest}x")), Err(BadUser));
    }

    #[test]
    fn an_end_of_its_own_is_kept_with_other_roles_and_not_without_proof() {
        let ann = Identity::user("ann").unwrap();
        assert_eq!(ann.lasts(), None);
        let hour = Duration::from_secs(3_600);
        let short = ann.clone().lasting(Duration::ZERO);
        let long = ann.clone().lasting(hour).in_roles(["a"]);
        assert!(long.lasts() > Some(hour / 2) && long.lasts() <= Some(hour));
        assert!(short.clone().ending_with(&long).lasts() > Some(hour / 2));
        assert!(long.clone().ending_with(&ann).lasts() > Some(hour / 2));
        assert_eq!(long.without_claims().lasts(), None);
        let nobody = Identity::nobody().lasting(hour);
        assert!(nobody.is_nobody() && !short.is_nobody());
    }

    #[test]
    fn roles_are_replaced_not_added() {
        let ann = Identity::user("ann").unwrap().in_roles(["a", "b"]);
        assert!(ann.has_role("a") && ann.has_role("b") && !ann.has_role("c"));
        let ann = ann.in_roles(["c"]);
        assert!(!ann.has_role("a") && ann.has_role("c"));
        assert_eq!(ann.name(), Some("ann"));
        assert_eq!(Identity::nobody().name(), None);
    }
}
