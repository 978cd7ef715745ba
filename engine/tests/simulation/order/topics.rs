//! The checks of users and lists, and of rooms that were full.

use super::{Outcome, cannot_receive, check_one_order, may_have_joined};
use crate::application::Step;
use crate::client::Client;
use crate::log::List;
use crate::words::{Ask, Audience, MessageId};
use std::collections::BTreeSet;

/// Users: nobody is told when it has become one, so what is certain follows from what it heard.
impl Outcome<'_> {
    pub(super) fn check_user(&self, user: usize) {
        let audience = Audience::User(user);
        let heard = self.clients.iter().filter_map(|c| c.log.as_user.get(&user));
        check_one_order(audience, heard.map(|heard| &heard[..]));
        for client in self.clients {
            if self.settled.contains(&client.id)
                && let Some(number) = stayed_user(client, user)
            {
                self.check_own(client, user, number);
            }
        }
    }

    /// From ask `number` on the client was this user. What it published itself afterwards was
    /// ordered after it had become it, and so was what others sent when it had heard the first of
    /// that.
    fn check_own(&self, client: &Client, user: usize, number: u32) {
        let heard = client.log.as_user.get(&user).map_or(&[][..], |heard| heard);
        let has = |message_id: MessageId| heard.iter().any(|(_, other)| *other == message_id);
        let mine = |(_, message_id): &&(Step, MessageId)| {
            message_id.from == client.id && message_id.number > number
        };
        let first = heard.iter().find(mine).map(|(at, _)| *at);
        for sender in self.clients {
            if !self.settled.contains(&sender.id) {
                continue;
            }
            for (number_sent, (sent, ask)) in (0u32..).zip(&sender.log.asks) {
                let Ask::Publish(to, options) = ask else {
                    continue;
                };
                let message_id = MessageId {
                    from: sender.id,
                    number: number_sent,
                };
                let is_own = sender.id == client.id;
                let skipped = options.except && is_own
                    || sender.log.refused.contains(&number_sent)
                    || cannot_receive(self.clients, message_id, client.id);
                let after = match is_own {
                    true => number_sent > number,
                    false => first.is_some_and(|first| *sent > first),
                };
                if *to == Audience::User(user) && after && !skipped {
                    assert!(
                        has(message_id),
                        "client {}: {message_id:?} of {to:?} is lost",
                        client.id
                    );
                }
            }
        }
    }

    /// Lists name all who certainly were members, and nobody who cannot have been one.
    pub(super) fn check_lists(&self, client: &Client) {
        for (number, answered, list) in &client.log.lists {
            let (asked, Ask::List(topic)) = client.log.asks[*number as usize] else {
                panic!("number {number} was no list");
            };
            let who = format!(
                "client {}, number {number}: {list:?} of {topic:?}",
                client.id
            );
            let List { total, members } = list;
            let named: BTreeSet<usize> = members.iter().map(|(member, _)| *member).collect();
            assert_eq!(named.len(), members.len(), "{who}: one twice");
            assert!(
                members.len() <= (*total).min(LIST_MEMBERS_MAX),
                "{who}: too many"
            );
            for (member, user) in members {
                let member = &self.clients[*member];
                let may_be = self.may_be_member(member, topic, asked, *answered);
                assert!(may_be, "{who}: client {} is none", member.id);
                let plausible = match (topic, user) {
                    (Audience::User(topic), user) => *user == Some(topic),
                    (_, Some(user)) => member.log.may_be(*user, *answered),
                    (_, None) => true,
                };
                assert!(plausible, "{who}: client {} is {user:?}", member.id);
            }
            let certain = |c: &&Client| {
                let asker = c.id == client.id;
                asker && is_user_at(c, &topic, *number)
                    || self.is_member(c, topic, asked, *answered)
            };
            let low: Vec<usize> = self.clients.iter().filter(certain).map(|c| c.id).collect();
            let high = self.clients.iter().filter(|c| match topic {
                Audience::Room(room) => may_have_joined(c, room, asked, *answered),
                Audience::User(user) => c.log.may_be(user, *answered),
                Audience::Everyone => false,
            });
            assert!(
                (low.len()..=high.count()).contains(total),
                "{who}: {low:?} are"
            );
            if *total <= LIST_MEMBERS_MAX {
                assert!(
                    low.iter().all(|c| named.contains(c)),
                    "{who}: not all of {low:?}"
                );
            }
        }
    }

    /// There were as many members as filled the room, and the one who was refused was none.
    pub(super) fn check_full(&self, client: &Client) {
        for (number, answered) in &client.log.full {
            let (asked, Ask::JoinLimited(room, members_max)) = client.log.asks[*number as usize]
            else {
                panic!("number {number} has no limit");
            };
            let others = self.clients.iter().filter(|c| c.id != client.id);
            let high = others.filter(|c| may_have_joined(c, room, asked, *answered));
            let high = high.count();
            assert!(
                high >= members_max as usize,
                "client {}, number {number}: room {room} was full with {high}",
                client.id
            );
        }
    }
}

/// The ask by which the client became this user, if it was it to the end.
fn stayed_user(client: &Client, user: usize) -> Option<u32> {
    let (number, last) = last_identity(client, u32::MAX)?;
    (last == Some(user)).then_some(number)
}

/// Whether the client was the user when it sent this ask: the user's home hears of both in this
/// order.
fn is_user_at(client: &Client, topic: &Audience, number: u32) -> bool {
    let last = last_identity(client, number);
    matches!((topic, last), (Audience::User(user), Some((_, Some(last)))) if *user == last)
}

/// The last change of identity before an ask that the application did not refuse. Asking to be who
/// one is changes nothing.
fn last_identity(client: &Client, before: u32) -> Option<(u32, Option<usize>)> {
    let mut last = None;
    for (number, (_, ask)) in (0..before).zip(&client.log.asks) {
        let Ask::Identify(user) = *ask else { continue };
        let is_same = last.is_some_and(|(_, was)| was == user);
        if !is_same && !client.log.refused.contains(&number) {
            last = Some((number, user));
        }
    }
    last
}

/// Members that a list names.
const LIST_MEMBERS_MAX: usize = 1000;
