//! What becomes of rooms when the server has answered a join or a leave.

use super::{After, Asked, Batch, Learned, Rooms, TakesKeys};
use crate::error::{Error, ErrorKind};
use crate::message::JoinAnswer;
use crate::room::{Call, Membership};
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Rooms {
    /// A request was granted.
    pub(crate) fn granted(
        &mut self,
        batch: Batch,
        answers: Vec<JoinAnswer>,
        calls: &mut Vec<Call>,
    ) -> Learned {
        self.under_way = self.under_way.saturating_sub(1);
        if batch.asked == Asked::Leave {
            self.left(&batch.rooms);
            return Vec::new();
        }
        let mut by_name: HashMap<Box<str>, JoinAnswer, RandomState> = answers
            .into_iter()
            .map(|answer| (answer.room.clone(), answer))
            .collect();
        let mut learned = Vec::new();
        for name in batch.rooms {
            let answer = by_name.remove(&*name).unwrap_or_default();
            let Some(room) = self.rooms.get_mut(&name) else {
                continue;
            };
            let takes = match answer.epoch {
                Some(_) => TakesKeys::Maybe,
                None => TakesKeys::No,
            };
            learned.push((Arc::clone(&name), takes));
            self.early.release(room);
            match room.overflowed {
                true => room.membership = Membership::In,
                false => room.joined(&answer, calls),
            }
            self.dirty.push(name);
        }
        learned
    }

    fn left(&mut self, names: &[Arc<str>]) {
        for name in names {
            let Some(room) = self.rooms.get_mut(name) else {
                continue;
            };
            room.membership = Membership::Out;
            // Left to be joined by itself, it goes on from where it was.
            if !std::mem::take(&mut room.overflowed) {
                room.forget();
            }
            match room.ears.is_empty() {
                true => drop(self.rooms.remove(name)),
                false => self.dirty.push(Arc::clone(name)),
            }
        }
    }

    /// A request was refused.
    pub(crate) fn refused(
        &mut self,
        now: Instant,
        batch: Batch,
        error: &Error,
        random: f64,
        calls: &mut Vec<Call>,
    ) -> After {
        self.under_way = self.under_way.saturating_sub(1);
        if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Closed) {
            return After::Confused;
        }
        for name in &batch.rooms {
            if let Some(room) = self.rooms.get_mut(name) {
                self.early.release(room);
                room.early = Vec::new();
            }
        }
        let is_alone = batch.rooms.len() == 1;
        if error.is_retryable() && (is_alone || error.code() != "room_full") {
            self.later(now, batch.asked, &batch.rooms, error, random);
            return After::Nothing;
        }
        let not_joined = error.code() == "not_joined";
        if batch.asked == Asked::Leave && (is_alone || !not_joined) {
            // The application made us leave; of anything else it is not known what the server has.
            if !not_joined {
                return After::Confused;
            }
            self.left(&batch.rooms);
            return After::Nothing;
        }
        if !is_alone {
            let mut first = batch;
            let second = first.rooms.split_off(first.rooms.len() / 2);
            self.batches.push_front(Batch {
                rooms: second,
                ..first.clone()
            });
            self.batches.push_front(first);
            return After::Nothing;
        }
        self.refused_alone(batch, error, calls);
        After::Nothing
    }

    fn refused_alone(&mut self, batch: Batch, error: &Error, calls: &mut Vec<Call>) {
        let name = Arc::clone(&batch.rooms[0]);
        let Some(room) = self.rooms.get_mut(&name) else {
            return;
        };
        if error.code() == "bad_request" && room.asked.is_some() && !room.anew {
            // The room keeps no history any more.
            room.anew = true;
            self.batches.push_front(batch);
            return;
        }
        self.end_room(&name, error, calls);
        if error.code() == "room_limit" {
            // The connection is in as many rooms as it may be: the others cannot be joined either.
            let batches = std::mem::take(&mut self.batches);
            let (joins, others): (VecDeque<Batch>, _) = batches
                .into_iter()
                .partition(|batch| batch.asked == Asked::Join);
            self.batches = others;
            for name in joins.iter().flat_map(|batch| &batch.rooms) {
                self.end_room(name, error, calls);
            }
        }
    }

    fn end_room(&mut self, name: &Arc<str>, error: &Error, calls: &mut Vec<Call>) {
        if let Some(mut room) = self.rooms.remove(name) {
            room.end(Some(error), calls);
        }
    }

    /// Refused for now: asked again with backoff, or when the server said.
    pub(super) fn later(
        &mut self,
        now: Instant,
        asked: Asked,
        names: &[Arc<str>],
        error: &Error,
        random: f64,
    ) {
        let mut delay: Option<Duration> = error.retry_after();
        for name in names {
            let Some(room) = self.rooms.get_mut(name) else {
                continue;
            };
            let delay = *delay.get_or_insert_with(|| self.backoff.delay(room.refusals, random));
            room.membership = match asked {
                Asked::Join => Membership::Out,
                Asked::Leave => Membership::In,
            };
            room.refusals += 1;
            // A rate that grants fewer at once than these would refuse them for ever.
            room.together = (names.len() / 2).max(1);
            room.not_before = Some(now + delay);
            self.dirty.push(Arc::clone(name));
        }
    }
}
