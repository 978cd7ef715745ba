//! Receives: how they are armed, and in which order those are armed again that ended without an end
//! of the connection.
//!
//! Invariant: a connection that waits bears [`State::WAITING`] and stands in its ring's order once.

use super::UringDriver;
use super::buffers::GROUP;
use super::slot::State;
use super::userdata::{Op, UserData};
use crate::driver::boundary::Completion;
use crate::driver::supply::{BUFFER_BYTES, BUFFERS, LARGE_BUFFER_BYTES};
use crate::driver::uring::ring::Ring;
use crate::driver::waiting::{BUFFERS_PER_TICK, GREEDY_PER_TICK, Receive, Taken};
use crate::types::ticket::Ticket;
use io_uring::{opcode, squeue};

/// Receives that are armed again in one turn. Half of the buffers stay for those that are armed
/// already.
const MODEST_PER_TURN: usize = BUFFERS as usize / 2;

/// [`BUFFERS_PER_TICK`] of large ones: twice as many bytes, which belong to messages that are
/// cheap for their size.
const LARGE_BUFFERS_PER_TICK: usize = 4;

/// A buffer with fewer bytes than this counts as so many: buffers are few, too.
const LEAST_BYTES: usize = BUFFER_BYTES / 4;

/// Who took so many bytes in one tick has had its share. One message of a buffer's size comes in
/// up to five pieces; whoever sent no more floods nobody.
const SHARE_BYTES: usize = 2 * BUFFER_BYTES;

impl UringDriver {
    /// Arms receives of those who wait, as many as there are buffers for. While some are left
    /// nobody may sleep.
    pub(super) fn rearm(&mut self, end_of_tick: bool) {
        for index in 0..self.rings.len() {
            if self.rings[index].waiting.is_empty() {
                continue;
            }
            let mut room = self.rings[index].offered().min(MODEST_PER_TURN);
            while room > 0
                && let Some((ticket, receive)) = self.rings[index].waiting.next_modest()
            {
                room -= usize::from(self.arm_waiting(ticket, receive));
            }
            if !end_of_tick {
                continue;
            }
            room = room.min(GREEDY_PER_TICK);
            while room > 0
                && let Some(ticket) = self.rings[index].waiting.next_greedy()
            {
                room -= usize::from(self.arm_waiting(ticket, Receive::Once));
            }
        }
    }

    /// Somebody waits to be received for.
    pub(super) fn has_waiting(&self) -> bool {
        self.rings.iter().any(|ring| !ring.waiting.is_empty())
    }

    /// The turn of one that waited. False: it is gone, or need not be received for any more.
    fn arm_waiting(&mut self, ticket: Ticket, receive: Receive) -> bool {
        let slot = &mut self.slots[ticket.slot];
        if !slot.belongs_to(ticket) {
            return false;
        }
        slot.state.clear(State::WAITING);
        let due = slot.state.has(State::WANTED) && !slot.state.has(State::ARMED);
        if due {
            self.arm(ticket, receive);
        }
        due
    }

    pub(super) fn arm(&mut self, ticket: Ticket, receive: Receive) {
        self.slots[ticket.slot].state.set(State::ARMED);
        let fixed = self.fixed(ticket.slot);
        let entry = match receive {
            Receive::Multishot => opcode::RecvMulti::new(fixed, GROUP).build(),
            Receive::Once => {
                // What the buffer has room for, whichever comes.
                let bytes = LARGE_BUFFER_BYTES as u32;
                let entry = opcode::Recv::new(fixed, std::ptr::null_mut(), bytes).buf_group(GROUP);
                entry.build().flags(squeue::Flags::BUFFER_SELECT)
            }
        };
        let entry = entry.user_data(UserData::of(Op::Receive, ticket).0);
        self.push_plain(ticket.slot, entry);
    }

