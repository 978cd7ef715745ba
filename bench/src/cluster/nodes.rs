//! The nodes of a measurement: `shardcast serve` with one shard each, beside a broker or without.
//! Used by the parts of the work.

use crate::caller::{Caller, ReceiveBuffer};
use crate::cluster::broker::MeasuredBroker;
use crate::prepare::Places;
use crate::product::NATIVE;
use crate::server::Server;
use crate::subject::Subject;
use crate::threads::threads_ns;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Nodes of a cluster.
pub(super) const NODES: usize = 3;

/// Until a node has come to know something.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at it.
const POLL: Duration = Duration::from_millis(20);

/// Nodes share this machine's cores with the broker and with those who ask, and the scheduler
/// decides who runs where: only their CPU time counts.
const NODE: Server = Server {
    name: "shardcast, a node",
    arguments: &[
        "serve",
        "--shards",
        "1",
        "--pin",
        "none",
        "--set",
        "limits.max_connections=110000",
        "--set",
        "timeouts.handshake=60s",
        "--listen",
        "{listen}",
        "--admin",
        "{next}",
    ],
    cores: "0,1",
    ..NATIVE
};

/// A node.
#[derive(Debug)]
pub(super) struct MeasuredNode(Subject);

/// What a node has cost so far, in ns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NodeCost {
    /// All threads of the process.
    pub(super) process: u64,
    /// The thread that speaks to the broker.
    pub(super) bridge: u64,
}

impl NodeCost {
    /// Both together.
    pub(super) fn and(self, other: NodeCost) -> NodeCost {
        NodeCost {
            process: self.process + other.process,
            bridge: self.bridge + other.bridge,
        }
    }

    /// From then on.
    pub(super) fn since(self, before: NodeCost) -> NodeCost {
        NodeCost {
            process: self.process - before.process,
            bridge: self.bridge - before.bridge,
        }
    }
}

impl MeasuredNode {
    /// One that knows no others.
    pub(super) fn alone(places: &Places, more: &[&str]) -> io::Result<MeasuredNode> {
        Subject::start(places, NODE, more).map(MeasuredNode)
    }

    /// One of a cluster, once it has reached the broker.
    pub(super) fn of_cluster(
        places: &Places,
        broker: &MeasuredBroker,
        number: usize,
        more: &[&str],
    ) -> io::Result<MeasuredNode> {
        let settings = [
            format!("cluster.broker={}", broker.name),
            format!("cluster.url={}", broker.url()),
            format!("cluster.node=node-{number}"),
            "cluster.linger=1s".to_owned(),
        ];
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let words: Vec<&str> = settings.chain(more.iter().copied()).collect();
        let node = MeasuredNode::alone(places, &words)?;
        node.wait_for("cluster_subscribes_total", ALWAYS_HEARD)?;
        Ok(node)
    }

    /// As many as a cluster has.
    pub(super) fn cluster(
        places: &Places,
        broker: &MeasuredBroker,
        more: &[&str],
    ) -> io::Result<Vec<MeasuredNode>> {
        let nodes = 0..NODES;
        nodes
            .map(|number| MeasuredNode::of_cluster(places, broker, number, more))
            .collect()
    }

    /// Clients, one after the other.
    pub(super) fn clients(&self, count: usize) -> io::Result<Vec<Caller>> {
        Caller::connect_many(count, self.0.address(), NATIVE.path, ReceiveBuffer::Usual)
    }

    /// One.
    pub(super) fn client(&self) -> io::Result<Caller> {
        Caller::connect(self.0.address(), NATIVE.path, ReceiveBuffer::Usual)
    }

    /// What it has cost.
    pub(super) fn cost(&self) -> io::Result<NodeCost> {
        Ok(NodeCost {
            process: self.0.cpu_ns()?,
            bridge: threads_ns(self.0.id(), |thread| thread == "cluster")?,
        })
    }

    /// As [`Subject::memory_bytes`].
    pub(super) fn memory_bytes(&self) -> io::Result<u64> {
        self.0.memory_bytes()
    }

    /// Waits until a metric without labels is at least so high.
    pub(super) fn wait_for(&self, metric: &str, at_least: u64) -> io::Result<()> {
        self.wait_until(metric, |value| value >= at_least)
    }

    /// Waits until a metric without labels is such.
    pub(super) fn wait_until(&self, metric: &str, is_such: impl Fn(u64) -> bool) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.metric(metric)?;
            if is_such(value) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{metric} stays at {value}")));
            }
            std::thread::sleep(POLL);
        }
    }

    /// A metric without labels; 0 as long as there is none.
    pub(super) fn metric(&self, name: &str) -> io::Result<u64> {
        let mut admin = self.0.address();
        admin.set_port(admin.port() + 1);
        let page = get(admin, "/metrics")?;
        let start = format!("shardcast_{name} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&start));
        let value = line.and_then(|value| value.trim().parse::<f64>().ok());
        Ok(value.unwrap_or(0.0) as u64)
    }
}

/// What a node subscribes to whatever it has: what is for everyone, and for nodes.
pub(super) const ALWAYS_HEARD: u64 = 2;

fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Has a client join a room.
pub(super) fn join(client: &mut Caller, room: &str) -> io::Result<String> {
    client.say(format!(r#"{{"type":"join_room","id":1,"room":"{room}"}}"#))?;
    client.hear_of("joined")
}
