//! Who is in which room and who talks there, as one worker needs it. Invariant: a talker's k-th
//! message goes to its room k mod turns, so that its number in the room is k / turns. Called by
//! `fanout` and its parts.

use crate::chat::{Chat, Seats};
use crate::dialect::EVERYONE;
use crate::pace::Pace;
use crate::plan::Share;
use crate::rows::Rows;

/// Rooms, members and talkers. Members are the first connections of the worker.
#[derive(Debug)]
pub(crate) struct Layout {
    /// By member of this worker.
    rooms_of: Rows<u32>,
    /// By room, in the order of the talkers' numbers.
    voices: Rows<Voice>,
    /// By room: members in this worker.
    members_here: Vec<u32>,
    /// By talker of this worker.
    rotations: Rows<u32>,
    /// Number of this worker's first talker in the whole run.
    first_talker: usize,
    /// Its connection.
    talkers_at: usize,
    /// Those of this worker who have a room to talk in.
    speaking: Vec<u32>,
    /// Their part of all who have.
    part: f64,
    /// Voices of a room that probe it.
    probers: usize,
    /// The room that stands for every connection of the server.
    everyone: Option<usize>,
}

/// A talker in one of its rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Voice {
    /// Number in the whole run.
    pub(crate) talker: u32,
    /// The room's place among the talker's.
    pub(crate) place: u32,
    /// The talker's rooms.
    pub(crate) turns: u32,
}

/// A member in one of its rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Among all memberships of this worker.
    pub(crate) number: usize,
    pub(crate) room: usize,
}

impl Layout {
    /// For a worker's share.
    pub(crate) fn new(share: &Share) -> Layout {
        match (share.plan.chat, share.plan.pace) {
            (Some(chat), _) => Layout::chat(share, chat),
            (None, Pace::Once) => Layout::once(share),
            (None, Pace::Closed(_) | Pace::Rate { .. } | Pace::Silent) => Layout::even(share),
        }
    }

    /// Members spread evenly over the rooms; every publisher publishes to all rooms in turn.
    fn even(share: &Share) -> Layout {
        let (rooms, publishers) = (share.plan.rooms, share.plan.publishers);
        let mut layout = Layout::empty(share);
        for member in share.first..share.first + share.count {
            layout.rooms_of.push([member % rooms]);
        }
        for place in 0..rooms {
            layout.voices.push((0..publishers).map(|talker| Voice {
                talker,
                place,
                turns: rooms,
            }));
        }
        for _ in (0..publishers).filter(|_| share.publishes) {
            layout.rotations.push(0..rooms);
        }
        layout.counted()
    }

    /// The same, with one publisher for the rooms and another for everyone.
    fn once(share: &Share) -> Layout {
        let rooms = share.plan.rooms;
        let mut layout = Layout::empty(share);
        for member in share.first..share.first + share.count {
            layout.rooms_of.push([member % rooms, rooms]);
        }
        for place in 0..rooms {
            layout.voices.push([Voice {
                talker: 0,
                place,
                turns: rooms,
            }]);
        }
        layout.voices.push([Voice {
            talker: 1,
            place: 0,
            turns: 1,
        }]);
        if share.publishes {
            layout.rotations.push(0..rooms);
            layout.rotations.push([rooms]);
        }
        layout.everyone = Some(rooms as usize);
        layout.counted()
    }

    /// Members who talk to each other. They have joined by an answer of the server: one voice is
    /// enough to probe a room.
    fn chat(share: &Share, chat: Chat) -> Layout {
        let seats = Seats::new(share.plan.connections, share.plan.rooms, chat);
        let mut layout = Layout::empty(share);
        let here = share.first..share.first + share.count;
        for member in here.clone() {
            layout
                .rooms_of
                .push(seats.rooms(member).map(|(room, _)| room));
            layout.rotations.push(seats.rotation(member));
        }
        for room in 0..share.plan.rooms {
            let mut voices: Vec<Voice> = seats
                .talkers(room as usize)
                .map(|talker| Voice {
                    talker,
                    place: seats
                        .rotation(talker)
                        .take_while(|&own| own != room)
                        .count() as u32,
                    turns: seats.rotation(talker).count() as u32,
                })
                .collect();
            voices.sort_unstable_by_key(|voice| voice.talker);
            layout.voices.push(voices);
        }
        let speaks = |member: &u32| seats.rotation(*member).next().is_some();
        let all = (0..share.plan.connections).filter(speaks).count();
        let own = here.filter(speaks).count();
        (layout.first_talker, layout.talkers_at) = (share.first as usize, 0);
        (layout.part, layout.probers) = (own as f64 / all as f64, 1);
        layout.counted()
    }

