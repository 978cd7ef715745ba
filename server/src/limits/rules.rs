//! What clients may do, as it is configured: for everybody, and for those in a XX.

use crate::limits::gcra::Rate;

/// Limits of what clients do ([`crate::App::limits`]). Default: none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// For clients without a role that is named below.
    pub everybody: ClientLimits,
    /// By role: of a client's roles the first that is named here counts, in place of `everybody`.
    pub roles: Vec<(Box<str>, ClientLimits)>,
    /// Connections of one address (IPv6: of one /64) at a time; one more is answered 429.
    pub connections_per_address: Option<u32>,
    /// Connects of one address (IPv6: of one /64); more are answered 429.
    pub connects_per_second: Option<Rate>,
    /// Messages that clients publish to one room, all together.
    pub messages_per_second_per_room: Option<Rate>,
    /// Bytes of their data.
    pub bytes_per_second_per_room: Option<Rate>,
    /// Whether limits are enforced.
    pub enforcement: Enforcement,
}

/// What one client may do, and its user with all connections together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Connections of one user at a time; one more is answered 429.
    pub connections_per_user: Option<u32>,
    /// Requests of one connection; each of a batch counts.
    pub messages_per_second: Option<Rate>,
    /// Bytes of its messages.
    pub bytes_per_second: Option<Rate>,
    /// Requests of one user, by all its connections.
    pub messages_per_second_per_user: Option<Rate>,
    /// Bytes of their messages.
    pub bytes_per_second_per_user: Option<Rate>,
    /// Rooms that one connection joins.
    pub joins_per_second: Option<Rate>,
    /// Deliveries that publishes of one user, or of one connection without a user, cause: each
    /// counts with the members of its room, as far as the publisher's shard can tell: its own
    /// members, once for each shard.
    pub fanout_per_second: Option<Rate>,
    /// Requests of one connection that are not answered yet; one more is refused.
    pub requests_in_flight: Option<u32>,
    /// What becomes of what is too much.
    pub on_exceed: OnExceed,
}

/// What becomes of what is too much. A leave is never refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExceed {
    /// It is answered `rate_limited` with the time after which it would pass, and not done.
    #[default]
    Refuse,
    /// It is done, and the connection is not read until it is paid for: TCP slows the client.
    Delay,
    /// The connection is closed with the code of `rate_limited`.
    Disconnect,
}

/// Whether limits are enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// They are.
    #[default]
    Enforced,
    /// What they would have refused passes, and is counted.
    DryRun,
}

impl RateLimits {
    /// Whether anything is limited.
    pub(crate) fn limits_something(&self) -> bool {
        let addresses =
            self.connections_per_address.is_some() || self.connects_per_second.is_some();
        addresses || self.limits_rooms() || self.classes().any(ClientLimits::limits_something)
    }

    /// Whether what rooms take is limited.
    pub(crate) fn limits_rooms(&self) -> bool {
        self.messages_per_second_per_room.is_some() || self.bytes_per_second_per_room.is_some()
    }

    /// Whether users are counted.
    pub(crate) fn limits_users(&self) -> bool {
        self.classes().any(|class| {
            class.connections_per_user.is_some()
                || class.messages_per_second_per_user.is_some()
                || class.bytes_per_second_per_user.is_some()
                || class.fanout_per_second.is_some()
        })
    }

    fn classes(&self) -> impl Iterator<Item = &ClientLimits> {
        let roles = self.roles.iter().map(|(_, class)| class);
        std::iter::once(&self.everybody).chain(roles)
    }

    /// What this class of [`RateLimits::class_of`] may do.
    pub(super) fn class(&self, index: u16) -> &ClientLimits {
        match usize::from(index).checked_sub(1) {
            None => &self.everybody,
            Some(role) => &self.roles[role].1,
        }
    }

