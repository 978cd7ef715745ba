//! A run that can be carried out: arguments checked, defaults chosen, the work divided.
//! Called by `scenario`; workers receive it as part of their share.

use crate::chat::Chat;
use crate::clock::now_ns;
use crate::content::{Content, VARIANTS};
use crate::dialect::Protocol;
use crate::message::Encoding;
use crate::motion::Motion;
use crate::options::CommonOptions;
use crate::pace::Pace;
use crate::stall::Stall;
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scenario {
    /// Round trips.
    Echo,
    /// One to many.
    Broadcast,
    /// Many to few.
    #[serde(rename = "fan-in")]
    FanIn,
    /// One to many, of whom some stall.
    Slow,
    /// Rooms of many sizes.
    Chat,
    /// Memory.
    Idle,
    /// Connections come and go.
    Churn,
    /// All come back at once while others talk.
    Storm,
}

impl Scenario {
    /// Whether messages are measured between a beginning and an end.
    pub(crate) fn has_window(self) -> bool {
        match self {
            Scenario::Echo
            | Scenario::Broadcast
            | Scenario::FanIn
            | Scenario::Slow
            | Scenario::Chat
            | Scenario::Churn
            | Scenario::Storm => true,
            Scenario::Idle => false,
        }
    }
}

/// A checked run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) protocol: Protocol,
    pub(crate) url: String,
    pub(crate) target: Target,
    /// Tells this run's messages from others'.
    pub(crate) run: u32,
    /// Publishers not counted.
    pub(crate) connections: u32,
    pub(crate) publishers: u32,
    /// At least 1.
    pub(crate) rooms: u32,
    /// Whether connections subscribe or join.
    pub(crate) subscribes: bool,
    /// `None`: everyone reads.
    pub(crate) stall: Option<Stall>,
    /// `None`: rooms are alike.
    pub(crate) chat: Option<Chat>,
    pub(crate) payload_bytes: usize,
    pub(crate) content: Content,
    /// What protocol and content come to.
    pub(crate) encoding: Encoding,
    pub(crate) pace: Pace,
    /// Longest time for each step before the run, more for many connections.
    pub(crate) setup: Duration,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) drain: Duration,
    pub(crate) hold: Duration,
    /// Length of the intervals of the time series.
    pub(crate) interval: Duration,
    /// First local address and how many; `None`: the kernel chooses.
    pub(crate) sources: Option<(Ipv4Addr, u32)>,
    pub(crate) workers: u32,
    pub(crate) motion: Motion,
}

/// A worker's part of the plan.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) plan: Plan,
    /// Number of the worker's first connection.
    pub(crate) first: u32,
    /// Its connections, publishers not counted.
    pub(crate) count: u32,
    /// Whether the publishers are here.
    pub(crate) publishes: bool,
    /// Connections that may come during the run, besides those that are there at first.
    pub(crate) spare: u32,
    /// Whether its connections are those that a storm cuts off.
    pub(crate) cut: bool,
}

/// A process may have 20,000 open files on the hosts we know; the rest is for everything else.
const CONNECTIONS_PER_WORKER_MAX: u32 = 18_000;
const CONNECTIONS_PER_WORKER: u32 = 15_000;
/// Linux picks ports for new connections from one half of about 28,000 first; beyond it searches
/// longer.
const CONNECTIONS_PER_SOURCE: u32 = 12_000;
const CONNECTIONS_MAX: u32 = 4_000_000;
const SOURCES_MAX: u32 = 250;
/// They live in one worker.
pub(crate) const PUBLISHERS_MAX: u32 = 10_000;
/// Streams of one worker; each takes 8 bytes, and 8 more in the end.
pub(crate) const STREAMS_MAX: u64 = 1 << 24;
const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// All variants are kept, three times over.
const JSON_BYTES_MAX: usize = 64 << 10;
const IN_FLIGHT_MAX: u32 = 100_000;
/// Length of an interval if none is asked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// Shorter ones would measure the reporting.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Bounds the parent's memory and the report: some KiB for each interval.
const INTERVALS_MAX: u32 = 10_000;

