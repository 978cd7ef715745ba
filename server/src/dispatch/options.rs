//! The options of a handler: who may call it, what its data must be like, how long it may take.

use crate::session::identity::Identity;
use crate::wire::from_data::Data;
use shardcast_protocol::dialect::{Code, Problem};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Options of a handler, or of all handlers of a group. The default asks for nothing.
#[derive(Clone, Default)]
pub struct Options {
    access: Access,
    /// One of these roles is enough.
    roles: Arc<[Box<str>]>,
    validate: Option<Arc<Validate>>,
    timeout: Timeout,
    at_once: AtOnce,
}

type Validate = dyn Fn(&Data<'_>) -> Result<(), Problem> + Send + Sync;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Access {
    #[default]
    Anyone,
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timeout(Duration);

impl Default for Timeout {
    fn default() -> Timeout {
        Timeout(Options::TIMEOUT_DEFAULT)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AtOnce(u16);

impl Default for AtOnce {
    fn default() -> AtOnce {
        AtOnce(Options::AT_ONCE_DEFAULT)
    }
}

impl Options {
    /// How long a background handler may take by default.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
    /// The longest timeout.
    pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
    /// Calls of one handler by one connection that may be under way at once, by default.
    pub const AT_ONCE_DEFAULT: u16 = 8;

    /// Nothing is asked for: anyone may call, nothing is checked, 10 s, 8 calls at once.
    pub fn new() -> Options {
        Options::default()
    }

    /// Only users may call: others are answered `unauthorized`.
    pub fn auth(self) -> Options {
        Options {
            access: Access::User,
            ..self
        }
    }

    /// Only users with one of these roles may call: other users are answered `forbidden`.
    pub fn roles<R: Into<Box<str>>>(self, roles: impl IntoIterator<Item = R>) -> Options {
        Options {
            access: Access::User,
            roles: roles.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Checks the data before the handler runs. (For rules of single fields see [`crate::Valid`].)
    pub fn validate(
        self,
        check: impl Fn(&Data<'_>) -> Result<(), Problem> + Send + Sync + 'static,
    ) -> Options {
        Options {
            validate: Some(Arc::new(check)),
            ..self
        }
    }

    /// How long a background handler may take, 1 ms to 1 hour (a value outside is taken as the
    /// nearest), measured by the shard in steps of 64 ms: then the caller is answered `timeout`,
    /// and the handler's future is dropped where it waits. Handlers on the shard are not
    /// interrupted.
    pub fn timeout(self, timeout: Duration) -> Options {
        let timeout = timeout.clamp(Duration::from_millis(1), Options::TIMEOUT_MAX);
        Options {
            timeout: Timeout(timeout),
            ..self
        }
    }

    /// How many calls of a background handler one connection may have under way, at least 1: one
    /// more is answered `rate_limited`. In any case a connection has at most
    /// [`crate::Limits::TASKS_PER_CONNECTION_MAX`] of all handlers.
    pub fn at_once(self, calls: u16) -> Options {
        Options {
            at_once: AtOnce(calls.max(1)),
            ..self
        }
    }

    pub(crate) fn time(&self) -> Duration {
        self.timeout.0
    }

    pub(crate) fn calls_at_once(&self) -> usize {
        self.at_once.0.into()
    }

    /// Whether this caller may go on with this data.
    pub(crate) fn admit(&self, caller: &Identity, data: &Data<'_>) -> Result<(), Problem> {
        if self.access == Access::User {
            self.admit_user(caller)?;
        }
        match &self.validate {
            Some(check) => check(data),
            None => Ok(()),
        }
    }

    fn admit_user(&self, caller: &Identity) -> Result<(), Problem> {
        if caller.name().is_none() {
            return Err(Problem::new(Code::Unauthorized, "sign in first"));
        }
        if self.roles.is_empty() || self.roles.iter().any(|role| caller.has_role(role)) {
            return Ok(());
        }
        Err(Problem::new(Code::Forbidden, "not allowed"))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("access", &self.access)
            .field("roles", &self.roles)
            .field("validates", &self.validate.is_some())
            .field("timeout", &self.timeout.0)
            .field("at_once", &self.at_once.0)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_call() {
        let user = |roles: &[&str]| {
            Identity::user("ann")
                .unwrap()
                .in_roles(roles.iter().copied())
        };
        let (nobody, plain, trader) = (Identity::nobody(), user(&[]), user(&["x", "trader"]));
        let code = |options: &Options, caller: &Identity| {
            let refused = options.admit(caller, &Data::none());
            refused.err().map(|problem| problem.code)
        };
        let anyone = Options::new();
        let users = Options::new().auth();
        let traders = Options::new().roles(["trader", "admin"]);
        for (options, expected) in [
            (anyone, [None, None, None]),
            (users, [Some(Code::Unauthorized), None, None]),
            (
                traders,
                [Some(Code::Unauthorized), Some(Code::Forbidden), None],
            ),
        ] {
            let codes = [&nobody, &plain, &trader].map(|caller| code(&options, caller));
            assert_eq!(codes, expected, "{options:?}");
        }
    }

    #[test]
    fn values_outside_are_taken_as_the_nearest() {
        let options = Options::new().timeout(Duration::ZERO).at_once(0);
        assert_eq!(
            (options.time(), options.calls_at_once()),
            (Duration::from_millis(1), 1)
        );
        assert_eq!(
            Options::new().timeout(Duration::MAX).time(),
            Options::TIMEOUT_MAX
        );
    }
}
