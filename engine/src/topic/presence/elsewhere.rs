//! Members of one topic that are at other processes, as those tell, and what a change of them, or
//! of a user who is at several, is for the members here.
//!
//! Invariant: a member is here exactly while a process says so; a user is one member, wherever its
//! connections are, and there while it is there at any process. Whoever tells has a bound, so this
//! needs none. Used by `topic/presence/presences.rs`.

use crate::topic::presence::options::PresenceOf;
use crate::topic::presence::roster::{Change, Roster};
use crate::types::account::{Account, Hold};
use crate::types::presence::{
    MemberElsewhere, OwnedData, PresenceKey, PresenceState, PresentMember, PresentThere,
};
use crate::types::presence_event::PresenceEvent;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The members of one topic at other processes.
#[derive(Debug)]
pub(crate) struct RosterElsewhere {
    /// By what their processes call them. Each has at least one, and the last one counts: a process
    /// that begins anew calls its connections as the one before did, which is missed later.
    connections: BTreeMap<Arc<str>, Vec<ConnectionElsewhere>>,
    /// Where users count, by their names.
    users: BTreeMap<Arc<str>, UserElsewhere>,
    /// Of the users, those that are members here, too.
    at_both: u32,
    account: Account,
}

#[derive(Debug)]
struct ConnectionElsewhere {
    process: u64,
    shown: PresentThere,
    _hold: Hold,
}

#[derive(Debug)]
struct UserElsewhere {
    /// At least one.
    processes: Vec<(u64, PresentThere)>,
    /// As the roster has it. `None`: it is no member here.
    here: Option<PresenceState>,
    _hold: Hold,
}

impl ConnectionElsewhere {
    fn told(&self) -> (u64, PresentThere) {
        (self.process, self.shown.clone())
    }
}

impl UserElsewhere {
    fn elsewhere(&self) -> Option<PresenceState> {
        let states = self.processes.iter().map(|(_, shown)| shown.state);
        states.reduce(better)
    }

    /// Wherever it is.
    fn state(&self) -> Option<PresenceState> {
        [self.here, self.elsewhere()]
            .into_iter()
            .flatten()
            .reduce(better)
    }

    fn data(&self) -> Option<Arc<OwnedData>> {
        let mut shown = self.processes.iter().map(|(_, shown)| &shown.data);
        shown.find_map(|data| data.clone())
    }
}

/// Who is at one of two places is there.
fn better(one: PresenceState, other: PresenceState) -> PresenceState {
    match (one, other) {
        (PresenceState::Away, PresenceState::Away) => PresenceState::Away,
        (PresenceState::Here, _) | (_, PresenceState::Here) => PresenceState::Here,
    }
}

/// What has become of a member.
fn event(before: Option<PresenceState>, now: Option<PresenceState>) -> Option<PresenceEvent> {
    use PresenceState::{Away, Here};
    match (before, now) {
        (None, Some(Here | Away)) => Some(PresenceEvent::Join),
        (Some(Here | Away), None) => Some(PresenceEvent::Leave),
        (Some(Here), Some(Away)) => Some(PresenceEvent::Away),
        (Some(Away), Some(Here)) => Some(PresenceEvent::Back),
        (None, None) | (Some(Here), Some(Here)) | (Some(Away), Some(Away)) => None,
    }
}

impl RosterElsewhere {
    /// A member without its names and what it shows: its entries in the tables, with their slack.
    const MEMBER_BYTES: usize = 256;

