//! Shards that panic, over real sockets, on both drivers: their clients hear it and come back, the
//! others are served on, and who panics again and again ends the engine.

use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Admission, Answer, Application, Config, Content, Context, DriverChoice, EncodingId, Event,
    EventKind, Frame, Listener, Message, Pinning, Publish, Running, Tag, Target, TickPhase, Watch,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// No test takes longer, however slow the host.
const PATIENCE: Duration = Duration::from_secs(60);
const SHARDS: usize = 3;
/// What `held_bytes` does is the shard's own: nothing confines it.
const NONE: usize = usize::MAX;

/// A message is the room to join; `!room` publishes to it, `?` asks for the shard.
struct Rooms {
    shard: usize,
    /// The shard that panics in its next tick.
    panics: Arc<AtomicUsize>,
    /// The shard that stands still in its next tick, until it is another one.
    stands: Arc<AtomicUsize>,
}

impl Application for Rooms {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        let said = std::str::from_utf8(message.bytes()).unwrap();
        match said.split_at_checked(1) {
            Some(("?", _)) => cx.send(Kind::Text, format!("shard {}", self.shard).as_bytes()),
            Some(("!", room)) => {
                let frame = Frame::new(Kind::Text, b"published");
                let publish = Publish::new(Content::frame(EncodingId::FIRST, frame));
                cx.publish(Target::Room(room), publish).unwrap();
            }
            Some(_) | None => cx.join(said, Tag(0)).unwrap(),
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, _: &mut (), _: Tag, answer: Answer) {
        if let Answer::Joined { members, .. } = answer {
            cx.send(Kind::Text, format!("joined, {members}").as_bytes());
        }
    }

    fn held_bytes(&self) -> u64 {
        let panics = &self.panics;
        if panics
            .compare_exchange(self.shard, NONE, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
        {
            panic!("as the test wished");
        }
        while self.stands.load(Ordering::SeqCst) == self.shard {
            std::thread::sleep(Duration::from_millis(2));
        }
        0
    }
}

struct Engine {
    running: Running,
    panics: Arc<AtomicUsize>,
    stands: Arc<AtomicUsize>,
}

impl Engine {
    fn start(driver: DriverChoice) -> Engine {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config {
            listeners: vec![Listener::plain(any)],
            shards: SHARDS,
            pinning: Pinning::None,
            connections_max: 1000,
            driver,
            ..Config::default()
        };
        let panics = Arc::new(AtomicUsize::new(NONE));
        let stands = Arc::new(AtomicUsize::new(NONE));
        let (for_panics, for_stands) = (panics.clone(), stands.clone());
        let make = move |shard| Rooms {
            shard: usize::from(shard),
            panics: for_panics.clone(),
            stands: for_stands.clone(),
        };
        let running = shardcast_engine::start(config, make).unwrap();
        Engine {
            running,
            panics,
            stands,
        }
    }

    /// The shard panics, and is back.
    fn fail(&self, shard: usize) {
        let restarts = || self.running.counters()[shard].restarts.get();
        let before = restarts();
        self.panics.store(shard, Ordering::SeqCst);
        self.stir();
        wait_until(|| restarts() > before);
    }

    /// Every shard ticks: something is subscribed to.
    fn stir(&self) {
        drop(self.running.handle().subscribe(&[EventKind::Drained], 1));
    }
}

fn wait_until(done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "it never came to that");
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct Client {
    stream: TcpStream,
    shard: usize,
}

impl Client {
    fn open(engine: &Engine) -> Client {
        let address = engine.running.local_addr().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
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
        let mut client = Client { stream, shard: 0 };
        client.say("?");
        let told = client.text();
        client.shard = told.strip_prefix("shard ").unwrap().parse().unwrap();
        client
    }

    /// One on each shard; the kernel chooses, so there are others, who are gone again.
    fn one_on_each(engine: &Engine) -> Vec<Client> {
        let mut clients: Vec<Client> = Vec::new();
        let until = Instant::now() + PATIENCE;
        while clients.len() < SHARDS {
            assert!(Instant::now() < until, "one shard gets no client");
            let client = Client::open(engine);
            if clients.iter().all(|other| other.shard != client.shard) {
                clients.push(client);
            }
        }
        clients.sort_by_key(|client| client.shard);
        clients
    }

