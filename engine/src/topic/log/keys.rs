//! The keys of a log's recent publications: a publication whose key is known is not published
//! again. At most [`LogOptions::KEYS_MAX`]; beyond them the oldest is forgotten.

use crate::driver::boundary::Millis;
use crate::topic::log::options::LogOptions;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Keys(Option<Box<Known>>);

#[derive(Debug, Default)]
struct Known {
    offsets: HashMap<Arc<str>, u64, foldhash::quality::RandomState>,
    /// In the order in which they came.
    order: VecDeque<(Arc<str>, Millis)>,
}

impl Keys {
    pub(crate) fn find(&self, key: &str) -> Option<u64> {
        self.0.as_ref()?.offsets.get(key).copied()
    }

    /// The key is not known.
    pub(crate) fn insert(&mut self, key: Arc<str>, offset: u64, now: Millis) {
        let known = self.0.get_or_insert_default();
        if known.order.len() >= LogOptions::KEYS_MAX {
            known.forget_oldest();
        }
        known.offsets.insert(key.clone(), offset);
        known.order.push_back((key, now));
    }

    /// Forgets those whose time is over.
    pub(crate) fn expire(&mut self, options: &LogOptions, now: Millis) {
        let Some(known) = &mut self.0 else { return };
        let window = options.idempotency.as_millis() as Millis;
        let is_over = |(_, at): &(Arc<str>, Millis)| now.wrapping_sub(*at) >= window;
        while known.order.front().is_some_and(is_over) {
            known.forget_oldest();
        }
        if known.order.is_empty() {
            self.0 = None;
        }
    }
}

impl Known {
    fn forget_oldest(&mut self) {
        if let Some((key, _)) = self.order.pop_front() {
            self.offsets.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn keys_are_known_for_their_window_and_within_their_number() {
        let options = LogOptions {
            idempotency: Duration::from_millis(100),
            ..LogOptions::default()
        };
        let mut keys = Keys::default();
        keys.insert("a".into(), 1, 10);
        keys.insert("b".into(), 2, 50);
        keys.expire(&options, 109);
        assert_eq!((keys.find("a"), keys.find("b")), (Some(1), Some(2)));
        keys.expire(&options, 110);
        assert_eq!((keys.find("a"), keys.find("b")), (None, Some(2)));
        keys.expire(&options, 150);
        assert!(keys.0.is_none(), "no memory for no key");
        for number in 0..=LogOptions::KEYS_MAX as u64 {
            keys.insert(number.to_string().into(), number, 200);
        }
        assert_eq!((keys.find("0"), keys.find("1")), (None, Some(1)));
    }
}
