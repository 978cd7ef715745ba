//! The works that servers are measured at, who takes part in each, and what the project has promised. Constant tables, read by everything else.

/// Something that servers are made to do.
#[derive(Debug)]
pub struct Work {
    /// How it is selected and recorded.
    pub name: &'static str,
    /// How it is named in tables.
    pub title: &'static str,
    /// Scenario and shape, as `shardcast-load` takes them.
    pub load: &'static str,
    /// What is compared.
    pub figure: Figure,
    /// Who takes part, in the order of each round.
    pub servers: &'static [Server],
    /// What is looked at, and what it must be.
    pub goals: &'static [Goal],
}

/// The figure that a work is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Server CPU (user and system, all threads) per message, in µs: an echo's round trip or a broadcast's delivery.
    CpuPerMessage,
    /// Resident memory of the server's process per connection, in bytes.
    BytesPerConnection,
}

impl Figure {
    /// The unit in tables.
    pub fn unit(self) -> &'static str {
        match self {
            Figure::CpuPerMessage => "µs",
            Figure::BytesPerConnection => "B",
        }
    }
}

/// A server that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The engine, one shard, raw protocol.
    Raw,
    /// The engine, two shards, raw protocol.
    RawTwoShards,
    /// The peer on tokio-tungstenite, raw protocol.
    Tungstenite,
    /// The same, each message written by itself.
    TungsteniteEach,
    /// The prototype, given by path.
    Floor,
    /// The product, one shard, native JSON dialect.
    Native,
}

impl Server {
    /// Every server, in the order of table columns.
    pub const ALL: [Server; 6] = [
        Server::Raw,
        Server::RawTwoShards,
        Server::Native,
        Server::Tungstenite,
        Server::TungsteniteEach,
        Server::Floor,
    ];

    /// How it is selected, recorded and named in tables.
    pub fn name(self) -> &'static str {
        match self {
            Server::Raw => "raw-server",
            Server::RawTwoShards => "raw-server × 2 shards",
            Server::Tungstenite => "tokio-tungstenite",
            Server::TungsteniteEach => "tokio-tungstenite, unmerged",
            Server::Floor => "floor",
            Server::Native => "shardcast (native JSON)",
        }
    }

    /// What `shardcast-load` speaks to it.
    pub fn protocol(self) -> &'static str {
        match self {
            Server::Raw
            | Server::RawTwoShards
            | Server::Tungstenite
            | Server::TungsteniteEach
            | Server::Floor => "raw",
            Server::Native => "native",
        }
    }
}

/// A comparison, or a figure by itself.
#[derive(Debug)]
pub struct Goal {
    /// Whose figure.
    pub subject: Server,
    /// Divided by whose in the same round; none: the figure by itself.
    pub baseline: Option<Server>,
    /// The promise; none: only shown.
    pub at_most: Option<f64>,
}

const fn ratio(subject: Server, baseline: Server, at_most: Option<f64>) -> Goal {
    Goal {
        subject,
        baseline: Some(baseline),
        at_most,
    }
}

const fn absolute(subject: Server, at_most: f64) -> Goal {
    Goal {
        subject,
        baseline: None,
        at_most: Some(at_most),
    }
}

/// Beside the prototype, on every work.
const FLOOR_RATIO_MAX: Option<f64> = Some(1.15);

