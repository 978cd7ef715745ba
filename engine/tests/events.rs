//! The way out of an engine on the real ring: what a subscriber hears, a slow one, the end of a
//! drain, and what all shards answer together.

use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Address, Admission, Answer, Application, CloseReason, Config, Content, Context, EncodingId,
    Event, EventKind, Events, Found, Frame, Listener, Message, Notice, Pinning, Publish, Query,
    QueryError, Running, SubscribeError, Tag, Target, TopicName, TopicPart,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

/// No test takes longer, however slow the host.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message is the room to join, to leave if it begins with `-`, or to publish to if it begins
/// with `!`; `!` alone is everyone.
struct Rooms;

impl Application for Rooms {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        let room = std::str::from_utf8(message.bytes()).unwrap();
        match room.split_at_checked(1) {
            Some(("-", room)) => cx.leave(room, Tag(0)).unwrap(),
            Some(("!", room)) => {
                let to = if room.is_empty() {
                    Target::Everyone
                } else {
                    Target::Room(room)
                };
                let frame = Frame::new(Kind::Text, b"published");
                let publish = Publish::new(Content::frame(EncodingId::FIRST, frame));
                cx.publish(to, publish).unwrap();
            }
            Some(_) | None => cx.join(room, Tag(0)).unwrap(),
        }
    }

    fn notified(&mut self, _: &mut Context<'_>, _: &mut (), notice: Notice) {
        tell(notice, "there");
    }

    fn unreached(&mut self, cx: &mut Context<'_>, notice: Notice) {
        assert!(!cx.is_open());
        tell(notice, "gone");
    }
}

/// Whoever has sent a notice hears what the connection is.
type Told = mpsc::SyncSender<&'static str>;

fn tell(notice: Notice, what: &'static str) {
    let told = notice.downcast::<Told>().expect("of this test");
    told.send(what).expect("it is waited for");
}

fn start() -> Running {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config {
        listeners: vec![Listener::plain(any)],
        shards: 2,
        pinning: Pinning::None,
        connections_max: 1000,
        ..Config::default()
    };
    shardcast_engine::start(config, |_| Rooms).unwrap()
}

struct Client(TcpStream);

impl Client {
    #[track_caller]
    fn open(engine: &Running) -> Client {
        let mut stream = TcpStream::connect(engine.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend_from_slice(&byte);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        Client(stream)
    }

    fn say(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).unwrap();
    }
}

#[track_caller]
fn next(events: &Events) -> Event {
    events.recv_within(PATIENCE).expect("an event")
}

fn room(name: &str) -> TopicName {
    TopicName::Room(name.into())
}

/// A client that has just opened, and what it is called.
#[track_caller]
fn opened(engine: &Running, events: &Events) -> (Client, Address) {
    let client = Client::open(engine);
    let Event::Opened { connection, peer } = next(events) else {
        panic!("somebody opened first");
    };
    assert_eq!(peer.address(), client.0.local_addr().ok());
    (client, connection)
}

/// Who is gone may have left something: whoever has another thread reach it is told of that, and a
/// notice is not.
#[test]
fn who_may_be_gone_is_reached_all_the_same() {
    let engine = start();
    let events = engine.handle().subscribe(&EventKind::ALL, 100).unwrap();
    let (client, who) = opened(&engine, &events);
    let (told, heard) = mpsc::sync_channel(4);
    let notice = || Box::new(told.clone());
    let handle = engine.handle();
    assert!(handle.reach(who, notice()).is_ok());
    assert_eq!(heard.recv_timeout(PATIENCE), Ok("there"));
    drop(client);
    while !matches!(next(&events), Event::Closed { .. }) {}
    assert!(handle.notify(who, notice()).is_ok());
    assert!(handle.reach(who, notice()).is_ok());
    assert_eq!(heard.recv_timeout(PATIENCE), Ok("gone"));
    drop(engine);
    assert!(heard.try_recv().is_err(), "a notice finds nobody");
}

