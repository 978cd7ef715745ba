//! The rosters of the topics that this shard is home to, what their members are still to be told,
//! and the times at which something is due.
//!
//! Invariant: a roster exists while it has members; a change is an event or part of a count, and
//! events wait in their order until the home publishes them, before it takes another request. Used
//! by `topic/presence/telling.rs`.

use crate::config::Config;
use crate::driver::boundary::Millis;
use crate::topic::key::{Topic, TopicKey, TopicKind};
use crate::topic::presence::elsewhere::RosterElsewhere;
use crate::topic::presence::options::{PresenceClass, PresenceOf, PresenceOptions};
use crate::topic::presence::roster::{Change, Newcomer, Parting, Roster};
use crate::types::account::Account;
use crate::types::presence::{
    JoinPresence, MemberElsewhere, PresenceKey, PresencePage, PresenceQuery,
};
use crate::types::presence_event::PresenceEvent;
use crate::types::shrink::shrink_map;
use crate::types::ticket::Address;
use foldhash::quality::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Every roster of one shard.
#[derive(Debug)]
pub(crate) struct Presences {
    options: Box<[PresenceOptions]>,
    /// Of rooms, by name.
    rosters: HashMap<Arc<str>, Counted, RandomState>,
    /// What is to be published.
    events: VecDeque<Told>,
    due: BTreeMap<(Millis, u64), Due>,
    numbers: u64,
    /// Of what is due: members that may have left by then.
    to_give_up: usize,
    /// Members that are away.
    away: usize,
    account: Account,
    /// There are other processes.
    has_others: bool,
}

#[derive(Debug)]
struct Counted {
    topic: TopicKey,
    roster: Roster,
    /// `None`: no other process has members of it.
    elsewhere: Option<Box<RosterElsewhere>>,
    /// When the last count was told. `None`: none was.
    counted_at: Option<Millis>,
    count: CountState,
}

/// Whether members are told how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CountState {
    /// They know.
    Told,
    /// They are told a second after the last time, by what is due under this key.
    Due(Millis, u64),
}

/// What members of a topic are told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) topic: TopicKey,
    pub(crate) what: What,
    /// Who is not told: it knows.
    pub(crate) except: Option<Address>,
}

#[derive(Debug)]
pub(crate) enum What {
    Change(Change),
    Members(u32),
    /// Not they: other processes are told of what has changed here.
    OfThisProcess(Change),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goodbye {
    /// Its client may go on with its session.
    Unsaid,
    /// That is over. A user may come back all the same.
    Said,
}

/// What is due at a time.
#[derive(Debug)]
enum Due {
    /// A member that is away has left.
    GiveUp {
        room: Arc<str>,
        key: PresenceKey,
        number: u64,
    },
    /// The members of a room are told how many they are.
    Count { room: Arc<str> },
}

/// Between two counts of one room, in milliseconds.
const COUNT_EVERY_MS: Millis = 1_000;

impl Presences {
    /// Members of a shard that may be away. Whoever would be one more has left at once.
    const AWAY_MAX: usize = 65_536;
    /// What one tick does of what is due.
    const DUE_PER_TICK: usize = 256;

    pub(crate) fn new(config: &Config) -> Presences {
        Presences {
            options: config.presence.as_slice().into(),
            rosters: HashMap::default(),
            events: VecDeque::new(),
            due: BTreeMap::new(),
            numbers: 0,
            to_give_up: 0,
            away: 0,
            account: Account::default(),
            has_others: config.relay.is_some(),
        }
    }

    /// Bytes of all members with what they show.
    pub(crate) fn bytes(&self) -> u64 {
        self.account.bytes()
    }

    /// Whether there is a class of presence; otherwise no room ever has a roster.
    pub(crate) fn has_classes(&self) -> bool {
        !self.options.is_empty()
    }

    /// Rooms that have one.
    pub(crate) fn count(&self) -> usize {
        self.rosters.len()
    }

