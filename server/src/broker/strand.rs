//! A strand of the way to the broker's logs: its rooms get their places in batches, one after the
//! other, while other strands do the same.
//!
//! Invariant: a room is in one strand, whoever publishes to it, so what one node has published to
//! it is placed in that order, however many strands are under way. A strand holds one batch, and
//! what waits for it in a channel that has an end.

use crate::broker::adapter::{Append, Appended, Broker, BrokerError};
use crate::broker::agreed::agreed_hash;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Strands of a node: so many batches may be under way at the broker. JetStream's streams are
/// chosen by the same hash, so with as many streams each strand has one of its own.
pub(crate) const STRANDS: usize = 8;

/// What is to be appended, and who waits for that.
pub(crate) type StrandWork<W> = (Append, W);

/// Whom a strand tells what became of its work.
pub(crate) trait StrandAnswers: Send + Sync + 'static {
    /// Who waits for an entry.
    type Who: Send;

    /// Tells who has waited for an entry what became of it.
    fn answer(
        &self,
        who: Self::Who,
        placed: Result<Appended, BrokerError>,
    ) -> impl Future<Output = ()> + Send;
}

/// The strand of a room.
pub(crate) fn strand_of(room: &str) -> usize {
    // The remainder is a place in an array.
    (agreed_hash(room.bytes()) % STRANDS as u64) as usize
}

/// One of them.
pub(crate) struct PlacingStrand<B, W> {
    broker: Arc<B>,
    waiting: mpsc::Receiver<StrandWork<W>>,
}

impl<B: Broker, W: Send> PlacingStrand<B, W> {
    /// Publications of one batch.
    pub(crate) const BATCH_MAX: usize = 256;
    /// Publications that wait for the batch before them; whoever brings one more waits.
    pub(crate) const WAITING_MAX: usize = 256;

    /// A strand, and the way into it.
    pub(crate) fn new(broker: Arc<B>) -> (mpsc::Sender<StrandWork<W>>, PlacingStrand<B, W>) {
        let (sender, waiting) = mpsc::channel(Self::WAITING_MAX);
        (sender, PlacingStrand { broker, waiting })
    }