/// Every work.
pub static WORKS: &[Work] = &[
    Work {
        name: "echo-100",
        title: "echo 64 B × 100 connections",
        load: "echo --connections 100 --payload 64",
        figure: Figure::CpuPerMessage,
        servers: &[Server::Raw, Server::Tungstenite, Server::Floor],
        goals: &[
            ratio(Server::Raw, Server::Tungstenite, None),
            ratio(Server::Raw, Server::Floor, FLOOR_RATIO_MAX),
        ],
    },
    Work {
        name: "echo-1000",
        title: "echo 64 B × 1,000",
        load: "echo --connections 1000 --payload 64",
        figure: Figure::CpuPerMessage,
        servers: &[
            Server::Raw,
            Server::Tungstenite,
            Server::Floor,
            Server::Native,
        ],
        goals: &[
            ratio(Server::Raw, Server::Tungstenite, Some(0.75)),
            ratio(Server::Raw, Server::Floor, FLOOR_RATIO_MAX),
            ratio(Server::Native, Server::Raw, None),
        ],
    },
    Work {
        name: "echo-16k",
        title: "echo 16 KiB × 100",
        load: "echo --connections 100 --payload 16384",
        figure: Figure::CpuPerMessage,
        servers: &[Server::Raw, Server::Tungstenite, Server::Floor],
        goals: &[
            ratio(Server::Raw, Server::Tungstenite, None),
            ratio(Server::Raw, Server::Floor, FLOOR_RATIO_MAX),
        ],
    },
    Work {
        name: "broadcast-1000",
        title: "broadcast × 1,000, 25k deliveries/s, nothing to merge",
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 25 --burst 1",
        figure: Figure::CpuPerMessage,
        servers: &[
            Server::Raw,
            Server::Tungstenite,
            Server::Floor,
            Server::Native,
        ],
        goals: &[
            ratio(Server::Raw, Server::Tungstenite, Some(0.70)),
            ratio(Server::Raw, Server::Floor, FLOOR_RATIO_MAX),
            ratio(Server::Native, Server::Raw, None),
        ],
    },
    Work {
        name: "bursts-1000",
        title: "broadcast × 1,000 in bursts of 10, 100k deliveries/s",
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 100 --burst 10",
        figure: Figure::CpuPerMessage,
        servers: &[
            Server::Raw,
            Server::Tungstenite,
            Server::TungsteniteEach,
            Server::Floor,
            Server::Native,
        ],
        goals: &[
            ratio(Server::Raw, Server::TungsteniteEach, Some(0.15)),
            ratio(Server::Raw, Server::Tungstenite, None),
            ratio(Server::Raw, Server::Floor, FLOOR_RATIO_MAX),
            ratio(Server::Native, Server::Raw, None),
        ],
    },
    Work {
        name: "broadcast-10000",
        title: "broadcast × 10,000, 40k deliveries/s",
        load: "broadcast --connections 10000 --publishers 1 --payload 64 --rate 4 --burst 1",
        figure: Figure::CpuPerMessage,
        servers: &[
            Server::Raw,
            Server::RawTwoShards,
            Server::Tungstenite,
            Server::Floor,
        ],
        goals: &[
            ratio(Server::Raw, Server::Tungstenite, None),
            ratio(Server::Raw, Server::Floor, FLOOR_RATIO_MAX),
            ratio(Server::RawTwoShards, Server::Raw, Some(1.15)),
        ],
    },
    Work {
        name: "idle-15000",
        title: "15,000 idle, process memory per connection",
        load: "idle --connections 15000 --hold 2s",
        figure: Figure::BytesPerConnection,
        servers: &[Server::Raw, Server::Tungstenite, Server::Floor],
        goals: &[
            absolute(Server::Raw, 150.0),
            ratio(Server::Raw, Server::Tungstenite, None),
        ],
    },
    Work {
        name: "native-idle-10000",
        title: "10,000 idle in one room, process memory per connection",
        load: "idle --connections 10000 --rooms 1 --hold 2s",
        figure: Figure::BytesPerConnection,
        servers: &[Server::Native],
        goals: &[absolute(Server::Native, 400.0)],
    },
    Work {
        name: "native-rooms-10000",
        title: "10,000 idle, each in a room of its own, process memory per connection and room",
        load: "idle --connections 10000 --rooms 10000 --hold 2s",
        figure: Figure::BytesPerConnection,
        servers: &[Server::Native],
        goals: &[],
    },
    Work {
        name: "native-rooms-100000",
        title: "100,000 in 1,000 rooms; each room gets a broadcast, then everyone; process memory per connection",
        load: "idle --connections 100000 --rooms 1000 --hold 2s --broadcast-once",
        figure: Figure::BytesPerConnection,
        servers: &[Server::Native],
        goals: &[absolute(Server::Native, 400.0)],
    },
];

/// The work of that name.
pub fn find(name: &str) -> Option<&'static Work> {
    WORKS.iter().find(|work| work.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_speak_of_servers_that_take_part() {
        for work in WORKS {
            for goal in work.goals {
                assert!(work.servers.contains(&goal.subject), "{}", work.name);
                assert!(
                    goal.baseline
                        .is_none_or(|baseline| work.servers.contains(&baseline)),
                    "{}",
                    work.name
                );
            }
            assert!(
                std::ptr::eq(find(work.name).expect("found by its name"), work),
                "names are unique: {}",
                work.name
            );
        }
    }
}
