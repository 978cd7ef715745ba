//! What the adapters of brokers promise (`shardcast::broker::Broker`), against the real brokers.

use crate::broker::{Broker, Kind};
use crate::link::{Link, Weather};
use crate::scene::{run, until};
use bytes::Bytes;
use shardcast::broker::{
    Append, Appended, Body, Broker as Adapter, BrokerError, BrokerKind, BrokerPassword, Cluster,
    Envelope, Inbox, InboxSender, Incoming, KeptInLog, LogEntry, LogPlace, MessageId, NatsBroker,
    Outbound, ReadLog, Recipient, RedisBroker, Subject,
};
use shardcast_engine::{Data, DataEncoding};
use shardcast_tests::{Certificates, SERVERS};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KEEP: KeptInLog = KeptInLog {
    entries_max: 50,
    ttl: Duration::from_secs(600),
    epoch_ttl: Duration::from_secs(3600),
};

const WINDOW: Duration = Duration::from_secs(120);

/// A broker behind a link, and how nodes of its kind come to it.
struct Ground<A> {
    broker: Broker,
    link: Link,
    kind: Kind,
    start: fn(&Cluster, InboxSender) -> Result<A, String>,
}

/// One node's adapter with its inbox.
struct Node<A> {
    adapter: A,
    inbox: Inbox,
    came: Vec<Incoming>,
}

impl<A: Adapter> Ground<A> {
    fn new(kind: Kind, start: fn(&Cluster, InboxSender) -> Result<A, String>) -> Ground<A> {
        Ground::before(Broker::start(kind), kind, start)
    }

    fn before(
        broker: Broker,
        kind: Kind,
        start: fn(&Cluster, InboxSender) -> Result<A, String>,
    ) -> Ground<A> {
        let link = Link::before(broker.address(), IpAddr::from(Ipv4Addr::LOCALHOST));
        Ground {
            broker,
            link,
            kind,
            start,
        }
    }

    /// A node that is connected.
    async fn node(&self) -> Node<A> {
        let node = self.node_with(|_| {});
        node.connected().await;
        node
    }

    /// A node whose options are changed.
    fn node_with(&self, change: impl FnOnce(&mut Cluster)) -> Node<A> {
        let kind = match self.kind {
            Kind::Nats => BrokerKind::Nats,
            Kind::Redis => BrokerKind::Redis,
        };
        let url = format!("{}://{}", self.kind.name(), self.link.address());
        let (sender, inbox) = Inbox::new(65_536, 64 << 20);
        let mut cluster = Cluster::new(kind, url, "node");
        change(&mut cluster);
        let adapter = (self.start)(&cluster, sender);
        Node {
            adapter: adapter.expect("good options"),
            inbox,
            came: Vec::new(),
        }
    }
}

impl<A: Adapter> Node<A> {
    async fn connected(&self) {
        let link = self.adapter.link();
        until("it connects", || link.borrow().connected).await;
    }

    async fn publish(&self, subject: &Subject, words: &[&str]) {
        let batch: Vec<Outbound> = words
            .iter()
            .map(|words| Outbound {
                subject: subject.clone(),
                payload: envelope(words),
            })
            .collect();
        let published = self.adapter.publish(&batch).await;
        published.expect("the link stands");
    }

    /// What came in, once so much has.
    async fn hears(&mut self, count: usize) -> Vec<String> {
        while self.came.len() < count {
            let more = self.inbox.recv_many(&mut self.came, 1000);
            let more = tokio::time::timeout(shardcast_patience::PATIENCE, more).await;
            assert!(more.expect("it comes in time"), "the adapter lives");
        }
        let came = std::mem::take(&mut self.came);
        came.iter()
            .map(|message| text(&message.payload).to_owned())
            .collect()
    }

    async fn append(
        &self,
        room: &str,
        words: &str,
        key: Option<&str>,
    ) -> Result<Appended, BrokerError> {
        self.adapter.append(entry(room, words, key)).await
    }

    async fn read(&self, room: &str, after: u64, limit: u32) -> shardcast::broker::LogPage {
        let read = ReadLog {
            room: room.into(),
            keep: KEEP,
            after,
            limit,
        };
        self.adapter.read(read).await.expect("the link stands")
    }
}