impl Plan {
    /// What all scenarios have in common; the rest is silence.
    ///
    /// # Errors
    /// What cannot be done and why, in words.
    pub(crate) fn new(common: &CommonOptions, scenario: Scenario) -> Result<Plan, String> {
        within("--connections", common.connections, CONNECTIONS_MAX)?;
        let encoding = common.protocol.encoding(common.content);
        let encoding = encoding.ok_or("--content json needs --protocol raw or echo")?;
        let smallest = encoding.body_bytes_min();
        if common.content == Content::Json && common.payload > JSON_BYTES_MAX {
            return Err(format!(
                "--payload with --content json is at most {JSON_BYTES_MAX} bytes: there are {VARIANTS} different ones"
            ));
        }
        if !(smallest..=PAYLOAD_BYTES_MAX).contains(&common.payload) {
            return Err(format!(
                "--payload is {smallest} to {PAYLOAD_BYTES_MAX} bytes: every message carries its sender, number, time and checksum"
            ));
        }
        if scenario != Scenario::Idle && common.duration.is_zero() {
            return Err("--duration is above 0".into());
        }
        let target = Target::new(&common.url, &common.door)?;
        let workers = common
            .workers
            .unwrap_or_else(|| common.connections.div_ceil(CONNECTIONS_PER_WORKER));
        within("--workers", workers, common.connections)?;
        if common.connections.div_ceil(workers) > CONNECTIONS_PER_WORKER_MAX {
            return Err(format!(
                "a worker takes at most {CONNECTIONS_PER_WORKER_MAX} connections: use more --workers"
            ));
        }
        let run = now_ns() as u32;
        Ok(Plan {
            scenario,
            protocol: common.protocol,
            url: common.url.clone(),
            run,
            connections: common.connections,
            publishers: 0,
            rooms: 1,
            subscribes: false,
            stall: None,
            chat: None,
            payload_bytes: common.payload,
            content: common.content,
            encoding,
            pace: Pace::Silent,
            setup: common.setup,
            warmup: common.warmup,
            duration: common.duration,
            drain: common.drain,
            hold: Duration::ZERO,
            interval: INTERVAL,
            sources: sources(common, target.address, run)?,
            target,
            workers,
            motion: Motion::Still,
        })
    }

    /// With a time series: as asked for, else a second, or longer in runs that would have too many
    /// intervals. All durations are known.
    ///
    /// # Errors
    /// The intervals are too short.
    pub(crate) fn with_interval(mut self, asked: Option<Duration>) -> Result<Plan, String> {
        let run = self.warmup.max(self.hold) + self.duration + self.drain;
        let shortest = INTERVAL_MIN.max(run / INTERVALS_MAX);
        self.interval = asked.unwrap_or(INTERVAL.max(shortest));
        if self.interval < shortest {
            return Err(format!(
                "--interval is at least {INTERVAL_MIN:?}, and a run has at most {INTERVALS_MAX}: here at least {shortest:?}"
            ));
        }
        Ok(self)
    }

    /// Where a search for the limit begins.
    ///
    /// # Errors
    /// The run is not by the clock.
    pub(crate) fn rate_per_s(&self) -> Result<f64, String> {
        match self.pace {
            Pace::Rate { per_s, .. } => Ok(per_s),
            Pace::Closed(_) | Pace::Once | Pace::Silent => {
                Err("--find-limit needs a --rate of messages, where it begins".into())
            }
        }
    }

    /// The same run at another rate.
    pub(crate) fn at_rate(&self, rate_per_s: f64) -> Plan {
        let mut plan = self.clone();
        if let Pace::Rate { per_s, .. } = &mut plan.pace {
            *per_s = rate_per_s;
        }
        // Messages of the run before are not taken for this one's.
        plan.run = now_ns() as u32;
        plan
    }

