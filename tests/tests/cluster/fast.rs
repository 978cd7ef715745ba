//! Fast rooms: what is said at one node is heard at all, in each publisher's order, whatever
//! becomes of nodes, links and the broker.

use crate::broker::Kind;
use crate::cluster::{Cluster, Fault, NODES};
use crate::crowd::{Crowd, Listener, connect};
use crate::link::Weather;
use crate::scene::{on_each_broker, until};
use std::time::Duration;

const SPAN: Duration = Duration::from_millis(300);

#[test]
fn what_one_node_hears_all_hear() {
    on_each_broker(async |kind: Kind| {
        let cluster = Cluster::start(kind, NODES);
        let mut crowd = Crowd::gather(&cluster.urls(), "plain:quiet").await;
        crowd.converge().await;
        for _ in 0..200 {
            for publisher in &mut crowd.publishers {
                publisher.say().await;
            }
        }
        crowd.judge().await;
        // From the first that it heard, nothing is missing: there was no fault.
        crowd.listeners.iter().for_each(Listener::assert_no_gap);
    });
}

#[test]
fn it_goes_on_behind_every_fault() {
    on_each_broker(async |kind: Kind| {
        let mut cluster = Cluster::start(kind, NODES);
        let mut crowd = Crowd::gather(&cluster.urls(), "plain:stormy").await;
        crowd.converge().await;
        let faults = [
            Fault::Cut(0, SPAN),
            Fault::Silence(1, SPAN),
            Fault::Pull(2, SPAN),
            Fault::Flap(0, 5),
            Fault::Slow(1, Duration::from_millis(50), SPAN),
            Fault::KillBroker(SPAN),
            Fault::FreezeBroker(SPAN),
            Fault::FreezeNode(0, SPAN),
            Fault::KillNode(2),
        ];
        for fault in faults {
            crowd.speak();
            cluster.suffer(fault).await;
            crowd.judge().await;
        }
    });
}

#[test]
fn nodes_are_deployed_one_by_one() {
    on_each_broker(async |kind: Kind| {
        let mut cluster = Cluster::start(kind, NODES);
        let mut crowd = Crowd::gather(&cluster.urls(), "plain:rolling").await;
        crowd.converge().await;
        crowd.speak();
        for node in 0..NODES {
            cluster.suffer(Fault::Deploy(node)).await;
        }
        crowd.judge().await;
    });
}

/// A broker that is away for longer than a silence is borne.
async fn without_a_broker(kind: Kind, leave: fn(&mut Cluster), come_back: fn(&mut Cluster)) {
    let mut cluster = Cluster::start(kind, 2);
    let urls = cluster.urls();
    let mut crowd = Crowd::gather(&urls, "plain:away").await;
    crowd.converge().await;
    leave(&mut cluster);
    until("all nodes have noticed", || {
        cluster.nodes.iter().all(|node| !node.is_connected())
    })
    .await;
    // Two at one node hear each other all the same, without a gap.
    let mut local = Crowd::gather(&[&urls[0], &urls[0]].map(String::clone), "plain:local").await;
    for _ in 0..50 {
        local.converge().await;
    }
    local.listeners.iter().for_each(Listener::assert_no_gap);
    // A node that starts meanwhile serves, too.
    cluster.nodes[1].kill();
    cluster.nodes[1].restart();
    let mut alone = Crowd::gather(&urls[1..], "plain:alone").await;
    alone.converge().await;
    come_back(&mut cluster);
    crowd.judge().await;
    local.judge().await;
}

#[test]
fn local_members_hear_each_other_while_the_broker_is_dead() {
    on_each_broker(async |kind: Kind| {
        let (leave, back) = (
            |it: &mut Cluster| it.broker.kill(),
            |it: &mut Cluster| it.broker.restart(),
        );
        without_a_broker(kind, leave, back).await;
    });
}

#[test]
fn local_members_hear_each_other_while_the_broker_stands_still() {
    on_each_broker(async |kind: Kind| {
        let (leave, back) = (
            |it: &mut Cluster| it.broker.freeze(),
            |it: &mut Cluster| it.broker.thaw(),
        );
        without_a_broker(kind, leave, back).await;
    });
}

#[test]
fn what_finds_no_room_is_counted_and_the_rest_goes_on() {
    /// Far more than sockets and buffers hold, in messages that the server takes.
    const MESSAGES: usize = 600;
    on_each_broker(async |kind: Kind| {
        let few = "queue_messages = 64\nqueue_bytes = \"1MiB\"\n";
        let cluster = Cluster::start_with(kind, 2, few);
        let mut crowd = Crowd::gather(&cluster.urls(), "plain:full").await;
        crowd.converge().await;
        let [near, far] = &cluster.nodes[..] else {
            panic!("two nodes");
        };
        let dropped =
            || near.metric("cluster_sent_dropped_total") + near.metric("cluster_sent_lost_total");
        assert_eq!(dropped(), 0);
        near.link.set(Weather::Silent);
        let client = connect(&near.url());
        let large = "x".repeat(60 << 10);
        for _ in 0..MESSAGES {
            let publish = client.publish("plain:other", &large);
            publish.send().await.expect("local delivery goes on");
        }
        until("what found no room is counted", || dropped() > 0).await;
        near.link.set(Weather::Fair);
        assert!(far.is_connected());
        crowd.judge().await;
    });
}

#[test]
fn nodes_know_who_is_there_within_the_lease() {
    on_each_broker(async |kind: Kind| {
        let mut cluster = Cluster::start_with(kind, NODES, "presence_lease = \"2s\"\n");
        let all_know = |cluster: &Cluster, running: usize| {
            let nodes = cluster.nodes.iter().filter(|node| node.is_running());
            let mut known = nodes.map(|node| node.metric("cluster_nodes"));
            known.all(|count| count == running as u64)
        };
        until("all know all", || all_know(&cluster, NODES)).await;
        // A death is found by silence, a deployment is told.
        cluster.nodes[2].kill();
        until("the dead one is forgotten", || {
            all_know(&cluster, NODES - 1)
        })
        .await;
        cluster.nodes[2].restart();
        until("all know all again", || all_know(&cluster, NODES)).await;
        cluster.suffer(Fault::Deploy(1)).await;
        cluster.suffer(Fault::KillBroker(SPAN)).await;
        until("all know all still", || all_know(&cluster, NODES)).await;
    });
}
