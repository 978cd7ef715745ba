//! What went wrong besides the messages, counted by its words. Used by everything that measures,
//! and sent from workers to the parent.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What went wrong besides the messages: in which words, and how often.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Errors(pub(crate) BTreeMap<String, u64>);

/// Words told apart; the rest are "others".
const ERROR_KINDS_MAX: usize = 50;

/// What TLS agreed on, in which words, by how many connections. They are made of few words: of
/// versions, cipher suites, groups.
pub(crate) type Agreed = Errors;

impl Errors {
    /// Once more.
    pub(crate) fn count(&mut self, words: String) {
        self.add(&words, 1);
    }

    /// Another's errors, too.
    pub(crate) fn merge(&mut self, other: &Errors) {
        other
            .0
            .iter()
            .for_each(|(words, count)| self.add(words, *count));
    }

    /// In whatever words.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// So often; 0 is nothing.
    pub(crate) fn add(&mut self, words: &str, count: u64) {
        if count == 0 {
            return;
        }
        let known = self.0.contains_key(words) || self.0.len() < ERROR_KINDS_MAX;
        *self
            .0
            .entry(if known { words } else { "others" }.to_owned())
            .or_default() += count;
    }
}
