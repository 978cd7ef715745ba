//! What a work is: what servers are made to do, which figures are taken of it, and what the project
//! has promised about them. The works themselves stand in [`crate::works`]; plans and tables read
//! them.

use crate::server::Server;
use serde::{Deserialize, Serialize};

/// Something that servers are made to do.
#[derive(Debug)]
pub struct Work {
    /// How it is selected and recorded.
    pub name: &'static str,
    /// How it is named in tables.
    pub title: &'static str,
    /// Which table it stands in.
    pub group: Group,
    /// Scenario and shape, as `shardcast-load` takes them.
    pub load: &'static str,
    /// What is shown of it; the first is what it is about.
    pub figures: &'static [Figure],
    /// Who takes part, in the order of each round.
    pub servers: &'static [Server],
    /// What is looked at, and what it must be.
    pub goals: &'static [Goal],
}

/// Works whose servers are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Engines and libraries, on the raw protocol, and our own product beside them.
    Engines,
    /// The same engines over TLS, and compressing.
    Secure,
    /// Servers with rooms, each on its own protocol.
    WholeServers,
}

impl Group {
    /// All, in the order of tables.
    pub const ALL: [Group; 3] = [Group::Engines, Group::Secure, Group::WholeServers];

    /// How it is called.
    pub fn title(self) -> &'static str {
        match self {
            Group::Engines => "Engines",
            Group::Secure => "TLS and compression",
            Group::WholeServers => "Whole servers",
        }
    }
}

/// Something that is measured of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Server CPU (user and system, all threads) per message, in µs: an echo's round trip or a
    /// broadcast's delivery.
    CpuPerMessage,
    /// Resident memory of the server's process per connection, in bytes.
    BytesPerConnection,
    /// Server CPU per connection made, from accept to upgraded and (where the work says so)
    /// subscribed, in µs.
    CpuPerConnect,
    /// 99th percentile of the latency, in µs.
    P99,
}

impl Figure {
    /// The unit in tables.
    pub fn unit(self) -> &'static str {
        match self {
            Figure::CpuPerMessage | Figure::CpuPerConnect | Figure::P99 => "µs",
            Figure::BytesPerConnection => "B",
        }
    }

    /// What it is, in tables.
    pub fn title(self) -> &'static str {
        match self {
            Figure::CpuPerMessage => "CPU a message",
            Figure::BytesPerConnection => "memory a connection",
            Figure::CpuPerConnect => "CPU a connect",
            Figure::P99 => "p99 latency",
        }
    }

    /// Digits after the point that mean something.
    pub fn digits(self) -> usize {
        match self {
            Figure::CpuPerMessage => 2,
            Figure::CpuPerConnect => 1,
            Figure::BytesPerConnection | Figure::P99 => 0,
        }
    }
}

/// How the network between load and server is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// Loopback as it is: a sender's core also receives for its peer.
    #[default]
    Plain,
    /// Receiving is done on the load generator's core (`rps_cpus`), as a network card would let it
    /// be.
    Rps,
}

impl Setting {
    /// All, in the order of tables.
    pub const ALL: [Setting; 2] = [Setting::Plain, Setting::Rps];
}

/// A comparison, or a figure by itself.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Of what.
    pub figure: Figure,
    /// Whose figure.
    pub subject: Server,
    /// Beside whose.
    pub baseline: Baseline,
    /// The promise.
    pub plain: Limits,
    /// The promise in [`Setting::Rps`].
    pub rps: Limits,
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub enum Baseline {
    /// Nothing: it stands for itself.
    Alone,
    /// Divided by that server's in the same round.
    Ratio(Server),
    /// Divided by the smallest of these servers' in the same round; named so in tables.
    Best(&'static str, &'static [Server]),
    /// Minus that server's in the same round.
    Difference(Server),
}

impl Baseline {
    /// Whose figures it takes.
    pub fn servers(&self) -> &[Server] {
        match self {
            Baseline::Alone => &[],
            Baseline::Ratio(server) | Baseline::Difference(server) => std::slice::from_ref(server),
            Baseline::Best(_, servers) => servers,
        }
    }
}

/// Upper ends of what a goal may come to. None: it is only shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Promised.
    pub must: Option<f64>,
    /// Hoped for.
    pub stretch: Option<f64>,
}

impl Goal {
    /// A figure by itself.
    pub const fn alone(figure: Figure, subject: Server) -> Goal {
        Goal::new(figure, subject, Baseline::Alone)
    }

    /// CPU per message, divided by another server's.
    pub const fn cpu(subject: Server, baseline: Server) -> Goal {
        Goal::ratio(Figure::CpuPerMessage, subject, baseline)
    }

    /// A figure divided by another server's.
    pub const fn ratio(figure: Figure, subject: Server, baseline: Server) -> Goal {
        Goal::new(figure, subject, Baseline::Ratio(baseline))
    }

    /// Any.
    pub const fn new(figure: Figure, subject: Server, baseline: Baseline) -> Goal {
        let none = Limits {
            must: None,
            stretch: None,
        };
        Goal {
            figure,
            subject,
            baseline,
            plain: none,
            rps: none,
        }
    }

    /// With a promise.
    pub const fn must(mut self, at_most: f64) -> Goal {
        self.plain.must = Some(at_most);
        self
    }

    /// With a hope.
    pub const fn stretch(mut self, at_most: f64) -> Goal {
        self.plain.stretch = Some(at_most);
        self
    }

    /// With a promise and a hope for [`Setting::Rps`].
    pub const fn rps(mut self, must: f64, stretch: f64) -> Goal {
        self.rps = Limits {
            must: Some(must),
            stretch: Some(stretch),
        };
        self
    }

    /// The promise in a setting.
    pub fn limits(&self, setting: Setting) -> Limits {
        match setting {
            Setting::Plain => self.plain,
            Setting::Rps => self.rps,
        }
    }

    /// Everyone whose figure it needs.
    pub fn servers(&self) -> impl Iterator<Item = Server> {
        std::iter::once(self.subject).chain(self.baseline.servers().iter().copied())
    }
}