    /// A connection has become a member of a room.
    pub(crate) fn join(
        &mut self,
        topic: &TopicKey,
        who: Address,
        user: Option<Arc<str>>,
        presence: JoinPresence,
        now: Millis,
    ) {
        let JoinPresence {
            class,
            data,
            continuity,
        } = presence;
        let Some(options) = self.options.get(class.index()) else {
            return;
        };
        let of = options.of;
        let counted = self
            .rosters
            .entry(topic.name().clone())
            .or_insert_with(|| Counted::new(topic.clone(), class, of, &self.account));
        let newcomer = Newcomer {
            who,
            user,
            data: data.map(Arc::new),
            continuity,
        };
        if let Some(change) = counted.roster.join(newcomer) {
            self.away -= usize::from(change.was_away);
            self.tell(topic.name(), change, Some(who), now);
        }
    }

    /// A connection has left a room.
    pub(crate) fn leave(&mut self, topic: Topic<'_>, who: Address, now: Millis) {
        self.part(topic, who, Parting::Left, now);
    }

    /// A connection that was a member of a room has ended.
    pub(crate) fn lose(&mut self, topic: Topic<'_>, who: Address, goodbye: Goodbye, now: Millis) {
        self.numbers += 1;
        let has_room = self.away < Self::AWAY_MAX && self.to_give_up < 2 * Self::AWAY_MAX;
        let parting = match (has_room, goodbye) {
            (true, Goodbye::Unsaid) => Parting::Lost(self.numbers),
            (true, Goodbye::Said) => Parting::Closed(self.numbers),
            (false, _) => Parting::Left,
        };
        self.part(topic, who, parting, now);
    }

    /// A shard has lost its connections, which may all return.
    pub(crate) fn lose_shard(&mut self, shard: u16, now: Millis) {
        let rosters = self.rosters.values();
        let lost = rosters.flat_map(|counted| {
            let here = counted.roster.connections_of(shard);
            here.map(|who| (counted.topic.clone(), who))
        });
        for (topic, who) in lost.collect::<Vec<_>>() {
            self.lose(topic.topic(), who, Goodbye::Unsaid, now);
        }
    }

    fn part(&mut self, topic: Topic<'_>, who: Address, parting: Parting, now: Millis) {
        let Topic::Room(name) = topic else { return };
        let Some(counted) = self.rosters.get_mut(name) else {
            return;
        };
        let grace = self.options[counted.roster.class.index()].grace;
        let parting = if grace.is_zero() {
            Parting::Left
        } else {
            parting
        };
        let Some(change) = counted.roster.part(who, parting) else {
            return;
        };
        let name = counted.topic.name().clone();
        if let (Parting::Lost(number) | Parting::Closed(number), PresenceEvent::Away) =
            (parting, change.event)
        {
            self.away += 1;
            self.to_give_up += 1;
            let at = now + grace.as_millis() as Millis;
            let due = Due::GiveUp {
                room: name.clone(),
                key: change.key.clone(),
                number,
            };
            self.due.insert((at, number), due);
        }
        self.tell(&name, change, None, now);
    }

    /// Another process says something of a member of a room.
    pub(crate) fn place_elsewhere(
        &mut self,
        topic: &TopicKey,
        class: PresenceClass,
        told: MemberElsewhere,
        now: Millis,
    ) {
        let Some(options) = self.options.get(class.index()) else {
            return;
        };
        let of = options.of;
        let room = topic.name();
        let counted = self.rosters.entry(room.clone());
        let account = &self.account;
        let counted = counted.or_insert_with(|| Counted::new(topic.clone(), class, of, account));
        let elsewhere = &mut counted.elsewhere;
        let elsewhere =
            elsewhere.get_or_insert_with(|| Box::new(RosterElsewhere::new(account.clone())));
        let changes = elsewhere.place(&counted.roster, told);
        if elsewhere.is_empty() {
            counted.elsewhere = None;
        }
        if !counted.roster.is_empty() {
            for change in changes.into_iter().flatten() {
                self.announce(room, change, None, now);
            }
        }
        self.drop_if_empty(room);
    }

