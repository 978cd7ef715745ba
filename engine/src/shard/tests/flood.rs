//! Those who flood do not silence the others: a kernel that gives them every buffer it can, and
//! clients who answer at once.

use super::*;
use crate::driver::sim::world::Read;

/// Ticks that an honest client waits for an answer at most: until this tick ends, and until all who
/// wait have had their turn, as many at once as half of the buffers. Quiet, it is one.
fn ticks_max(receive_buffers: usize) -> usize {
    1 + HONEST.div_ceil(receive_buffers / 2)
}

/// What a tick takes in of all who flood, once they are known: 8 buffers.
const FLOOD_BYTES_MAX: u64 = 8 * (16 << 10);
const HONEST: usize = 20;

/// Whether those who flood take the answers.
#[derive(Clone, Copy, Debug)]
enum Answers {
    Read,
    Input,
}

struct Flooder {
    id: SocketId,
    said: usize,
}

struct Honest {
    id: SocketId,
    /// Since so many ticks.
    asked: Option<usize>,
}

fn question() -> Vec<u8> {
    client_frame(OpCode::Text, &[b'?'; 100])
}

impl Flooder {
    /// Says as much as the network takes.
    fn flood(&mut self, world: &mut World, stream: &[u8], answers: Answers) {
        let from = self.said % question().len();
        self.said += world.write(self.id, &stream[from..]).unwrap_or(0);
        while matches!(answers, Answers::Read)
            && matches!(world.read(self.id, 1 << 20), Read::Bytes(_))
        {}
    }
}

impl Honest {
    /// Asks again as soon as it is answered. How many ticks the answer took that is there now.
    fn talk(&mut self, trial: &Trial) -> Option<usize> {
        let answered = match trial.world.borrow_mut().read(self.id, 1 << 20) {
            Read::Bytes(_) => self.asked.take().map(|ticks| ticks + 1),
            Read::Nothing => None,
            Read::Finished | Read::Broken => panic!("an honest client was closed"),
        };
        match &mut self.asked {
            Some(ticks) => *ticks += 1,
            None => {
                trial.write(self.id, &question());
                self.asked = Some(0);
            }
        }
        answered
    }
}

fn check(flooders: usize, answers: Answers, receive_buffers: usize) {
    let faults = Faults {
        greedy_permille: 1000,
        // All there is.
        reap_max: 1 << 20,
        receive_buffers,
        ..Faults::none()
    };
    let mut trial = Trial::new(&Config::default(), faults, 10);
    let all: Vec<SocketId> = (0..flooders + HONEST).map(|_| trial.connect()).collect();
    trial.tick_until(|counters| counters.upgrades.get() == all.len() as u64);
    let mut flooders: Vec<Flooder> = all[..flooders]
        .iter()
        .map(|id| Flooder { id: *id, said: 0 })
        .collect();
    let mut honest: Vec<Honest> = all[flooders.len()..]
        .iter()
        .map(|id| Honest {
            id: *id,
            asked: None,
        })
        .collect();
    let what = format!(
        "{} flooders, {answers:?}, {receive_buffers} buffers",
        flooders.len()
    );
    let ticks_max = ticks_max(receive_buffers);
    let (mut served, mut longest) = (0, 0);
    let stream = question().repeat((1 << 20) / question().len() + 2);
    let known = 20 + 2 * flooders.len();
    for tick in 0..known + 100 {
        for flooder in &mut flooders {
            flooder.flood(&mut trial.world.borrow_mut(), &stream, answers);
        }
        for client in &mut honest {
            // The answers to the upgrades come first, and whoever floods is known by then.
            if let Some(ticks) = client.talk(&trial)
                && tick > known
            {
                (served, longest) = (served + 1, ticks.max(longest));
            }
        }
        let before = trial.counters.bytes_in.get();
        trial.shard.tick();
        trial.shard.check_invariants();
        let taken = trial.counters.bytes_in.get() - before;
        let honest = (HONEST * question().len()) as u64;
        assert!(
            tick <= known || taken <= FLOOD_BYTES_MAX + honest,
            "{what}: {taken} bytes"
        );
    }
    assert!(longest <= ticks_max, "{what}: waited for {longest} ticks");
    assert!(
        served >= 90 / ticks_max * HONEST,
        "{what}: {served} answers"
    );
    assert!(trial.counters.closed_slow.get() <= flooders.len() as u64);
    assert_eq!(trial.counters.closed_deadline_pong.get(), 0);
}

#[test]
fn however_many_flood_the_others_are_answered() {
    for flooders in [1, 2, 8, 40] {
        for answers in [Answers::Read, Answers::Input] {
            for receive_buffers in [16, 128] {
                check(flooders, answers, receive_buffers);
            }
        }
    }
}

/// However many ask for much, a tick has a number of answers, and everybody comes to its turn.
#[test]
fn large_answers_to_many_leave_others_their_turn() {
    const ASKING: usize = 20;
    const QUESTIONS: usize = 16;
    const ANSWER_BYTES: usize = intake::SCRATCH_BYTES_MAX / 2;
    /// Eight connections' share, each two flushes of what the scratch holds and an answer besides.
    const ANSWERS_MAX: u64 = 8 * 2 * 3;
    let config = Config {
        outbox_bytes_max: 64 << 20,
        ..Config::default()
    };
    let faults = Faults {
        socket_buffer_bytes: 8 << 20,
        reap_max: 1 << 20,
        ..Faults::none()
    };
    let mut trial = Trial::new(&config, faults, ANSWER_BYTES);
    let asking: Vec<SocketId> = (0..ASKING).map(|_| trial.connect()).collect();
    trial.tick_until(|counters| counters.upgrades.get() == ASKING as u64);
    let questions = client_frame(OpCode::Binary, b"much").repeat(QUESTIONS);
    asking.iter().for_each(|id| trial.write(*id, &questions));
    // All are read once, and parked.
    trial.tick_until(|counters| counters.parked.get() >= ASKING as u64);
    let mut ticks = 0;
    while trial.counters.messages_in.get() < (ASKING * QUESTIONS) as u64 {
        let before = trial.counters.messages_in.get();
        trial.shard.tick();
        trial.shard.check_invariants();
        let answers = trial.counters.messages_in.get() - before;
        assert!(answers <= ANSWERS_MAX, "{answers} answers in a tick");
        for id in &asking {
            while matches!(trial.world.borrow_mut().read(*id, 8 << 20), Read::Bytes(_)) {}
        }
        ticks += 1;
        assert!(ticks < 100, "{} answered", trial.counters.messages_in.get());
    }
}
