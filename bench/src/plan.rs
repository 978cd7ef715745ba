//! What a comparison does: which works on which servers, how often and how long, and about how long
//! that takes in all. A server takes part only in works that name it. Made by the binary from its
//! arguments, carried out by `compare`.

use crate::portable::pairs_of;
use crate::product::NATIVE;
use crate::server::{BUN, FLOOR, MONOIO, RAW, Server, TUNGSTENITE};
use crate::work::{Group, Setting, Work};
use crate::works::WORKS;
use clap::ValueEnum;
use std::time::Duration;

/// What to compare.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In this order.
    pub entries: Vec<Entry>,
    /// How often each server does each work, at least 1; ratios want 5.
    pub rounds: u32,
    /// Measured time of a run, in seconds.
    pub seconds: u32,
    /// How the network is set.
    pub setting: Setting,
}

/// A work and who does it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What is done.
    pub work: &'static Work,
    /// In the order of each round; never empty.
    pub servers: Vec<Server>,
}

/// Which works and servers to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Set {
    /// Four works, the strongest servers.
    Quick,
    /// What the promises speak of.
    Must,
    /// Everything.
    All,
    /// Works on the raw protocol, and our product beside them.
    Engines,
    /// Engines over TLS, and compressing.
    Secure,
    /// Servers with rooms, each on its own protocol.
    WholeServers,
    /// Our own servers on io_uring and on epoll, each load once.
    Drivers,
}

const QUICK_WORKS: [&str; 4] = [
    "echo-1000",
    "broadcast-1000-100k",
    "bursts-1000",
    "idle-15000",
];
const QUICK_SERVERS: [Server; 6] = [RAW, NATIVE, BUN, MONOIO, TUNGSTENITE, FLOOR];

/// A run's time beside its measured seconds: starting, warming up, waiting for stragglers,
/// stopping.
const RUN_OVERHEAD: Duration = Duration::from_millis(800);
/// How fast connections are made and closed.
const CONNECTS_PER_S: u32 = 20_000;

impl Set {
    fn servers(self, work: &Work, setting: Setting) -> Vec<Server> {
        let takes_part = |server: &Server| match self {
            Set::All | Set::Drivers => true,
            Set::Engines => work.group == Group::Engines,
            Set::Secure => work.group == Group::Secure,
            Set::WholeServers => work.group == Group::WholeServers,
            Set::Quick => QUICK_WORKS.contains(&work.name) && QUICK_SERVERS.contains(server),
            Set::Must => work
                .goals
                .iter()
                .filter(|goal| goal.limits(setting).must.is_some())
                .any(|goal| goal.servers().any(|other| other == *server)),
        };
        work.servers.iter().copied().filter(takes_part).collect()
    }
}

/// Pairs of servers. Some works differ only in servers that are on one driver: what a pair has done
/// once it need not do again.
fn of_both_drivers(works: impl Iterator<Item = &'static Work>) -> Vec<Entry> {
    let mut done: Vec<(&str, Server)> = Vec::new();
    let mut entries = Vec::new();
    for work in works {
        let mut servers = Vec::new();
        for (uring, portable) in pairs_of(work) {
            if !done.contains(&(work.load, uring)) {
                done.push((work.load, uring));
                servers.extend([uring, portable]);
            }
        }
        entries.push(Entry { work, servers });
    }
    entries
}

impl Plan {
    /// The works and servers of a set; of these only the named ones, where any are named.
    pub fn new(set: Set, works: &[&Work], servers: &[Server], setting: Setting) -> Plan {
        let wanted =
            |work: &Work| works.is_empty() || works.iter().any(|other| std::ptr::eq(*other, work));
        let works = WORKS.iter().filter(|work| wanted(work));
        let entries = match set {
            Set::Drivers => of_both_drivers(works),
            _ => works
                .map(|work| Entry {
                    work,
                    servers: set.servers(work, setting),
                })
                .collect(),
        };
        let mut plan = Plan {
            entries,
            rounds: 1,
            seconds: 1,
            setting,
        };
        plan.retain(|server| servers.is_empty() || servers.contains(&server));
        plan
    }

    /// Without the servers that are not wanted, and without works that nobody does then.
    pub fn retain(&mut self, wanted: impl Fn(Server) -> bool) {
        for entry in &mut self.entries {
            entry.servers.retain(|server| wanted(*server));
        }
        self.entries.retain(|entry| !entry.servers.is_empty());
    }

    /// Everyone who takes part in something, once.
    pub fn servers(&self) -> Vec<Server> {
        let mut servers: Vec<Server> = Vec::new();
        for server in self.entries.iter().flat_map(|entry| &entry.servers) {
            if !servers.contains(server) {
                servers.push(*server);
            }
        }
        servers
    }

    /// Number of runs.
    pub fn runs(&self) -> u32 {
        let runs: usize = self.entries.iter().map(|entry| entry.servers.len()).sum();
        runs as u32 * self.rounds
    }

