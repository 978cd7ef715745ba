//! Two simulated shards that speak the native dialect, and their clients.

use shardcast::{App, Service};
use shardcast_engine::driver::sim::{
    Faults, Line, Random, Read, SimDriver, SocketId, Trace, World,
};
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::protocol::frame::{Header, OpCode};
use shardcast_engine::protocol::reader::{self, FrameEvent, ReadLimits, Role, Step};
use shardcast_engine::shard::{ProcessCounts, Setup, Shard, TokenKey};
use shardcast_engine::{Config, Listener, ShardCounters};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;

/// Two shards and their clients. Rooms live on either shard, as their names' hashes say.
pub(crate) struct Cluster {
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) shards: Vec<Shard<Service, SimDriver>>,
    pub(crate) clients: Vec<Client>,
}

pub(crate) struct Client {
    socket: SocketId,
    /// Bytes that came and were not read yet.
    inbox: Vec<u8>,
    /// Its id, once it was welcomed.
    pub(crate) id: String,
}

const SHARDS: usize = 2;
pub(crate) const MESSAGE_BYTES_MAX: usize = 200;
const ROOMS_MAX: usize = 3;
pub(crate) const RECONNECT_WINDOW_MS: u64 = 500;

fn config() -> Config {
    Config {
        shards: SHARDS,
        connections_max: 16,
        listeners: vec![Listener {
            message_bytes_max: MESSAGE_BYTES_MAX,
            ..Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))
        }],
        rooms_per_connection_max: ROOMS_MAX,
        room_name_bytes_max: 8,
        ..Config::default()
    }
}

impl Cluster {
    /// Without clients.
    pub(crate) fn new() -> Cluster {
        let world = World::new(SHARDS, Faults::none(), Random::new(7), Trace::Silent);
        let mut config = config();
        let admission = ProcessCounts::new(config.connections_max);
        let mailboxes = lane::mesh(SHARDS, LaneCapacity::for_shards(SHARDS), 7);
        let app = App::new()
            .server("shardcast/test")
            .reconnect_window(Duration::from_millis(RECONNECT_WINDOW_MS));
        // No handler of these tests runs in the background.
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let app = app.shards(&mut config, runtime.handle().clone());
        let shard = |(index, mailbox)| {
            let setup = Setup {
                config: &config,
                mailbox,
                token_key: Some(TokenKey::fixed()),
                admission: admission.clone(),
                counters: Arc::<ShardCounters>::default(),
            };
            Shard::new(setup, app.shard(index as u16), World::driver(&world, index))
        };
        let shards = mailboxes.into_iter().enumerate().map(shard).collect();
        Cluster {
            world,
            shards,
            clients: Vec::new(),
        }
    }