    /// The class of a client in these roles: 0 is everybody's.
    pub(super) fn class_of<'r>(&self, roles: impl Iterator<Item = &'r str>) -> u16 {
        // A role that is gone has left a place without a name.
        let mut named = roles
            .filter(|role| !role.is_empty())
            .filter_map(|role| self.roles.iter().position(|(name, _)| **name == *role));
        named.next().map_or(0, |role| role as u16 + 1)
    }

    /// These rules with the classes of `before`, by which connections are counted: its roles come
    /// first, in their order, and one that is gone has everybody's limits and no name. `None`:
    /// there would be more than [`RateLimits::ROLES_MAX`].
    pub(crate) fn with_classes_of(self, before: &RateLimits) -> Option<RateLimits> {
        let RateLimits {
            roles, everybody, ..
        } = &self;
        let kept = before.roles.iter().map(|(name, _)| {
            let mut own = roles.iter().filter(|(own, _)| !own.is_empty());
            let kept = own.find(|(own, _)| own == name).cloned();
            kept.unwrap_or_else(|| (Box::default(), *everybody))
        });
        let is_new = |name: &str| before.roles.iter().all(|(before, _)| **before != *name);
        let new = roles.iter().filter(|(name, _)| is_new(name)).cloned();
        let roles: Vec<_> = kept.chain(new).collect();
        (roles.len() <= RateLimits::ROLES_MAX).then_some(RateLimits { roles, ..self })
    }

    /// Most roles that may have limits of their own.
    pub(crate) const ROLES_MAX: usize = 1_000;
}

impl ClientLimits {
    fn limits_something(&self) -> bool {
        let unlimited = ClientLimits {
            on_exceed: self.on_exceed,
            ..ClientLimits::default()
        };
        *self != unlimited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_role_that_has_limits_counts() {
        let class = |burst| ClientLimits {
            messages_per_second: Rate::new(1, burst),
            ..ClientLimits::default()
        };
        let limits = RateLimits {
            everybody: class(1),
            roles: vec![("bot".into(), class(2)), ("staff".into(), class(3))],
            ..RateLimits::default()
        };
        for (roles, burst) in [
            (&[][..], 1),
            (&["guest"], 1),
            (&["bot"], 2),
            (&["guest", "staff", "bot"], 3),
        ] {
            let of = limits.class_of(roles.iter().copied());
            let rate = limits.class(of).messages_per_second;
            assert_eq!(rate, Rate::new(1, burst), "{roles:?}");
        }
        assert!(limits.limits_something() && !limits.limits_users());
        assert!(!RateLimits::default().limits_something());
        let how = ClientLimits {
            on_exceed: OnExceed::Delay,
            ..ClientLimits::default()
        };
        assert!(!how.limits_something(), "how is not whether");
    }

    #[test]
    fn other_rules_keep_the_classes_of_those_before() {
        let class = |burst| ClientLimits {
            messages_per_second: Rate::new(1, burst),
            ..ClientLimits::default()
        };
        let limits = |everybody, roles: &[(&str, u64)]| RateLimits {
            everybody: class(everybody),
            roles: (roles
                .iter()
                .map(|(name, burst)| ((*name).into(), class(*burst))))
            .collect(),
            ..RateLimits::default()
        };
        let first = limits(1, &[("bot", 2), ("staff", 3)]);
        let second = limits(4, &[("guest", 5), ("staff", 6)]).with_classes_of(&first);
        let second = second.expect("few roles");
        let third = limits(7, &[("bot", 8)]).with_classes_of(&second);
        let third = third.expect("few roles");
        let rate = |limits: &RateLimits, class: u16| limits.class(class).messages_per_second;
        for (index, bursts) in [(0, [1, 4, 7]), (1, [2, 4, 7]), (2, [3, 6, 7])] {
            for (limits, burst) in [&first, &second, &third].into_iter().zip(bursts) {
                assert_eq!(rate(limits, index), Rate::new(1, burst), "{index}");
            }
        }
        for (role, bursts) in [("bot", [2, 4, 8]), ("guest", [1, 5, 7]), ("", [1, 4, 7])] {
            for (limits, burst) in [&first, &second, &third].into_iter().zip(bursts) {
                let class = limits.class_of([role].into_iter());
                assert_eq!(rate(limits, class), Rate::new(1, burst), "{role}");
            }
        }
    }
}
