//! In which form connections are sent their messages that are no WebSockets of the common kind.
//!
//! Invariant: whoever has no entry and is an event stream is sent our own events; entries exist
//! while their connection's socket does. Owned by the egress.

use crate::types::shrink;
use shardcast_protocol::events::Form;
use std::collections::HashMap;

/// By slot.
#[derive(Debug, Default)]
pub(crate) struct Forms(HashMap<u32, Form>);

impl Forms {
    /// The connection opens.
    pub(crate) fn set(&mut self, slot: u32, form: Form) {
        if form != Form::default() {
            self.0.insert(slot, form);
        }
    }

    pub(crate) fn of(&self, slot: u32) -> Form {
        self.0.get(&slot).copied().unwrap_or_default()
    }

    /// The socket is closed.
    pub(crate) fn forget(&mut self, slot: u32) {
        if !self.0.is_empty() {
            self.0.remove(&slot);
        }
    }

    /// Keeps no more room than it needs soon.
    pub(crate) fn release_memory(&mut self) {
        shrink::shrink_map(&mut self.0);
    }
}
