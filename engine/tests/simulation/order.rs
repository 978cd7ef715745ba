//! The checks at the end of a run: one order per set of recipients for all members, nothing lost,
//! reports that add up.
//!
//! The witness is a member of everything from before the first publish; what it heard of a set of
//! recipients is the order. All bounds come from steps: what was heard before another thing was
//! asked for was ordered before it.

mod topics;

use super::application::{Entry, Step};
use super::client::Client;
use super::log::Membership;
use super::temper::{FLEETING_ROOMS, USERS};
use super::words::{Ask, Audience, MessageId, is_unencodable};
use std::collections::{BTreeMap, BTreeSet};

/// What the witness heard of one set of recipients: place in the order, and when it heard it.
struct Order<'a> {
    clients: &'a [Client],
    audience: Audience,
    places: BTreeMap<MessageId, usize>,
    heard: Vec<(Step, MessageId)>,
}

/// One finished run.
pub(crate) struct Outcome<'a> {
    /// The first is the witness.
    pub(crate) clients: &'a [Client],
    pub(crate) entries: &'a [Entry],
    pub(crate) rooms: usize,
    /// The witness heard everything.
    pub(crate) complete: bool,
    /// Those who stayed open until everything was quiet.
    pub(crate) settled: BTreeSet<usize>,
}

/// Checks one run.
pub(crate) fn check(outcome: &Outcome<'_>) {
    let audiences = (0..outcome.rooms).map(Audience::Room);
    for audience in audiences.chain([Audience::Everyone]) {
        let order = Order::of(outcome.clients, audience);
        for client in outcome.clients {
            let stayed = outcome.complete && outcome.settled.contains(&client.id);
            order.check_sender(client, stayed);
            for membership in client
                .log
                .memberships
                .iter()
                .filter(|m| m.audience == audience)
            {
                order.check_heard(client, membership, outcome.complete);
                if stayed || (outcome.complete && membership.left.is_some()) {
                    order.check_all_heard(client, membership);
                }
            }
        }
    }
    for room in outcome.rooms..outcome.rooms + FLEETING_ROOMS {
        outcome.check_fleeting(Audience::Room(room));
    }
    (0..USERS).for_each(|user| outcome.check_user(user));
    for client in outcome.clients {
        outcome.check_counts(client);
        outcome.check_lists(client);
        outcome.check_full(client);
    }
}

