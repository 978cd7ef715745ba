//! A node: `shardcast serve` in a place of its own, behind a link to its broker.
//!
//! Invariant: it comes back at the same address under the same name. Used by clusters.

use crate::link::Link;
use crate::place::{Place, Side};
use shardcast_tests::Served;
use std::net::SocketAddr;
use std::time::Duration;

/// Before the admin port is asked: it refuses who asks hundreds of times a second.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A node, running or not.
#[derive(Debug)]
pub(crate) struct Node {
    /// As the cluster knows it.
    pub(crate) name: String,
    /// To the broker.
    pub(crate) link: Link,
    configuration: String,
    address: SocketAddr,
    served: Option<Served>,
    /// Goes behind the program.
    pub(crate) place: Place,
}

impl Node {
    /// Starts one. `cluster` are lines of `[cluster]`, with `{broker}` for where it connects.
    pub(crate) fn start(name: &str, broker: SocketAddr, cluster: &str) -> Node {
        let place = Place::new();
        let link = Link::before(broker, place.outside());
        let at = place.address(Side::Front);
        let address = SocketAddr::new(at, place.port(8000));
        let admin = SocketAddr::new(at, place.port(8001));
        let cluster = cluster.replace("{broker}", &link.address().to_string());
        let configuration = format!(
            "[server]\nlisten = \"{address}\"\nadmin = \"{admin}\"\nshards = 2\npin = \"none\"\n\
             insecure = true\n[cluster]\nnode = \"{name}\"\n{cluster}"
        );
        let mut node = Node {
            name: name.to_owned(),
            link,
            configuration,
            address,
            served: None,
            place,
        };
        node.restart();
        node
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// The same, as an address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it was not killed.
    pub(crate) fn is_running(&self) -> bool {
        self.served.is_some()
    }

    /// Whether it says that it has a connection to the broker.
    #[track_caller]
    pub(crate) fn is_connected(&self) -> bool {
        self.metric("cluster_connected") == 1
    }

    /// A metric, as [`Served::metric`], asked no faster than the admin port bears.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        std::thread::sleep(ASK_AGAIN);
        self.served().metric(name)
    }

    /// What runs.
    ///
    /// # Panics
    /// It was killed.
    #[track_caller]
    pub(crate) fn served(&self) -> &Served {
        self.served.as_ref().expect("the node runs")
    }

    /// Has it read its configuration again, with this change, until it is started again.
    ///
    /// # Panics
    /// It does not use all of it.
    #[track_caller]
    pub(crate) fn reload(&self, change: impl FnOnce(&str) -> String) {
        self.served().reconfigure(&change(&self.configuration));
        let (status, answer) = self.served().call("/api/reload", "{}");
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains(r#""needs_restart":[]"#), "{answer}");
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        // Dropping it is SIGKILL and a wait.
        drop(self.served.take());
    }

    /// Stops it as a deployment does.
    #[track_caller]
    pub(crate) fn terminate(&mut self) {
        let served = self.served.take().expect("the node runs");
        served.terminate();
        let (code, log) = served.end();
        assert_eq!(code, Some(0), "{}: {log}", self.name);
    }

    /// Starts it again and waits until it takes clients.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let command = self.place.command(env!("CARGO_BIN_EXE_served"));
        self.served = Some(Served::start_by(command, &self.configuration));
    }
}
