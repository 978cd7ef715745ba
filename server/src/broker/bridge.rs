//! The bridge between a node's shards and its broker: a thread with the adapter and the tasks of
//! both directions.
//!
//! Invariant: no shard ever waits for it. It begins once the engine runs, and ends with the server:
//! what was published before goes out first, as far as the broker takes it within a second. Started
//! by the server, where there is a cluster.

use crate::broker::adapter::Broker;
use crate::broker::connect::BrokerConnect;
use crate::broker::copying::copy_sessions;
use crate::broker::inbox::Inbox;
use crate::broker::inward::Inward;
use crate::broker::node::ClusterNode;
use crate::broker::options::{BadCluster, Cluster};
use crate::broker::ordering::following::{Following, FollowingEnds};
use crate::broker::ordering::placing::Placing;
use crate::broker::ordering::steps::LeftOut;
use crate::broker::outward::Outward;
use crate::broker::partitions::Partitions;
use crate::broker::share::placing::place_members;
use crate::broker::share::sharing::Sharing;
use crate::broker::subscribing::{OrderingEnds, Subscribing};
use crate::broker::telling::{Telling, tell};
use crate::broker::view::{ClusterView, NodeNews};
use crate::session::shared::Shared;
use shardcast_engine::{
    Relay, RelayReader, Running, SameUser, Sequencer, SequencerReader, ShardCounters,
};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

/// A bridge that is ready to be started: its configuration was looked at, and nothing runs.
#[derive(Debug)]
pub(crate) struct PreparedBridge {
    cluster: Cluster,
    connect: BrokerConnect,
    relay: RelayReader,
    /// `None`: the broker orders no room.
    sequencer: Option<SequencerReader>,
    same_user: SameUser,
}

/// What an engine is told of its bridge.
#[derive(Debug)]
pub(crate) struct BridgeWays {
    pub(crate) relay: Relay,
    pub(crate) sequencer: Option<Sequencer>,
}