    /// Runs until nobody has the way into it any more. Of each is told what became of it, in order.
    pub(crate) async fn run(mut self, answers: impl StrandAnswers<Who = W>) {
        let mut work = Vec::with_capacity(Self::BATCH_MAX);
        while self.waiting.recv_many(&mut work, Self::BATCH_MAX).await > 0 {
            let (batch, who): (Vec<Append>, Vec<W>) = work.drain(..).unzip();
            let all = match self.broker.link().borrow().connected {
                true => None,
                // Nothing is kept back for later.
                false => Some(vec![Err(BrokerError::Lost); batch.len()]),
            };
            let all = match all {
                Some(lost) => lost,
                None => self.broker.append_all(&batch).await,
            };
            for (placed, who) in all.into_iter().zip(who) {
                answers.answer(who, placed).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::adapter::{KeptInLog, Link, LogPage, Outbound, ReadLog};
    use crate::broker::inbox::Inbox;
    use crate::broker::model::{Model, ModelBroker, ModelFault};
    use crate::broker::subject::Subject;
    use shardcast_seeds::{Printing, Seeds, Tally};
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::sync::watch;

    const SEEDS: Seeds = Seeds {
        again: "cargo test -p shardcast --lib broker::strand",
        count: 500,
        happenings: &["placed", "refused", "cut", "several under way"],
        least: 200,
    };

    /// The model, with time between what it is asked and what it does, by seed.
    struct SlowBroker {
        model: ModelBroker,
        random: Mutex<fastrand::Rng>,
        /// Batches under way, and the most that there ever were.
        under_way: Mutex<(usize, usize)>,
    }

    impl SlowBroker {
        async fn dawdle(&self) {
            let turns = self.random.lock().expect("nobody panics").u8(0..4);
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        }
    }

    impl Broker for SlowBroker {
        async fn subscribe(&self, subjects: &[Subject]) -> Result<(), BrokerError> {
            self.model.subscribe(subjects).await
        }

        async fn unsubscribe(&self, subjects: &[Subject]) -> Result<(), BrokerError> {
            self.model.unsubscribe(subjects).await
        }

        async fn publish(&self, batch: &[Outbound]) -> Result<(), BrokerError> {
            self.model.publish(batch).await
        }

        async fn append(&self, append: Append) -> Result<Appended, BrokerError> {
            self.dawdle().await;
            self.model.append(append).await
        }

        async fn append_all(&self, batch: &[Append]) -> Vec<Result<Appended, BrokerError>> {
            {
                let mut count = self.under_way.lock().expect("nobody panics");
                count.0 += 1;
                count.1 = count.1.max(count.0);
            }
            let mut done = Vec::new();
            for append in batch {
                done.push(self.append(append.clone()).await);
            }
            self.dawdle().await;
            self.under_way.lock().expect("nobody panics").0 -= 1;
            done
        }

        async fn open(&self, read: ReadLog, over: Option<u64>) -> Result<LogPage, BrokerError> {
            self.model.open(read, over).await
        }

        async fn read(&self, read: ReadLog) -> Result<LogPage, BrokerError> {
            self.model.read(read).await
        }

        fn payload_bytes_max(&self) -> usize {
            self.model.payload_bytes_max()
        }

        fn link(&self) -> watch::Receiver<Link> {
            self.model.link()
        }
    }

    const ROOMS: usize = 12;

    fn append(room: usize, number: u64) -> Append {
        Append {
            room: format!("r{room}").into(),
            payload: number.to_string().into(),
            key: None,
            keep: KeptInLog {
                entries_max: 10_000,
                ttl: Duration::from_secs(60),
                epoch_ttl: Duration::from_secs(60),
            },
        }
    }

    /// What was said to a room, by its number, and the offset that was answered.
    type StrandAnswered = Vec<(usize, u64, Option<u64>)>;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<StrandAnswered>>);

    impl StrandAnswers for Heard {
        type Who = (usize, u64);

        async fn answer(&self, who: (usize, u64), placed: Result<Appended, BrokerError>) {
            let offset = placed.ok().map(|placed| placed.offset);
            let mut heard = self.0.lock().expect("nobody panics");
            heard.push((who.0, who.1, offset));
        }
    }

    async fn speak(seed: u64, model: &Model, tally: &mut Tally) -> (StrandAnswered, usize) {
        let (inbox, _unread) = Inbox::new(9, 1_000);
        let broker = Arc::new(SlowBroker {
            model: model.node(inbox),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            under_way: Mutex::default(),
        });
        let answers = Heard::default();
        let mut tasks = Vec::new();
        let strands = (0..STRANDS).map(|_| {
            let (way, strand) = PlacingStrand::new(broker.clone());
            tasks.push(tokio::spawn(strand.run(answers.clone())));
            way
        });
        let strands: Vec<_> = strands.collect();
        let mut random = fastrand::Rng::with_seed(seed);
        for number in 1..=200 {
            match random.u8(0..50) {
                0 => {
                    model.fail(0, ModelFault::Cut);
                    *tally.entry("cut").or_default() += 1;
                }
                1..=3 => model.fail(0, ModelFault::Mend),
                4..=9 => tokio::task::yield_now().await,
                _ => {}
            }
            let room = random.usize(..ROOMS);
            let work = append(room, number);
            let strand = &strands[strand_of(&work.room)];
            assert!(strand.send((work, (room, number))).await.is_ok());
        }
        drop(strands);
        for task in tasks {
            task.await.expect("it does not panic");
        }
        let most = broker.under_way.lock().expect("nobody panics").1;
        let answers = answers.0.lock().expect("nobody panics").clone();
        (answers, most)
    }

    fn schedule(seed: u64, _printing: Printing) -> Tally {
        let mut tally = Tally::new();
        let model = Model::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let (answers, most) = runtime.block_on(speak(seed, &model, &mut tally));
        assert_eq!(answers.len(), 200, "everybody is answered");
        assert!(most <= STRANDS);
        *tally.entry("several under way").or_default() += u64::from(most > 1);
        for room in 0..ROOMS {
            let said: Vec<_> = answers.iter().filter(|said| said.0 == room).collect();
            assert!(
                said.windows(2).all(|pair| pair[0].1 < pair[1].1),
                "seed {seed}"
            );
            let places = said
                .iter()
                .filter_map(|said| said.2.map(|offset| (said.1, offset)));
            let places: Vec<(u64, u64)> = places.collect();
            let in_order = |pair: &[(u64, u64)]| pair[0].1 < pair[1].1;
            assert!(places.windows(2).all(in_order), "seed {seed}: {places:?}");
            let log = model.log(&format!("r{room}"));
            let kept: Vec<u64> = log.iter().map(|entry| entry.place.offset).collect();
            let answered: Vec<u64> = places.iter().map(|(_, offset)| *offset).collect();
            assert_eq!(kept, answered, "seed {seed}");
            *tally.entry("placed").or_default() += places.len() as u64;
            *tally.entry("refused").or_default() += (said.len() - places.len()) as u64;
        }
        tally
    }

    /// Over links that break and a broker that takes its time, each room has what was said to it in
    /// the order in which it was said, and whoever said it is told its place.
    #[test]
    fn rooms_keep_their_order_over_batches_that_are_under_way_at_once() {
        SEEDS.run(schedule);
    }
}