    /// A member of a room has changed here.
    fn tell(&mut self, room: &Arc<str>, change: Change, except: Option<Address>, now: Millis) {
        let Some(counted) = self.rosters.get_mut(room) else {
            return;
        };
        if self.has_others {
            self.events.push_back(Told {
                topic: counted.topic.clone(),
                what: What::OfThisProcess(change.clone()),
                except: None,
            });
        }
        let change = match &mut counted.elsewhere {
            Some(elsewhere) => elsewhere.adjust(change),
            None => Some(change),
        };
        match change {
            Some(change) => self.announce(room, change, except, now),
            None => self.drop_if_empty(room),
        }
    }

    /// The members of a room are told of a change, one by one or by their number.
    fn announce(&mut self, room: &Arc<str>, change: Change, except: Option<Address>, now: Millis) {
        let Some(counted) = self.rosters.get_mut(room) else {
            return;
        };
        let members = counted.members();
        let options = &self.options[counted.roster.class.index()];
        if members <= options.events_members_max {
            self.events.push_back(Told {
                topic: counted.topic.clone(),
                what: What::Change(change),
                except,
            });
        } else if counted.count == CountState::Told {
            let last = counted.counted_at.map_or(0, |at| at + COUNT_EVERY_MS);
            self.numbers += 1;
            let (at, number) = (last.max(now), self.numbers);
            counted.count = CountState::Due(at, number);
            let due = Due::Count { room: room.clone() };
            self.due.insert((at, number), due);
        }
        self.drop_if_empty(room);
    }

    fn drop_if_empty(&mut self, room: &Arc<str>) {
        let counted = self.rosters.get(room);
        let Some(counted) = counted.filter(|counted| counted.members() == 0) else {
            return;
        };
        if let CountState::Due(at, number) = counted.count {
            // There is nobody to tell.
            self.due.remove(&(at, number));
        }
        self.rosters.remove(room);
    }

    /// Does what is due by now, while nothing waits to be published.
    #[inline]
    pub(crate) fn meet_deadlines(&mut self, now: Millis) {
        if !self.due.is_empty() {
            self.meet_some_deadlines(now);
        }
    }

    #[cold]
    fn meet_some_deadlines(&mut self, now: Millis) {
        for _ in 0..Self::DUE_PER_TICK {
            let Some(due) = self.due.first_entry().filter(|due| due.key().0 <= now) else {
                return;
            };
            match due.remove() {
                Due::GiveUp { room, key, number } => {
                    self.to_give_up -= 1;
                    self.give_up(&room, &key, number, now);
                }
                Due::Count { room } => self.tell_count(&room, now),
            }
        }
    }

    fn give_up(&mut self, room: &Arc<str>, key: &PresenceKey, number: u64, now: Millis) {
        let counted = self.rosters.get_mut(room);
        let change = counted.and_then(|counted| counted.roster.give_up(key, number));
        if let Some(change) = change {
            self.away -= 1;
            self.tell(room, change, None, now);
        }
    }

    fn tell_count(&mut self, room: &Arc<str>, now: Millis) {
        let Some(counted) = self.rosters.get_mut(room) else {
            return;
        };
        (counted.count, counted.counted_at) = (CountState::Told, Some(now));
        self.events.push_back(Told {
            topic: counted.topic.clone(),
            what: What::Members(counted.members()),
            except: None,
        });
    }

    /// When something is due next.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Something waits to be published.
    #[inline]
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(crate) fn next_event(&mut self) -> Option<Told> {
        self.events.pop_front()
    }

    /// Some members of a room.
    pub(crate) fn page(&self, topic: Topic<'_>, query: &PresenceQuery) -> PresencePage {
        let counted = self.rosters.get(topic.name());
        let counted = counted.filter(|_| topic.kind() == TopicKind::Room);
        counted.map_or_else(PresencePage::default, |counted| counted.page(query))
    }

    /// Keeps no more than there is.
    pub(crate) fn release_memory(&mut self) {
        shrink_map(&mut self.rosters);
        self.events.shrink_to_fit();
    }