#[test]
fn a_membership_is_told_in_its_order() {
    let engine = start();
    let events = engine.handle().subscribe(&EventKind::ALL, 100).unwrap();
    let (mut client, member) = opened(&engine, &events);
    let topic = room("r");
    let active = Event::TopicActive {
        topic: topic.clone(),
    };
    let joined = Event::Joined {
        topic: topic.clone(),
        member,
        members: 1,
    };
    let left = Event::Left {
        topic: topic.clone(),
        member,
        members: 0,
    };
    let idle = Event::TopicIdle { topic };
    // Who is a member already joins nothing.
    for message in ["r", "r", "-r"] {
        client.say(message);
    }
    for event in [&active, &joined, &left, &idle] {
        assert_eq!(next(&events), *event);
    }
    client.say("r");
    assert_eq!([next(&events), next(&events)], [active, joined]);
    assert_eq!(events.lost(), 0);
    drop(engine);
    let rest: Vec<Event> = std::iter::from_fn(|| events.recv()).collect();
    assert_eq!(rest, [], "the engine has ended");
}

/// What is published stands among joins and leaves, whether anybody hears it or not. Who did not
/// ask for it is not told.
#[test]
fn what_is_published_has_its_place_in_the_order() {
    let engine = start();
    let kinds = [EventKind::Joined, EventKind::Left, EventKind::Published];
    let events = engine.handle().subscribe(&kinds, 100).unwrap();
    let others = engine.handle().subscribe(&kinds[..2], 100).unwrap();
    let mut client = Client::open(&engine);
    for message in ["!r", "r", "!r", "!r", "-r", "!r"] {
        client.say(message);
    }
    let told = |events: &Events, count: usize| -> Vec<String> {
        let told = (0..count).map(|_| match next(events) {
            Event::Published { topic, position } => {
                assert_eq!((topic, position), (Some(room("r")), None));
                "published".to_owned()
            }
            Event::Joined { members, .. } => format!("joined {members}"),
            Event::Left { members, .. } => format!("left {members}"),
            other => panic!("{other:?}"),
        });
        told.collect()
    };
    let order = [
        "published",
        "joined 1",
        "published",
        "published",
        "left 0",
        "published",
    ];
    assert_eq!(told(&events, order.len()), order);
    assert_eq!(told(&others, 2), ["joined 1", "left 0"]);
    client.say("!");
    let everyone = Event::Published {
        topic: None,
        position: None,
    };
    assert_eq!(next(&events), everyone);
    let content = Content::frame(EncodingId::FIRST, Frame::new(Kind::Text, b"outside"));
    let to_user = engine
        .handle()
        .publish(Target::User("ann"), Publish::new(content));
    assert_eq!(to_user, Ok(()));
    let topic = Some(TopicName::User("ann".into()));
    let position = None;
    assert_eq!(next(&events), Event::Published { topic, position });
    assert_eq!((events.try_recv(), others.try_recv()), (None, None));
}

/// It ends without a word: its shard and the home tell of it, in no order between them.
#[test]
fn an_end_is_told_by_its_shard_and_by_the_home() {
    let engine = start();
    let events = engine.handle().subscribe(&EventKind::ALL, 100).unwrap();
    let topics = [EventKind::TopicActive, EventKind::TopicIdle];
    let topics = engine.handle().subscribe(&topics, 100).unwrap();
    let (mut client, connection) = opened(&engine, &events);
    client.say("r");
    let (topic, member) = (room("r"), connection);
    let active = next(&events);
    assert!(matches!(next(&events), Event::Joined { .. }));
    drop(client);
    let mut end = vec![next(&events), next(&events), next(&events)];
    let is_closed = |event: &Event| matches!(event, Event::Closed { .. });
    let closed = end.iter().position(is_closed).expect("it is closed");
    let reason = CloseReason::Lost;
    let told = Event::Closed { connection, reason };
    assert_eq!(end.remove(closed), told);
    let left = Event::Left {
        topic: topic.clone(),
        member,
        members: 0,
    };
    let idle = Event::TopicIdle { topic };
    assert_eq!(end, [left, idle.clone()]);
    assert_eq!([next(&topics), next(&topics)], [active, idle]);
}

