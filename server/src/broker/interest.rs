//! Which subjects a node hears: those that have members here, and for a while those that had.
//!
//! Invariant: what is to be done at the broker is the difference between what is wanted and what
//! the broker was told, however often a room came and went meanwhile, so it never takes more than
//! one step a subject. No clock and no broker here: the bridge brings both.

use crate::broker::subject::Subject;
use foldhash::fast::RandomState;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// The subjects of one node.
#[derive(Debug)]
pub(crate) struct Interest {
    linger_ms: u64,
    subjects: HashMap<Subject, Wanted, RandomState>,
    /// Those whose state at the broker may have to change, each once.
    changed: VecDeque<Subject>,
    /// When those that nobody is in any more may go, each once.
    lingering: BTreeSet<(u64, Subject)>,
    /// Of `changed`: how many there were when the search for idle ones began.
    look: Option<u64>,
    looks: u64,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// `Some`: nobody is in it any more, and until then it is heard nevertheless.
    until_ms: Option<u64>,
    is_over: bool,
    told: Told,
    is_changed: bool,
    /// The last look through all topics that has seen it, or in which it became active.
    seen: u64,
}

/// Whether the broker has a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    No,
    Yes,
    /// It had one before a loss, which it may have kept.
    Perhaps,
}

/// What is to be done at the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) subscribe: Vec<Subject>,
    pub(crate) unsubscribe: Vec<Subject>,
}

impl Interest {
    /// How long a visit is, at least.
    const VISIT_MS: u64 = 10_000;

    pub(crate) fn new(linger_ms: u64) -> Interest {
        Interest {
            linger_ms,
            subjects: HashMap::default(),
            changed: VecDeque::new(),
            lingering: BTreeSet::new(),
            look: None,
            looks: 0,
        }
    }

    /// Somebody is in it.
    pub(crate) fn activate(&mut self, subject: Subject) {
        let seen = self.looks;
        let entry = self.subjects.entry(subject.clone());
        let wanted = entry.or_insert(Wanted {
            until_ms: None,
            is_over: false,
            told: Told::No,
            is_changed: false,
            seen,
        });
        if let Some(until_ms) = wanted.until_ms.take() {
            self.lingering.remove(&(until_ms, subject.clone()));
        }
        (wanted.is_over, wanted.seen) = (false, seen);
        if wanted.told != Told::Yes && !std::mem::replace(&mut wanted.is_changed, true) {
            self.changed.push_back(subject);
        }
    }

    /// Somebody needs it for a moment, and may be in it then.
    pub(crate) fn visit(&mut self, subject: Subject, now_ms: u64) {
        let known = self.subjects.get(&subject);
        if known.is_some_and(|wanted| wanted.until_ms.is_none() && !wanted.is_over) {
            return;
        }
        self.activate(subject.clone());
        let until_ms = now_ms + self.linger_ms.max(Self::VISIT_MS);
        if let Some(wanted) = self.subjects.get_mut(&subject) {
            wanted.until_ms = Some(until_ms);
        }
        self.lingering.insert((until_ms, subject));
    }

    /// Nobody is in it any more.
    pub(crate) fn leave(&mut self, subject: Subject, now_ms: u64) {
        let Some(wanted) = self.subjects.get_mut(&subject) else {
            return;
        };
        if wanted.until_ms.is_none() && !wanted.is_over {
            let until_ms = now_ms + self.linger_ms;
            wanted.until_ms = Some(until_ms);
            self.lingering.insert((until_ms, subject));
        }
    }

