//! Whose a room is, by its name.

/// Whose the rooms of a namespace are: to others the rules do not extend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// Nobody's: the rules alone decide.
    #[default]
    Nobody,
    /// The user's whom the room is called after, behind prefix and colon: `inbox:ann` is ann's.
    Name,
    /// The users' whom the room's name lists so, with commas between: `talk:ann,bob`.
    List,
    /// The users' whom the room's name lists so behind a `#`: `talk:1#ann,bob`. A room without one
    /// is nobody's.
    ListBehindHash,
}

impl Owners {
    /// Whether the room of this name, without its prefix, is the user's.
    pub(super) fn include(self, user: Option<&str>, own_name: &str) -> bool {
        match (self, user) {
            (Owners::Nobody, _) => true,
            (Owners::ListBehindHash, user) => {
                let mut parts = own_name.split('#').skip(1);
                let owners = parts.next();
                owners.is_none_or(|owners| {
                    user.is_some_and(|user| owners.split(',').any(|owner| owner == user))
                })
            }
            (Owners::Name | Owners::List, None) => false,
            (Owners::Name, Some(user)) => own_name == user,
            (Owners::List, Some(user)) => own_name.split(',').any(|owner| owner == user),
        }
    }
}