/// A running bridge. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Bridge {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PreparedBridge {
    /// Looks at the configuration, and makes the ways out for the engine's.
    ///
    /// # Errors
    /// A value is wrong, or a file cannot be used.
    pub(crate) fn new(
        cluster: Cluster,
        orders: OrdersRooms,
        same_user: SameUser,
    ) -> Result<(PreparedBridge, BridgeWays), BadCluster> {
        let cluster = cluster.checked()?;
        let ordered = (orders == OrdersRooms::Yes)
            .then(|| Sequencer::new(cluster.queue_messages, cluster.queue_bytes));
        let (way, sequencer) = ordered.unzip();
        let connect = BrokerConnect::new(&cluster)?;
        let (relay, reader) = Relay::new(cluster.queue_messages, cluster.queue_bytes);
        let prepared = PreparedBridge {
            cluster,
            connect,
            relay: reader,
            sequencer,
            same_user,
        };
        let sequencer = way;
        Ok((prepared, BridgeWays { relay, sequencer }))
    }

    /// Starts the thread, which connects by itself.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub(crate) fn start(
        self,
        shared: Arc<Shared>,
        running: &Running,
        view: Arc<ClusterView>,
    ) -> io::Result<Bridge> {
        let counters = running.counters().to_vec();
        let node = ClusterNode {
            name: self.cluster.node.as_str().into(),
            run: random_run()?,
            shared,
            engine: running.handle(),
            counts: view.counts.clone(),
            view,
            partitions: self.cluster.room_partitions.map(Partitions::new),
            same_user: self.same_user,
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("cluster".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(self.run(node, counters, stopped));
            runtime.shutdown_background();
        })?;
        Ok(Bridge {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    async fn run(
        self,
        node: ClusterNode,
        counters: Vec<Arc<ShardCounters>>,
        stopped: oneshot::Receiver<()>,
    ) {
        let PreparedBridge {
            cluster,
            connect,
            relay,
            sequencer,
            ..
        } = self;
        let (sender, inbox) = Inbox::new(cluster.queue_messages, cluster.queue_bytes);
        let ends = BridgeEnds {
            inbox,
            relay,
            sequencer,
            counters,
        };
        match connect {
            BrokerConnect::Redis(redis) => {
                let broker = redis.start(sender);
                serve(broker, ends, node, &cluster, stopped).await;
            }
            BrokerConnect::Nats(nats) => {
                let broker = nats.start(sender);
                serve(broker, ends, node, &cluster, stopped).await;
            }
        }
    }
}

/// What a bridge stands between.
struct BridgeEnds {
    inbox: Inbox,
    relay: RelayReader,
    sequencer: Option<SequencerReader>,
    counters: Vec<Arc<ShardCounters>>,
}

/// Whether the broker orders rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrdersRooms {
    Yes,
    No,
}

/// All tasks, until the server stops.
async fn serve<B: Broker>(
    broker: B,
    ends: BridgeEnds,
    node: ClusterNode,
    cluster: &Cluster,
    stopped: oneshot::Receiver<()>,
) {
    /// How long the last messages may take.
    const LAST: Duration = Duration::from_secs(1);
    let BridgeEnds {
        inbox,
        relay,
        sequencer,
        counters,
    } = ends;
    let broker = Arc::new(broker);
    let lease = cluster.presence_lease;
    let of_shards = counters.clone();
    if let Some(telling) = Telling::new(node.clone(), broker.clone(), counters, lease) {
        tokio::spawn(telling.run());
    }
    let leaving = (node.clone(), broker.clone());
    tokio::spawn(place_members(node.clone()));
    let (of_share, to_others) = (node.clone(), broker.clone());
    tokio::spawn(async move {
        if let Some(sharing) = Sharing::new(of_share, to_others, of_shards, lease).await {
            sharing.run().await;
        }
    });
    if let Some(ends) = node.view.take_to_copy() {
        copy_sessions(&node, &broker, ends);
    }
    let ordering = sequencer.map(|sequencer| order(&node, &broker, sequencer));
    let news = ordering.as_ref().map(|ordering| ordering.news.clone());
    let inward = Inward::new(node.clone(), inbox, broker.link(), news);
    let outward = Outward::new(node.clone(), broker.clone(), relay);
    tokio::spawn(inward.run());
    let (linger, of_events) = (cluster.linger, broker.clone());
    tokio::spawn(async move {
        if let Some(subscribing) = Subscribing::new(node, of_events, linger, ordering).await {
            subscribing.run().await;
        }
    });
    let outward = tokio::spawn(outward.run());
    let _dropped_or_told = stopped.await;
    // The engine has stopped by now, so this ends once all has gone.
    let _in_time = tokio::time::timeout(LAST, outward).await;
    let (node, broker) = leaving;
    let leave = tell(&node, &*broker, &NodeNews::Leaving);
    let _in_time = tokio::time::timeout(LAST, leave).await;
}

/// The tasks of ordered rooms; their ends towards the others.
fn order<B: Broker>(
    node: &ClusterNode,
    broker: &Arc<B>,
    sequencer: SequencerReader,
) -> OrderingEnds {
    /// News that wait; whoever brings one more waits.
    const NEWS_MAX: usize = 1_024;
    /// Rooms that somebody needs; who needs one more is refused.
    const WANTED_MAX: usize = 65_536;
    let (sender, news) = mpsc::channel(NEWS_MAX);
    let (wanted, wanting) = mpsc::channel(WANTED_MAX);
    let left_out = LeftOut::default();
    let ends = FollowingEnds {
        news,
        wanted,
        left_out: left_out.clone(),
    };
    let following = Following::new(node.clone(), broker.clone(), ends);
    let to_place = (sender.clone(), left_out);
    let placing = Placing::new(node.clone(), broker.clone(), sequencer, to_place);
    tokio::spawn(following.run());
    tokio::spawn(placing.run());
    OrderingEnds {
        wanted: wanting,
        news: sender,
    }
}

/// What a node is called by itself: no other has the number.
fn random_run() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(u64::from_ne_bytes(bytes).max(1))
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ended = thread.join();
        }
    }
}