    /// Whose time is over by now goes. When to look again.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Option<u64> {
        while let Some((until_ms, _)) = self.lingering.first() {
            if *until_ms > now_ms {
                return Some(*until_ms);
            }
            let Some((_, subject)) = self.lingering.pop_first() else {
                break;
            };
            let Some(wanted) = self.subjects.get_mut(&subject) else {
                continue;
            };
            (wanted.until_ms, wanted.is_over) = (None, true);
            if !std::mem::replace(&mut wanted.is_changed, true) {
                self.changed.push_back(subject);
            }
        }
        None
    }

    /// The broker may know nothing of this node any more. What only lingers is not asked for again,
    /// and ends where the broker has it still.
    pub(crate) fn forget(&mut self) {
        self.changed.clear();
        self.lingering.clear();
        for (subject, wanted) in &mut self.subjects {
            wanted.is_over |= wanted.until_ms.take().is_some();
            (wanted.told, wanted.is_changed) = (Told::Perhaps, true);
            self.changed.push_back(subject.clone());
        }
    }

    /// The broker did not end these, as far as is known: they are ended again, unless somebody is
    /// in them by now.
    pub(crate) fn end_again(&mut self, subjects: Vec<Subject>) {
        for subject in subjects {
            let seen = self.looks;
            let entry = self.subjects.entry(subject.clone());
            entry.or_insert_with(|| {
                self.changed.push_back(subject);
                Wanted {
                    until_ms: None,
                    is_over: true,
                    told: Told::Perhaps,
                    is_changed: true,
                    seen,
                }
            });
        }
    }

    /// Up to so many of the steps to take; they count as taken.
    pub(crate) fn steps(&mut self, limit: usize) -> Steps {
        let mut steps = Steps::default();
        while steps.subscribe.len() + steps.unsubscribe.len() < limit {
            let Some(subject) = self.changed.pop_front() else {
                break;
            };
            let Some(wanted) = self.subjects.get_mut(&subject) else {
                continue;
            };
            wanted.is_changed = false;
            match (wanted.is_over, wanted.told) {
                (false, Told::No | Told::Perhaps) => {
                    wanted.told = Told::Yes;
                    steps.subscribe.push(subject);
                }
                (false, Told::Yes) => {}
                (true, told) => {
                    self.subjects.remove(&subject);
                    if told != Told::No {
                        steps.unsubscribe.push(subject);
                    }
                }
            }
        }
        steps
    }

    /// A look through all topics begins: those that are not seen until it ends have no members.
    pub(crate) fn begin_look(&mut self) {
        self.looks += 1;
        self.look = Some(self.looks);
    }

    /// The look has ended.
    pub(crate) fn end_look(&mut self, now_ms: u64) {
        let Some(look) = self.look.take() else { return };
        let unseen = self.subjects.iter();
        let unseen = unseen.filter(|(subject, wanted)| wanted.seen < look && is_topic(subject));
        let unseen: Vec<Subject> = unseen.map(|(subject, _)| subject.clone()).collect();
        for subject in unseen {
            self.leave(subject, now_ms);
        }
    }

    /// Subjects that are heard, or will be.
    pub(crate) fn len(&self) -> usize {
        self.subjects.len()
    }
}

