//! Keys of publishes: one for each publish of any client, and which rooms take them.
//!
//! Invariant: no two publishes of any client are given the same key, but by 96 random bits. Used by
//! the requests.

use crate::rooms::TakesKeys;
use foldhash::fast::RandomState;
use rand::{Rng, RngExt};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Rooms of which it is remembered whether they take keys; of more, the oldest is forgotten.
const ROOMS_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct KeyedRooms {
    known: HashMap<Arc<str>, TakesKeys, RandomState>,
    order: VecDeque<Arc<str>>,
    prefix: String,
    made: u64,
}

impl KeyedRooms {
    pub(crate) fn new(rng: &mut impl Rng) -> KeyedRooms {
        let (high, low): (u64, u32) = (rng.random(), rng.random());
        KeyedRooms {
            known: HashMap::default(),
            order: VecDeque::new(),
            prefix: format!("{high:016x}{low:08x}"),
            made: 0,
        }
    }

    /// Different for each publish of any client.
    pub(crate) fn new_key(&mut self) -> Box<str> {
        self.made += 1;
        format!("{}-{:x}", self.prefix, self.made).into()
    }

    pub(crate) fn takes(&self, room: &str) -> TakesKeys {
        self.known.get(room).copied().unwrap_or(TakesKeys::Maybe)
    }

    /// What a join or an answer says about a room: without history there are no keys.
    pub(crate) fn learn(&mut self, room: &Arc<str>, takes: TakesKeys) {
        match (self.known.get(room), takes) {
            (Some(TakesKeys::No), TakesKeys::Maybe) => {
                self.known.remove(room);
                self.order.retain(|other| other != room);
            }
            (_, TakesKeys::Maybe) => {}
            (Some(known), _) if *known == takes => {}
            (Some(_), _) => {
                self.known.insert(Arc::clone(room), takes);
            }
            (None, _) => {
                if self.order.len() >= ROOMS_MAX
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.known.remove(&oldest);
                }
                self.order.push_back(Arc::clone(room));
                self.known.insert(Arc::clone(room), takes);
            }
        }
    }
}