    /// With so many rooms.
    ///
    /// # Errors
    /// What cannot be done and why, in words.
    pub(crate) fn with_rooms(mut self, rooms: u32) -> Result<Plan, String> {
        within("--rooms", rooms, self.connections)?;
        if rooms > 1 && !self.protocol.has_rooms() {
            return Err(
                "this protocol has one topic: --rooms needs --protocol native, nats, socketio or pusher"
                    .into(),
            );
        }
        self.rooms = rooms;
        Ok(self)
    }

    /// Where each connection that comes during the run joins one of so many rooms, if any.
    ///
    /// # Errors
    /// What cannot be done and why, in words.
    pub(crate) fn with_joins(self, rooms: Option<u32>) -> Result<Plan, String> {
        if rooms.is_some() && !self.protocol.subscribes() {
            return Err(
                "in this protocol nothing is joined by a message: leave out --rooms".into(),
            );
        }
        Ok(Plan {
            subscribes: rooms.is_some(),
            ..self.with_rooms(rooms.unwrap_or(1))?
        })
    }

    /// With publishers to whom all connections subscribe. The rooms are known.
    ///
    /// # Errors
    /// What cannot be done and why, in words.
    pub(crate) fn with_publishers(mut self, publishers: u32, pace: Pace) -> Result<Plan, String> {
        within("--publishers", publishers, PUBLISHERS_MAX)?;
        if !self.protocol.has_topics() {
            return Err(
                "an echo server passes nothing on to others: only echo, churn and storm fit it"
                    .into(),
            );
        }
        let subscribes = self.protocol.subscribes();
        (self.publishers, self.subscribes, self.pace) = (publishers, subscribes, pace);
        let busiest = self.connections.div_ceil(self.workers);
        if busiest + publishers > CONNECTIONS_PER_WORKER_MAX {
            return Err(format!(
                "the publishers live in one worker with {busiest} subscribers, which takes at most {CONNECTIONS_PER_WORKER_MAX} connections: use more --workers"
            ));
        }
        for (each, what) in [(busiest, "subscribers of a worker"), (self.rooms, "rooms")] {
            if u64::from(each) * u64::from(publishers) > STREAMS_MAX {
                return Err(format!(
                    "{publishers} publishers and {each} {what} are more than {STREAMS_MAX} streams to verify"
                ));
            }
        }
        Ok(self)
    }

    /// With connections that come and go. In a storm there are at least two workers.
    ///
    /// # Errors
    /// What cannot be done and why, in words.
    pub(crate) fn with_motion(
        mut self,
        motion: Motion,
        workers: Option<u32>,
    ) -> Result<Plan, String> {
        self.motion = motion;
        if let Motion::Storm(storm) = motion {
            let steady = self.steady();
            if storm.cut == 0 || steady == 0 {
                return Err(
                    "--storm-share cuts off at least one connection and leaves at least one".into(),
                );
            }
            let parts = [steady, storm.cut].map(|part| part.div_ceil(CONNECTIONS_PER_WORKER));
            self.workers = workers.unwrap_or(parts.iter().sum());
            if !(2..=self.connections).contains(&self.workers) {
                return Err("a storm needs 2 workers or more, and a connection for each: who is cut off and who talks live apart".into());
            }
            if self
                .shares()
                .iter()
                .any(|share| share.count > CONNECTIONS_PER_WORKER_MAX || share.count == 0)
            {
                return Err(format!(
                    "a worker takes at least one and at most {CONNECTIONS_PER_WORKER_MAX} connections: choose other --workers"
                ));
            }
        }
        Ok(self)
    }

    /// Deliveries of one round of probes; 0: there are none.
    pub(crate) fn probe_deliveries(&self) -> u64 {
        match self.scenario {
            Scenario::Echo | Scenario::Idle | Scenario::Churn => 0,
            Scenario::Chat => {
                let each = self.chat.map_or(0, |chat| chat.rooms_per_connection);
                u64::from(self.connections) * u64::from(each)
            }
            Scenario::Broadcast | Scenario::FanIn | Scenario::Slow | Scenario::Storm => {
                u64::from(self.connections) * u64::from(self.publishers)
            }
        }
    }