fn entry(room: &str, words: &str, key: Option<&str>) -> Append {
    Append {
        room: room.into(),
        payload: envelope(words),
        key: key.map(|key| (Arc::from(key), WINDOW)),
        keep: KEEP,
    }
}

fn words(entries: &[LogEntry]) -> Vec<&str> {
    entries.iter().map(|entry| text(&entry.payload)).collect()
}

/// A broker may write places into what it is given, so that is what nodes write.
fn envelope(words: &str) -> Bytes {
    let envelope = Envelope {
        place: None,
        id: MessageId { run: 1, number: 1 },
        recipient: Recipient::Everyone,
        body: Body::Event { name: "e" },
        key: "",
        conflate: "",
        data: Data::Text(words),
        encoding: DataEncoding(0),
    };
    envelope.write().expect("it is short").into()
}

fn text(payload: &[u8]) -> &str {
    match Envelope::read(payload).expect("an envelope").data {
        Data::Text(text) => text,
        Data::Binary(_) => panic!("it was text"),
    }
}

/// Where a message stands in its log, as the adapter says or as the broker has written.
fn place(message: &Incoming) -> Option<LogPlace> {
    let written = || Envelope::read(&message.payload).expect("an envelope").place;
    message.place.or_else(written)
}

/// Each entry names the one before.
#[track_caller]
fn assert_chain(places: &[LogPlace], mut before: u64) {
    for place in places {
        assert!(place.offset > before, "{places:?}");
        assert_eq!(place.previous, before, "{places:?}");
        before = place.offset;
    }
}

async fn plain_messages<A: Adapter>(ground: Ground<A>) {
    let (near, mut far) = (ground.node().await, ground.node().await);
    // Names that a broker gives a meaning to, and addresses of each sort.
    let names = [
        "a", "a.b", "a b", "*", ">", "a.*", "{a}", "%2E", "ä\u{a0}", "[a]", "?", "\\",
    ];
    let mut subjects: Vec<Subject> = names
        .iter()
        .map(|name| Subject::Room((*name).into()))
        .collect();
    subjects.extend(names.iter().map(|name| Subject::User((*name).into())));
    subjects.extend([
        Subject::Everyone,
        Subject::Nodes,
        Subject::Node(7),
        Subject::Node(u64::MAX),
    ]);
    far.adapter
        .subscribe(&subjects)
        .await
        .expect("the link stands");
    // A second time changes nothing.
    far.adapter
        .subscribe(&subjects)
        .await
        .expect("the link stands");
    for (number, subject) in subjects.iter().enumerate() {
        near.publish(subject, &[&number.to_string()]).await;
    }
    // One of them is asked for by its own alone, and nothing of the others'.
    let all: Vec<String> = (0..subjects.len())
        .map(|number| number.to_string())
        .collect();
    let heard: HashSet<String> = far.hears(all.len()).await.into_iter().collect();
    assert_eq!(heard, all.into_iter().collect());
    far.adapter
        .unsubscribe(&subjects[1..])
        .await
        .expect("the link stands");
    // Nobody hears what is not subscribed to: the last comes alone.
    far.adapter
        .subscribe(&subjects[..1])
        .await
        .expect("the link stands");
    for subject in &subjects[1..] {
        near.publish(subject, &["unheard"]).await;
    }
    let many: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    let said: Vec<&str> = many.iter().map(String::as_str).collect();
    for batch in said.chunks(700) {
        near.publish(&subjects[0], batch).await;
    }
    assert_eq!(far.hears(many.len()).await, many);
}