/// Nobody waits for a subscriber that takes nothing: it loses what comes then, and others lose
/// nothing.
#[test]
fn a_slow_subscriber_loses_and_knows_it() {
    let engine = start();
    let slow = engine.handle().subscribe(&[EventKind::Joined], 3).unwrap();
    let quick = engine
        .handle()
        .subscribe(&[EventKind::Joined], 100)
        .unwrap();
    let mut client = Client::open(&engine);
    for index in 0..20 {
        client.say(&format!("r{index}"));
    }
    let joined = |events: &Events| match next(events) {
        Event::Joined { topic, .. } => topic,
        other => panic!("{other:?}"),
    };
    let mut heard: Vec<TopicName> = (0..20).map(|_| joined(&quick)).collect();
    heard.sort();
    heard.dedup();
    assert_eq!((heard.len(), quick.lost()), (20, 0));
    assert_eq!(slow.lost(), 17);
    for _ in 0..3 {
        joined(&slow);
    }
    assert_eq!(slow.try_recv(), None);
    client.say("last");
    assert_eq!(joined(&slow), room("last"));
    assert_eq!(joined(&quick), room("last"));
}

#[test]
fn subscriptions_have_bounds() {
    let engine = start();
    for waiting_max in [0, Events::WAITING_MAX + 1] {
        let refused = engine.handle().subscribe(&EventKind::ALL, waiting_max);
        assert_eq!(refused.unwrap_err(), SubscribeError::Waiting);
    }
    let subscribe = || engine.handle().subscribe(&[EventKind::Opened], 1).unwrap();
    let all: Vec<Events> = (0..Events::SUBSCRIBERS_MAX).map(|_| subscribe()).collect();
    assert_eq!(subscribe().recv(), None, "one too many is over at once");
    drop(all);
    let events = subscribe();
    let _client = Client::open(&engine);
    assert!(matches!(next(&events), Event::Opened { .. }));
}

#[test]
fn the_end_of_a_drain_is_told_by_each_shard() {
    let engine = start();
    let kinds = [EventKind::Closed, EventKind::Drained];
    let events = engine.handle().subscribe(&kinds, 100).unwrap();
    let mut client = Client::open(&engine);
    let drained = std::thread::spawn(move || engine.drain(PATIENCE));
    // The shard without a client has nothing to wait for.
    let mut said = vec![next(&events), next(&events)];
    let is_closed = |event: &Event| {
        matches!(
            event,
            Event::Closed {
                reason: CloseReason::Draining,
                ..
            }
        )
    };
    assert_eq!(said.iter().filter(|event| is_closed(event)).count(), 1);
    let mut close = [0; 12];
    client.0.read_exact(&mut close).unwrap();
    assert_eq!(&close, b"\x88\x0a\x03\xe9draining");
    assert_eq!(events.try_recv(), None, "it waits for its client");
    client
        .0
        .write_all(&[0x88, 0x82, 0, 0, 0, 0, 3, 0xe9])
        .unwrap();
    said.push(next(&events));
    let mut shards: Vec<u16> = said
        .iter()
        .filter_map(|event| match event {
            Event::Drained { shard } => Some(*shard),
            _ => None,
        })
        .collect();
    shards.sort_unstable();
    assert_eq!(shards, [0, 1]);
    assert!(drained.join().unwrap());
}

/// The answer to a question of this thread.
#[track_caller]
fn ask(engine: &Running, query: Query) -> Answer {
    let (sender, receiver) = mpsc::sync_channel(1);
    let reply = Box::new(move |answer| sender.send(answer).unwrap());
    engine.handle().query(query, reply).unwrap();
    receiver.recv_timeout(PATIENCE).expect("an answer")
}

/// Every member of a topic.
fn members_of(
    engine: &Running,
    topic: &TopicName,
    limit: usize,
) -> Vec<shardcast_engine::FoundConnection> {
    pages(limit, |after, limit| {
        let after = after.map(|one: &shardcast_engine::FoundConnection| one.address);
        let topic = topic.clone();
        match ask(
            engine,
            Query::Members {
                topic,
                after,
                limit,
            },
        ) {
            Answer::Connections(found) => found,
            other => panic!("{other:?}"),
        }
    })
}

/// Every page, until there are no more.
fn pages<T: Ord + Clone>(
    limit: usize,
    mut page: impl FnMut(Option<&T>, usize) -> Found<T>,
) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    loop {
        let found = page(all.last(), limit);
        assert!(found.items.len() <= limit);
        assert!(!found.more || found.items.len() == limit, "a whole page");
        all.extend(found.items);
        if !found.more {
            assert!(all.is_sorted_by(|one, next| one < next), "nobody twice");
            return all;
        }
    }
}