    /// Connections that no storm cuts off.
    pub(crate) fn steady(&self) -> u32 {
        match self.motion {
            Motion::Still | Motion::Churn(_) => self.connections,
            Motion::Storm(storm) => self.connections - storm.cut,
        }
    }

    /// The workers' parts, as even as can be. What a storm cuts off lives in workers of its own:
    /// coming back must not delay who measures what the others feel.
    pub(crate) fn shares(&self) -> Vec<Share> {
        let steady = self.steady();
        let Motion::Storm(storm) = self.motion else {
            return self.divide((0, steady), self.workers);
        };
        let storming = self.storming_workers(storm.cut);
        let mut shares = self.divide((0, steady), self.workers - storming);
        for share in self.divide((steady, storm.cut), storming) {
            shares.push(Share {
                publishes: false,
                cut: true,
                ..share
            });
        }
        shares
    }

    /// At least one for each side.
    fn storming_workers(&self, cut: u32) -> u32 {
        let part = f64::from(cut) / f64::from(self.connections);
        ((f64::from(self.workers) * part).round() as u32).clamp(1, self.workers - 1)
    }

    fn divide(&self, (first, count): (u32, u32), workers: u32) -> Vec<Share> {
        let bound = |worker: u32| {
            first + (u64::from(count) * u64::from(worker) / u64::from(workers)) as u32
        };
        let spare = match self.motion {
            Motion::Churn(churn) => churn.spare(1.0 / f64::from(workers)),
            Motion::Still | Motion::Storm(_) => 0,
        };
        let share = |worker: u32| Share {
            plan: self.clone(),
            // Those that may come have numbers of their own, too.
            first: bound(worker) + worker * spare,
            count: bound(worker + 1) - bound(worker),
            // Where everyone talks, someone does everywhere.
            publishes: worker == 0 || self.chat.is_some(),
            spare,
            cut: false,
        };
        (0..workers).map(share).collect()
    }
}

/// How to send, from the options.
///
/// # Errors
/// What cannot be done and why, in words.
pub(crate) fn pace(rate: Option<f64>, closed: Option<u32>, burst: u32) -> Result<Pace, String> {
    within("--burst", burst, 100_000)?;
    match (rate, closed) {
        (Some(per_s), _) if per_s > 0.0 && per_s <= 1e8 => Ok(Pace::Rate { per_s, burst }),
        (Some(_), _) => Err("--rate is above 0 and at most 100,000,000 a second".into()),
        (None, Some(outstanding)) => {
            within("--in-flight and --outstanding", outstanding, IN_FLIGHT_MAX)?;
            Ok(Pace::Closed(outstanding))
        }
        (None, None) => Err("either --rate or --outstanding".into()),
    }
}

/// # Errors
/// It is not, in words.
pub(crate) fn within(name: &str, value: u32, max: u32) -> Result<(), String> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("{name} is 1 to {max}, not {value}"))
    }
}

