//! What sessions are configured to be: the values of section `[sessions]`.

use super::value::ConfigValue;
use crate::session::options::SessionOptions;
use shardcast_engine::SameUser;
use std::time::Duration;

/// Section `[sessions]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sessions {
    pub(super) resume: Option<Duration>,
    pub(super) waiting_max: usize,
    pub(super) bytes_max: usize,
    pub(super) same_user: SameUserRule,
    /// `None`: what the rule says by itself.
    pub(super) per_user_max: Option<usize>,
}

/// What holds for several connections of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SameUserRule {
    #[default]
    Allow,
    Replace,
    Reject,
}

impl Default for Sessions {
    fn default() -> Sessions {
        let SessionOptions {
            resume,
            waiting_max,
            bytes_max,
        } = SessionOptions::default();
        Sessions {
            resume,
            waiting_max,
            bytes_max,
            same_user: SameUserRule::default(),
            per_user_max: None,
        }
    }
}

impl Sessions {
    /// As the application has them.
    pub(super) fn options(&self) -> SessionOptions {
        SessionOptions {
            resume: self.resume,
            waiting_max: self.waiting_max,
            bytes_max: self.bytes_max,
        }
    }

    /// As the engine has it; the key's range keeps the number small.
    pub(super) fn same_user(&self) -> SameUser {
        let given = self.per_user_max;
        let given = given.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let connections_max = given.unwrap_or(1);
        match (self.same_user, given) {
            (SameUserRule::Allow, None) => SameUser::Allow,
            (SameUserRule::Allow, Some(_)) | (SameUserRule::Reject, _) => {
                SameUser::Refuse { connections_max }
            }
            (SameUserRule::Replace, _) => SameUser::Replace { connections_max },
        }
    }
}

impl ConfigValue for SameUserRule {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "allow" => SameUserRule::Allow,
            "replace" => SameUserRule::Replace,
            "reject" => SameUserRule::Reject,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            SameUserRule::Allow => "allow".to_owned(),
            SameUserRule::Replace => "replace".to_owned(),
            SameUserRule::Reject => "reject".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_and_a_number_are_one_rule_of_the_engine() {
        let refuse = |connections_max| SameUser::Refuse { connections_max };
        let replace = |connections_max| SameUser::Replace { connections_max };
        for (same_user, per_user_max, expected) in [
            (SameUserRule::Allow, None, SameUser::Allow),
            (SameUserRule::Allow, Some(3), refuse(3)),
            (SameUserRule::Reject, None, refuse(1)),
            (SameUserRule::Reject, Some(3), refuse(3)),
            (SameUserRule::Replace, None, replace(1)),
            (SameUserRule::Replace, Some(3), replace(3)),
        ] {
            let sessions = Sessions {
                same_user,
                per_user_max,
                ..Sessions::default()
            };
            assert_eq!(sessions.same_user(), expected, "{sessions:?}");
        }
    }
}
