//! Ordered rooms: one order at all nodes, nothing that was acknowledged is lost, repeated or comes
//! in another order, whatever becomes of nodes, links and the broker. Over Redis, whose offsets go
//! up by one, and over NATS, where others take places of the same sequence.

use crate::broker::Kind;
use crate::cluster::{Cluster, Fault, NODES};
use crate::crowd::{connect, connect_any};
use crate::node::Node;
use crate::scene::{run, until};
use crate::schedules::fault;
use crate::store::{copy_folder, forget_all, jetstream, redis, streams};
use serde_json::json;
use shardcast::broker::{
    Append, Body, Broker as Adapter, BrokerKind, Cluster as Options, Envelope, Inbox, KeptInLog,
    MessageId, Recipient, RedisBroker,
};
use shardcast_client::{Client, Item, SubscribeOptions};
use shardcast_engine::{Data, DataEncoding};
use shardcast_patience::PATIENCE;
use shardcast_seeds::{Printing, Seeds, Tally};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

const NAMESPACE: &str = "streams = 1\n[namespaces.ordered]\nhistory = 20000\nhistory_bytes = \"8MiB\"\n\
                         order = \"broker\"\n";
const ROOM: &str = "ordered:room";
/// In the same stream, over NATS.
const OTHER: &str = "ordered:other";

/// What a publisher said: who, and its count.
type Said = (usize, u64);

/// Starts a cluster in which [`ROOM`] is ordered.
fn start(kind: Kind, nodes: usize) -> Cluster {
    Cluster::start_with(kind, nodes, NAMESPACE)
}

/// Hears the room, through whatever becomes of its node.
struct Reader {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    /// With their offsets.
    messages: Vec<(u64, Said)>,
    /// How often it was told that something is lost.
    lost: usize,
    recovered: usize,
}

impl Reader {
    async fn join(client: Client) -> Reader {
        let subscription = client.subscribe(ROOM, SubscribeOptions::default());
        let mut subscription = subscription.expect("the client is open");
        let joined = tokio::time::timeout(PATIENCE, subscription.joined()).await;
        joined.expect("it joins in time").expect("it joins");
        let heard = Arc::new(Mutex::<Heard>::default());
        let writes = heard.clone();
        let task = tokio::spawn(async move {
            let _client = client;
            while let Some(item) = subscription.next().await {
                let mut heard = writes.lock().expect("nobody panics");
                match item.expect("it goes on") {
                    Item::Message(message) => {
                        let offset = message.offset().expect("it has a place");
                        heard.messages.push((offset, message.read().expect("ours")));
                    }
                    Item::Lost(_) | Item::Missed(_) => heard.lost += 1,
                    Item::Recovered(_) => heard.recovered += 1,
                    _ => {}
                }
            }
        });
        Reader { heard, task }
    }

    fn messages(&self) -> Vec<(u64, Said)> {
        self.heard.lock().expect("nobody panics").messages.clone()
    }

    /// Waits until it has heard so many, and returns all.
    async fn heard(&self, count: usize) -> Vec<(u64, Said)> {
        until("everything is heard", || self.messages().len() >= count).await;
        self.messages()
    }

    /// Waits until it has heard what has this offset, and returns all.
    async fn heard_at(&self, offset: u64) -> Vec<(u64, Said)> {
        let reached = |heard: &[(u64, Said)]| heard.last().is_some_and(|last| last.0 >= offset);
        until("everything is heard", || reached(&self.messages())).await;
        self.messages()
    }

    fn lost(&self) -> usize {
        self.heard.lock().expect("nobody panics").lost
    }

