//! An attack, what it may cost, and the check that it costs no more: while it runs, the crowd
//! talks.
//!
//! Invariant: every attack is bounded in count and time, and every one of its connections is
//! accounted for by an [`Ending`].

use crate::crowd::{CLIENTS, Crowd, Places};
use shardcast_tests::Served;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

/// One row of the table.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Places) -> Tally,
    /// How its connections may end.
    pub(crate) endings: &'static [Ending],
    /// Server CPU per unit of the tally, in nanoseconds, in a debug build: what an attack costs
    /// stands in proportion to what it sends.
    pub(crate) cpu_ns_max: u64,
    /// What the server may take on top of what it had, in bytes, while the attack runs.
    pub(crate) memory_bytes_max: u64,
}

/// What an attack has done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Bytes, frames or connections, as its row says.
    pub(crate) units: u64,
    pub(crate) endings: Vec<Ending>,
}

/// How the server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// It was refused by HTTP.
    Status(u16),
    /// It was told a close code.
    Closed(u16),
    /// The socket ended, and the attacker heard no reason: what it had sent after the end became a
    /// reset.
    Cut,
    /// It is not ended by the server: the attacker left, after the server had answered as ever.
    Served,
}

impl Ending {
    /// Reads a connection to its end.
    ///
    /// # Panics
    /// It does not end within the read timeout of the stream.
    pub(crate) fn of(stream: &mut dyn Read) -> Ending {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        if let Err(error) = &read {
            let kind = error.kind();
            assert!(
                kind != std::io::ErrorKind::WouldBlock && kind != std::io::ErrorKind::TimedOut,
                "the server never ended it: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
        Ending::told(&bytes)
    }

    /// From all that the server said.
    pub(crate) fn told(bytes: &[u8]) -> Ending {
        let mut rest = bytes;
        while let Some(answer) = rest.strip_prefix(b"HTTP/1.1 ") {
            let status = answer
                .get(..3)
                .and_then(|status| std::str::from_utf8(status).ok());
            match status.and_then(|status| status.parse().ok()) {
                Some(101) => {
                    let end = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                    rest = end.map_or(&[], |end| &rest[end + 4..]);
                }
                Some(status) => return Ending::Status(status),
                None => return Ending::Cut,
            }
        }
        while let Some((first, payload, more)) = frame(rest) {
            if first == 0x88 {
                let code = payload
                    .get(..2)
                    .map_or([0x03, 0xed], |code| [code[0], code[1]]);
                return Ending::Closed(u16::from_be_bytes(code));
            }
            rest = more;
        }
        Ending::Cut
    }
}

/// The next frame of the server: its first byte, its payload, and what follows.
pub(crate) fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (first, length) = (*bytes.first()?, *bytes.get(1)?);
    let (bytes_of_length, payload_bytes) = match length {
        126 => (
            2,
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        ),
        127 => (
            8,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize,
        ),
        short => (0, usize::from(short)),
    };
    let rest = bytes.get(2 + bytes_of_length..)?;
    let payload = rest.get(..payload_bytes)?;
    Some((first, payload, &rest[payload_bytes..]))
}

/// The same traffic takes more CPU beside an attack than without one: caches are colder. By so much
/// at most, as a part of what the crowd takes.
const CPU_NOISE: f64 = 0.5;
/// And at least this: the kernel counts CPU in ticks of 10 ms a thread.
const CPU_NOISE_MIN: Duration = Duration::from_millis(300);
/// How often an attack alone is measured: whatever else the machine does adds to a measurement and
/// never takes from it, so the lowest counts. An attack that costs too much does so each time.
const MEASUREMENTS_MAX: usize = 3;
/// Memory that comes and goes with the crowd's own traffic: receive buffers and batches.
const MEMORY_NOISE_BYTES: u64 = 8 << 20;
/// So many rounds at least accompany an attack.
const ROUNDS_MIN: u64 = 5;
/// Between two rounds: the crowd talks, it does not flood.
const PAUSE: Duration = Duration::from_millis(20);
/// The same beside one attack alone, so that what the crowd takes hides less of the attack.
const PAUSE_ALONE: Duration = Duration::from_millis(200);
/// How long the server may take to let go of an attack's connections: its longest timeout, and then
/// some.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with its crowd.
pub(crate) struct Scene {
    pub(crate) served: Served,
    pub(crate) places: Places,
    pub(crate) crowd: Crowd,
    /// CPU of the server for one round of the crowd.
    round_cpu: Duration,
}

/// What attacks took beyond what the crowd takes.
struct Cost {
    tallies: Vec<Tally>,
    cpu: Duration,
    /// What the crowd takes in so many rounds.
    crowd_cpu: Duration,
    memory_bytes: u64,
}

impl Attack {
    /// What it may take by itself.
    fn cpu_max(&self, tally: &Tally) -> Duration {
        Duration::from_nanos(self.cpu_ns_max * tally.units)
    }

    fn check_endings(&self, tally: &Tally) {
        let mut counts = BTreeMap::new();
        for ending in &tally.endings {
            *counts.entry(*ending).or_insert(0_u32) += 1;
        }
        println!("  {}: {counts:?}", self.name);
        for ending in counts.keys() {
            assert!(self.endings.contains(ending), "{}: {counts:?}", self.name);
        }
    }
}

impl Scene {
    pub(crate) fn new(served: Served, places: Places, mut crowd: Crowd) -> Scene {
        (0..ROUNDS_MIN).for_each(|_| crowd.round());
        let (before, rounds) = (served.cpu(), 20);
        for _ in 0..rounds {
            crowd.round();
            std::thread::park_timeout(PAUSE);
        }
        let round_cpu = (served.cpu() - before) / rounds;
        println!(
            "{CLIENTS} honest clients, {round_cpu:?} of CPU a round, {} MiB",
            served.resident_bytes() >> 20
        );
        Scene {
            served,
            places,
            crowd,
            round_cpu,
        }
    }

