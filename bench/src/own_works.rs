//! The works that our own clients do instead of the load generator's, as commands. Called by the
//! binary.

use crate::backends::{Backends, backends};
use crate::batches::{Batches, batches};
use crate::deltas::{Deltas, deltas};
use crate::figures::Figures;
use crate::joins::{Joins, joins};
use crate::observed::{Observed, observed};
use crate::prepare::{Places, build, prepare_peer};
use crate::recovery::{Recovery, recovery};
use crate::scraped::{Scraped, scraped};
use crate::server::{BUN, MONOIO, Program, Server, TUNGSTENITE};
use crate::stalled::{Stalled, stalled};
use crate::uploads::{Uploads, uploads};
use clap::Subcommand;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A work, and how much of it.
#[derive(Debug, Subcommand)]
pub enum OwnWork {
    /// CPU of hearing what was missed, beside hearing it live.
    Recovery {
        /// Clients.
        #[arg(long, default_value_t = 9_000)]
        clients: usize,
        /// Messages for each.
        #[arg(long, default_value_t = 100)]
        messages: usize,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// Memory of readers that do not read, beside Bun's.
    Stalled {
        /// Readers.
        #[arg(long, default_value_t = 10_000)]
        readers: usize,
        /// Publishes a second.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        per_second: u32,
        /// For how long, in seconds.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// How often.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// CPU of joining and leaving many rooms.
    Joins {
        /// Clients, one after the other.
        #[arg(long, default_value_t = 10)]
        clients: usize,
        /// Rooms of each.
        #[arg(long, default_value_t = 4_000)]
        rooms: usize,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Another build of shardcast, to be measured beside this one in turns.
        #[arg(long, value_name = "PATH")]
        against: Option<PathBuf>,
    },
    /// CPU of publications of which little changes, sent as deltas and as a whole.
    Deltas {
        /// Clients.
        #[arg(long, default_value_t = 1_000)]
        clients: usize,
        /// Publications.
        #[arg(long, default_value_t = 500)]
        messages: usize,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// CPU and memory of three nodes with a broker, beside one alone.
    Cluster(crate::cluster::ClusterWork),
    /// CPU of messages of 1 MiB with a short answer, and memory while many are on their way.
    Uploads {
        /// Clients.
        #[arg(long, default_value_t = 1_000)]
        clients: usize,
        /// Uploads in turns.
        #[arg(long, default_value_t = 2_000)]
        messages: usize,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// CPU of calls that a backend answers, on a Unix socket and by webhooks, and of echoes.
    Backends {
        /// Clients.
        #[arg(long, default_value_t = 50)]
        clients: usize,
        /// Round trips.
        #[arg(long, default_value_t = 100_000)]
        calls: usize,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// CPU of publishes in a batch of the admin API, and through a WebSocket.
    Batches {
        /// Publishes.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        publishes: u32,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// CPU of the shard while it is scraped.
    Scraped {
        /// Connections: each takes an open file of this process.
        #[arg(long, default_value_t = 19_000)]
        connections: usize,
        /// Rooms: 100 for each connection at most.
        #[arg(long, default_value_t = 10_000)]
        rooms: usize,
        /// Scrapes.
        #[arg(long, default_value_t = 50)]
        scrapes: u32,
    },
    /// CPU of a broadcast with traces of one of a hundred publishes and a scrape each second.
    Observed {
        /// Members.
        #[arg(long, default_value_t = 1_000)]
        members: usize,
        /// Publishes.
        #[arg(long, default_value_t = 5_000)]
        messages: usize,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
}

impl OwnWork {
    /// Builds who takes part besides peers, prepares these, and does it.
    ///
    /// # Errors
    /// A server does not build, ends, refuses or is stuck.
    pub fn measure(self, mut places: Places) -> io::Result<Figures> {
        let (package, binary, peers): (_, _, &[Server]) = match &self {
            OwnWork::Recovery { .. }
            | OwnWork::Deltas { .. }
            | OwnWork::Backends { .. }
            | OwnWork::Batches { .. }
            | OwnWork::Scraped { .. }
            | OwnWork::Observed { .. } => ("shardcast", "shardcast", &[]),
            OwnWork::Stalled { .. } => ("shardcast", "shardcast", &[BUN]),
            OwnWork::Cluster(_) => ("shardcast", "shardcast", &[]),
            OwnWork::Joins { against, .. } => {
                places.against.clone_from(against);
                ("shardcast", "shardcast", &[])
            }
            OwnWork::Uploads { .. } => {
                ("shardcast-bench", "raw-server", &[BUN, MONOIO, TUNGSTENITE])
            }
        };
        build(package, binary, &places)?;
        let peers = prepared(peers, &places);
        self.run(&places, &peers)
    }

    /// Does it, with what is built.
    ///
    /// # Errors
    /// A server ends, refuses or is stuck.
    pub fn run(self, places: &Places, peers: &[Server]) -> io::Result<Figures> {
        match self {
            OwnWork::Recovery {
                clients,
                messages,
                rounds,
            } => {
                let plan = Recovery {
                    clients,
                    messages,
                    rounds,
                };
                recovery(plan, places)
            }
            OwnWork::Stalled {
                readers,
                per_second,
                seconds,
                rounds,
            } => {
                let plan = Stalled {
                    readers,
                    per_s: per_second,
                    time: Duration::from_secs(seconds),
                    rounds,
                };
                stalled(plan, places, peers)
            }
            OwnWork::Joins {
                clients,
                rooms,
                rounds,
                ..
            } => {
                let plan = Joins {
                    clients,
                    rooms,
                    rounds,
                };
                joins(plan, places)
            }
            OwnWork::Deltas {
                clients,
                messages,
                rounds,
            } => {
                let plan = Deltas {
                    clients,
                    messages,
                    rounds,
                };
                deltas(plan, places)
            }
            OwnWork::Cluster(work) => crate::cluster::cluster(&work, places),
            OwnWork::Uploads {
                clients,
                messages,
                rounds,
            } => {
                let plan = Uploads {
                    clients,
                    bytes: UPLOAD_BYTES,
                    messages,
                    rounds,
                };
                uploads(plan, places, peers)
            }
            watched => watched.run_watched(places),
        }
    }
}

impl OwnWork {
    /// Of the works that are about running a server: backends, operators, metrics and traces.
    fn run_watched(self, places: &Places) -> io::Result<Figures> {
        match self {
            OwnWork::Backends {
                clients,
                calls,
                rounds,
            } => {
                let plan = Backends {
                    clients,
                    calls,
                    rounds,
                };
                backends(plan, places)
            }
            OwnWork::Batches { publishes, rounds } => {
                let plan = Batches {
                    publishes: publishes as usize,
                    rounds,
                };
                batches(plan, places)
            }
            OwnWork::Scraped {
                connections,
                rooms,
                scrapes,
            } => {
                let plan = Scraped {
                    connections,
                    rooms,
                    scrapes,
                };
                scraped(plan, places)
            }
            OwnWork::Observed {
                members,
                messages,
                rounds,
            } => {
                let plan = Observed {
                    members,
                    messages,
                    rounds,
                };
                observed(plan, places)
            }
            other => other.run(places, &[]),
        }
    }
}

/// The raw protocol's limit of a message, for every server.
const UPLOAD_BYTES: usize = 1 << 20;

/// Those of the peers that can be had here; the others are named.
fn prepared(peers: &[Server], places: &Places) -> Vec<Server> {
    let is_here = |peer: &&Server| {
        let Program::Peer(folder) = peer.program else {
            return false;
        };
        let prepared = prepare_peer(folder, places);
        if let Err(reason) = &prepared {
            eprintln!("{} takes no part: {reason}", peer.name);
        }
        prepared.is_ok()
    };
    peers.iter().filter(is_here).copied().collect()
}
