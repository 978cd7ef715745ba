//! What waits for users without connections, as it is configured: the values of section
//! `[offline]`.

use crate::session::offline::OfflineOptions;
use std::time::Duration;

/// Section `[offline]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offline {
    /// `None`: nothing waits, and the following says nothing.
    pub(super) messages: Option<usize>,
    pub(super) bytes: usize,
    pub(super) ttl: Duration,
    pub(super) users_max: usize,
}

impl Default for Offline {
    fn default() -> Offline {
        let options = OfflineOptions::default();
        Offline {
            messages: None,
            bytes: options.bytes_max,
            ttl: options.ttl,
            users_max: options.users_max,
        }
    }
}

impl Offline {
    /// As the application has it; the key's range keeps the messages few.
    pub(super) fn options(&self) -> Option<OfflineOptions> {
        let messages = self.messages?;
        Some(OfflineOptions {
            messages_max: u32::try_from(messages).unwrap_or(u32::MAX),
            bytes_max: self.bytes,
            ttl: self.ttl,
            users_max: self.users_max,
        })
    }
}