    fn empty(share: &Share) -> Layout {
        Layout {
            rooms_of: Rows::new(),
            voices: Rows::new(),
            members_here: Vec::new(),
            rotations: Rows::new(),
            first_talker: 0,
            talkers_at: share.count as usize,
            speaking: Vec::new(),
            part: 1.0,
            probers: usize::MAX,
            everyone: None,
        }
    }

    fn counted(mut self) -> Layout {
        self.members_here = vec![0; self.voices.len()];
        for &room in self.rooms_of.items() {
            self.members_here[room as usize] += 1;
        }
        self.speaking = (0..self.rotations.len() as u32)
            .filter(|&talker| !self.rotations.row(talker as usize).is_empty())
            .collect();
        self
    }

    /// In this worker.
    pub(crate) fn members(&self) -> usize {
        self.rooms_of.len()
    }

    /// Of a member.
    pub(crate) fn memberships(&self, member: usize) -> impl Iterator<Item = Membership> {
        self.rooms_of.range(member).map(|number| Membership {
            number,
            room: self.rooms_of.items()[number] as usize,
        })
    }

    /// Of a member, those that it must ask for.
    pub(crate) fn subscriptions(&self, member: usize) -> impl Iterator<Item = u32> {
        self.memberships(member)
            .filter(|membership| self.everyone != Some(membership.room))
            .map(|membership| membership.room as u32)
    }

    /// Of all members of this worker, in the order of their numbers.
    pub(crate) fn all_memberships(&self) -> impl Iterator<Item = Membership> {
        (0..self.members()).flat_map(|member| self.memberships(member))
    }

    /// In a room.
    pub(crate) fn voices(&self, room: usize) -> &[Voice] {
        self.voices.row(room)
    }

    /// Of a talker in a room, and its place among the room's voices.
    pub(crate) fn voice(&self, room: usize, talker: u32) -> Option<(usize, Voice)> {
        let voices = self.voices.row(room);
        // Where everyone talks in every room, a voice stands at its talker's number.
        let place = match voices.get(talker as usize) {
            Some(voice) if voice.talker == talker => talker as usize,
            _ => voices
                .binary_search_by_key(&talker, |voice| voice.talker)
                .ok()?,
        };
        Some((place, voices[place]))
    }

    /// Messages that a member should get in all, `published` by each talker of the whole run.
    pub(crate) fn expected(&self, member: usize, published: &[u64]) -> u64 {
        self.memberships(member)
            .flat_map(|membership| self.voices(membership.room))
            .map(|voice| voice.expected(published))
            .sum()
    }

    /// Members of a room in this worker.
    pub(crate) fn members_here(&self, room: usize) -> u32 {
        self.members_here[room]
    }

    /// In this worker.
    pub(crate) fn talkers(&self) -> usize {
        self.rotations.len()
    }

    /// Those of them who have a room to talk in.
    pub(crate) fn speaking(&self) -> &[u32] {
        &self.speaking
    }

    /// Their part of all who have, in the whole run.
    pub(crate) fn part(&self) -> f64 {
        self.part
    }

    /// Voices of a room that probe it: its first ones.
    pub(crate) fn probers(&self, room: usize) -> usize {
        self.voices(room).len().min(self.probers)
    }

    /// Rooms of a talker of this worker, in the order in which it talks.
    pub(crate) fn rotation(&self, talker: usize) -> &[u32] {
        self.rotations.row(talker)
    }

    /// Number of this worker's talker in the whole run.
    pub(crate) fn talker_number(&self, talker: usize) -> u32 {
        (self.first_talker + talker) as u32
    }

    /// The reverse; `None`: it is elsewhere.
    pub(crate) fn talker_here(&self, number: u32) -> Option<usize> {
        let talker = (number as usize).checked_sub(self.first_talker)?;
        (talker < self.talkers()).then_some(talker)
    }

    /// A talker's connection.
    pub(crate) fn connection_of(&self, talker: usize) -> usize {
        self.talkers_at + talker
    }

    /// A room as stamps and dialects call it.
    pub(crate) fn room_name(&self, room: usize) -> u32 {
        if self.everyone == Some(room) {
            EVERYONE
        } else {
            room as u32
        }
    }
}

impl Voice {
    /// Messages in this room, `published` by each talker of the whole run; what is not known of a
    /// worker that is gone is none.
    pub(crate) fn expected(self, published: &[u64]) -> u64 {
        let published = published.get(self.talker as usize).copied().unwrap_or(0);
        let turns = u64::from(self.turns);
        (published + turns - 1 - u64::from(self.place)) / turns
    }

    /// Which of all the talker's messages is the one that has this number in the room.
    pub(crate) fn number(self, sequence: u64) -> u64 {
        sequence * u64::from(self.turns) + u64::from(self.place)
    }
}