    fn say(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.stream.write_all(&frame).unwrap();
    }

    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(head[1])];
        self.stream.read_exact(&mut payload).unwrap();
        (head[0] & 15, payload)
    }

    #[track_caller]
    fn text(&mut self) -> String {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 1, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// The close code, behind which the socket ends.
    #[track_caller]
    fn closed(mut self) -> u16 {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 8, "{payload:?}");
        match self.stream.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}"),
        }
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

/// A room of each shard: found by who is told to return as that one restarts.
fn check(driver: DriverChoice) {
    let engine = Engine::start(driver);
    let events = engine.running.handle();
    let events = events.subscribe(&[EventKind::Opened], 1_000).unwrap();
    for failing in 0..SHARDS {
        let mut clients = Client::one_on_each(&engine);
        for client in &mut clients {
            let room = format!("of {}", client.shard);
            client.say(&room);
            assert_eq!(client.text(), "joined, 1");
        }
        engine.fail(failing);
        for mut client in clients {
            if client.shard == failing {
                assert_eq!(client.closed(), 1011);
                continue;
            }
            // It is served on, unless its room was ordered there.
            client.say("?");
            match client.frame() {
                (1, text) => assert_eq!(text, format!("shard {}", client.shard).as_bytes()),
                (8, payload) => assert_eq!(payload[..2], 1012_u16.to_be_bytes()),
                other => panic!("{other:?}"),
            }
        }
        // The shard is there again, with the same address, and every room works from everywhere.
        let mut clients = Client::one_on_each(&engine);
        for room in 0..8 {
            let room = format!("room {room}");
            for (number, client) in clients.iter_mut().enumerate() {
                client.say(&room);
                assert_eq!(client.text(), format!("joined, {}", number + 1));
            }
            clients[failing].say(&format!("!{room}"));
            for client in &mut clients {
                assert_eq!(client.text(), "published");
            }
        }
    }
    let restarts = engine.running.counters().iter();
    let restarts = restarts.map(|counters| counters.restarts.get());
    assert_eq!(restarts.sum::<u64>(), SHARDS as u64);
    // Whoever subscribed hears of all shards, as before.
    while events.try_recv().is_some() {}
    let client = Client::open(&engine);
    let opened = events.recv_within(PATIENCE);
    let Some(Event::Opened { connection, .. }) = opened else {
        panic!("{opened:?}");
    };
    assert_eq!(usize::from(connection.shard), client.shard);
    assert!(engine.running.is_alive());
    assert!(engine.running.drain(PATIENCE), "it drains as ever");
}

#[test]
fn a_shard_that_panics_is_back_and_the_others_never_left() {
    check(DriverChoice::Uring);
}

#[test]
fn so_it_is_on_epoll() {
    check(DriverChoice::Portable);
}

/// Five restarts in a minute, and no sixth.
#[test]
fn who_panics_again_and_again_ends_the_engine() {
    let engine = Engine::start(DriverChoice::Auto);
    for failing in 0..5 {
        engine.fail(failing % SHARDS);
        assert!(engine.running.is_alive());
    }
    engine.panics.store(0, Ordering::SeqCst);
    engine.stir();
    wait_until(|| !engine.running.is_alive());
}

#[test]
fn a_shard_that_stands_still_is_named_with_what_it_does() {
    let engine = Engine::start(DriverChoice::Auto);
    let mut watch = Watch::new(&engine.running);
    engine.stands.store(1, Ordering::SeqCst);
    engine.stir();
    let until = Instant::now() + PATIENCE;
    let stuck = loop {
        assert!(Instant::now() < until, "nobody is found to be stuck");
        if let Some(stuck) = watch.look().pop() {
            break stuck;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!((stuck.shard, stuck.doing), (1, TickPhase::Weighing));
    let counters = engine.running.counters();
    assert!(counters[1].stuck_ms.get() >= Watch::STUCK_AFTER.as_millis() as u64);
    engine.stands.store(NONE, Ordering::SeqCst);
    wait_until(|| counters[1].activity.phase() == TickPhase::Waiting);
    assert!(watch.look().is_empty());
    assert_eq!(counters[1].stuck_ms.get(), 0);
}