async fn logs<A: Adapter>(ground: Ground<A>) {
    let (near, mut far) = (ground.node().await, ground.node().await);
    assert_eq!(near.read("log:a", 0, 10).await.entries.len(), 0);
    far.adapter
        .subscribe(&[Subject::Room("log:a".into())])
        .await
        .expect("the link stands");
    let mut places = Vec::new();
    for number in 0..20 {
        // Rooms between, so that offsets skip where the broker lets them.
        let appended = near.append("log:a", &format!("a{number}"), None).await;
        let appended = appended.expect("appended");
        places.push((appended.epoch, appended.offset));
        near.append("log:b", &format!("b{number}"), None)
            .await
            .expect("appended");
    }
    while far.came.len() < 20 {
        assert!(far.inbox.recv_many(&mut far.came, 100).await);
    }
    let heard: Vec<LogPlace> = far
        .came
        .drain(..)
        .filter_map(|message| place(&message))
        .collect();
    let told: Vec<(u64, u64)> = heard
        .iter()
        .map(|place| (place.epoch, place.offset))
        .collect();
    assert_eq!(told, places);
    assert_chain(&heard, 0);
    // In pages, from the beginning and from the middle.
    let mut read = Vec::new();
    let mut after = 0;
    loop {
        let page = far.read("log:a", after, 7).await;
        assert_eq!((page.epoch, page.newest), (places[19].0, places[19].1));
        assert!(page.entries.len() <= 7);
        let Some(last) = page.entries.last() else {
            break;
        };
        after = last.place.offset;
        read.extend(page.entries);
    }
    let expected: Vec<String> = (0..20).map(|number| format!("a{number}")).collect();
    assert_eq!(words(&read), expected);
    let read: Vec<LogPlace> = read.iter().map(|entry| entry.place).collect();
    assert_eq!(read, heard);
    let page = far.read("log:a", places[9].1, 1000).await;
    assert_eq!(words(&page.entries), expected[10..]);
    assert_eq!(page.entries[0].place.previous, places[9].1);
    // A key that is known is answered with the first place, in its own room only.
    let first = near
        .append("log:a", "once", Some("k .*>"))
        .await
        .expect("appended");
    let again = far
        .append("log:a", "twice", Some("k .*>"))
        .await
        .expect("appended");
    assert!(again.is_duplicate && !first.is_duplicate);
    assert_eq!((again.epoch, again.offset), (first.epoch, first.offset));
    let other = near
        .append("log:b", "once", Some("k .*>"))
        .await
        .expect("appended");
    assert!(!other.is_duplicate);
    let page = far.read("log:a", places[19].1, 10).await;
    assert_eq!(words(&page.entries), ["once"]);
}

async fn trimmed_logs<A: Adapter>(ground: Ground<A>) {
    let node = ground.node().await;
    let first = node.append("log:t", "first", None).await.expect("appended");
    let second = node
        .append("log:t", "second", None)
        .await
        .expect("appended");
    for number in 0..200 {
        node.append("log:t", &number.to_string(), None)
            .await
            .expect("appended");
    }
    // A gap is seen: what comes first does not name what the reader had.
    let page = node.read("log:t", second.offset, 1000).await;
    assert!(
        (50..190).contains(&page.entries.len()),
        "{}",
        page.entries.len()
    );
    assert!(page.entries[0].place.previous > second.offset);
    assert_eq!(words(&page.entries).last(), Some(&"199"));
    let page = node.read("log:t", first.offset - 1, 1000).await;
    assert!(page.entries[0].place.previous > first.offset);
    let last = page.entries.last().expect("entries").place;
    let page = node.read("log:t", last.previous, 1000).await;
    assert_eq!(page.entries[0].place, last);
    assert_eq!(page.entries.len(), 1);
}

/// Entries that are on one page follow each other, however much is appended and trimmed while they
/// are read.
async fn pages_of_busy_logs<A: Adapter>(ground: Ground<A>) {
    const MANY: usize = 6_000;
    let (near, far) = (ground.node().await, ground.node().await);
    let says = async {
        for batch in 0..MANY / 100 {
            let numbers = batch * 100..(batch + 1) * 100;
            let batch = numbers.map(|number| entry("log:busy", &number.to_string(), None));
            let done = near.adapter.append_all(&batch.collect::<Vec<_>>()).await;
            assert!(done.iter().all(Result::is_ok), "{done:?}");
        }
    };
    let reads = async {
        let (mut pages, mut after) = (0, 0);
        loop {
            let page = far.read("log:busy", after, 1_000).await;
            let numbers = words(&page.entries).into_iter();
            let numbers: Vec<usize> = numbers.map(|it| it.parse().expect("a number")).collect();
            let follows = |pair: &[usize]| pair[0] + 1 == pair[1];
            assert!(numbers.windows(2).all(follows), "{after}: {numbers:?}");
            let places: Vec<LogPlace> = page.entries.iter().map(|entry| entry.place).collect();
            assert_chain(&places, page.behind);
            pages += usize::from(!numbers.is_empty());
            if numbers.last() == Some(&(MANY - 1)) {
                return;
            }
            // From the beginning, and from the middle of what there was.
            after = match places.get(places.len() / 2) {
                Some(place) if pages % 2 == 0 => place.offset,
                _ => 0,
            };
        }
    };
    tokio::join!(says, reads);
}