    fn recovered(&self) -> usize {
        self.heard.lock().expect("nobody panics").recovered
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Says so many messages at one node and returns what was acknowledged, with the offsets, and how
/// many were refused. One that is refused is not said again: then it has another number. Somebody
/// says something in another room all the while.
async fn say(
    client: &Client,
    who: usize,
    numbers: std::ops::Range<u64>,
) -> (BTreeMap<u64, Said>, usize) {
    let (mut placed, mut refused) = (BTreeMap::new(), 0);
    for number in numbers {
        let said: Said = (who, number);
        let publish = |room| {
            let publish = client.publish(room, &said).without_key();
            publish.timeout(Duration::from_secs(5)).send()
        };
        let (receipt, _other) = tokio::join!(publish(ROOM), publish(OTHER));
        match receipt {
            Ok(receipt) => {
                let offset = receipt.offset.expect("it has a place");
                assert_eq!(placed.insert(offset, said), None, "two have one place");
            }
            Err(_) => refused += 1,
        }
    }
    (placed, refused)
}

/// All have heard the same in the same order, each once, and all that was acknowledged is there at
/// its place. `kind` says whether offsets skip.
fn assert_one_order(kind: Kind, heard: &[Vec<(u64, Said)>], placed: &BTreeMap<u64, Said>) {
    let longest = heard.iter().max_by_key(|heard| heard.len()).expect("one");
    for heard in heard {
        assert_eq!(heard, longest);
    }
    let offsets: Vec<u64> = longest.iter().map(|(offset, _)| *offset).collect();
    assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
    let first = offsets.first().copied().unwrap_or(1);
    let dense: Vec<u64> = (first..first + offsets.len() as u64).collect();
    match kind {
        Kind::Redis => assert_eq!(offsets, dense, "no gap"),
        Kind::Nats if offsets.len() > 20 => assert_ne!(offsets, dense, "others take places, too"),
        Kind::Nats => {}
    }
    let by_offset: BTreeMap<u64, Said> = longest.iter().copied().collect();
    for (offset, said) in placed {
        assert_eq!(by_offset.get(offset), Some(said), "it was acknowledged");
    }
}

async fn publishes_from_all_nodes_have_one_order(kind: Kind) {
    const EACH: u64 = 150;
    let cluster = start(kind, NODES);
    let mut readers = Vec::new();
    for url in cluster.urls() {
        readers.push(Reader::join(connect(&url)).await);
    }
    let saying = cluster.urls().into_iter().enumerate().map(|(who, url)| {
        let said = async move { say(&connect(&url), who, 0..EACH).await };
        tokio::spawn(said)
    });
    let mut placed = BTreeMap::new();
    for saying in saying.collect::<Vec<_>>() {
        let (more, refused) = saying.await.expect("no panic");
        assert_eq!(refused, 0);
        placed.extend(more);
    }
    assert_eq!(
        placed.len(),
        NODES * EACH as usize,
        "each has its own place"
    );
    let mut heard = Vec::new();
    for reader in &readers {
        heard.push(reader.heard(placed.len()).await);
    }
    assert_one_order(kind, &heard, &placed);
    for node in &cluster.nodes {
        assert_eq!(node.metric("cluster_ordered_restarts_total"), 0);
        // In the other room, too.
        assert_eq!(node.metric("cluster_ordered_placed_total"), 2 * EACH);
    }
    // A node that nobody was at has the same history, read once however many ask.
    let late = connect(&cluster.urls()[0]);
    let page = late.history::<Said>(ROOM).send().await.expect("it is kept");
    let newest = *placed.keys().last().expect("some were placed");
    assert_eq!(page.offset, newest);
}

async fn nothing_acknowledged_is_lost_behind_any_fault(kind: Kind) {
    let mut cluster = start(kind, NODES);
    let mut readers = Vec::new();
    for url in cluster.urls() {
        readers.push(Reader::join(connect(&url)).await);
    }
    let span = Duration::from_millis(200);
    let mut placed = BTreeMap::new();
    let mut number = 0;
    for fault in [
        Fault::Cut(0, span),
        Fault::Silence(1, span),
        Fault::Flap(2, 3),
        Fault::Slow(1, Duration::from_millis(40), span),
        Fault::KillBroker(span),
        Fault::FreezeBroker(span),
        Fault::FreezeNode(0, span),
    ] {
        let saying = cluster.urls().into_iter().enumerate().map(|(who, url)| {
            let numbers = number..number + 60;
            tokio::spawn(async move { say(&connect(&url), who, numbers).await })
        });
        let saying: Vec<_> = saying.collect();
        number += 60;
        cluster.suffer(fault).await;
        for saying in saying {
            placed.extend(saying.await.expect("no panic").0);
        }
    }
    for node in &cluster.nodes {
        until("it is connected again", || node.is_connected()).await;
    }
    // The last word is heard by all, and what was before it.
    let last = connect(&cluster.urls()[2]);
    let mut end = BTreeMap::new();
    while end.is_empty() {
        number += 1;
        end = say(&last, 2, number..number + 1).await.0;
    }
    placed.extend(end);
    let newest = *placed.keys().last().expect("some were acknowledged");
    let mut heard = Vec::new();
    for reader in &readers {
        heard.push(reader.heard_at(newest).await);
        assert_eq!(reader.lost(), 0);
    }
    assert_one_order(kind, &heard, &placed);
}

async fn without_a_broker_publishes_are_refused_and_with_it_all_goes_on(kind: Kind) {
    let mut cluster = start(kind, 2);
    let urls = cluster.urls();
    let reader = Reader::join(connect(&urls[1])).await;
    let client = connect(&urls[0]);
    let (before, refused) = say(&client, 0, 0..10).await;
    assert_eq!((before.len(), refused), (10, 0));
    cluster.broker.kill();
    until("all nodes have noticed", || {
        cluster.nodes.iter().all(|node| !node.is_connected())
    })
    .await;
    let error = client.publish(ROOM, &(0, 10)).without_key().send().await;
    let error = error.expect_err("nobody orders it");
    assert_eq!(error.code(), "unavailable");
    // A fast room goes on, and who is in the room stays there.
    let fast = client.publish("fast", &(0, 0)).without_key().send().await;
    fast.expect("fast rooms go on");
    cluster.broker.restart();
    for node in &cluster.nodes {
        until("it is connected again", || node.is_connected()).await;
    }
    let mut after = BTreeMap::new();
    while after.is_empty() {
        after = say(&client, 0, 11..12).await.0;
    }
    let mut placed = before;
    placed.extend(after);
    let heard = reader.heard(placed.len()).await;
    assert_one_order(kind, &[heard], &placed);
    assert_eq!(reader.lost(), 0);
}

#[test]
fn what_the_broker_published_to_nobody_is_found_and_delivered() {
    if !Kind::Redis.is_here() {
        return;
    }
    let cluster = start(Kind::Redis, 2);
    run(async {
        let urls = cluster.urls();
        let readers = [
            Reader::join(connect(&urls[0])).await,
            Reader::join(connect(&urls[1])).await,
        ];
        let client = connect(&urls[0]);
        let (mut placed, _) = say(&client, 0, 0..5).await;
        for reader in &readers {
            reader.heard(5).await;
        }
        // One more in the log, published where nobody hears it: under another prefix, and moved.
        let copy = |from: &str, to: &str| {
            for what in ["log", "place"] {
                let from = format!("{from}:{what}:{ROOM}");
                let to = format!("{to}:{what}:{ROOM}");
                let answer = redis(&cluster, &["COPY", &from, &to, "REPLACE"]);
                assert_eq!(answer, ":1\r\n");
            }
        };
        copy("test", "elsewhere");
        append_elsewhere(&cluster, (7, 7)).await;
        copy("elsewhere", "test");
        placed.insert(6, (7, 7));
        // Nothing follows it: the look at the log finds it.
        for reader in &readers {
            reader.heard(6).await;
        }
        // And with the next message behind one, at once.
        copy("test", "elsewhere");
        append_elsewhere(&cluster, (7, 8)).await;
        copy("elsewhere", "test");
        placed.insert(7, (7, 8));
        placed.extend(say(&client, 0, 5..6).await.0);
        let mut heard = Vec::new();
        for reader in &readers {
            heard.push(reader.heard(8).await);
            assert_eq!(reader.lost(), 0);
        }
        assert_one_order(Kind::Redis, &heard, &placed);
        for node in &cluster.nodes {
            assert!(node.metric("cluster_ordered_repaired_total") >= 2);
            assert_eq!(node.metric("cluster_ordered_restarts_total"), 0);
        }
    });
}

async fn append_elsewhere(cluster: &Cluster, said: Said) {
    let url = format!("redis://{}", cluster.broker.address());
    let mut options = Options::new(BrokerKind::Redis, url, "elsewhere");
    options.prefix = "elsewhere".to_owned();
    let (sender, _inbox) = Inbox::new(64, 1 << 20);
    let adapter = RedisBroker::start(&options, sender).expect("good options");
    until("it is connected", || adapter.link().borrow().connected).await;
    let data = format!("[{},{}]", said.0, said.1);
    let envelope = Envelope {
        place: None,
        id: MessageId {
            run: 99,
            number: said.1,
        },
        recipient: Recipient::Room(ROOM),
        body: Body::Message { from: "0-1-1@gone" },
        key: "",
        conflate: "",
        data: Data::Text(&data),
        encoding: DataEncoding::default(),
    };
    let append = Append {
        room: ROOM.into(),
        payload: envelope.write().expect("it is short").into(),
        key: None,
        keep: KeptInLog {
            entries_max: 20_000,
            ttl: Duration::from_secs(300),
            epoch_ttl: Duration::from_secs(3_600),
        },
    };
    let appended = adapter.append(append).await;
    appended.expect("it is connected");
}

async fn a_client_goes_on_at_another_node_when_its_own_dies(kind: Kind) {
    let mut cluster = start(kind, NODES);
    let urls = cluster.urls();
    // They are at the first node, and have another one to go to; nobody is at that.
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(Reader::join(connect_any(&urls[..2])).await);
    }
    let client = connect(&urls[2]);
    let (mut placed, _) = say(&client, 2, 0..50).await;
    for reader in &readers {
        reader.heard(50).await;
    }
    let reads = cluster.nodes[1].metric("cluster_ordered_reads_total");
    assert_eq!(reads, 0);
    cluster.nodes[0].kill();
    placed.extend(say(&client, 2, 50..100).await.0);
    let mut heard = Vec::new();
    for reader in &readers {
        heard.push(reader.heard(100).await);
        assert_eq!((reader.lost(), reader.recovered()), (0, 1));
    }
    assert_one_order(kind, &heard, &placed);
    // All five together: once to load the log, and as often as it is looked at since.
    let reads = cluster.nodes[1].metric("cluster_ordered_reads_total");
    assert!(reads <= 4, "{reads} reads for five clients");
}

/// What a broker keeps for longer than its room does, a node that begins to follow the room shows
/// nobody.
async fn a_node_that_comes_late_shows_nothing_older_than_the_others(kind: Kind) {
    const OLD: u64 = 5;
    let lines = format!("{NAMESPACE}history_ttl = \"1s\"\n");
    let cluster = Cluster::start_with(kind, 2, &lines);
    let urls = cluster.urls();
    let reader = Reader::join(connect(&urls[0])).await;
    let client = connect(&urls[0]);
    say(&client, 0, 0..OLD).await;
    reader.heard(OLD as usize).await;
    let shown = async |client: &Client| {
        let page = client.history::<Said>(ROOM).send().await;
        let page = page.expect("it is kept");
        let numbers = page.messages.iter().map(|message| message.data.1);
        (page.offset, numbers.collect::<Vec<u64>>())
    };
    // The room is in use all the while, so the broker's log of it is.
    let mut number = OLD;
    let newest = loop {
        let (placed, _) = say(&client, 0, number..number + 1).await;
        number += 1;
        let (newest, numbers) = shown(&client).await;
        if numbers.iter().all(|number| *number >= OLD) {
            let last = placed.keys().last().expect("it was placed");
            assert_eq!(newest, *last);
            break newest;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let (offset, numbers) = shown(&connect(&urls[1])).await;
    assert_eq!(offset, newest);
    assert!(numbers.iter().all(|it| *it >= OLD), "{numbers:?}");
}

/// A reload that takes away the namespace of a room that is followed, and another that brings it
/// back: everything else goes on meanwhile, and the room afterwards.
async fn a_reload_that_takes_a_room_away_ends_nothing_else(kind: Kind) {
    const OTHERS: &str = "[namespaces.others]";
    let rules = NAMESPACE.split_once("[namespaces.ordered]\n").expect("it");
    let lines = format!("{NAMESPACE}{OTHERS}\n{}", rules.1);
    let mut cluster = Cluster::start_with(kind, 2, &lines);
    let urls = cluster.urls();
    let reader = Reader::join(connect(&urls[1])).await;
    let listening = connect(&urls[1]);
    let fast = listening.subscribe("fast", SubscribeOptions::default());
    let mut fast = fast.expect("the client is open");
    let joined = tokio::time::timeout(PATIENCE, fast.joined()).await;
    joined.expect("it joins in time").expect("it joins");
    let client = connect(&urls[0]);
    let (mut placed, _) = say(&client, 0, 0..5).await;
    reader.heard(5).await;
    cluster.nodes[1].reload(|lines| {
        let (before, after) = lines.split_once("[namespaces.ordered]").expect("it");
        let (_, after) = after.split_once(OTHERS).expect("it");
        format!("{before}{OTHERS}{after}")
    });
    // What is followed is asked for again.
    cluster
        .suffer(Fault::Cut(1, Duration::from_millis(200)))
        .await;
    until("it is connected again", || cluster.nodes[1].is_connected()).await;
    let mut number = 5;
    while cluster.nodes[1].metric("cluster_received_refused_total") == 0 {
        placed.extend(say(&client, 0, number..number + 1).await.0);
        number += 1;
    }
    let heard = async {
        loop {
            let said = client.publish("fast", &0).without_key().send().await;
            said.expect("fast rooms go on");
            let next = tokio::time::timeout(Duration::from_millis(50), fast.next()).await;
            if let Ok(Some(Ok(Item::Message(_)))) = next {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    heard.expect("what other nodes say is heard");
    cluster.nodes[1].reload(str::to_owned);
    placed.extend(say(&client, 0, number..number + 1).await.0);
    let heard = reader.heard(placed.len()).await;
    assert_one_order(kind, &[heard], &placed);
    assert_eq!(reader.lost(), 0);
    let restarts = cluster.nodes[1].metric("cluster_ordered_restarts_total");
    assert_eq!(restarts, 0);
}

async fn members_of_a_room_whose_log_the_broker_has_lost_are_told_so(kind: Kind) {
    let cluster = start(kind, 2);
    let urls = cluster.urls();
    let reader = Reader::join(connect(&urls[1])).await;
    let client = connect(&urls[0]);
    say(&client, 0, 0..20).await;
    reader.heard(20).await;
    forget_all(&cluster, kind);
    let (after, refused) = say(&client, 0, 20..21).await;
    assert_eq!((after.len(), refused), (1, 0));
    until("it is told", || reader.lost() == 1).await;
    until("the new log is followed", || {
        cluster.nodes[1].metric("cluster_ordered_restarts_total") == 1
    })
    .await;
    let mut number = 21;
    until_heard(&reader, &client, &mut number).await;
}

/// A broker that comes back with an older disk has forgotten what it has acknowledged: the members
/// are told, and the places that it gives again are not taken for those that they know.
async fn members_are_told_when_the_broker_has_lost_what_it_acknowledged(kind: Kind) {
    let mut cluster = start(kind, 2);
    let urls = cluster.urls();
    let reader = Reader::join(connect(&urls[1])).await;
    let client = connect(&urls[0]);
    let (first, _) = say(&client, 0, 0..10).await;
    reader.heard(first.len()).await;
    cluster.broker.kill();
    let older = cluster.broker.folder().with_extension("older");
    copy_folder(cluster.broker.folder(), &older);
    cluster.broker.restart();
    let mut number = 10;
    until_heard(&reader, &client, &mut number).await;
    say(&client, 0, number + 1..number + 10).await;
    number += 10;
    assert_eq!(reader.lost(), 0);
    cluster.broker.kill();
    copy_folder(&older, cluster.broker.folder());
    cluster.broker.restart();
    std::fs::remove_dir_all(&older).expect("it is ours");
    until("it is told", || reader.lost() >= 1).await;
    until_heard(&reader, &client, &mut number).await;
    // Whoever is there from now on has what the others have.
    let other = Reader::join(connect(&urls[0])).await;
    let (placed, refused) = say(&client, 0, number + 1..number + 20).await;
    assert_eq!(refused, 0);
    let newest = *placed.keys().last().expect("all were placed");
    let heard = other.heard_at(newest).await;
    let last = reader
        .heard_at(newest)
        .await
        .split_off(reader.messages().len() - heard.len());
    assert_one_order(kind, &[heard, last], &placed);
}

/// JetStream lets go of what is old, the newest of a room as well: nobody who hears a quiet room
/// takes that for a loss.
#[test]
fn a_quiet_room_goes_on_though_nats_has_let_go_of_all_that_it_had() {
    if !Kind::Nats.is_here() {
        return;
    }
    run(async {
        let cluster = start(Kind::Nats, 2);
        let urls = cluster.urls();
        let reader = Reader::join(connect(&urls[1])).await;
        let client = connect(&urls[0]);
        let (mut placed, _) = say(&client, 0, 0..20).await;
        reader.heard(20).await;
        let newest = *placed.keys().last().expect("all were placed");
        let [stream] = &streams(&cluster)[..] else {
            panic!("one partition");
        };
        let api = format!("STREAM.PURGE.{stream}");
        jetstream(&cluster, &api, &json!({ "seq": newest + 1 }));
        placed.extend(say(&client, 0, 20..25).await.0);
        let heard = reader.heard(25).await;
        assert_one_order(Kind::Nats, &[heard], &placed);
        assert_eq!(reader.lost(), 0);
        for node in &cluster.nodes {
            assert_eq!(node.metric("cluster_ordered_restarts_total"), 0);
        }
        // Who comes to a node that has not heard the room goes on from there, too.
        let page = client
            .history::<Said>(ROOM)
            .send()
            .await
            .expect("it is kept");
        let offset = placed.keys().last().copied().expect("all were placed");
        assert_eq!((page.offset, page.messages.len()), (offset, 5));
    });
}

#[test]
fn nodes_that_count_streams_in_another_way_are_refused() {
    if !Kind::Nats.is_here() {
        return;
    }
    run(async {
        let cluster = start(Kind::Nats, 1);
        let client = connect(&cluster.urls()[0]);
        let (placed, _) = say(&client, 0, 0..1).await;
        assert_eq!(placed.len(), 1);
        let lines = format!(
            "broker = \"nats\"\nurl = \"nats://{{broker}}\"\nprefix = \"test\"\n{}",
            NAMESPACE.replace("streams = 1", "streams = 2")
        );
        let other = Node::start("other", cluster.broker.address(), &lines);
        until("it is connected", || other.is_connected()).await;
        let stranger = connect(&other.url());
        let refused = stranger.publish(ROOM, &(1, 1)).without_key().send().await;
        let refused = refused.expect_err("the room is in another stream");
        assert_eq!(refused.code(), "unavailable");
        assert_eq!(streams(&cluster).len(), 1);
    });
}

macro_rules! on_both {
    ($($scenario:ident),* $(,)?) => {
        mod both {
            use crate::scene::on_each_broker;
            $(#[test]
            fn $scenario() {
                on_each_broker(super::$scenario);
            })*
        }
    };
}

on_both! {
    publishes_from_all_nodes_have_one_order,
    nothing_acknowledged_is_lost_behind_any_fault,
    without_a_broker_publishes_are_refused_and_with_it_all_goes_on,
    a_client_goes_on_at_another_node_when_its_own_dies,
    a_node_that_comes_late_shows_nothing_older_than_the_others,
    a_reload_that_takes_a_room_away_ends_nothing_else,
    members_of_a_room_whose_log_the_broker_has_lost_are_told_so,
    members_are_told_when_the_broker_has_lost_what_it_acknowledged,
}

const SCHEDULES: Seeds = Seeds {
    again: "cargo test -p shardcast-tests --test cluster schedules_of_ordered_rooms",
    count: 8,
    happenings: &[
        "node killed",
        "node deployed",
        "node frozen",
        "broker killed",
        "broker frozen",
        "link silent",
        "link pulled",
        "link cut",
        "link flapping",
        "link slow",
        "acknowledged",
    ],
    least: 1,
};

/// Faults of one schedule.
const FAULTS: u64 = 3;

/// Publishers at all nodes speak through faults by seed, and each reader hears what was
/// acknowledged.
fn schedule(seed: u64, printing: Printing) -> Tally {
    // Even seeds run over one broker, odd ones over the other.
    let kind = [Kind::Nats, Kind::Redis][(seed % 2) as usize];
    let mut tally = Tally::new();
    if !kind.is_here() {
        return tally;
    }
    let mut random = fastrand::Rng::with_seed(seed);
    run(async {
        let mut cluster = start(kind, NODES);
        let urls = cluster.urls();
        let mut readers = Vec::new();
        for url in &urls {
            readers.push(Reader::join(connect(url)).await);
        }
        let speaks = Arc::new(AtomicBool::new(true));
        let speakers = urls.iter().enumerate().map(|(who, url)| {
            let (client, speaks) = (connect(url), speaks.clone());
            tokio::spawn(async move {
                let (mut placed, mut number) = (BTreeMap::new(), 0);
                while speaks.load(Ordering::Relaxed) || number == 0 {
                    placed.extend(say(&client, who, number..number + 5).await.0);
                    number += 5;
                }
                (placed, number)
            })
        });
        let speakers: Vec<_> = speakers.collect();
        for turn in 0..FAULTS {
            let fault = fault(&mut random, (seed * FAULTS + turn) % 10);
            if printing == Printing::On {
                eprintln!("{kind:?}: {fault:?}");
            }
            *tally.entry(fault.name()).or_default() += 1;
            cluster.suffer(fault).await;
        }
        speaks.store(false, Ordering::Relaxed);
        let (mut placed, mut number) = (BTreeMap::new(), 0);
        for speaker in speakers {
            let (more, count) = speaker.await.expect("no panic");
            placed.extend(more);
            number = number.max(count);
        }
        for node in &cluster.nodes {
            until("it is connected again", || node.is_connected()).await;
        }
        // The last word is heard by all, and what was before it.
        let last = connect(&urls[0]);
        let mut end = BTreeMap::new();
        while end.is_empty() {
            end = say(&last, 0, number..number + 1).await.0;
            number += 1;
        }
        placed.extend(end);
        *tally.entry("acknowledged").or_default() += placed.len() as u64;
        let newest = *placed.keys().last().expect("some were acknowledged");
        let mut heard = Vec::new();
        for reader in &readers {
            heard.push(reader.heard_at(newest).await);
            assert_eq!(reader.lost(), 0);
        }
        assert_one_order(kind, &heard, &placed);
    });
    tally
}

#[test]
fn schedules_of_ordered_rooms() {
    SCHEDULES.run(schedule);
}

/// Says something until it is heard.
async fn until_heard(reader: &Reader, client: &Client, number: &mut u64) {
    let has = |said: Said| reader.messages().iter().any(|(_, heard)| *heard == said);
    let heard = async {
        loop {
            *number += 1;
            say(client, 0, *number..*number + 1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if has((0, *number)) {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    heard.expect("it hears again");
}
