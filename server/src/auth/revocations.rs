//! Tokens that are not taken any more although they have not ended: one by its name (`jti`), those
//! of a user, or all, as far as they were issued before a moment.
//!
//! Invariant: there are at most [`Revocations::COUNT_MAX`]; one more is refused, and none is
//! forgotten early for it. Shards look at one number while there is none. Written by the admin port
//! and by embedders; asked by the verifier for every token, and by shards for whom a token has made
//! somebody.

use crate::auth::claims::Issue;
use crate::auth::rules::unix_now;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Which tokens are revoked ([`crate::Handle::revoke`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The one with this `jti`, of 1 to [`Revocation::NAME_BYTES_MAX`] bytes.
    Token(Box<str>),
    /// Those of a user (`sub`).
    User {
        /// Its name, of 1 to [`Revocation::NAME_BYTES_MAX`] bytes.
        name: Box<str>,
        /// In seconds since 1970: tokens whose `iat` is not before it, such as new ones, are taken.
        /// Those without `iat` are revoked.
        issued_before: u64,
    },
    /// Those of everybody.
    Everybody {
        /// As that of a user.
        issued_before: u64,
    },
}

impl Revocation {
    /// Longest name of a token or a user in bytes.
    pub const NAME_BYTES_MAX: usize = 255;

    /// Whether its name is one that a token or a user can have here.
    fn is_possible(&self) -> bool {
        match self {
            Revocation::Token(name) | Revocation::User { name, .. } => {
                (1..=Revocation::NAME_BYTES_MAX).contains(&name.len())
            }
            Revocation::Everybody { .. } => true,
        }
    }
}

/// Why tokens are not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRevoked {
    /// No token can be called so.
    #[error("a name has 1 to {} bytes", Revocation::NAME_BYTES_MAX)]
    BadName,
    /// Too many are remembered already.
    #[error(
        "{} revocations are in force: revoke by user or by time, or replace the key",
        Revocations::COUNT_MAX
    )]
    Full,
    /// The server asks for no tokens.
    #[error("this server takes no tokens")]
    NoTokens,
}

/// What is revoked, for all shards.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    count: AtomicUsize,
    changes: AtomicU64,
    revoked: RwLock<Revoked>,
}

#[derive(Debug, Default)]
struct Revoked {
    /// Until when, by `jti`.
    tokens: HashMap<Box<str>, u64>,
    users: HashMap<Box<str>, IssuedBefore>,
    everybody: Option<IssuedBefore>,
}

/// Tokens that are as old as this are revoked, until then.
#[derive(Clone, Copy, Debug)]
struct IssuedBefore {
    moment: u64,
    until: u64,
}

impl IssuedBefore {
    fn covers(self, issue: &Issue, now: u64) -> bool {
        // Nobody knows how old a token without `iat` is.
        now < self.until && issue.issued_at.is_none_or(|at| at < self.moment)
    }

    /// What either covers.
    fn and(self, other: IssuedBefore) -> IssuedBefore {
        IssuedBefore {
            moment: self.moment.max(other.moment),
            until: self.until.max(other.until),
        }
    }
}

impl Revoked {
    fn count(&self) -> usize {
        self.tokens.len() + self.users.len() + usize::from(self.everybody.is_some())
    }

    fn has(&self, revocation: &Revocation) -> bool {
        match revocation {
            Revocation::Token(id) => self.tokens.contains_key(id),
            Revocation::User { name, .. } => self.users.contains_key(name),
            Revocation::Everybody { .. } => self.everybody.is_some(),
        }
    }

    fn add(&mut self, revocation: Revocation, until: u64) {
        match revocation {
            Revocation::Token(id) => {
                let held = self.tokens.entry(id).or_insert(until);
                *held = until.max(*held);
            }
            Revocation::User {
                name,
                issued_before: moment,
            } => {
                let new = IssuedBefore { moment, until };
                let held = self.users.entry(name).or_insert(new);
                *held = held.and(new);
            }
            Revocation::Everybody {
                issued_before: moment,
            } => {
                let new = IssuedBefore { moment, until };
                self.everybody = Some(self.everybody.map_or(new, |held| held.and(new)));
            }
        }
    }

    fn forget_those_over(&mut self, now: u64) {
        self.tokens.retain(|_, until| *until > now);
        self.users.retain(|_, before| before.until > now);
        self.everybody = self.everybody.filter(|before| before.until > now);
    }
}

impl Revocations {
    /// Revocations at a time: some megabytes.
    pub(crate) const COUNT_MAX: usize = 65_536;
    /// How long one is remembered at most, and unless somebody knows that its tokens end sooner.
    pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// Tokens are revoked from now on, for this time. What was revoked before stays so.
    ///
    /// # Errors
    /// There is no place for one more, or no token can be called so.
    pub(crate) fn revoke(&self, revocation: Revocation, time: Duration) -> Result<(), NotRevoked> {
        let now = unix_now();
        let until = now.saturating_add(time.min(Revocations::LONGEST).as_secs());
        self.restore(revocation, until, now)
    }