/// Entries are as old as the broker's clock says, whoever reads them.
async fn ages<A: Adapter>(ground: Ground<A>) {
    const BETWEEN: Duration = Duration::from_millis(300);
    /// Brokers tell milliseconds, cut off.
    const ROUNDED: Duration = Duration::from_millis(2);
    let (near, far) = (ground.node().await, ground.node().await);
    let begun = Instant::now();
    let first = near.append("log:old", "first", None).await;
    first.expect("appended");
    tokio::time::sleep(BETWEEN).await;
    let last = near.append("log:old", "last", None).await;
    last.expect("appended");
    for node in [&near, &far] {
        let page = node.read("log:old", 0, 10).await;
        let most = begun.elapsed() + ROUNDED;
        let ages: Vec<Duration> = page.entries.iter().map(|entry| entry.age).collect();
        let [first, last] = ages[..] else {
            panic!("{ages:?}");
        };
        assert!(first <= most, "{ages:?}, at most {most:?}");
        let between = first.saturating_sub(last) + ROUNDED;
        assert!(between >= BETWEEN, "{ages:?}, {BETWEEN:?} between them");
    }
}

async fn losses<A: Adapter>(mut ground: Ground<A>) {
    let (near, mut far) = (ground.node().await, ground.node().await);
    let room = Subject::Room("log:l".into());
    far.adapter
        .subscribe(std::slice::from_ref(&room))
        .await
        .expect("the link stands");
    let kept = near
        .append("log:l", "kept", Some("k"))
        .await
        .expect("appended");
    far.hears(1).await;
    for fault in 0..4 {
        let link = far.adapter.link();
        let before = link.borrow().losses;
        match fault {
            0 => ground.link.set(Weather::Cut),
            1 => ground.link.set(Weather::Silent),
            2 => ground.broker.kill(),
            _ => ground.broker.freeze(),
        }
        until("the loss is noticed", || !link.borrow().connected).await;
        assert!(link.borrow().losses > before, "{fault}");
        let refused = far.append("log:l", "refused", None).await;
        assert_eq!(refused.err(), Some(BrokerError::Lost));
        let refused = far.adapter.publish(&[]).await;
        assert_eq!(refused.err(), Some(BrokerError::Lost));
        match fault {
            0 | 1 => ground.link.set(Weather::Fair),
            2 => ground.broker.restart(),
            _ => ground.broker.thaw(),
        }
        far.connected().await;
        near.connected().await;
        let subscribed = far.adapter.subscribe(std::slice::from_ref(&room)).await;
        subscribed.expect("the link stands");
        near.publish(&room, &["again"]).await;
        while far.hears(1).await.last().map(String::as_str) != Some("again") {}
        // What was acknowledged is there, and so is its key.
        let page = far.read("log:l", 0, 10).await;
        assert_eq!(page.epoch, kept.epoch);
        assert_eq!(words(&page.entries), ["kept"]);
        let again = near
            .append("log:l", "kept", Some("k"))
            .await
            .expect("appended");
        assert_eq!((again.is_duplicate, again.offset), (true, kept.offset));
    }
}

async fn large_messages<A: Adapter>(ground: Ground<A>) {
    let (near, mut far) = (ground.node().await, ground.node().await);
    let room = Subject::Room("large".into());
    far.adapter
        .subscribe(std::slice::from_ref(&room))
        .await
        .expect("the link stands");
    let large = "x".repeat(900 << 10);
    for _ in 0..20 {
        near.publish(&room, &[&large]).await;
    }
    assert!(far.hears(20).await.iter().all(|heard| *heard == large));
    let appended = near
        .append("large", &large, Some("k"))
        .await
        .expect("appended");
    let page = far.read("large", 0, 10).await;
    assert_eq!(page.newest, appended.offset);
    assert_eq!(words(&page.entries), [large]);
}