/// Whatever the length of a page, everybody is on one of them.
#[test]
fn all_shards_are_asked_a_page_at_a_time() {
    const CLIENTS: usize = 40;
    let engine = start();
    let kinds = [EventKind::Joined, EventKind::Opened];
    let events = engine.handle().subscribe(&kinds, 1000).unwrap();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::open(&engine)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.say("everybody");
        client.say(&format!("r{index}"));
    }
    let mut open: Vec<Address> = Vec::new();
    for _ in 0..3 * CLIENTS {
        match next(&events) {
            Event::Opened { connection, .. } => open.push(connection),
            Event::Joined { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    for limit in [1, 7, CLIENTS, CLIENTS + 1, Query::ITEMS_MAX] {
        let found = pages(limit, |after, limit| {
            let after = after.map(|one: &shardcast_engine::FoundConnection| one.address);
            match ask(&engine, Query::Connections { after, limit }) {
                Answer::Connections(found) => found,
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(found.len(), CLIENTS);
        assert!(
            found
                .iter()
                .all(|one| open.contains(&one.address) && one.user.is_none())
        );
        let theirs = clients.iter().map(|client| client.0.local_addr().ok());
        let peers: Vec<_> = found.iter().map(|one| one.peer.address()).collect();
        assert!(theirs.into_iter().all(|address| peers.contains(&address)));
        let members = |topic: TopicName| members_of(&engine, &topic, limit);
        assert_eq!(members(room("everybody")), found);
        assert_eq!(members(room("r7")).len(), 1);
        assert_eq!(members(TopicName::User("everybody".into())), []);
        let found = pages(limit, |after, limit| {
            let after = after.map(|one: &shardcast_engine::FoundTopic| one.topic.clone());
            match ask(&engine, Query::Topics { after, limit }) {
                Answer::Topics(found) => found,
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(found.len(), CLIENTS + 1);
        assert_eq!(
            (&found[0].topic, found[0].members),
            (&room("everybody"), CLIENTS as u32)
        );
        assert!(found[1..].iter().all(|one| one.members == 1));
    }
    for limit in [0, Query::ITEMS_MAX + 1] {
        let refused = engine
            .handle()
            .query(Query::Topics { after: None, limit }, Box::new(drop));
        assert_eq!(refused, Err(QueryError::Limit));
    }
}

/// The home of a topic knows its members by shard and encoding.
#[test]
fn one_topic_is_looked_up_at_its_home() {
    const CLIENTS: usize = 20;
    let engine = start();
    let events = engine
        .handle()
        .subscribe(&[EventKind::Joined], 100)
        .unwrap();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::open(&engine)).collect();
    let mut by_shard = [0, 0];
    for client in &mut clients {
        client.say("r");
        let Event::Joined { member, .. } = next(&events) else {
            panic!("somebody joins");
        };
        by_shard[usize::from(member.shard)] += 1;
    }
    let ask = |topic: TopicName| match ask(&engine, Query::Topic { topic }) {
        Answer::Topic(found) => *found,
        other => panic!("{other:?}"),
    };
    let found = ask(room("r"));
    assert_eq!((found.topic, found.members), (room("r"), CLIENTS as u32));
    let part = |(shard, members): (usize, &u32)| TopicPart {
        shard: shard as u16,
        encoding: EncodingId::FIRST,
        members: *members,
    };
    let parts = by_shard.iter().enumerate().map(part);
    let parts: Vec<TopicPart> = parts.filter(|part| part.members > 0).collect();
    assert_eq!(found.parts, parts);
    for nobody in [room("nobody"), TopicName::User("r".into())] {
        let found = ask(nobody.clone());
        assert_eq!((found.topic, found.members), (nobody, 0));
        assert_eq!(found.parts, []);
    }
}

#[test]
fn every_tick_is_measured() {
    let engine = start();
    let events = engine
        .handle()
        .subscribe(&[EventKind::Joined], 100)
        .unwrap();
    let mut client = Client::open(&engine);
    client.say("r");
    let Event::Joined { member, .. } = next(&events) else {
        panic!("somebody joins");
    };
    // One tick at the start, one for the connect, one for its request, and one for its message.
    let driver = &engine.counters()[usize::from(member.shard)].driver;
    assert!(driver.tick_completions.count() >= 4);
    assert!(driver.tick_completions.sum() >= 3);
    // The one under way is not over.
    assert!(driver.tick_seconds.count() >= 3);
}
