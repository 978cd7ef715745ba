//! Publications that belong to a trace: members at all nodes hear them as they hear all others, and
//! of the trace.

use crate::broker::Kind;
use crate::cluster::Cluster;
use crate::crowd::connect;
use crate::scene::on_each_broker;
use shardcast_client::{Client, Item, Message, SubscribeOptions, Subscription, TraceContext};
use shardcast_patience::PATIENCE;
use std::time::Duration;

const NAMESPACE: &str = "streams = 1\n[namespaces.ordered]\nhistory = 100\norder = \"broker\"\n";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Before it is said again what nobody has heard.
const AGAIN: Duration = Duration::from_millis(20);

/// Joins, and returns once it has.
async fn join(client: &Client, room: &str) -> Subscription {
    let subscription = client.subscribe(room, SubscribeOptions::default());
    let subscription = subscription.expect("the client is open");
    let joined = tokio::time::timeout(PATIENCE, subscription.joined()).await;
    joined.expect("it joins in time").expect("it joins");
    subscription
}

async fn message(subscription: &mut Subscription) -> Message {
    let next = async {
        loop {
            let item = subscription.next().await.expect("it goes on");
            if let Item::Message(message) = item.expect("it goes on") {
                return message;
            }
        }
    };
    let next = tokio::time::timeout(PATIENCE, next).await;
    next.expect("a message in time")
}

/// The next message that is not `passed`, with the trace that it belongs to.
async fn heard(subscription: &mut Subscription, passed: u32) -> (u32, Option<TraceContext>) {
    loop {
        let message = message(subscription).await;
        let said: u32 = message.read().expect("ours");
        if said != passed {
            return (said, message.trace());
        }
    }
}

#[test]
fn what_belongs_to_a_trace_is_heard_at_all_nodes() {
    on_each_broker(async |kind: Kind| {
        let cluster = Cluster::start_with(kind, 2, NAMESPACE);
        let urls = cluster.urls();
        let (near, far) = (connect(&urls[0]), connect(&urls[1]));
        let speaker = connect(&urls[0]);
        let trace: TraceContext = TRACE.parse().expect("it is one");
        for room in ["traced", "ordered:traced"] {
            let mut members = [join(&near, room).await, join(&far, room).await];
            let say = |number: u32| speaker.publish(room, &number).without_key();
            // The other node hears of a room a moment after its first member.
            let converged = async {
                loop {
                    say(0).send().await.expect("it is taken");
                    let first = message(&mut members[1]);
                    if tokio::time::timeout(AGAIN, first).await.is_ok() {
                        return;
                    }
                }
            };
            let converged = tokio::time::timeout(PATIENCE, converged).await;
            converged.expect("the other node hears the room");
            let receipt = say(1).trace(trace).send().await.expect("it is taken");
            assert_eq!(receipt.offset.is_some(), room.starts_with("ordered"));
            say(2).send().await.expect("it is taken");
            for member in &mut members {
                assert_eq!(heard(member, 0).await, (1, Some(trace)), "{room}");
                assert_eq!(heard(member, 0).await, (2, None), "{room}");
            }
        }
        for node in &cluster.nodes {
            assert_eq!(node.metric("cluster_received_refused_total"), 0);
        }
    });
}
