//! The places of a pool against a model that is plainly right, over histories that nobody would
//! write by hand: what is subscribed to and asked is with one member, which is usable if any is,
//! and ends with the last of them.

use super::placing::PoolShared;
use crate::client::Client;
use crate::message::{Item, Receipt};
use crate::options::{Options, Proxy, Settled};
use crate::pending::Pending;
use crate::policy::{Chooser, PoolPolicy};
use crate::publish::{Publish, Target};
use crate::shared::Shared;
use crate::state::State;
use crate::subscription::{SubscribeOptions, Subscription};
use futures_core::Stream;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const MEMBERS: usize = 4;
const ROOMS: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// A member has come and answered.
    Come(usize),
    Go(usize),
    /// A member ends, and the pool is still to hear of it.
    End(usize),
    HearOfEnd(usize),
    Subscribe(usize),
    Unsubscribe(usize),
    Publish(usize),
    Withdraw(usize),
}

/// What the pool knows of a member.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Out,
    In,
    Ended,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let member = 0..MEMBERS;
    let act = prop_oneof![
        4 => member.clone().prop_map(Act::Come),
        4 => member.clone().prop_map(Act::Go),
        1 => member.clone().prop_map(Act::End),
        2 => member.prop_map(Act::HearOfEnd),
        4 => (0..ROOMS).prop_map(Act::Subscribe),
        2 => any::<usize>().prop_map(Act::Unsubscribe),
        4 => (0..ROOMS).prop_map(Act::Publish),
        2 => any::<usize>().prop_map(Act::Withdraw),
    ];
    prop::collection::vec(act, 1..120)
}

struct Places {
    pool: Arc<PoolShared>,
    known: [Known; MEMBERS],
    subscriptions: Vec<Subscription>,
    published: Vec<Pending<Receipt>>,
}

impl Places {
    fn new(connections: usize, policy: PoolPolicy) -> Places {
        let options = Options {
            proxy: Proxy::None,
            ..Options::default()
        };
        let address = "ws://127.0.0.1:9/ws".to_owned();
        let settled: Arc<Settled> = Arc::new(options.settle(&[address]).expect("good options"));
        let member = |first| Arc::new(Shared::new(Arc::clone(&settled), first));
        let members = (0..MEMBERS).map(|first| Client::undriven(member(first)));
        let chooser = Chooser::new(policy, StdRng::seed_from_u64(1));
        let pool = PoolShared::new(members.collect(), connections, chooser);
        Places {
            pool: Arc::new(pool),
            known: [Known::Out; MEMBERS],
            subscriptions: Vec::new(),
            published: Vec::new(),
        }
    }

    fn has_ended(&self, member: usize) -> bool {
        self.pool.members()[member].state() == State::Closed
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Come(member) => {
                self.pool.came(member);
                self.tell(member, Known::In);
            }
            Act::Go(member) => {
                self.pool.went(member);
                self.tell(member, Known::Out);
            }
            Act::End(member) => {
                let core = self.pool.members()[member].shared();
                core.change(|core| core.close(None));
            }
            Act::HearOfEnd(member) if self.has_ended(member) => {
                self.pool.ended(member);
                self.tell(member, Known::Ended);
            }
            Act::HearOfEnd(_) => {}
            Act::Subscribe(room) => self.subscribe(room),
            Act::Unsubscribe(any) if !self.subscriptions.is_empty() => {
                let at = any % self.subscriptions.len();
                drop(self.subscriptions.swap_remove(at));
            }
            Act::Publish(room) => {
                let name = format!("room-{room}");
                let chosen = self.pool.choose(Some(&name));
                let publish = Publish::new(chosen, Target::Room(&name), &1);
                self.published.push(publish.send());
            }
            Act::Withdraw(any) if !self.published.is_empty() => {
                let at = any % self.published.len();
                drop(self.published.swap_remove(at));
            }
            Act::Unsubscribe(_) | Act::Withdraw(_) => {}
        }
    }

    fn tell(&mut self, member: usize, news: Known) {
        if self.known[member] != Known::Ended {
            self.known[member] = news;
        }
    }

    fn subscribe(&mut self, room: usize) {
        let room = format!("room-{room}");
        let heard = self.pool.hear(&room, SubscribeOptions::default(), None);
        let all_have_ended = (0..MEMBERS).all(|member| self.has_ended(member));
        assert_eq!(heard.is_err(), all_have_ended);
        self.subscriptions.extend(heard);
        // It finds by itself who has ended.
        for member in 0..MEMBERS {
            if self.pool.knows_the_end_of(member) {
                assert!(self.has_ended(member));
                self.known[member] = Known::Ended;
            }
        }
    }

    fn check(&mut self) {
        let is_over = self.known.iter().all(|known| *known == Known::Ended);
        let mut cx = Context::from_waker(Waker::noop());
        for subscription in &mut self.subscriptions {
            let next: Poll<Option<Result<Item, _>>> =
                Pin::new(&mut *subscription).poll_next(&mut cx);
            assert_eq!(next.is_ready(), is_over, "{subscription:?}");
        }
        self.published.retain_mut(|published| {
            let settled = Pin::new(published).poll(&mut cx);
            assert_eq!(settled.is_ready(), is_over);
            !is_over
        });
        if is_over {
            self.subscriptions.clear();
            return;
        }
        let is_any_used = self.known.contains(&Known::In);
        for subscription in &self.subscriptions {
            let room = subscription.room().expect("it has one");
            let members = (0..MEMBERS).filter(|member| {
                let core = self.pool.members()[*member].shared().lock();
                core.rooms.is_heard(room)
            });
            let members: Vec<usize> = members.collect();
            assert_eq!(members.len(), 1, "{room} is with one member");
            let at = members[0];
            assert_ne!(self.known[at], Known::Ended, "{room} is with {at}");
            assert!(!is_any_used || self.known[at] == Known::In, "{room}: {at}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_while_a_member_is_left(
        acts in acts(),
        connections in 1_usize..=MEMBERS,
        policy in prop::sample::select(vec![
            PoolPolicy::RoundRobin,
            PoolPolicy::LeastLoaded,
            PoolPolicy::Random,
            PoolPolicy::ConsistentHash,
        ]),
    ) {
        let mut places = Places::new(connections, policy);
        for act in acts {
            places.act(act);
            places.check();
        }
        places.pool.close(None);
        places.known = [Known::Ended; MEMBERS];
        places.check();
    }
}
