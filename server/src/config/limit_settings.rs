//! The rates and counts of section `[limits]`, and of `[roles.NAME]`, as they are written: a burst
//! that is not given is what a second gives. Made by `check`, read by `settings`.

use super::value::ConfigValue;
use crate::limits::gcra::Rate;
use crate::limits::rules::{ClientLimits, Enforcement, OnExceed, RateLimits};
use std::collections::BTreeMap;

/// Everything that is limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LimitSettings {
    pub(super) connections_per_address: Option<usize>,
    pub(super) connects: RateSettings,
    pub(super) room_messages: RateSettings,
    pub(super) room_bytes: RateSettings,
    pub(super) dry_run: bool,
    pub(super) everybody: ClientSettings,
    /// By role, complete: what a role does not say is everybody's.
    pub(super) roles: BTreeMap<String, ClientSettings>,
}

/// What a client may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientSettings {
    pub(super) connections_per_user: Option<usize>,
    pub(super) messages: RateSettings,
    pub(super) bytes: RateSettings,
    pub(super) user_messages: RateSettings,
    pub(super) user_bytes: RateSettings,
    pub(super) joins: RateSettings,
    pub(super) fanout: RateSettings,
    pub(super) requests_in_flight: Option<usize>,
    pub(super) on_exceed: OnExceed,
}

/// A rate as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RateSettings {
    pub(super) per_second: Option<usize>,
    pub(super) burst: Option<usize>,
}

impl RateSettings {
    /// The keys' ranges are [`Rate`]'s.
    fn rate(self) -> Option<Rate> {
        let per_second = self.per_second?;
        Rate::new(per_second as u64, self.burst.unwrap_or(per_second) as u64)
    }
}

impl LimitSettings {
    pub(super) fn limits(&self) -> RateLimits {
        let roles = self.roles.iter();
        let roles = roles.map(|(role, settings)| (role.as_str().into(), settings.limits()));
        RateLimits {
            everybody: self.everybody.limits(),
            roles: roles.collect(),
            connections_per_address: self.connections_per_address.map(count),
            connects_per_second: self.connects.rate(),
            messages_per_second_per_room: self.room_messages.rate(),
            bytes_per_second_per_room: self.room_bytes.rate(),
            enforcement: match self.dry_run {
                true => Enforcement::DryRun,
                false => Enforcement::Enforced,
            },
        }
    }
}

impl ClientSettings {
    fn limits(&self) -> ClientLimits {
        ClientLimits {
            connections_per_user: self.connections_per_user.map(count),
            messages_per_second: self.messages.rate(),
            bytes_per_second: self.bytes.rate(),
            messages_per_second_per_user: self.user_messages.rate(),
            bytes_per_second_per_user: self.user_bytes.rate(),
            joins_per_second: self.joins.rate(),
            fanout_per_second: self.fanout.rate(),
            requests_in_flight: self.requests_in_flight.map(count),
            on_exceed: self.on_exceed,
        }
    }
}

/// The keys' ranges are smaller.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl ConfigValue for OnExceed {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "refuse" => OnExceed::Refuse,
            "delay" => OnExceed::Delay,
            "disconnect" => OnExceed::Disconnect,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            OnExceed::Refuse => "refuse",
            OnExceed::Delay => "delay",
            OnExceed::Disconnect => "disconnect",
        }
        .to_owned()
    }
}