/// Whether engines know it; the others are heard for as long as the node runs.
fn is_topic(subject: &Subject) -> bool {
    matches!(subject, Subject::Room(_) | Subject::User(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> Subject {
        Subject::Room(name.into())
    }

    fn steps(subscribe: &[&str], unsubscribe: &[&str]) -> Steps {
        let all = |names: &[&str]| names.iter().map(|name| room(name)).collect();
        Steps {
            subscribe: all(subscribe),
            unsubscribe: all(unsubscribe),
        }
    }

    #[test]
    fn a_room_lingers_after_its_last_member() {
        let mut interest = Interest::new(100);
        interest.activate(room("a"));
        interest.activate(room("a"));
        assert_eq!(interest.steps(9), steps(&["a"], &[]));
        interest.leave(room("a"), 1_000);
        assert_eq!(interest.expire(1_099), Some(1_100));
        // It comes back in time, and goes for good.
        interest.activate(room("a"));
        interest.leave(room("a"), 1_050);
        assert_eq!(
            interest.expire(1_100),
            Some(1_150),
            "the first leave is void"
        );
        // However often it comes and goes, it waits in one place.
        for now_ms in 1_000..1_050 {
            interest.activate(room("a"));
            interest.leave(room("a"), now_ms);
            interest.visit(room("a"), now_ms);
            assert_eq!(interest.lingering.len(), 1);
        }
        interest.activate(room("a"));
        assert!(interest.lingering.is_empty());
        interest.leave(room("a"), 1_050);
        assert_eq!(interest.steps(9), Steps::default());
        assert_eq!(interest.expire(1_150), None);
        assert_eq!(interest.steps(9), steps(&[], &["a"]));
        assert_eq!(interest.len(), 0);
    }

    #[test]
    fn who_comes_and_goes_between_two_steps_costs_none() {
        let mut interest = Interest::new(0);
        interest.activate(room("a"));
        interest.leave(room("a"), 5);
        interest.expire(5);
        assert_eq!(interest.steps(9), Steps::default());
        interest.activate(room("a"));
        interest.steps(9);
        interest.leave(room("a"), 6);
        interest.expire(6);
        interest.activate(room("a"));
        interest.activate(room("b"));
        assert_eq!(interest.steps(1), steps(&["b"], &[]));
        interest.leave(room("b"), 7);
        interest.expire(7);
        assert_eq!(interest.steps(9), steps(&[], &["b"]));
        assert_eq!(interest.len(), 1);
    }

    #[test]
    fn after_a_loss_all_that_has_members_is_asked_for_again() {
        let mut interest = Interest::new(100);
        for name in ["a", "b", "c"] {
            interest.activate(room(name));
        }
        assert_eq!(interest.steps(2), steps(&["a", "b"], &[]));
        interest.leave(room("b"), 0);
        interest.forget();
        let again = interest.steps(9);
        let subscribed: BTreeSet<Subject> = again.subscribe.into_iter().collect();
        assert_eq!(subscribed, [room("a"), room("c")].into());
        assert_eq!(
            again.unsubscribe,
            [room("b")],
            "the broker may have it still"
        );
        assert_eq!(interest.expire(1_000), None);
        assert_eq!(interest.steps(9), Steps::default());
        // An end that the broker did not take is told again, unless somebody has come since.
        interest.end_again(vec![room("b"), room("d"), room("c")]);
        interest.activate(room("d"));
        assert_eq!(interest.steps(9), steps(&["d"], &["b"]));
        assert_eq!(interest.steps(9), Steps::default());
    }

    #[test]
    fn a_look_finds_whom_no_event_told_of() {
        let mut interest = Interest::new(10);
        interest.activate(Subject::Everyone);
        for name in ["a", "b"] {
            interest.activate(room(name));
        }
        interest.steps(9);
        interest.begin_look();
        interest.activate(room("b"));
        interest.activate(room("c"));
        interest.end_look(0);
        interest.expire(10);
        assert_eq!(interest.steps(9), steps(&["c"], &["a"]));
        assert_eq!(interest.len(), 3);
    }

    /// Against a plain set, over seeds.
    #[test]
    fn what_the_broker_was_told_is_what_is_wanted() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut interest = Interest::new(random.u64(0..20));
            let (mut active, mut told) = (BTreeSet::new(), BTreeSet::new());
            let mut now = 0;
            for _ in 0..300 {
                let name = room(&random.u8(0..6).to_string());
                match random.u8(0..10) {
                    0..4 => {
                        active.insert(name.clone());
                        interest.activate(name);
                    }
                    4..7 => {
                        active.remove(&name);
                        interest.leave(name, now);
                    }
                    7 => now += random.u64(0..10),
                    8 => {
                        interest.expire(now);
                        let Steps {
                            subscribe,
                            unsubscribe,
                        } = interest.steps(random.usize(0..4));
                        for subject in subscribe {
                            told.insert(subject);
                        }
                        for subject in unsubscribe {
                            told.remove(&subject);
                        }
                    }
                    _ => {
                        if random.u8(0..8) == 0 {
                            // The broker kept some of it, or nothing.
                            told.retain(|_| random.bool());
                            interest.forget();
                        }
                    }
                }
            }
            interest.expire(u64::MAX);
            let Steps {
                subscribe,
                unsubscribe,
            } = interest.steps(usize::MAX >> 1);
            told.extend(subscribe);
            told.retain(|subject| !unsubscribe.contains(subject));
            assert_eq!(told, active, "seed {seed}");
        }
    }
}