impl<'a> Order<'a> {
    fn of(clients: &'a [Client], audience: Audience) -> Order<'a> {
        let mut memberships = clients[0].log.memberships.iter();
        let heard = memberships
            .find(|m| m.audience == audience)
            .map(|m| m.heard.clone())
            .unwrap_or_default();
        let places: BTreeMap<MessageId, usize> = heard
            .iter()
            .enumerate()
            .map(|(place, (_, message_id))| (*message_id, place))
            .collect();
        assert_eq!(
            places.len(),
            heard.len(),
            "the witness heard something of {audience:?} twice"
        );
        Order {
            clients,
            audience,
            places,
            heard,
        }
    }

    /// One sender's publishes stand in the order in which it sent them, and all of them if it
    /// stayed.
    fn check_sender(&self, client: &Client, stayed: bool) {
        let mut last = None;
        for (number, (_, ask)) in client.log.asks.iter().enumerate() {
            if !matches!(ask, Ask::Publish(to, _) if *to == self.audience) {
                continue;
            }
            let message_id = MessageId {
                from: client.id,
                number: number as u32,
            };
            let Some(place) = self.places.get(&message_id) else {
                let refused = client.log.refused.contains(&message_id.number);
                assert!(
                    !stayed || refused,
                    "{message_id:?} to {:?} was lost",
                    self.audience
                );
                continue;
            };
            assert!(
                last < Some(*place),
                "{message_id:?} overtook an earlier one of its sender"
            );
            last = Some(*place);
        }
    }

    /// A contiguous run of the order, between the joined and the left answer.
    fn check_heard(&self, client: &Client, membership: &Membership, complete: bool) {
        let (id, audience) = (client.id, self.audience);
        let mut expected: Option<usize> = None;
        let mut beyond = false;
        for (_, message_id) in &membership.heard {
            let Some(place) = self.places.get(message_id) else {
                assert!(
                    !complete,
                    "client {id}: {message_id:?} reached it and not the witness"
                );
                beyond = true;
                continue;
            };
            assert!(
                !beyond,
                "client {id}: {message_id:?} came after what the witness never heard"
            );
            let mut next = expected.unwrap_or(*place);
            while next < *place && self.leaves_out(id, next) {
                next += 1;
            }
            assert_eq!(
                next, *place,
                "client {id}: {message_id:?} of {audience:?} is out of order, or one before it is lost"
            );
            expected = Some(place + 1);
            let (witnessed, _) = self.heard[*place];
            // Everyone is who is open when a shard delivers; a room's members are those at the
            // publish's place in the order.
            assert!(
                audience == Audience::Everyone || witnessed >= membership.asked,
                "client {id}: {message_id:?} was ordered before it asked to join"
            );
        }
    }

    /// All that was certainly ordered between the joined answer and the wish to leave.
    fn check_all_heard(&self, client: &Client, membership: &Membership) {
        let heard: BTreeSet<MessageId> = membership
            .heard
            .iter()
            .map(|(_, message_id)| *message_id)
            .collect();
        let first = membership
            .heard
            .first()
            .and_then(|(_, message_id)| self.places.get(message_id));
        let end = membership.leave_asked.unwrap_or(Step::MAX);
        for (place, (witnessed, message_id)) in self.heard.iter().enumerate() {
            let (sent, _) = self.ask(*message_id);
            // Sent after the joined answer, or ordered after something that was heard.
            let begun = sent > membership.joined || first.is_some_and(|first| place > *first);
            if begun && *witnessed < end && !self.leaves_out(client.id, place) {
                assert!(
                    heard.contains(message_id),
                    "client {}: {message_id:?} of {:?} is lost",
                    client.id,
                    self.audience
                );
            }
        }
    }

    fn ask(&self, message_id: MessageId) -> (Step, Ask) {
        self.clients[message_id.from].log.asks[message_id.number as usize]
    }

    /// Whether the publish at this place is not for the client, who sent it, or cannot be told it.
    fn leaves_out(&self, client: usize, place: usize) -> bool {
        let (_, message_id) = self.heard[place];
        let except = message_id.from == client
            && matches!(self.ask(message_id), (_, Ask::Publish(_, options)) if options.except);
        except || cannot_receive(self.clients, message_id, client)
    }
}

/// Whether the message cannot be encoded for the client.
fn cannot_receive(clients: &[Client], message_id: MessageId, client: usize) -> bool {
    let (from, to) = (clients[message_id.from].encoding, clients[client].encoding);
    is_unencodable(from, to, message_id.number)
}

/// Rooms without the witness: some order fits what everybody heard, and those who stayed missed
/// nothing of each other.
impl Outcome<'_> {
    fn check_fleeting(&self, audience: Audience) {
        let mut memberships = Vec::new();
        for client in self.clients {
            let mine = client
                .log
                .memberships
                .iter()
                .filter(|m| m.audience == audience);
            memberships.extend(mine.map(|membership| (client.id, membership)));
        }
        let heard = memberships
            .iter()
            .map(|(_, membership)| &membership.heard[..]);
        check_one_order(audience, heard);
        for (id, membership) in memberships {
            if self.settled.contains(&id) && membership.leave_asked.is_none() {
                self.check_settled(id, membership);
            }
        }
    }

    /// Whoever else stayed, and published after this one had joined, was heard.
    fn check_settled(&self, id: usize, membership: &Membership) {
        let heard: BTreeSet<MessageId> = membership
            .heard
            .iter()
            .map(|(_, message_id)| *message_id)
            .collect();
        for sender in self
            .clients
            .iter()
            .filter(|sender| self.settled.contains(&sender.id))
        {
            for (number, (sent, ask)) in (0u32..).zip(&sender.log.asks) {
                let Ask::Publish(to, options) = ask else {
                    continue;
                };
                let message_id = MessageId {
                    from: sender.id,
                    number,
                };
                let skipped = options.except && sender.id == id
                    || sender.log.refused.contains(&number)
                    || cannot_receive(self.clients, message_id, id);
                if *to == membership.audience && *sent > membership.joined && !skipped {
                    assert!(
                        heard.contains(&message_id),
                        "client {id}: {message_id:?} of {to:?} is lost"
                    );
                }
            }
        }
    }
}