    /// With clients 0 and 2 on the first shard, 1 and 3 on the second, all welcomed.
    pub(crate) fn of_four() -> Cluster {
        let mut cluster = Cluster::new();
        for client in 0..4 {
            assert!(
                cluster
                    .connect(client % SHARDS, "/ws", "")
                    .starts_with("HTTP/1.1 101 ")
            );
            let welcome = cluster.heard(client).remove(0);
            let id = welcome
                .strip_prefix(r#"{"type":"welcome","connection":""#)
                .expect(&welcome);
            let (id, rest) = id.split_once('"').unwrap();
            assert!(id.starts_with(&format!("{}-", client % SHARDS)), "{id}");
            assert_eq!(
                rest,
                r#","server":"shardcast/test","heartbeat_ms":25000,"max_message_bytes":200}"#
            );
            cluster.clients[client].id = id.to_owned();
        }
        cluster
    }

    /// Connects one more client; the answer's head.
    pub(crate) fn connect(&mut self, shard: usize, path: &str, headers: &str) -> String {
        let socket = self
            .world
            .borrow_mut()
            .connect(shard, 0, Line::Perfect)
            .expect("the shard accepts");
        self.clients.push(Client {
            socket,
            inbox: Vec::new(),
            id: String::new(),
        });
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.write(self.clients.len() - 1, request.as_bytes());
        self.run();
        let inbox = &mut self.clients.last_mut().unwrap().inbox;
        let head_bytes = inbox
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .expect("a whole head")
            + 4;
        String::from_utf8(inbox.drain(..head_bytes).collect()).unwrap()
    }

    fn write(&mut self, client: usize, bytes: &[u8]) {
        let written = self
            .world
            .borrow_mut()
            .write(self.clients[client].socket, bytes);
        assert_eq!(written, Some(bytes.len()));
    }

    pub(crate) fn say(&mut self, client: usize, opcode: OpCode, payload: &str) {
        // A mask of zeros leaves the payload as it is.
        let header = Header::client(opcode, payload.len(), [0; 4]);
        self.write(client, &[header.as_bytes(), payload.as_bytes()].concat());
    }

    /// Ticks until nobody has anything to do, and collects what the clients were sent.
    pub(crate) fn run(&mut self) {
        loop {
            let runnable: Vec<usize> = (0..SHARDS)
                .filter(|shard| self.world.borrow().is_runnable(*shard))
                .collect();
            if runnable.is_empty() && !self.pass_retry() {
                break;
            }
            for shard in runnable {
                self.shards[shard].tick();
            }
        }
        for client in &mut self.clients {
            while let Read::Bytes(bytes) = self.world.borrow_mut().read(client.socket, usize::MAX) {
                client.inbox.extend(bytes);
            }
        }
    }

    /// A shard that could not post looks again after a millisecond: lets that pass. False when none
    /// waits for it.
    fn pass_retry(&mut self) -> bool {
        let mut world = self.world.borrow_mut();
        let soon = world.now() + 1;
        let next = (0..SHARDS)
            .filter_map(|shard| world.sleeps_until(shard))
            .min();
        let retries = next.is_some_and(|at| at <= soon);
        if retries {
            world.advance_to(soon);
        }
        retries
    }

    /// Takes what a client was sent: texts as they are, a close as `close CODE`.
    pub(crate) fn heard(&mut self, client: usize) -> Vec<String> {
        let limits = ReadLimits {
            message_bytes_max: 1 << 20,
        };
        let inbox = &mut self.clients[client].inbox;
        let mut heard = Vec::new();
        while !inbox.is_empty() {
            let step = reader::next(inbox, &mut None, Role::Client, &limits)
                .expect("the server keeps the protocol");
            let Step::Event { event, used } = step else {
                panic!("half a frame")
            };
            match event {
                FrameEvent::Text(text) => heard.push(text.to_owned()),
                FrameEvent::Close(close) => {
                    heard.push(format!("close {}", close.code.map_or(0, |code| code.get())))
                }
                other => panic!("{other:?}"),
            }
            inbox.drain(..used);
        }
        heard
    }

    /// One client says something; every client hears just what is listed for it, in that order.
    /// `{n}` stands for client n's id.
    pub(crate) fn check(&mut self, client: usize, request: &str, expected: &[(usize, &str)]) {
        self.say(client, OpCode::Text, request);
        self.run();
        self.check_heard(request, expected);
    }

    /// One client's request is refused, under its `id` if it begins with `"id":1`.
    pub(crate) fn check_refused(
        &mut self,
        client: usize,
        request: &str,
        code: &str,
        message: &str,
    ) {
        let id = if request.starts_with(r#"{"id":1"#) {
            r#""id":1,"#
        } else {
            ""
        };
        let error = format!(
            r#"{{"type":"error",{id}"code":"{code}","message":"{message}","retryable":false}}"#
        );
        self.check(client, request, &[(client, &error)]);
    }

    pub(crate) fn check_heard(&mut self, cause: &str, expected: &[(usize, &str)]) {
        let ids: Vec<String> = self
            .clients
            .iter()
            .map(|client| client.id.clone())
            .collect();
        let named = |text: &str| {
            ids.iter()
                .enumerate()
                .fold(text.to_owned(), |text, (client, id)| {
                    text.replace(&format!("{{{client}}}"), id)
                })
        };
        for client in 0..self.clients.len() {
            let expected: Vec<String> = expected
                .iter()
                .filter(|(hearer, _)| *hearer == client)
                .map(|(_, text)| named(text))
                .collect();
            assert_eq!(
                self.heard(client),
                expected,
                "client {client} after {cause}"
            );
        }
    }
}