    /// About how long all runs take.
    pub fn duration(&self) -> Duration {
        let of_entry =
            |entry: &Entry| run_duration(entry.work, self.seconds) * entry.servers.len() as u32;
        self.entries.iter().map(of_entry).sum::<Duration>() * self.rounds
    }
}

fn run_duration(work: &Work, seconds: u32) -> Duration {
    let idle = work.load.starts_with("idle");
    let measured = if idle { 2 } else { 1 + seconds };
    let connecting = f64::from(connections(work)) / f64::from(CONNECTS_PER_S);
    RUN_OVERHEAD + Duration::from_secs(u64::from(measured)) + Duration::from_secs_f64(connecting)
}

/// As many as the load tool is to make.
pub(crate) fn connections(work: &Work) -> u32 {
    let mut words = work.load.split_whitespace();
    words.find(|word| *word == "--connections");
    words.next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;
    use crate::server::{MONOIO, RAW_TWO_SHARDS, SOCKUDO};

    fn of(set: Set, setting: Setting) -> Vec<(&'static str, Vec<&'static str>)> {
        let plan = Plan::new(set, &[], &[], setting);
        let keys = |servers: Vec<Server>| servers.iter().map(|server| server.key).collect();
        plan.entries
            .into_iter()
            .map(|entry| (entry.work.name, keys(entry.servers)))
            .collect()
    }

    #[test]
    fn sets_choose_works_and_servers() {
        let names = |set| {
            of(set, Setting::Plain)
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(Set::All).len(), WORKS.len());
        let groups = [Set::Engines, Set::Secure, Set::WholeServers];
        assert_eq!(
            groups.map(|set| names(set).len()).iter().sum::<usize>(),
            WORKS.len()
        );
        assert_eq!(names(Set::Quick), QUICK_WORKS);
        let must = of(Set::Must, Setting::Plain);
        assert_eq!(
            must[0],
            (
                "echo-100",
                vec![
                    "raw",
                    "before",
                    "raw-portable",
                    "native",
                    "uwebsockets",
                    "bun",
                    "monoio",
                    "floor"
                ]
            )
        );
        assert!(
            must.iter().all(|(name, _)| *name != "native-rooms-10000"),
            "promises nothing"
        );
        let rps: Vec<_> = ["echo-100", "echo-1000", "echo-10000"]
            .map(|name| (name, vec!["raw", "bun"]))
            .into();
        assert_eq!(of(Set::Must, Setting::Rps), rps);
    }

    #[test]
    fn works_and_servers_can_be_narrowed_down() {
        let works = ["broadcast-10000", "idle-15000"].map(|name| find(name).expect("a work"));
        let mut plan = Plan::new(
            Set::All,
            &works,
            &[SOCKUDO, RAW_TWO_SHARDS, MONOIO],
            Setting::Plain,
        );
        let keys = |entry: &Entry| {
            entry
                .servers
                .iter()
                .map(|server| server.key)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            plan.entries.iter().map(keys).collect::<Vec<_>>(),
            [vec!["raw2", "monoio"], vec!["monoio"]]
        );
        assert_eq!(plan.servers(), [RAW_TWO_SHARDS, MONOIO]);
        plan.retain(|server| server != MONOIO);
        assert_eq!(plan.entries.len(), 1, "a work without servers is none");
    }

    #[test]
    fn what_differs_in_other_servers_alone_is_done_once_on_both_drivers() {
        let drivers = of(Set::Drivers, Setting::Plain);
        let servers = |name: &str| {
            let found = drivers.iter().find(|(work, _)| *work == name);
            found.map(|(_, servers)| servers.clone())
        };
        let both = ["raw", "raw-portable", "native", "native-portable"];
        assert_eq!(servers("echo-100"), Some(both.into()));
        assert_eq!(servers("limits-echo-100"), None);
        let tls = ["raw-tls", "raw-tls-portable"];
        assert_eq!(servers("idle-tls-5000"), Some(tls.into()));
        let more = [
            "centrifuge-json",
            "centrifuge-json-portable",
            "centrifuge-protobuf",
            "centrifuge-protobuf-portable",
        ];
        assert_eq!(servers("centrifuge-echo-100"), Some(more.into()));
    }

    #[test]
    fn the_time_is_estimated() {
        let works = ["echo-10000", "idle-15000"].map(|name| find(name).expect("a work"));
        let mut plan = Plan::new(Set::All, &works, &[RAW, BUN], Setting::Plain);
        (plan.rounds, plan.seconds) = (5, 4);
        assert_eq!(plan.runs(), 20);
        // Two servers, five rounds: 0.5 s to connect, 5 s, 0.8 s beside; and 0.75 s, 2 s, 0.8 s.
        assert_eq!(plan.duration(), Duration::from_millis((6_300 + 3_550) * 10));
    }
}