impl Outcome<'_> {
    /// Reports and member counts lie between who certainly was a member all the time and who may
    /// have been one at some time.
    fn check_counts(&self, client: &Client) {
        for (number, answered, report) in &client.log.reports {
            let (asked, Ask::Publish(audience, options)) = client.log.asks[*number as usize] else {
                panic!("number {number} was no publish");
            };
            let message_id = MessageId {
                from: client.id,
                number: *number,
            };
            // Those in whose encoding it cannot be said are told as dropped.
            let others = || {
                self.clients
                    .iter()
                    .filter(|other| !options.except || other.id != client.id)
            };
            let low = others()
                .filter(|c| self.is_member(c, audience, asked, *answered))
                .count();
            // Those whom the home itself tells as dropped count until it hears of their end, as in
            // the answers to joins.
            let by_home = |other: &Client| {
                cannot_receive(self.clients, message_id, other.id)
                    && match audience {
                        Audience::Room(room) => may_have_joined(other, room, asked, *answered),
                        Audience::User(user) => other.log.may_be(user, *answered),
                        Audience::Everyone => false,
                    }
            };
            let high = others()
                .filter(|c| self.may_be_member(c, audience, asked, *answered) || by_home(c))
                .count();
            let told = (report.delivered + report.queued + report.dropped) as usize;
            assert!(
                (low..=high).contains(&told),
                "client {}, number {number}: {report:?} of {low} to {high} members of {audience:?}",
                client.id
            );
        }
        for (number, answered, members) in &client.log.joins {
            let (asked, ask) = client.log.asks[*number as usize];
            let room = ask.joins().expect("a joined answer answers a join");
            let low = self
                .clients
                .iter()
                .filter(|c| self.is_member(c, Audience::Room(room), asked, *answered))
                .count();
            // Those who closed long ago count until their home hears of it.
            let high = self
                .clients
                .iter()
                .filter(|c| may_have_joined(c, room, asked, *answered))
                .count();
            assert!(
                (low.max(1)..=high).contains(members),
                "client {}, number {number}: {members} of {low} to {high} members of room {room}",
                client.id
            );
        }
    }

    fn is_member(&self, client: &Client, audience: Audience, from: Step, to: Step) -> bool {
        let closed = self.entries[client.id]
            .closed
            .map_or(Step::MAX, |(at, _)| at);
        let ended = client.log.ended.unwrap_or(Step::MAX).min(closed);
        let mut memberships = client
            .log
            .memberships
            .iter()
            .filter(|m| m.audience == audience);
        ended > to && memberships.any(|m| m.joined < from && m.leave_asked.is_none_or(|at| at > to))
    }

    fn may_be_member(&self, client: &Client, audience: Audience, from: Step, to: Step) -> bool {
        let entry = &self.entries[client.id];
        let alive = entry.opened.is_some_and(|at| at <= to)
            && entry.closed.is_none_or(|(at, _)| at >= from);
        match audience {
            Audience::Everyone => alive,
            Audience::User(user) => alive && client.log.may_be(user, to),
            Audience::Room(room) => alive && may_have_joined(client, room, from, to),
        }
    }
}

/// Some order fits all that was heard.
fn check_one_order<'a>(audience: Audience, heard: impl Iterator<Item = &'a [(Step, MessageId)]>) {
    let mut successors: BTreeMap<MessageId, BTreeSet<MessageId>> = BTreeMap::new();
    for pair in heard.flat_map(|heard| heard.windows(2)) {
        successors.entry(pair[0].1).or_default().insert(pair[1].1);
    }
    let mut before: BTreeMap<MessageId, usize> = BTreeMap::new();
    for message_id in successors.values().flatten() {
        *before.entry(*message_id).or_default() += 1;
    }
    let starts = successors
        .keys()
        .filter(|message_id| !before.contains_key(message_id));
    let mut ready: Vec<MessageId> = starts.copied().collect();
    while let Some(message_id) = ready.pop() {
        for next in successors.remove(&message_id).into_iter().flatten() {
            let count = before.get_mut(&next).expect("counted above");
            *count -= 1;
            if *count == 0 {
                ready.push(next);
            }
        }
    }
    assert!(
        successors.is_empty(),
        "no order of {audience:?} fits all that was heard: {successors:?}"
    );
}

/// Whether some join that was asked for by `to` had not been taken back by a left answer before
/// `from`.
fn may_have_joined(client: &Client, room: usize, from: Step, to: Step) -> bool {
    let memberships = client.log.memberships.iter();
    let over = memberships
        .filter(|m| m.audience == Audience::Room(room) && m.left.is_some_and(|left| left < from));
    let last_leave = over.filter_map(|m| m.leave).max();
    let mut asks = (0u32..).zip(&client.log.asks);
    asks.any(|(number, (asked, ask))| {
        ask.joins() == Some(room) && *asked <= to && last_leave.is_none_or(|leave| number > leave)
    })
}