/// Several sources lie in 127.0.0.0/8, in a part that depends on the run: ports that an earlier run
/// left in TIME_WAIT are not in the way.
fn sources(
    common: &CommonOptions,
    address: SocketAddr,
    run: u32,
) -> Result<Option<(Ipv4Addr, u32)>, String> {
    let loopback = address.is_ipv4() && address.ip().is_loopback();
    let needed = common.connections.div_ceil(CONNECTIONS_PER_SOURCE);
    let count = common
        .sources
        .unwrap_or(if loopback { needed.min(SOURCES_MAX) } else { 1 });
    within("--sources", count, SOURCES_MAX)?;
    if count > 1 && !loopback {
        return Err("--sources needs a server on an IPv4 loopback address".into());
    }
    let [low, high, ..] = run.rotate_right(10).to_le_bytes();
    Ok((count > 1).then(|| (Ipv4Addr::new(127, high.max(1), low, 1), count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::Parser;

    fn plan(line: &str) -> Result<Plan, String> {
        let words = ["shardcast-load"].into_iter().chain(line.split(' '));
        let arguments = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
        arguments.command.plan()
    }

    /// Each line is refused, and the reason has the word.
    fn refused(lines: &[(&str, &str)]) {
        for (line, word) in lines {
            let (scenario, rest) = line.split_once(' ').unwrap();
            let refusal = plan(&format!("{scenario} --url ws://127.0.0.1:1 {rest}"));
            let refusal = refusal.expect_err(line);
            assert!(refusal.contains(word), "{line}: {refusal}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_reason() {
        for url in ["http://127.0.0.1:1", "127.0.0.1:1"] {
            let refusal = plan(&format!("echo --url {url} --connections 1")).unwrap_err();
            assert!(refusal.contains("ws://"), "{refusal}");
        }
        let elsewhere = plan("idle --url ws://10.0.0.1:1 --connections 9 --sources 2");
        assert!(elsewhere.unwrap_err().contains("loopback"));
        refused(&[
            ("echo --connections 0", "--connections"),
            ("echo --connections 1 --payload 31", "32"),
            ("echo --connections 1 --payload 63 --protocol native", "64"),
            ("echo --connections 1 --content json --payload 201", "202"),
            (
                "echo --connections 1 --content json --payload 65537",
                "65536",
            ),
            (
                "echo --connections 1 --content json --payload 1024 --protocol native",
                "raw or echo",
            ),
            ("echo --connections 1 --rate 5 --in-flight 2", "--in-flight"),
            ("echo --connections 1 --rate 0", "--rate"),
            ("echo --connections 1 --duration 0s", "--duration"),
            ("echo --connections 1 --interval 49ms", "--interval"),
            (
                "echo --connections 1 --interval 100ms --duration 100m",
                "--interval",
            ),
            ("echo --connections 40000 --workers 2", "--workers"),
        ]);
    }

    #[test]
    fn rooms_and_publishers_that_cannot_be_are_refused() {
        refused(&[
            ("broadcast --connections 1", "--rate"),
            ("broadcast --connections 9 --rate 1 --rooms 2", "native"),
            (
                "broadcast --connections 9 --rate 1 --rooms 10 --protocol native",
                "--rooms",
            ),
            (
                "broadcast --connections 9000 --publishers 9001 --rate 1",
                "18000",
            ),
            (
                "broadcast --connections 8000 --publishers 9000 --rate 1",
                "streams",
            ),
            ("fan-in --connections 9", "--rate"),
            ("fan-in --connections 10001 --rate 1", "--connections"),
            (
                "fan-in --connections 9 --rate 1 --listeners 0",
                "--listeners",
            ),
            ("fan-in --connections 9 --rate 1 --workers 6", "--workers"),
            (
                "slow --connections 9 --rate 1 --stall-share 1",
                "--stall-share",
            ),
            ("slow --connections 9 --rate 1", "nobody"),
            ("chat --connections 200 --rate 1", "native"),
            ("chat --connections 9 --rate 1 --protocol native", "--rooms"),
            (
                "chat --connections 9 --rooms 3 --rate 1 --rooms-per-connection 4 --protocol native",
                "--rooms-per-connection",
            ),
            (
                "chat --connections 15000 --rooms 100 --rate 1 --rooms-per-connection 50 --protocol native",
                "more --rooms",
            ),
            (
                "slow --connections 90 --rate 1 --stall-after 5s",
                "--stall-after",
            ),
            ("idle --connections 9 --broadcast-once", "--rooms"),
            ("idle --connections 9 --rooms 1 --broadcast-once", "native"),
        ]);
    }

    #[test]
    fn comings_and_goings_that_cannot_be_are_refused() {
        let wordless = "--rooms";
        refused(&[
            ("churn --connections 9", "--rate"),
            ("churn --connections 9 --rate 0", "--rate"),
            (
                "churn --connections 9 --rate 1 --reset-share 1.5",
                "--reset-share",
            ),
            ("churn --connections 9 --rate 1 --patience 0s", "--patience"),
            ("churn --connections 9 --rate 1 --rooms 2", "one topic"),
            (
                "churn --connections 9 --rate 1 --rooms 1 --protocol echo",
                wordless,
            ),
            (
                "churn --connections 9 --rate 1 --rooms 1 --protocol nchan",
                wordless,
            ),
            ("storm --connections 9", "--rate"),
            (
                "storm --connections 9 --rate 1 --storm-share 0.01",
                "--storm-share",
            ),
            (
                "storm --connections 9 --rate 1 --storm-share 0.99",
                "--storm-share",
            ),
            ("storm --connections 9 --rate 1 --workers 1", "2 workers"),
            (
                "storm --connections 9 --rate 1 --connecting 0",
                "--connecting",
            ),
            (
                "storm --connections 9 --rate 1 --storm-at 3s --spread 2s",
                "--duration",
            ),
            (
                "storm --connections 9 --rate 1 --talk broadcast --protocol echo",
                "only echo",
            ),
        ]);
    }

    #[test]
    fn a_storm_is_made_by_workers_of_its_own() {
        let url = "--url ws://127.0.0.1:9 --rate 1";
        let parts = |line: &str| {
            let shares = plan(&format!("storm {url} {line}")).unwrap().shares();
            let part = |share: &Share| (share.first, share.count, share.cut, share.publishes);
            shares.iter().map(part).collect::<Vec<_>>()
        };
        assert_eq!(
            parts("--connections 10"),
            [(0, 2, false, true), (2, 8, true, false)]
        );
        assert_eq!(
            parts("--connections 10 --storm-share 0.3 --workers 3"),
            [
                (0, 3, false, true),
                (3, 4, false, false),
                (7, 3, true, false)
            ]
        );
        assert_eq!(parts("--connections 50000").len(), 4);
    }

    #[test]
    fn who_comes_has_a_number_of_its_own() {
        let line = "churn --url ws://127.0.0.1:9 --connections 10 --workers 2 --rate 400";
        let shares = plan(line).unwrap().shares();
        let part = |share: &Share| (share.first, share.count, share.spare);
        assert_eq!(
            shares.iter().map(part).collect::<Vec<_>>(),
            [(0, 5, 100), (105, 5, 100)]
        );
    }

    #[test]
    fn what_a_protocol_cannot_say_is_refused() {
        refused(&[
            (
                "broadcast --connections 9 --rate 1 --protocol echo",
                "only echo, churn",
            ),
            (
                "broadcast --connections 9 --rate 1 --rooms 2 --protocol nchan",
                "one topic",
            ),
            (
                "idle --connections 9 --rooms 1 --protocol echo",
                "echo server",
            ),
            (
                "idle --connections 9 --rooms 1 --broadcast-once --protocol nats",
                "native",
            ),
            ("echo --connections 1 --payload 63 --protocol pusher", "64"),
            ("echo --connections 1 --payload 31 --protocol nats", "32"),
        ]);
    }

    #[test]
    fn the_work_is_divided_without_rest() {
        let plan =
            plan("broadcast --url ws://127.0.0.1:9/ws --connections 100000 --rate 1").unwrap();
        let shares = plan.shares();
        assert_eq!((plan.workers, shares.len()), (7, 7));
        assert_eq!(
            plan.sources
                .map(|(first, count)| (first.is_loopback(), count)),
            Some((true, 9))
        );
        let mut first = 0;
        for share in &shares {
            assert_eq!(share.first, first);
            assert!((14_285..=14_286).contains(&share.count));
            assert_eq!(share.publishes, first == 0);
            first += share.count;
        }
        assert_eq!(first, 100_000);
    }
}