    pub(crate) fn new(account: Account) -> RosterElsewhere {
        RosterElsewhere {
            connections: BTreeMap::new(),
            users: BTreeMap::new(),
            at_both: 0,
            account,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.users.is_empty()
    }

    /// Members that the roster does not count.
    pub(crate) fn members(&self) -> u32 {
        (self.connections.len() + self.users.len()) as u32 - self.at_both
    }

    fn hold(&self, name: &str, shown: &PresentThere) -> Hold {
        let data = shown
            .data
            .as_ref()
            .map_or(0, |data| data.data().bytes().len());
        self.account.hold(Self::MEMBER_BYTES + name.len() + data)
    }

    /// A process says what a member is there. Two changes are of another member with the same name:
    /// the one before is gone, and it is there.
    pub(crate) fn place(&mut self, roster: &Roster, told: MemberElsewhere) -> [Option<Change>; 2] {
        let MemberElsewhere {
            process,
            key,
            shown,
        } = told;
        match key {
            PresenceKey::Elsewhere(name) => self.place_connection(process, name, shown),
            PresenceKey::User(user) if roster.of() == PresenceOf::Users => {
                [self.place_user(roster, process, user, shown), None]
            }
            // What is known by its address is of this process.
            PresenceKey::User(_) | PresenceKey::Connection(_) => [None, None],
        }
    }

    fn place_connection(
        &mut self,
        process: u64,
        name: Arc<str>,
        shown: Option<PresentThere>,
    ) -> [Option<Change>; 2] {
        let placed = shown.map(|shown| ConnectionElsewhere {
            process,
            _hold: self.hold(&name, &shown),
            shown,
        });
        let known = self.connections.entry(name.clone()).or_default();
        let before = known.last().map(ConnectionElsewhere::told);
        let place = known.iter().position(|known| known.process == process);
        match (place, placed) {
            (Some(place), Some(placed)) => known[place] = placed,
            (Some(place), None) => drop(known.remove(place)),
            // There is one nearly always.
            (None, Some(placed)) if known.is_empty() => *known = vec![placed],
            (None, Some(placed)) => known.push(placed),
            (None, None) => {}
        }
        let now = known.last().map(ConnectionElsewhere::told);
        if now.is_none() {
            self.connections.remove(&name);
        }
        let changed = |before: Option<PresenceState>, now, of: Option<(u64, PresentThere)>| {
            let (_, PresentThere { user, data, .. }) = of?;
            let key = PresenceKey::Elsewhere(name.clone());
            Some(change(event(before, now)?, key, user, data))
        };
        let process_of = |told: &Option<(u64, PresentThere)>| Some(told.as_ref()?.0);
        let state = |told: &Option<(u64, PresentThere)>| Some(told.as_ref()?.1.state);
        let (was, is) = (state(&before), state(&now));
        match before.is_some() && now.is_some() && process_of(&before) != process_of(&now) {
            true => [changed(was, None, before), changed(None, is, now)],
            false => [changed(was, is, now.or(before)), None],
        }
    }

    fn place_user(
        &mut self,
        roster: &Roster,
        process: u64,
        user: Arc<str>,
        shown: Option<PresentThere>,
    ) -> Option<Change> {
        let key = PresenceKey::User(user.clone());
        let here = roster.state(&key);
        let before = match self.users.get(&user) {
            Some(known) => known.state(),
            None => here,
        };
        let shown_data = match shown {
            Some(shown) => {
                let data = shown.data.clone();
                let hold = self.hold(&user, &shown);
                if !self.users.contains_key(&user) {
                    self.at_both += u32::from(here.is_some());
                }
                let known = self.users.entry(user.clone());
                let known = known.or_insert_with(|| UserElsewhere {
                    processes: Vec::new(),
                    here,
                    _hold: hold,
                });
                known.processes.retain(|(other, _)| *other != process);
                known.processes.push((process, shown));
                data
            }
            None => {
                let known = self.users.get_mut(&user)?;
                let data = known.data();
                known.processes.retain(|(other, _)| *other != process);
                if known.processes.is_empty() {
                    self.at_both -= u32::from(here.is_some());
                    self.users.remove(&user);
                }
                data
            }
        };
        let now = match self.users.get(&user) {
            Some(known) => known.state(),
            None => here,
        };
        Some(change(event(before, now)?, key, Some(user), shown_data))
    }

    /// What a change of the roster is for the members here. `None`: nothing.
    pub(crate) fn adjust(&mut self, mut change: Change) -> Option<Change> {
        let PresenceKey::User(user) = &change.key else {
            return Some(change);
        };
        let Some(known) = self.users.get_mut(user) else {
            return Some(change);
        };
        let before = known.state();
        let here = match change.event {
            PresenceEvent::Join | PresenceEvent::Back => Some(PresenceState::Here),
            PresenceEvent::Away => Some(PresenceState::Away),
            PresenceEvent::Leave => None,
        };
        let was_here = std::mem::replace(&mut known.here, here);
        self.at_both += u32::from(here.is_some());
        self.at_both -= u32::from(was_here.is_some());
        change.event = event(before, known.state())?;
        Some(change)
    }

    /// A member of the roster as it is over all processes.
    pub(crate) fn complete(&self, member: &mut PresentMember) {
        let Some(user) = member.user.as_ref().filter(|_| member.connection.is_none()) else {
            return;
        };
        if let Some(state) = self.users.get(user).and_then(UserElsewhere::state) {
            member.state = state;
        }
    }

    /// The first behind this one that the roster does not have, in the order of their keys.
    pub(crate) fn behind(
        &self,
        after: Option<&PresenceKey>,
        limit: usize,
    ) -> Vec<(PresenceKey, PresentMember)> {
        let users = match after {
            None | Some(PresenceKey::Connection(_)) => Some(Bound::Unbounded),
            Some(PresenceKey::User(user)) => Some(Bound::Excluded(user)),
            Some(PresenceKey::Elsewhere(_)) => None,
        };
        let connections = match after {
            Some(PresenceKey::Elsewhere(name)) => Bound::Excluded(name),
            _ => Bound::Unbounded,
        };
        let users = users.map(|from| self.users.range::<Arc<str>, _>((from, Bound::Unbounded)));
        let users = users.into_iter().flatten();
        let users = users.filter(|(_, known)| known.here.is_none());
        let users = users.map(|(user, known)| {
            let member = PresentMember {
                connection: None,
                elsewhere: None,
                user: Some(user.clone()),
                data: known.data(),
                state: known.elsewhere().unwrap_or(PresenceState::Away),
                here: None,
            };
            (PresenceKey::User(user.clone()), member)
        });
        let all = (connections, Bound::Unbounded);
        let connections = self.connections.range::<Arc<str>, _>(all);
        let connections = connections.filter_map(|(name, known)| Some((name, known.last()?)));
        let connections = connections.map(|(name, known)| {
            let member = PresentMember {
                connection: None,
                elsewhere: Some(name.clone()),
                user: known.shown.user.clone(),
                data: known.shown.data.clone(),
                state: known.shown.state,
                here: None,
            };
            (PresenceKey::Elsewhere(name.clone()), member)
        });
        users.chain(connections).take(limit).collect()
    }

    /// Panics unless its tables agree with each other and with the roster.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self, roster: &Roster) {
        assert!(self.connections.values().all(|known| !known.is_empty()));
        let mut at_both = 0;
        for (user, known) in &self.users {
            assert!(!known.processes.is_empty(), "{user}");
            let here = roster.state(&PresenceKey::User(user.clone()));
            assert_eq!(known.here, here, "{user}");
            at_both += u32::from(here.is_some());
        }
        assert_eq!(self.at_both, at_both);
    }
}