    /// Panics unless the books are right; `members`: of a room, by its home.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self, members: impl Fn(Topic<'_>) -> u32) {
        let due = self.due.values();
        let counts = due.filter(|due| matches!(due, Due::Count { .. })).count();
        assert_eq!(self.due.len(), counts + self.to_give_up);
        let rosters = self.rosters.values();
        let to_be_told = rosters.filter(|counted| counted.count != CountState::Told);
        assert_eq!(counts, to_be_told.count(), "each room's count is due once");
        for (name, counted) in &self.rosters {
            counted.roster.check();
            assert!(counted.members() > 0, "{name}: nobody is there");
            if let Some(elsewhere) = &counted.elsewhere {
                elsewhere.check(&counted.roster);
            }
            let connections = counted.roster.connections();
            let topic = counted.topic.topic();
            assert!(connections <= members(topic) as usize, "{name}: a ghost");
            if let CountState::Due(at, number) = counted.count {
                let due = self.due.get(&(at, number));
                let is_due = matches!(due, Some(Due::Count { room }) if room == name);
                assert!(is_due, "{name}");
            }
        }
        assert!(self.away <= Self::AWAY_MAX);
    }

    /// Whether nobody is away or present.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.rosters.is_empty() && self.events.is_empty() && self.away == 0
    }
}

impl Counted {
    fn new(topic: TopicKey, class: PresenceClass, of: PresenceOf, account: &Account) -> Counted {
        Counted {
            topic,
            roster: Roster::new(class, of, account),
            elsewhere: None,
            counted_at: None,
            count: CountState::Told,
        }
    }

    /// Members here and at other processes.
    fn members(&self) -> u32 {
        let elsewhere = self.elsewhere.as_ref();
        self.roster.members() + elsewhere.map_or(0, |elsewhere| elsewhere.members())
    }

    /// Some of them, in the order of their keys.
    fn page(&self, query: &PresenceQuery) -> PresencePage {
        let Some(elsewhere) = &self.elsewhere else {
            return self.roster.page(query);
        };
        let limit = query.limit.min(PresenceQuery::LIMIT_MAX) as usize;
        let after = query.after.as_ref();
        let mut found = self.roster.behind(after, limit + 1);
        for (_, member) in &mut found {
            elsewhere.complete(member);
        }
        found.extend(elsewhere.behind(after, limit + 1));
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|(key, _)| key.clone());
        PresencePage {
            members: self.members(),
            next: last.filter(|_| has_more),
            page: found.into_iter().map(|(_, member)| member).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::presence::Continuity;
    use crate::types::ticket::Ticket;
    use std::time::Duration;

    fn address(slot: u32) -> Address {
        let (shard, generation) = (0, 1);
        let ticket = Ticket { slot, generation };
        Address { shard, ticket }
    }

    /// However many rooms begin and end between two turns, what is due is of rooms that there are,
    /// and does not count among those who may come back.
    #[test]
    fn a_room_that_ends_takes_its_count_with_it() {
        let options = PresenceOptions {
            of: PresenceOf::Users,
            events_members_max: 0,
            grace: Duration::from_secs(5),
        };
        let mut presences = Presences::new(&Config {
            presence: vec![options],
            ..Config::default()
        });
        let join = || JoinPresence {
            class: PresenceClass::new(0),
            data: None,
            continuity: Continuity::None,
        };
        let topics: Vec<TopicKey> = (0..3)
            .map(|number| TopicKey::new(Topic::Room(&format!("r{number}"))))
            .collect();
        for slot in 0..10_000 {
            let topic = &topics[slot as usize % topics.len()];
            presences.join(topic, address(slot), None, join(), 0);
            assert_eq!(presences.due.len(), 1);
            presences.leave(topic.topic(), address(slot), 0);
            presences.check(|_| 1);
        }
        assert_eq!((presences.due.len(), presences.count()), (0, 0));
        // Who is lost may come back as ever.
        presences.join(&topics[0], address(1), Some("ann".into()), join(), 0);
        presences.lose(topics[0].topic(), address(1), Goodbye::Unsaid, 0);
        presences.check(|_| 1);
        assert_eq!((presences.away, presences.to_give_up), (1, 1));
        presences.meet_deadlines(4_999);
        assert_eq!(presences.count(), 1);
        presences.meet_deadlines(5_000);
        presences.check(|_| 1);
        assert_eq!((presences.count(), presences.due.len()), (0, 0));
    }
}
