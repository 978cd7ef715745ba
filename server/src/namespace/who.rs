//! Who may do something, and what a rule must know of the one who asks.

use crate::auth::grants::RoomAction;
use std::ops::RangeInclusive;

/// The one who asks.
pub trait Caller {
    /// The user, if one is signed in.
    fn user(&self) -> Option<&str>;
    /// Whether the caller has this role.
    fn has_role(&self, role: &str) -> bool;
    /// Whether the caller has a grant of its own for this in a room, beside what its user and its
    /// roles give it. Default: it has none.
    fn is_granted(&self, action: RoomAction, room: &str) -> bool {
        let _none = (action, room);
        false
    }
}

impl<C: Caller + ?Sized> Caller for &C {
    fn user(&self) -> Option<&str> {
        (**self).user()
    }

    fn has_role(&self, role: &str) -> bool {
        (**self).has_role(role)
    }

    fn is_granted(&self, action: RoomAction, room: &str) -> bool {
        (**self).is_granted(action, room)
    }
}

/// `None`: nobody is signed in.
impl<C: Caller> Caller for Option<C> {
    fn user(&self) -> Option<&str> {
        self.as_ref().and_then(Caller::user)
    }

    fn has_role(&self, role: &str) -> bool {
        self.as_ref().is_some_and(|caller| caller.has_role(role))
    }

    fn is_granted(&self, action: RoomAction, room: &str) -> bool {
        let caller = self.as_ref();
        caller.is_some_and(|caller| caller.is_granted(action, room))
    }
}

/// Who may do something. The server itself (handlers, `Handle`) always may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody who is connected.
    Anyone,
    /// Every user: whoever is signed in.
    Users,
    /// Whoever has one of these roles.
    Roles(Roles),
    /// Nobody.
    Nobody,
}

impl Who {
    /// Whether the caller is one of them.
    pub fn includes(&self, caller: &(impl Caller + ?Sized)) -> bool {
        match self {
            Who::Anyone => true,
            Who::Users => caller.user().is_some(),
            Who::Roles(roles) => roles.iter().any(|role| caller.has_role(role)),
            Who::Nobody => false,
        }
    }

    /// Whether signing in may help a caller who is not one of them.
    pub(super) fn takes_a_user(&self) -> bool {
        match self {
            Who::Anyone | Who::Nobody => false,
            Who::Users | Who::Roles(_) => true,
        }
    }
}

/// Names of roles, one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(Box<[Box<str>]>);

impl Roles {
    /// Roles of one rule: a denial compares the caller's with all of them.
    pub const COUNT_MAX: usize = 32;
    /// Bytes of a role's name, each of `A-Z a-z 0-9 _ . : / -`.
    pub const NAME_BYTES: RangeInclusive<usize> = 1..=64;

    /// `None`: there is none, there are more than [`Roles::COUNT_MAX`], one stands twice, or no
    /// role can be called so.
    pub fn new<R: AsRef<str>>(names: impl IntoIterator<Item = R>) -> Option<Roles> {
        let mut roles: Vec<Box<str>> = Vec::new();
        for name in names {
            let name = name.as_ref();
            let is_again = roles.iter().any(|role| **role == *name);
            if !is_role(name) || is_again || roles.len() == Roles::COUNT_MAX {
                return None;
            }
            roles.push(name.into());
        }
        (!roles.is_empty()).then(|| Roles(roles.into()))
    }

    /// Each of them, as they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|role| &**role)
    }
}

fn is_role(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'/' | b'-');
    Roles::NAME_BYTES.contains(&name.len()) && name.bytes().all(fits)
}