    /// Runs attacks side by side while the crowd talks. An attack that cannot have taken more than
    /// it may, since all of them together took less, has passed. Every other attack is run once
    /// more by itself: none hides in what its neighbours may take.
    #[track_caller]
    pub(crate) fn check(&mut self, attacks: &[&Attack]) {
        if let [attack] = attacks {
            return self.check_alone(attack);
        }
        let cost = self.measure(attacks, PAUSE);
        for (attack, tally) in attacks.iter().zip(&cost.tallies) {
            let memory_max = attack.memory_bytes_max + MEMORY_NOISE_BYTES;
            if cost.cpu > attack.cpu_max(tally) || cost.memory_bytes > memory_max {
                self.check_alone(attack);
            }
        }
    }

    /// Runs one attack, and compares what it took with what it may.
    #[track_caller]
    fn check_alone(&mut self, attack: &Attack) {
        let mut excess = None;
        for _ in 0..MEASUREMENTS_MAX {
            excess = self.excess(attack);
            if excess.is_none() {
                return;
            }
        }
        panic!("{}: {excess:?} and as bad each time before", attack.name);
    }

    /// Runs one attack by itself; what it took beyond what it may.
    fn excess(&mut self, attack: &Attack) -> Option<String> {
        let cost = self.measure(&[attack], PAUSE_ALONE);
        let noise = cost.crowd_cpu.mul_f64(CPU_NOISE).max(CPU_NOISE_MIN);
        let cpu_max = attack.cpu_max(&cost.tallies[0]) + noise;
        if cost.cpu > cpu_max {
            return Some(format!("{:?} of CPU, at most {cpu_max:?}", cost.cpu));
        }
        let memory_max = attack.memory_bytes_max + MEMORY_NOISE_BYTES;
        let memory = cost.memory_bytes;
        (memory > memory_max).then(|| format!("{memory} bytes, at most {memory_max}"))
    }

    /// Runs attacks side by side until the server is rid of them, and checks how their connections
    /// end.
    #[track_caller]
    fn measure(&mut self, attacks: &[&Attack], pause: Duration) -> Cost {
        let names: Vec<&str> = attacks.iter().map(|attack| attack.name).collect();
        let names = names.join(" + ");
        self.forget_peak();
        let (cpu_before, memory_before) = (self.served.cpu(), self.served.resident_bytes());
        let (rounds_before, started) = (self.crowd.rounds(), Instant::now());
        let tallies = self.run(attacks, pause);
        self.wait_for_the_end(&names);
        let rounds = self.crowd.rounds() - rounds_before;
        let crowd_cpu = self.round_cpu * rounds as u32;
        let cost = Cost {
            cpu: (self.served.cpu() - cpu_before).saturating_sub(crowd_cpu),
            crowd_cpu,
            memory_bytes: self.peak_bytes().saturating_sub(memory_before),
            tallies,
        };
        for (attack, tally) in attacks.iter().zip(&cost.tallies) {
            attack.check_endings(tally);
        }
        let units: u64 = cost.tallies.iter().map(|tally| tally.units).sum();
        println!(
            "{names}: {units} units, CPU {:.1?} ({:.0} ns a unit) beside {crowd_cpu:.1?} of {rounds} honest rounds, memory {} KiB, {:.1?}",
            cost.cpu,
            cost.cpu.as_nanos() as f64 / units.max(1) as f64,
            cost.memory_bytes >> 10,
            started.elapsed(),
        );
        assert_eq!(self.served.metric("panics_total"), 0, "{names}");
        cost
    }

    /// All at once, each on a thread.
    fn run(&mut self, attacks: &[&Attack], pause: Duration) -> Vec<Tally> {
        let places = &self.places;
        let crowd = &mut self.crowd;
        std::thread::scope(|scope| {
            let running: Vec<_> = attacks
                .iter()
                .map(|attack| scope.spawn(|| (attack.run)(places)))
                .collect();
            let mut rounds = 0;
            while rounds < ROUNDS_MIN || !running.iter().all(|thread| thread.is_finished()) {
                crowd.round();
                rounds += 1;
                std::thread::park_timeout(pause);
            }
            let ended = running.into_iter().zip(attacks);
            ended
                .map(|(thread, attack)| {
                    let tally = thread.join();
                    tally.unwrap_or_else(|_| panic!("{}: see above", attack.name))
                })
                .collect()
        })
    }

    /// The attackers are gone, and only the crowd is left.
    #[track_caller]
    fn wait_for_the_end(&mut self, names: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left =
                ["connections", "rooms_home", "outboxes"].map(|name| self.served.metric(name));
            if left == [CLIENTS as u64, (CLIENTS / crate::crowd::ROOM) as u64, 0] {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{names}: connections, rooms and outboxes are {left:?}"
            );
            self.crowd.round();
        }
    }

    /// Lets the kernel note the highest resident size from now on.
    fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.served.id()), "5").expect("proc(5)");
    }

    fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.served.id()));
        let status = status.expect("the server lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.expect("proc(5)") << 10
    }
}
