//! What one client asked for and heard, with the step of each: the material of the checks at the end of a run.

use super::application::Step;
use super::words::{Ask, Audience, Letter};
use shardcast_engine::Report;
use std::collections::BTreeMap;

/// One client's memory.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Every ask, by its number.
    pub(crate) asks: Vec<(Step, Ask)>,
    /// The 101 answer came.
    pub(crate) opened: Option<Step>,
    /// The client, or what it was told, ended the open state.
    pub(crate) ended: Option<Step>,
    pub(crate) memberships: Vec<Membership>,
    pub(crate) reports: Vec<(u32, Step, Report)>,
    /// Number of the join, when it was answered, the members it told.
    pub(crate) joins: Vec<(u32, Step, usize)>,
    /// The application refused these.
    pub(crate) refused: Vec<u32>,
    /// The last direct message of each other client.
    directs: BTreeMap<usize, u32>,
}

/// From a joined answer to the left answer.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) audience: Audience,
    pub(crate) asked: Step,
    pub(crate) joined: Step,
    pub(crate) leave_asked: Option<Step>,
    pub(crate) left: Option<Step>,
    /// Number of the leave that was answered.
    pub(crate) leave: Option<u32>,
    pub(crate) heard: Vec<(Step, Letter)>,
}

impl Log {
    pub(crate) fn ask(&mut self, now: Step, ask: Ask) -> u32 {
        if let Ask::Leave(room) = ask
            && let Some(membership) = self.membership(Audience::Room(room))
        {
            membership.leave_asked.get_or_insert(now);
        }
        self.asks.push((now, ask));
        (self.asks.len() - 1) as u32
    }

    pub(crate) fn open(&mut self, now: Step, asked: Step) {
        self.opened = Some(now);
        self.memberships.push(Membership {
            audience: Audience::Everyone,
            asked,
            joined: now,
            leave_asked: None,
            left: None,
            leave: None,
            heard: Vec::new(),
        });
    }

    pub(crate) fn joined(&mut self, now: Step, number: u32, members: usize) {
        self.joins.push((number, now, members));
        let (asked, Ask::Join(room)) = self.asks[number as usize] else {
            panic!("number {number} was no join");
        };
        let audience = Audience::Room(room);
        if self.membership(audience).is_some() {
            return;
        }
        // It may have asked to leave before this answer came.
        let later = &self.asks[number as usize..];
        let leave = later.iter().find(|(_, ask)| *ask == Ask::Leave(room));
        let leave_asked = leave.map(|(at, _)| *at);
        self.memberships.push(Membership {
            audience,
            asked,
            joined: now,
            leave_asked,
            left: None,
            leave: None,
            heard: Vec::new(),
        });
    }

    pub(crate) fn left(&mut self, now: Step, number: u32) {
        let (_, Ask::Leave(room)) = self.asks[number as usize] else {
            panic!("number {number} was no leave");
        };
        let membership = self.membership(Audience::Room(room));
        let membership = membership.expect("left a room, being no member");
        (membership.left, membership.leave) = (Some(now), Some(number));
    }

    pub(crate) fn heard(&mut self, now: Step, audience: Audience, letter: Letter) {
        let membership = self.membership(audience);
        let membership =
            membership.unwrap_or_else(|| panic!("{letter:?} of {audience:?} reached no member"));
        membership.heard.push((now, letter));
    }

    pub(crate) fn direct(&mut self, letter: Letter) {
        let last = self.directs.insert(letter.from, letter.number);
        assert!(
            last.is_none_or(|last| last < letter.number),
            "{letter:?} came after number {last:?}"
        );
    }

    /// The membership that has not ended.
    pub(crate) fn membership(&mut self, audience: Audience) -> Option<&mut Membership> {
        self.memberships
            .iter_mut()
            .find(|m| m.audience == audience && m.left.is_none())
    }
}