    /// At the end of a tick: looks for connections that took too many buffers of what it brought.
    /// The kernel hands out those of one connection in a row, so two looks at a distance find every
    /// run that is twice as long, and cost the others next to nothing.
    pub(super) fn curb(&mut self) {
        let buffers_max = match self.rings.iter().any(Ring::is_large) {
            true => LARGE_BUFFERS_PER_TICK,
            false => BUFFERS_PER_TICK,
        };
        let stride = buffers_max / 2;
        let mut at = stride;
        while let Some(later) = self.pending.get(at) {
            if let Completion::Received { ticket, .. } = later
                && is_of(&self.pending[at - stride], *ticket)
            {
                self.curb_one(*ticket, buffers_max);
            }
            at += stride;
        }
    }

    /// Ends the receive of a connection that took too many while somebody else took one: it goes on
    /// in its turn.
    #[cold]
    fn curb_one(&mut self, ticket: Ticket, buffers_max: usize) {
        let received = |completion: &&Completion<_>| is_of(completion, ticket);
        let its = self.pending.iter().filter(received).count();
        let all = self
            .pending
            .iter()
            .filter(|completion| matches!(completion, Completion::Received { .. }));
        let alone = all.count() == its;
        let slot = self.slots[ticket.slot];
        let armed = slot.belongs_to(ticket)
            && slot.state.has(State::ARMED)
            && !slot.state.has(State::STOPPING | State::CLOSING);
        if its >= buffers_max && !alone && armed && !self.curbed.contains(&ticket) {
            self.curbed.push(ticket);
            self.cancel(Op::Receive, ticket);
        }
    }

    /// A receive ended: true if it was being cancelled because its connection took too many
    /// buffers.
    pub(super) fn forget_curb(&mut self, ticket: Ticket) -> bool {
        let index = self.curbed.iter().position(|curbed| *curbed == ticket);
        index.is_some_and(|index| {
            self.curbed.swap_remove(index);
            true
        })
    }

    /// A receive was cancelled because its connection took too many buffers.
    pub(super) fn queue_curbed(&mut self, ring: usize, ticket: Ticket) {
        self.slots[ticket.slot].state.set(State::WAITING);
        self.rings[ring].waiting.curbed(ticket, self.now);
    }

    /// A receive ended with bytes: it was for one buffer, or the kernel had its reasons.
    pub(super) fn queue_ended(&mut self, ring: usize, ticket: Ticket, bytes: usize) {
        self.slots[ticket.slot].state.set(State::WAITING);
        let filled = bytes >= BUFFER_BYTES;
        let now = self.now;
        self.rings[ring].waiting.ended(ticket, filled, now);
    }

    /// The receives that found no buffer take their places, by what their connections have taken
    /// since the shard last reaped.
    #[cold]
    pub(super) fn queue_starved(&mut self, ring: usize) {
        let mut taken: Vec<(u32, usize)> = Vec::new();
        for completion in &self.pending {
            if let Completion::Received { ticket, lease } = completion {
                taken.push((ticket.slot, lease.bytes().max(LEAST_BYTES)));
            }
        }
        taken.sort_unstable_by_key(|(slot, _)| *slot);
        let starved = std::mem::take(&mut self.starved).into_iter().map(|ticket| {
            self.slots[ticket.slot].state.set(State::WAITING);
            let first = taken.partition_point(|(slot, _)| *slot < ticket.slot);
            let its = taken[first..]
                .iter()
                .take_while(|(slot, _)| *slot == ticket.slot);
            let bytes: usize = its.map(|(_, bytes)| *bytes).sum();
            match bytes < SHARE_BYTES {
                true => (ticket, Taken::Less),
                false => (ticket, Taken::Share),
            }
        });
        let starved: Vec<_> = starved.collect();
        self.rings[ring].waiting.starved(&starved, self.now);
    }
}

/// Whether a completion brought bytes of this connection.
fn is_of<L>(completion: &Completion<L>, who: Ticket) -> bool {
    matches!(completion, Completion::Received { ticket, .. } if *ticket == who)
}
