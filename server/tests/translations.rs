//! A message is said once in each dialect that is present besides its own, however many members hear it: on simulated shards, by counting.

use shardcast::{App, Service, Session};
use shardcast_engine::driver::sim::{Faults, Line, Random, Read, SimDriver, SocketId, World};
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::protocol::frame::{Header, OpCode};
use shardcast_engine::protocol::http;
use shardcast_engine::shard::{ProcessCounts, Setup, Shard, TokenKey};
use shardcast_engine::{
    Admission, Answer, Application, CloseReason, Config, Context, Form, Frame, Message,
    ShardCounters, Tag,
};
use shardcast_protocol::dialect::Dialect;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tokio::runtime::Builder;

const SHARDS: usize = 2;
/// Of each dialect.
const MEMBERS: usize = 6;

thread_local! {
    /// Of all shards: they tick on one thread.
    static TRANSLATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The service, with its translations counted.
struct Counted(Service);

impl Application for Counted {
    type Session = Session;

    fn connect(&mut self, cx: &mut Context<'_>, request: &http::Request<'_>) -> Admission<Session> {
        self.0.connect(cx, request)
    }

    fn opened(&mut self, cx: &mut Context<'_>, session: &mut Session) {
        self.0.opened(cx, session);
    }

    fn message(&mut self, cx: &mut Context<'_>, session: &mut Session, message: Message<'_>) {
        self.0.message(cx, session, message);
    }

    fn answered(&mut self, cx: &mut Context<'_>, session: &mut Session, tag: Tag, answer: Answer) {
        self.0.answered(cx, session, tag, answer);
    }

    fn closed(&mut self, cx: &mut Context<'_>, session: Session, reason: CloseReason) {
        self.0.closed(cx, session, reason);
    }

    fn translate(from: Form, to: Form, message: Message<'_>) -> Option<Frame> {
        assert_ne!(from, to);
        TRANSLATIONS.set(TRANSLATIONS.get() + 1);
        Service::translate(from, to, message)
    }
}

struct Cluster {
    world: Rc<RefCell<World>>,
    shards: Vec<Shard<Counted, SimDriver>>,
    clients: Vec<SocketId>,
}

impl Cluster {
    fn new() -> Cluster {
        let world = World::new(SHARDS, Faults::none(), Random::new(7), false);
        let config = Config {
            shards: SHARDS,
            ..Config::default()
        };
        let admission = ProcessCounts::new(config.connections_max);
        // No handler runs in the background.
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let app = App::new().shards(&config, runtime.handle().clone());
        let mailboxes = lane::mesh(SHARDS, LaneCapacity::for_shards(SHARDS), 7);
        let shard = |(index, mailbox)| {
            let setup = Setup {
                config: &config,
                mailbox,
                token_key: Some(TokenKey::fixed()),
                admission: admission.clone(),
                counters: Arc::<ShardCounters>::default(),
            };
            let service = Counted(app.shard(index as u16));
            Shard::new(setup, service, World::driver(&world, index))
        };
        let shards = mailboxes.into_iter().enumerate().map(shard).collect();
        Cluster {
            world,
            shards,
            clients: Vec::new(),
        }
    }

    /// Members of the room, alternately on the shards.
    fn join(&mut self, dialect: Dialect) {
        for member in 0..MEMBERS {
            let socket = self
                .world
                .borrow_mut()
                .connect(member % SHARDS, 0, Line::Perfect);
            let socket = socket.expect("the shard accepts");
            self.clients.push(socket);
            let request = format!(
                "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Protocol: {}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\n",
                dialect.subprotocol()
            );
            self.write(socket, request.as_bytes());
            self.say(socket, dialect, "join_room");
        }
        self.run();
    }

    fn write(&self, socket: SocketId, bytes: &[u8]) {
        let written = self.world.borrow_mut().write(socket, bytes);
        assert_eq!(written, Some(bytes.len()));
    }

    /// A request about the room.
    fn say(&self, socket: SocketId, dialect: Dialect, kind: &str) {
        let native = serde_json::json!({ "type": kind, "id": 1, "room": "a", "data": "said" });
        let (opcode, payload) = match dialect {
            Dialect::NativeJson => (OpCode::Text, native.to_string().into_bytes()),
            Dialect::MessagePack => (OpCode::Binary, rmp_serde::to_vec_named(&native).unwrap()),
            Dialect::JsonRpc => {
                let params = serde_json::json!({ "room": "a", "data": "said" });
                let request = serde_json::json!(
                    { "jsonrpc": "2.0", "id": 1, "method": kind, "params": params });
                (OpCode::Text, request.to_string().into_bytes())
            }
        };
        let header = Header::client(opcode, payload.len(), [0; 4]);
        self.write(socket, &[header.as_bytes(), &payload].concat());
    }

    /// Ticks until nobody has anything to do; how many clients have heard what was said.
    fn run(&mut self) -> usize {
        loop {
            let runnable = |shard: &usize| self.world.borrow().is_runnable(*shard);
            let runnable: Vec<usize> = (0..SHARDS).filter(runnable).collect();
            if runnable.is_empty() {
                break;
            }
            runnable
                .into_iter()
                .for_each(|shard| self.shards[shard].tick());
        }
        let mut world = self.world.borrow_mut();
        let hears = |client: &SocketId| {
            let mut inbox = Vec::new();
            while let Read::Bytes(bytes) = world.read(*client, usize::MAX) {
                inbox.extend(bytes);
            }
            inbox.windows(4).any(|bytes| bytes == b"said")
        };
        self.clients.iter().copied().filter(hears).count()
    }

    /// One of the room's members publishes: all hear it, and it is translated so often.
    #[track_caller]
    fn check(&mut self, member: usize, dialect: Dialect, members: usize, translations: usize) {
        let before = TRANSLATIONS.get();
        self.say(self.clients[member], dialect, "publish");
        assert_eq!(self.run(), members);
        assert_eq!(TRANSLATIONS.get() - before, translations, "{dialect:?}");
    }
}

#[test]
fn a_publish_is_said_once_in_each_dialect_that_is_present() {
    let mut cluster = Cluster::new();
    cluster.join(Dialect::NativeJson);
    cluster.check(0, Dialect::NativeJson, MEMBERS, 0);
    cluster.join(Dialect::JsonRpc);
    cluster.check(1, Dialect::NativeJson, 2 * MEMBERS, 1);
    cluster.join(Dialect::MessagePack);
    for (place, dialect) in Dialect::ALL.into_iter().enumerate() {
        // On either shard, so that either is and is not the home.
        cluster.check(place * MEMBERS, dialect, 3 * MEMBERS, 2);
        cluster.check(place * MEMBERS + 1, dialect, 3 * MEMBERS, 2);
    }
}
