//! What one client asked for and heard, with the step of each: the material of the checks at the
//! end of a run.

use super::application::Step;
use super::words::{Ask, Audience, MessageId, Words};
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
    pub(crate) lists: Vec<(u32, Step, List)>,
    /// Number of the join, when it was answered, the members it told.
    pub(crate) joins: Vec<(u32, Step, usize)>,
    /// Number of the join that found the room full, when it was answered.
    pub(crate) full: Vec<(u32, Step)>,
    /// Leaves that were answered though the join before them had been refused.
    pub(crate) void_leaves: usize,
    /// What it heard as a user.
    pub(crate) as_user: BTreeMap<usize, Vec<(Step, MessageId)>>,
    /// Who it asked to be: number, and when the application had done it.
    pub(crate) identities: Vec<(u32, Step)>,
    /// What another thread told it.
    pub(crate) tolds: Vec<u32>,
    /// The application refused these.
    pub(crate) refused: Vec<u32>,
    /// The last direct message of each other client.
    directs: BTreeMap<usize, u32>,
}

/// The answer to a list.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) total: usize,
    /// Clients, and who they are.
    pub(crate) members: Vec<(usize, Option<usize>)>,
}

impl List {
    /// The rest of a listed answer.
    pub(crate) fn read(words: &mut Words<'_>) -> List {
        let total = words.number();
        let mut members = Vec::new();
        while !words.0.is_empty() {
            let (client, user) = words.next().split_once(':').expect("who it is");
            let user = (user != "-").then(|| user.parse().expect("a user's number"));
            members.push((client.parse().expect("a client's number"), user));
        }
        List { total, members }
    }
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
    pub(crate) heard: Vec<(Step, MessageId)>,
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
        let (asked, ask) = self.asks[number as usize];
        let room = ask.joins().expect("a joined answer answers a join");
        let audience = Audience::Room(room);
        if self.membership(audience).is_some() {
            return;
        }
        if let Ask::JoinLimited(_, members_max) = ask {
            assert!(members <= members_max as usize, "{ask:?} made it {members}");
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

    /// The room was full.
    pub(crate) fn full(&mut self, now: Step, number: u32) {
        let (_, ask) = self.asks[number as usize];
        let Ask::JoinLimited(room, _) = ask else {
            panic!("{ask:?} has no limit");
        };
        let member = self.membership(Audience::Room(room));
        assert!(member.is_none(), "{ask:?}: refused, being a member");
        self.full.push((number, now));
    }

    pub(crate) fn told(&mut self, number: u32) {
        let last = self.tolds.last();
        assert!(
            last.is_none_or(|last| *last < number),
            "{number} came after {last:?}"
        );
        self.tolds.push(number);
    }

    /// The join that a leave takes back was refused: the client had not heard of it when it asked
    /// to leave.
    fn is_void(&self, leave: u32, room: usize) -> bool {
        let before = &self.asks[..leave as usize];
        let join = before
            .iter()
            .rposition(|(_, ask)| ask.joins() == Some(room));
        self.full
            .iter()
            .any(|(number, _)| Some(*number as usize) == join)
    }

    pub(crate) fn left(&mut self, now: Step, number: u32) {
        let (_, Ask::Leave(room)) = self.asks[number as usize] else {
            panic!("number {number} was no leave");
        };
        if self.membership(Audience::Room(room)).is_none() {
            assert!(self.is_void(number, room), "left a room, being no member");
            self.void_leaves += 1;
            return;
        }
        let membership = self.membership(Audience::Room(room));
        let membership = membership.expect("just looked");
        (membership.left, membership.leave) = (Some(now), Some(number));
    }

    /// Whether it asked to be this user by then.
    pub(crate) fn may_be(&self, user: usize, by: Step) -> bool {
        let mut asks = self.asks.iter();
        asks.any(|(asked, ask)| *asked <= by && *ask == Ask::Identify(Some(user)))
    }

    pub(crate) fn heard(&mut self, now: Step, audience: Audience, message_id: MessageId) {
        if let Audience::User(user) = audience {
            assert!(
                self.may_be(user, now),
                "{message_id:?} of {audience:?} reached somebody else"
            );
            let heard = self.as_user.entry(user).or_default();
            let twice = heard.iter().any(|(_, other)| *other == message_id);
            assert!(!twice, "{message_id:?} of {audience:?} came twice");
            heard.push((now, message_id));
            return;
        }
        let membership = self.membership(audience);
        let membership = membership
            .unwrap_or_else(|| panic!("{message_id:?} of {audience:?} reached no member"));
        membership.heard.push((now, message_id));
    }

    pub(crate) fn direct(&mut self, message_id: MessageId) {
        let last = self.directs.insert(message_id.from, message_id.number);
        assert!(
            last.is_none_or(|last| last < message_id.number),
            "{message_id:?} came after number {last:?}"
        );
    }

    /// The membership that has not ended.
    pub(crate) fn membership(&mut self, audience: Audience) -> Option<&mut Membership> {
        self.memberships
            .iter_mut()
            .find(|m| m.audience == audience && m.left.is_none())
    }
}
