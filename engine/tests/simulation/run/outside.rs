//! Another thread of the process, as far as the shards can tell: it publishes, asks for lists and
//! tells connections things by a handle.
//!
//! For the checks at the end it is one of the clients: one that never connects, and whose asks are
//! its publishes and lists.

use super::Simulation;
use crate::application::{Fate, published, with_target, with_topic};
use crate::client::kind_of;
use crate::log::List;
use crate::temper::{FLEETING_ROOMS, USERS};
use crate::words::{Ask, Audience, MessageId, Options, Words, padding};
use shardcast_engine::driver::sim::Random;
use shardcast_engine::{Answer, EncodingId, Handle, Publish, Reply};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver, SyncSender};

/// What it has said and heard.
pub(super) struct Outside {
    handle: Handle,
    /// Its number among the clients.
    pub(super) id: usize,
    asks_left: usize,
    sender: SyncSender<(u32, Answer)>,
    receiver: Receiver<(u32, Answer)>,
    unanswered: BTreeSet<u32>,
    answers: u64,
    notes: u32,
    /// What each client was told, in order.
    told: BTreeMap<usize, Vec<u32>>,
}

impl Outside {
    pub(super) fn new(handle: Handle, id: usize) -> Outside {
        let (sender, receiver) = mpsc::sync_channel(2 * ASKS);
        Outside {
            handle,
            id,
            asks_left: ASKS,
            sender,
            receiver,
            unanswered: BTreeSet::new(),
            answers: 0,
            notes: 0,
            told: BTreeMap::new(),
        }
    }

    /// Answers once, and panics now and then.
    fn reply(&mut self, number: u32) -> Reply {
        self.unanswered.insert(number);
        let sender = self.sender.clone();
        Box::new(move |answer| {
            let sent = sender.try_send((number, answer));
            sent.expect("it waits, and there is room for all answers");
            if number % 16 == 15 {
                std::panic::resume_unwind(Box::new("asked for"));
            }
        })
    }

    pub(super) fn answers(&self) -> u64 {
        self.answers
    }
}

impl Simulation {
    /// Says a few things at once. The shards that hear of it have a tick, as if they had been
    /// woken.
    pub(super) fn speak_outside(&mut self) {
        let is_there = self.clients.len() > self.outside.id;
        if !is_there || self.settled || self.draining || self.outside.asks_left == 0 {
            return;
        }
        let mut shards = BTreeSet::new();
        for _ in 0..self.random.between(1, 3) {
            self.outside.asks_left = self.outside.asks_left.saturating_sub(1);
            match self.random.chance(300) {
                true => shards.extend(self.tell()),
                false => {
                    self.ask_outside();
                    shards.insert(0);
                }
            }
        }
        shards.into_iter().for_each(|shard| self.tick(shard));
    }

    fn tell(&mut self) -> Option<usize> {
        let client = self.random.below(self.clients.len());
        let address = self.journal.borrow().clients[client].address?;
        let number = self.outside.notes;
        self.outside.notes += 1;
        let told = self.outside.handle.notify(address, Box::new(number));
        told.expect("the queue has room");
        self.outside.told.entry(client).or_default().push(number);
        Some(usize::from(address.shard))
    }

    pub(super) fn has_waiting(&self) -> bool {
        let journal = self.journal.borrow();
        let mut waiting = journal.waiting.iter();
        waiting.any(|waiting| Fate::of(waiting.client) != Fate::Never)
    }

    /// Decides on one of the clients that wait, or that waited: for those who are gone nothing
    /// happens.
    pub(super) fn admit_one(&mut self) {
        let mut journal = self.journal.borrow_mut();
        let waiting = &journal.waiting;
        let decided = waiting.iter().enumerate();
        let decided = decided.filter(|(_, waiting)| Fate::of(waiting.client) != Fate::Never);
        let decided: Vec<usize> = decided.map(|(index, _)| index).collect();
        let waiting = journal.waiting.swap_remove(self.random.pick(&decided));
        drop(journal);
        let admitted = self.outside.handle.admit(waiting.who, Box::new(waiting));
        admitted.expect("the queue has room");
        self.tick(usize::from(waiting.who.shard));
    }

    fn ask_outside(&mut self) {
        let audience = audience(&mut self.random, self.setting.rooms);
        let options = Options {
            except: false,
            report: self.random.chance(500),
        };
        let lists = audience != Audience::Everyone && self.random.chance(300);
        let ask = match lists {
            true => Ask::List(audience),
            false => Ask::Publish(audience, options),
        };
        let client = &mut self.clients[self.outside.id];
        let number = client.log.ask(self.step, ask);
        let handle = self.outside.handle.clone();
        let done = if lists {
            let reply = self.outside.reply(number);
            with_topic(audience, |topic| handle.list(topic, reply))
        } else {
            let from = self.outside.id;
            let message_id = MessageId { from, number };
            let encoding = EncodingId::new(client.encoding as u8);
            let padding = padding(message_id, number as usize % 40);
            let content = published(audience, message_id, encoding, kind_of(number), &padding);
            let publish = Publish::new(content);
            let reply = options.report.then(|| self.outside.reply(number));
            with_target(audience, |target| match reply {
                Some(reply) => handle.publish_reported(target, publish, reply),
                None => handle.publish(target, publish),
            })
        };
        done.expect("the queue has room");
    }

    /// Takes the answers that came in this step.
    pub(super) fn hear_outside(&mut self) {
        while let Ok((number, answer)) = self.outside.receiver.try_recv() {
            assert!(self.outside.unanswered.remove(&number), "answered twice");
            self.outside.answers += 1;
            let log = &mut self.clients[self.outside.id].log;
            match answer {
                Answer::Reported(report) => log.reports.push((number, self.step, report)),
                Answer::Listed(listing) => {
                    let said = self.journal.borrow().listed(&listing);
                    let list = List::read(&mut Words(&said));
                    log.lists.push((number, self.step, list));
                }
                other => panic!("{other:?} answers nothing"),
            }
        }
    }

    /// Nothing was left unanswered, and whoever stayed was told everything.
    pub(super) fn check_outside(&self, settled: &BTreeSet<usize>) {
        let unanswered = &self.outside.unanswered;
        assert!(unanswered.is_empty(), "no answer to {unanswered:?}");
        for (client, told) in &self.outside.told {
            let heard = &self.clients[*client].log.tolds;
            if settled.contains(client) {
                assert_eq!(heard, told, "what client {client} was told");
            }
        }
    }
}

fn audience(random: &mut Random, rooms: usize) -> Audience {
    match random.below(10) {
        0 => Audience::Everyone,
        1..4 => Audience::User(random.below(USERS)),
        4 => Audience::Room(rooms + random.below(FLEETING_ROOMS)),
        _ => Audience::Room(random.below(rooms)),
    }
}

/// What it says in a run.
const ASKS: usize = 60;
