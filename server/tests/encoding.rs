//! A publication is encoded once in each dialect that is present, in its own where it is published
//! and in the others at the home, however many members hear it, and however large it is: on
//! simulated shards, by counting.

use shardcast::{App, Service, Session};
use shardcast_engine::driver::sim::{
    Faults, Line, Random, Read, SimDriver, SocketId, Trace, World,
};
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::protocol::frame::{Header, OpCode};
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::shard::{ProcessCounts, Setup, Shard, TokenKey};
use shardcast_engine::{
    Admission, Answer, Application, CloseReason, Config, Context, EncodingId, Frame, Message,
    Position, Publication, ShardCounters, Tag,
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
    /// At homes, of all shards: they tick on one thread.
    static ENCODED: Cell<usize> = const { Cell::new(0) };
}

/// The service, counting what homes have encoded.
struct Counted(Service);

impl Application for Counted {
    type Session = Session;

    fn connect(&mut self, cx: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<Session> {
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

    fn encode(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        ENCODED.set(ENCODED.get() + 1);
        Service::encode(encoding, publication, position)
    }
}

struct Cluster {
    world: Rc<RefCell<World>>,
    shards: Vec<Shard<Counted, SimDriver>>,
    clients: Vec<SocketId>,
}

impl Cluster {
    fn new() -> Cluster {
        let world = World::new(SHARDS, Faults::none(), Random::new(7), Trace::Silent);
        let mut config = Config {
            shards: SHARDS,
            ..Config::default()
        };
        let admission = ProcessCounts::new(config.connections_max);
        // No handler runs in the background.
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let app = App::new().shards(&mut config, runtime.handle().clone());
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
            self.say(socket, dialect, "join_room", "");
        }
        self.run();
    }

    fn write(&self, socket: SocketId, bytes: &[u8]) {
        let written = self.world.borrow_mut().write(socket, bytes);
        assert_eq!(written, Some(bytes.len()));
    }

    /// A request about the room.
    fn say(&self, socket: SocketId, dialect: Dialect, kind: &str, data: &str) {
        let native = serde_json::json!({ "type": kind, "id": 1, "room": "a", "data": data });
        let (opcode, payload) = match dialect {
            Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                unreachable!("it speaks another")
            }
            Dialect::NativeJson => (OpCode::Text, native.to_string().into_bytes()),
            Dialect::MessagePack => (OpCode::Binary, rmp_serde::to_vec_named(&native).unwrap()),
            Dialect::JsonRpc => {
                let params = serde_json::json!({ "room": "a", "data": data });
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

    /// One of the room's members publishes: all hear it, and its home has it encoded so often.
    #[track_caller]
    fn check(
        &mut self,
        member: usize,
        dialect: Dialect,
        data: &str,
        members: usize,
        encoded: usize,
    ) {
        let before = ENCODED.get();
        self.say(self.clients[member], dialect, "publish", data);
        assert_eq!(self.run(), members);
        assert_eq!(ENCODED.get() - before, encoded, "{dialect:?}");
    }
}

#[test]
fn a_publication_is_encoded_once_in_each_dialect_that_is_present() {
    let mut cluster = Cluster::new();
    cluster.join(Dialect::NativeJson);
    cluster.check(0, Dialect::NativeJson, "said", MEMBERS, 0);
    cluster.join(Dialect::JsonRpc);
    cluster.check(1, Dialect::NativeJson, "said", 2 * MEMBERS, 1);
    cluster.join(Dialect::MessagePack);
    for (place, dialect) in Dialect::OWN.into_iter().enumerate() {
        // On either shard, so that either is and is not the home.
        cluster.check(place * MEMBERS, dialect, "said", 3 * MEMBERS, 2);
        cluster.check(place * MEMBERS + 1, dialect, "said", 3 * MEMBERS, 2);
    }
}

/// What might be too large in a dialect is encoded where it is published, to see whether it is, and
/// not again.
#[test]
fn what_was_encoded_to_be_judged_is_not_encoded_again() {
    let mut cluster = Cluster::new();
    for dialect in Dialect::OWN {
        cluster.join(dialect);
    }
    let large = format!("said {}", "x".repeat(30_000));
    for (place, dialect) in Dialect::OWN.into_iter().enumerate() {
        // JSON may be three times as long in MessagePack, and that nine times as long in either of
        // the others: beyond 64 KiB.
        let at_home = match dialect {
            Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                unreachable!("it speaks another")
            }
            Dialect::NativeJson | Dialect::JsonRpc => 1,
            Dialect::MessagePack => 0,
        };
        cluster.check(place * MEMBERS, dialect, &large, 3 * MEMBERS, at_home);
        cluster.check(place * MEMBERS + 1, dialect, &large, 3 * MEMBERS, at_home);
    }
}
