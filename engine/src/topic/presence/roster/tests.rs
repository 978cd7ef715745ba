//! Rosters against the obvious: sets of connections, and who was lost when.

use super::*;
use crate::topic::data::{Data, DataEncoding};
use crate::types::ticket::Ticket;
use fastrand::Rng;
use std::collections::BTreeSet;

const CLASS: PresenceClass = PresenceClass::new(0);

fn address(slot: u32) -> Address {
    let generation = 1;
    let ticket = Ticket { slot, generation };
    Address { shard: 0, ticket }
}

fn user(name: &str) -> Option<Arc<str>> {
    Some(name.into())
}

fn data(text: &str) -> Option<Arc<OwnedData>> {
    let data = OwnedData::new(Data::Text(text), DataEncoding::default());
    Some(Arc::new(data))
}

/// A connection that stands for itself.
fn newcomer(slot: u32, user: Option<Arc<str>>, data: Option<Arc<OwnedData>>) -> Newcomer {
    Newcomer {
        who: address(slot),
        user,
        data,
        continuity: Continuity::None,
    }
}

fn event(change: Option<Change>) -> Option<PresenceEvent> {
    change.map(|change| change.event)
}

#[test]
fn a_user_is_there_from_its_first_connection_to_its_last() {
    let mut roster = Roster::new(CLASS, PresenceOf::Users, &Account::default());
    let join = |roster: &mut Roster, slot| event(roster.join(newcomer(slot, user("ann"), None)));
    assert_eq!(join(&mut roster, 1), Some(PresenceEvent::Join));
    assert_eq!(join(&mut roster, 2), None);
    assert_eq!(event(roster.part(address(1), Parting::Lost(1))), None);
    assert_eq!(
        event(roster.part(address(2), Parting::Lost(2))),
        Some(PresenceEvent::Away)
    );
    assert_eq!(roster.members(), 1);
    assert_eq!(join(&mut roster, 3), Some(PresenceEvent::Back));
    let ann = PresenceKey::User("ann".into());
    assert_eq!(roster.give_up(&ann, 2), None, "it came back");
    assert_eq!(
        event(roster.part(address(3), Parting::Lost(3))),
        Some(PresenceEvent::Away)
    );
    assert_eq!(roster.give_up(&ann, 2), None, "that was another time");
    let change = roster.give_up(&ann, 3);
    assert_eq!(event(change), Some(PresenceEvent::Leave));
    assert!(roster.is_empty());
    assert_eq!(join(&mut roster, 4), Some(PresenceEvent::Join));
    let change = roster.part(address(4), Parting::Left);
    assert_eq!(event(change), Some(PresenceEvent::Leave), "it said so");
}

#[test]
fn a_connection_comes_back_as_its_users_next() {
    let mut roster = Roster::new(CLASS, PresenceOf::Connections, &Account::default());
    assert!(roster.join(newcomer(1, user("ann"), data("1"))).is_some());
    assert!(roster.join(newcomer(2, None, None)).is_some());
    let lost = |roster: &mut Roster, slot, number| {
        event(roster.part(address(slot), Parting::Lost(number)))
    };
    assert_eq!(
        lost(&mut roster, 2, 1),
        Some(PresenceEvent::Leave),
        "nobody's"
    );
    assert_eq!(lost(&mut roster, 1, 2), Some(PresenceEvent::Away));
    let back = roster.join(newcomer(3, user("ann"), data("3"))).unwrap();
    assert_eq!(back.event, PresenceEvent::Back);
    assert_eq!(back.key, PresenceKey::Connection(address(3)));
    assert_eq!((back.data, roster.members()), (data("3"), 1));
    roster.check();
}

/// Whoever is no user comes back by its session alone, be its connection lost already or not.
#[test]
fn a_session_comes_back_whoever_it_is() {
    let mut roster = Roster::new(CLASS, PresenceOf::Connections, &Account::default());
    let session = |slot, continuity| Newcomer {
        continuity,
        ..newcomer(slot, None, data("me"))
    };
    let resumed = |slot, before| session(slot, Continuity::Resumed(address(before)));
    roster.join(session(1, Continuity::Session)).unwrap();
    let lost = roster.part(address(1), Parting::Lost(1));
    assert_eq!(event(lost), Some(PresenceEvent::Away));
    let back = roster.join(resumed(2, 1)).unwrap();
    assert_eq!(back.event, PresenceEvent::Back);
    assert_eq!((back.was, back.was_away), (Some(address(1)), true));
    assert_eq!(
        roster.give_up(&PresenceKey::Connection(address(1)), 1),
        None
    );
    // The next one comes before the old one is gone.
    let back = roster.join(resumed(3, 2)).unwrap();
    assert_eq!(back.event, PresenceEvent::Back);
    assert_eq!((back.was, back.was_away), (Some(address(2)), false));
    assert_eq!(event(roster.part(address(2), Parting::Lost(2))), None);
    assert_eq!(roster.members(), 1);
    roster.check();
    // Its session is over, and nobody comes back.
    let closed = roster.part(address(3), Parting::Closed(3));
    assert_eq!(event(closed), Some(PresenceEvent::Leave));
    let new = roster.join(resumed(4, 3)).unwrap();
    assert_eq!((new.event, new.was), (PresenceEvent::Join, None));
    // Nobody goes on with somebody else.
    let ann = Newcomer {
        user: user("ann"),
        ..resumed(5, 4)
    };
    assert_eq!(event(roster.join(ann)), Some(PresenceEvent::Join));
    assert_eq!(roster.members(), 2);
    roster.check();
}