    /// The same until a moment, in seconds since 1970.
    pub(crate) fn restore(
        &self,
        revocation: Revocation,
        until: u64,
        now: u64,
    ) -> Result<(), NotRevoked> {
        if !revocation.is_possible() {
            return Err(NotRevoked::BadName);
        }
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        if revoked.count() >= Revocations::COUNT_MAX && !revoked.has(&revocation) {
            revoked.forget_those_over(now);
            if revoked.count() >= Revocations::COUNT_MAX {
                return Err(NotRevoked::Full);
            }
        }
        revoked.add(revocation, until);
        self.count.store(revoked.count(), Ordering::Release);
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Whether a token of this issue and user is revoked now, in seconds since 1970.
    pub(crate) fn cover(&self, issue: &Issue, user: Option<&str>, now: u64) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        let until = issue.id.as_ref().and_then(|id| revoked.tokens.get(id));
        let of_user = user.and_then(|user| revoked.users.get(user));
        let mut older = of_user.into_iter().chain(&revoked.everybody);
        until.is_some_and(|until| now < *until) || older.any(|before| before.covers(issue, now))
    }

    /// Counts changes: who has seen this number has seen all of them.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// All that are in force, each with its end in seconds since 1970.
    pub(crate) fn list(&self, now: u64) -> Vec<(Revocation, u64)> {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        let tokens = revoked.tokens.iter();
        let tokens = tokens.map(|(id, until)| (Revocation::Token(id.clone()), *until));
        let users = revoked.users.iter().map(|(name, before)| {
            let revocation = Revocation::User {
                name: name.clone(),
                issued_before: before.moment,
            };
            (revocation, before.until)
        });
        let everybody = revoked.everybody.iter().map(|before| {
            let issued_before = before.moment;
            (Revocation::Everybody { issued_before }, before.until)
        });
        let all = tokens.chain(users).chain(everybody);
        all.filter(|(_, until)| *until > now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn token(id: &str) -> Revocation {
        Revocation::Token(id.into())
    }

    fn user(name: &str, issued_before: u64) -> Revocation {
        let name = name.into();
        Revocation::User {
            name,
            issued_before,
        }
    }

    fn issue(id: Option<&str>, issued_at: Option<u64>) -> Issue {
        Issue {
            id: id.map(Into::into),
            issued_at,
            ..Issue::default()
        }
    }

    #[test]
    fn tokens_are_found_by_name_user_and_age() {
        let revocations = Revocations::default();
        let now = unix_now();
        let ann = (issue(Some("a"), Some(now)), Some("ann"));
        assert!(!revocations.cover(&ann.0, ann.1, now));
        revocations.revoke(token("t1"), HOUR).expect("a place");
        revocations.revoke(user("ann", now), HOUR).expect("a place");
        for (id, issued_at, of, expected) in [
            (Some("t1"), Some(now), Some("bob"), true),
            (Some("t1"), None, None, true),
            (Some("t2"), Some(now - 9), Some("bob"), false),
            (None, None, None, false),
            (None, Some(now - 1), Some("ann"), true),
            (None, Some(now), Some("ann"), false),
            (None, None, Some("ann"), true),
        ] {
            let covered = revocations.cover(&issue(id, issued_at), of, now);
            assert_eq!(covered, expected, "{id:?} {issued_at:?} {of:?}");
        }
        let all = Revocation::Everybody {
            issued_before: now - 5,
        };
        revocations.revoke(all, HOUR).expect("a place");
        for (issued_at, of, expected) in [
            (Some(now - 6), None, true),
            (Some(now - 5), Some("bob"), false),
            (None, None, true),
        ] {
            let covered = revocations.cover(&issue(None, issued_at), of, now);
            assert_eq!(covered, expected, "{issued_at:?}");
        }
        // They end.
        assert!(!revocations.cover(&issue(Some("t1"), Some(now)), None, now + 3_601));
        assert_eq!((revocations.list(now).len(), revocations.changes()), (3, 3));
        assert!(revocations.list(now + 3_601).is_empty());
    }

    #[test]
    fn a_later_one_takes_nothing_back() {
        let revocations = Revocations::default();
        let now = unix_now();
        revocations.revoke(user("ann", now), HOUR).expect("a place");
        revocations
            .revoke(user("ann", now - 100), 2 * HOUR)
            .expect("a place");
        let old = issue(None, Some(now - 1));
        assert!(revocations.cover(&old, Some("ann"), now + 7_000));
        assert!(!revocations.cover(&old, Some("ann"), now + 7_201));
    }

    #[test]
    fn a_full_table_refuses_and_forgets_none_that_is_in_force() {
        let revocations = Revocations::default();
        let now = unix_now();
        for number in 0..Revocations::COUNT_MAX {
            let one = token(&number.to_string());
            revocations.restore(one, now + 10, now).expect("a place");
        }
        assert_eq!(
            revocations.restore(token("x"), now + 10, now),
            Err(NotRevoked::Full)
        );
        revocations
            .restore(token("7"), now + 20, now)
            .expect("it has a place");
        revocations
            .restore(token("x"), now + 30, now + 10)
            .expect("those over have gone");
        assert_eq!(revocations.list(now + 10).len(), 2);
        for bad in [String::new(), "x".repeat(256)] {
            let refused = revocations.revoke(token(&bad), HOUR);
            assert_eq!(refused, Err(NotRevoked::BadName));
        }
    }
}