fn change(
    event: PresenceEvent,
    key: PresenceKey,
    user: Option<Arc<str>>,
    data: Option<Arc<OwnedData>>,
) -> Change {
    Change {
        event,
        key,
        user,
        data,
        was: None,
        was_away: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::presence::options::PresenceClass;
    use crate::topic::presence::roster::{Newcomer, Parting};
    use crate::types::presence::Continuity;
    use crate::types::ticket::{Address, Ticket};

    fn shown(state: PresenceState) -> PresentThere {
        PresentThere {
            user: Some("ann".into()),
            data: None,
            state,
        }
    }

    fn told(process: u64, key: &PresenceKey, state: Option<PresenceState>) -> MemberElsewhere {
        MemberElsewhere {
            process,
            key: key.clone(),
            shown: state.map(shown),
        }
    }

    fn address(slot: u32) -> Address {
        let (shard, generation) = (0, 1);
        let ticket = Ticket { slot, generation };
        Address { shard, ticket }
    }

    fn roster(of: PresenceOf) -> (Roster, RosterElsewhere) {
        let account = Account::default();
        let roster = Roster::new(PresenceClass::new(0), of, &account);
        (roster, RosterElsewhere::new(account))
    }

    fn events_of(changes: impl IntoIterator<Item = Option<Change>>) -> Vec<PresenceEvent> {
        let changes = changes.into_iter().flatten();
        changes.map(|change| change.event).collect()
    }

    #[test]
    fn a_connection_elsewhere_comes_and_goes() {
        use PresenceState::{Away, Here};
        let (roster, mut elsewhere) = roster(PresenceOf::Connections);
        let key = PresenceKey::Elsewhere("0-1-2@b".into());
        for (state, event) in [
            (Some(Here), Some(PresenceEvent::Join)),
            (Some(Here), None),
            (Some(Away), Some(PresenceEvent::Away)),
            (Some(Here), Some(PresenceEvent::Back)),
            (None, Some(PresenceEvent::Leave)),
            (None, None),
        ] {
            let change = elsewhere.place(&roster, told(7, &key, state));
            let expected = Vec::from_iter(event);
            assert_eq!(events_of(change), expected, "{state:?}");
            assert_eq!(elsewhere.members(), u32::from(state.is_some()));
        }
        // Another process cannot take away what is not its own.
        elsewhere.place(&roster, told(7, &key, Some(Here)));
        assert_eq!(elsewhere.place(&roster, told(8, &key, None)), [None, None]);
        assert_eq!(elsewhere.members(), 1);
    }

    /// A node that was killed and is back at once calls its connections as before, while what it
    /// had is not missed yet. Against the slow version: the last process that came to have the
    /// name, and has it still, is the member.
    #[test]
    fn a_process_that_begins_anew_has_members_with_the_same_names() {
        use PresenceEvent::{Join, Leave};
        use PresenceState::Here;
        let (here, mut elsewhere) = roster(PresenceOf::Connections);
        let key = PresenceKey::Elsewhere("0-0-1@b".into());
        for (process, state, events) in [
            (9, Some(Here), vec![Join]),
            (3, Some(Here), vec![Leave, Join]),
            (9, None, vec![]),
            (3, None, vec![Leave]),
        ] {
            let changes = elsewhere.place(&here, told(process, &key, state));
            assert_eq!(events_of(changes), events, "{process} {state:?}");
        }
        assert!(elsewhere.is_empty());
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (here, mut elsewhere) = roster(PresenceOf::Connections);
            let mut processes: Vec<(u64, PresenceState)> = Vec::new();
            for number in 0..100 {
                let before = processes.last().copied();
                let process = random.u64(1..4);
                let state = [None, Some(Here), Some(PresenceState::Away)][random.usize(0..3)];
                let known = processes.iter().position(|(known, _)| *known == process);
                match (known, state) {
                    (Some(at), Some(state)) => processes[at].1 = state,
                    (Some(at), None) => drop(processes.remove(at)),
                    (None, Some(state)) => processes.push((process, state)),
                    (None, None) => {}
                }
                let expected = match (before, processes.last().copied()) {
                    (Some(before), Some(now)) if before.0 != now.0 => vec![Leave, Join],
                    (before, now) => {
                        let state = |known: Option<(u64, PresenceState)>| Some(known?.1);
                        Vec::from_iter(event(state(before), state(now)))
                    }
                };
                let changes = elsewhere.place(&here, told(process, &key, state));
                assert_eq!(events_of(changes), expected, "seed {seed} at {number}");
                elsewhere.check(&here);
                assert_eq!(elsewhere.members(), u32::from(!processes.is_empty()));
                let page = elsewhere.behind(None, 9);
                let shown: Vec<_> = page.iter().map(|(_, member)| member.state).collect();
                let last = processes.last().map(|(_, state)| *state);
                assert_eq!(shown, Vec::from_iter(last), "seed {seed} at {number}");
            }
        }
    }

    /// Against the slow version: a user's state is the best of all that say something of it, and
    /// the members are told each time that it changes.
    #[test]
    fn a_user_is_one_member_wherever_it_is() {
        let ann = PresenceKey::User("ann".into());
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut roster, mut elsewhere) = roster(PresenceOf::Users);
            let mut processes: BTreeMap<u64, PresenceState> = BTreeMap::new();
            let (mut joined, mut known) = (Vec::<u32>::new(), None);
            for number in 1..200 {
                let change = match random.u8(0..6) {
                    0 => {
                        joined.push(number);
                        let newcomer = Newcomer {
                            who: address(number),
                            user: Some("ann".into()),
                            data: None,
                            continuity: Continuity::None,
                        };
                        let change = roster.join(newcomer);
                        [change.and_then(|change| elsewhere.adjust(change)), None]
                    }
                    1 if !joined.is_empty() => {
                        let who = joined.swap_remove(random.usize(0..joined.len()));
                        let parting = match random.bool() {
                            true => Parting::Left,
                            false => Parting::Lost(number.into()),
                        };
                        let change = roster.part(address(who), parting);
                        [change.and_then(|change| elsewhere.adjust(change)), None]
                    }
                    2 => {
                        let since = random.u64(1..=number.into());
                        let change = roster.give_up(&ann, since);
                        [change.and_then(|change| elsewhere.adjust(change)), None]
                    }
                    _ => {
                        let process = random.u64(1..4);
                        let state = [None, Some(PresenceState::Here), Some(PresenceState::Away)];
                        let state = state[random.usize(0..3)];
                        match state {
                            Some(state) => drop(processes.insert(process, state)),
                            None => drop(processes.remove(&process)),
                        }
                        elsewhere.place(&roster, told(process, &ann, state))
                    }
                };
                let states = processes.values().copied().chain(roster.state(&ann));
                let now = states.reduce(better);
                let expected = Vec::from_iter(event(known, now));
                assert_eq!(events_of(change), expected, "seed {seed} at {number}");
                known = now;
                elsewhere.check(&roster);
                let total = roster.members() + elsewhere.members();
                assert_eq!(total, u32::from(now.is_some()), "seed {seed} at {number}");
            }
        }
    }
}