#[test]
fn pages_name_everybody_once() {
    let mut roster = Roster::new(CLASS, PresenceOf::Users, &Account::default());
    for slot in 0..25 {
        let name = (slot % 2 == 0).then(|| Arc::from(format!("user-{slot:02}")));
        roster.join(newcomer(slot, name, None));
    }
    let (mut after, mut named) = (None, Vec::new());
    loop {
        let page = roster.page(&PresenceQuery { after, limit: 4 });
        assert_eq!(page.members, 25);
        assert!(page.page.len() == 4 || page.next.is_none());
        named.extend(
            page.page
                .into_iter()
                .map(|member| (member.connection, member.user)),
        );
        match page.next {
            None => break,
            next => after = next,
        }
    }
    assert_eq!(named.len(), 25);
    assert_eq!(
        named.iter().collect::<std::collections::HashSet<_>>().len(),
        25
    );
}

fn any_newcomer(random: &mut Rng, slot: u32) -> Newcomer {
    let name = random.u32(0..6);
    let user = (name > 0).then(|| Arc::from(format!("user-{name}")));
    Newcomer {
        continuity: match random.u32(0..4) {
            0 => Continuity::None,
            1 => Continuity::Session,
            // Somebody who is there, away, or was never there.
            _ => Continuity::Resumed(address(random.u32(1..=slot))),
        },
        ..newcomer(slot, user, None)
    }
}

/// Events, put together, are the members.
#[test]
fn events_tell_who_is_there() {
    let mut random = Rng::with_seed(11);
    for of in [PresenceOf::Connections, PresenceOf::Users] {
        let mut roster = Roster::new(CLASS, of, &Account::default());
        let mut known: BTreeSet<(PresenceKey, bool)> = BTreeSet::new();
        let (mut joined, mut away) = (Vec::new(), Vec::new());
        let mut connections = 0;
        for number in 0..20_000 {
            let change = match random.u32(0..4) {
                0 | 1 if joined.len() < 20 => {
                    connections += 1;
                    joined.push(address(connections));
                    let next = any_newcomer(&mut random, connections);
                    let user = next.user.clone();
                    let came = roster.join(next);
                    if let Some(change) = &came
                        && change.event == PresenceEvent::Back
                    {
                        // A connection that was there, or away, was replaced.
                        let gone = |(key, is_away): &(PresenceKey, bool)| match key {
                            PresenceKey::User(name) => *is_away && Some(name) == user.as_ref(),
                            PresenceKey::Connection(who) => change.was == Some(*who),
                            PresenceKey::Elsewhere(_) => false,
                        };
                        let before = known.len();
                        known.retain(|entry| !gone(entry));
                        assert_eq!(known.len(), before - 1, "it was one");
                        let was_away = away.iter().any(|(key, _)| match key {
                            PresenceKey::User(name) => Some(name) == user.as_ref(),
                            PresenceKey::Connection(who) => change.was == Some(*who),
                            PresenceKey::Elsewhere(_) => false,
                        });
                        assert!(was_away || !change.was_away, "{number}");
                    }
                    came
                }
                2 if !joined.is_empty() => {
                    let who = joined.swap_remove(random.usize(0..joined.len()));
                    let parting = match random.u32(0..4) {
                        0 | 1 => Parting::Left,
                        2 => Parting::Closed(number),
                        _ => Parting::Lost(number),
                    };
                    let change = roster.part(who, parting);
                    if let Some(change) = &change
                        && change.event == PresenceEvent::Away
                    {
                        away.push((change.key.clone(), number));
                    }
                    change
                }
                _ if !away.is_empty() => {
                    let (key, since) = away.swap_remove(random.usize(0..away.len()));
                    roster.give_up(&key, since)
                }
                _ => None,
            };
            if let Some(change) = change {
                learn(&mut known, change);
            }
            let members = roster.members.each();
            let members = members.map(|(key, member)| (key, member.is_away));
            assert_eq!(members.collect::<BTreeSet<_>>(), known, "{number}");
            roster.check();
        }
    }
}

/// What somebody who hears of each change knows.
fn learn(known: &mut BTreeSet<(PresenceKey, bool)>, Change { event, key, .. }: Change) {
    match event {
        PresenceEvent::Join | PresenceEvent::Back => {
            assert!(known.insert((key, false)), "twice");
        }
        PresenceEvent::Away => {
            assert!(known.remove(&(key.clone(), false)), "nobody");
            known.insert((key, true));
        }
        PresenceEvent::Leave => {
            let here = known.remove(&(key.clone(), false));
            assert!(here || known.remove(&(key, true)), "nobody");
        }
    }
}