macro_rules! promises {
    ($($name:ident: $scenario:ident),* $(,)?) => {
        mod nats {
            use super::{Ground, Kind, NatsBroker, run};
            $(#[test]
            fn $name() {
                if Kind::Nats.is_here() {
                    run(async { super::$scenario(Ground::new(Kind::Nats, NatsBroker::start)).await });
                }
            })*
        }
        mod redis {
            use super::{Ground, Kind, RedisBroker, run};
            $(#[test]
            fn $name() {
                if Kind::Redis.is_here() {
                    run(async { super::$scenario(Ground::new(Kind::Redis, RedisBroker::start)).await });
                }
            })*
        }
    };
}

promises! {
    plain_messages_reach_their_subject_in_order: plain_messages,
    a_log_has_places_pages_and_keys: logs,
    a_log_that_was_trimmed_says_so: trimmed_logs,
    a_page_has_no_hole_whatever_goes_meanwhile: pages_of_busy_logs,
    entries_are_as_old_as_the_broker_says: ages,
    losses_are_told_and_nothing_acknowledged_is_gone: losses,
    large_messages_pass: large_messages,
}

#[test]
fn a_message_that_nats_does_not_take_is_too_large() {
    if !Kind::Nats.is_here() {
        return;
    }
    run(async {
        let ground = Ground::new(Kind::Nats, NatsBroker::start);
        let node = ground.node().await;
        let large = "x".repeat((1 << 20) + 1);
        let message = Outbound {
            subject: Subject::Everyone,
            payload: large.clone().into(),
        };
        let refused = node.adapter.publish(&[message]).await;
        assert_eq!(refused.err(), Some(BrokerError::TooLarge));
        let refused = node.append("r", &large[1..], Some("k")).await;
        assert_eq!(refused.err(), Some(BrokerError::TooLarge));
        node.append("r", "small", Some("k"))
            .await
            .expect("appended");
    });
}

/// Whether a node comes in at this server, where others that cannot are refused and go on trying.
async fn comes_in(arguments: &[&str], change: impl Fn(&mut Cluster)) {
    let broker = Broker::start_with(Kind::Nats, arguments);
    let ground = Ground::before(broker, Kind::Nats, NatsBroker::start);
    let stranger = ground.node_with(|_| {});
    let near = ground.node_with(&change);
    // The first server of two is nowhere.
    let far = ground.node_with(|cluster| {
        change(cluster);
        let nowhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let nowhere = nowhere.local_addr().expect("it listens").port();
        cluster
            .urls
            .insert(0, format!("nats://127.0.0.1:{nowhere}"));
    });
    near.connected().await;
    far.connected().await;
    assert!(!stranger.adapter.link().borrow().connected);
    let mut far = far;
    far.adapter
        .subscribe(&[Subject::Everyone])
        .await
        .expect("the link stands");
    near.publish(&Subject::Everyone, &["hello"]).await;
    assert_eq!(far.hears(1).await, ["hello"]);
}

#[test]
fn nodes_come_to_nats_as_themselves() {
    if !Kind::Nats.is_here() {
        return;
    }
    let certificates = Certificates::make();
    let [server, authority] =
        [SERVERS[0], "authority"].map(|name| certificates.file(&format!("{name}.pem")));
    let key = certificates.file(&format!("{}.key", SERVERS[0]));
    let password = |words: &str| Some(BrokerPassword(words.to_owned()));
    run(async {
        comes_in(&["--user", "ann", "--pass", "secret"], |cluster| {
            cluster.credentials.user = Some("ann".to_owned());
            cluster.credentials.password = password("secret");
        })
        .await;
        comes_in(&["--auth", "token"], |cluster| {
            cluster.credentials.password = password("token");
        })
        .await;
        let file = |name: &str| format!("{}/tests/cluster/{name}", env!("CARGO_MANIFEST_DIR"));
        comes_in(&["-c", &file("operator.conf")], |cluster| {
            cluster.credentials.file = Some(PathBuf::from(file("user.creds")));
        })
        .await;
        let tls = [
            "--tlsverify",
            "--tlscert",
            &server,
            "--tlskey",
            &key,
            "--tlscacert",
            &authority,
        ];
        comes_in(&tls, |cluster| {
            let url = &mut cluster.urls[0];
            *url = url.replace("nats://127.0.0.1", "tls://localhost");
            cluster.tls.ca = Some(PathBuf::from(&authority));
            cluster.tls.certificate = Some((PathBuf::from(&server), PathBuf::from(&key)));
        })
        .await;
    });
}
