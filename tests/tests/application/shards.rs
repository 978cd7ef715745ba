//! A shard that panics, with all that the server has on top of it: over TLS, with rooms that keep
//! what was said in order and members that are sent what passes their filters. Everybody is told,
//! comes back, and hears from then on what it should, or that something was lost.

use crate::wait;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};
use shardcast::namespace::{History, Namespace, Namespaces};
use shardcast::{App, Handle};
use shardcast_engine::{Identity, Listener, Tls, TlsOptions};
use shardcast_tests::{Certificates, Fate, PATIENCE, SERVERS, Server, config, secure, shard_of};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

const SHARDS: usize = 2;
const ROOM: &str = "log:a";

/// A client of the Centrifuge protocol over TLS.
struct Member {
    socket: WebSocket<StreamOwned<ClientConnection, TcpStream>>,
    shard: usize,
}

/// What a member knows of its room.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    epoch: String,
    offset: u64,
}

impl Member {
    #[track_caller]
    fn connect(server: &Server, trust: &Arc<ClientConfig>) -> Member {
        let stream = TcpStream::connect(server.address()).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let request = format!("wss://{}/connection/websocket", SERVERS[0]);
        let request = request.into_client_request().expect("a URL");
        let stream = secure(trust, stream);
        let (socket, _) = tungstenite::client(request, stream).expect("an upgrade");
        let mut member = Member { socket, shard: 0 };
        let reply = member.ask(&json!({"id": 1, "connect": {}}));
        member.shard = shard_of(reply["connect"]["client"].as_str().expect("an id"));
        member
    }

    /// One on each shard; the kernel chooses, so there are others, who are gone again.
    #[track_caller]
    fn one_on_each(server: &Server, trust: &Arc<ClientConfig>) -> [Member; SHARDS] {
        let mut members: Vec<Member> = Vec::new();
        shardcast_tests::wait_until("a member on each shard", || {
            let member = Member::connect(server, trust);
            if members.iter().all(|other| other.shard != member.shard) {
                members.push(member);
            }
            members.len() == SHARDS
        });
        members.sort_by_key(|member| member.shard);
        members.try_into().ok().expect("one on each")
    }

    #[track_caller]
    fn ask(&mut self, command: &Value) -> Value {
        let text = Message::text(command.to_string());
        self.socket.send(text).expect("the server reads");
        self.hear()
    }

    /// The next message that is no ping.
    #[track_caller]
    fn hear(&mut self) -> Value {
        match self.socket.read().expect("the server speaks") {
            Message::Text(text) => serde_json::from_str(text.as_str()).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    /// Subscribes to what has the tag `event` of `a`, and to what it has missed since a place.
    #[track_caller]
    fn subscribe(&mut self, since: Option<&Place>) -> (Place, Value) {
        let filter = json!({"key": "event", "cmp": "eq", "val": "a"});
        let mut wish = json!({"channel": ROOM, "tf": filter, "recoverable": true});
        if let Some(Place { epoch, offset }) = since {
            wish["recover"] = true.into();
            wish["epoch"] = epoch.as_str().into();
            wish["offset"] = (*offset).into();
        }
        let reply = self.ask(&json!({"id": 2, "subscribe": wish}))["subscribe"].clone();
        let place = Place {
            epoch: reply["epoch"].as_str().expect("an epoch").to_owned(),
            offset: reply["offset"].as_u64().unwrap_or(0),
        };
        (place, reply)
    }

    /// The offset of the next publication of the room.
    #[track_caller]
    fn offset(&mut self) -> u64 {
        let heard = self.hear();
        assert_eq!(heard["push"]["channel"], ROOM, "{heard}");
        heard["push"]["pub"]["offset"].as_u64().expect("an offset")
    }

    /// The code that it was told to go with; `None`: it hears on.
    #[track_caller]
    fn code(&mut self) -> Option<u16> {
        let ping = Message::text(json!({"id": 9, "history": {"channel": ROOM}}).to_string());
        // A socket that was closed takes it or not.
        let _sent = self.socket.send(ping);
        match self.socket.read().expect("an answer, or a close frame") {
            Message::Close(close) => Some(close.expect("a code").code.into()),
            Message::Text(_) => None,
            other => panic!("{other:?}"),
        }
    }
}

/// Says `b`, which nobody wants, and then `a`.
fn publish(handle: &Handle) {
    for event in ["b", "a"] {
        wait(handle.to(ROOM).emit(event, &1)).expect("it is published");
    }
}

fn start(certificates: &Certificates) -> (Server, Handle, Arc<Fate>) {
    let read = |end: &str| {
        let file = certificates.file(&format!("{}.{end}", SERVERS[0]));
        std::fs::read(file).expect("a file")
    };
    let identity = Identity::from_pem(&read("pem"), &read("key")).expect("a pair");
    let tls = Tls::new(TlsOptions::new(identity)).expect("an identity");
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = config(SHARDS);
    config.listeners = vec![Listener::secure(address, tls)];
    let keeping = Namespace {
        history: Some(History::default()),
        ..Namespace::default()
    };
    let namespaces = Namespaces::new(Namespace::default(), [("log", keeping)]).expect("one");
    Server::fragile(App::new().namespaces(namespaces), config)
}

#[test]
fn a_shard_that_panics_comes_back_with_tls_filters_and_histories() {
    let certificates = Certificates::make();
    let trust = certificates.client();
    let (server, handle, fate) = start(&certificates);
    let mut lost = 0;
    for failing in 0..SHARDS {
        let mut members = Member::one_on_each(&server, &trust);
        let [first, second] = &mut members;
        let (before, _) = first.subscribe(None);
        second.subscribe(None);
        publish(&handle);
        // The one that did not pass has a place, too.
        let said = before.offset + 2;
        let heard = members.each_mut().map(Member::offset);
        assert_eq!(heard, [said; SHARDS]);
        fate.panic(failing);
        server.handle().wake_all();
        server.wait_until("a restart", |server| {
            server.sum(|shard| &shard.restarts) == failing as u64 + 1
        });
        let codes = members.each_mut().map(Member::code);
        // Of those elsewhere only who was in a room that the shard gave its order is told to go.
        assert_eq!(codes[failing], Some(3004), "{codes:?}");
        let other = codes[1 - failing];
        assert!(other.is_none_or(|code| code == 3001), "{codes:?}");
        let last = Place {
            offset: said,
            ..before.clone()
        };
        let mut members = Member::one_on_each(&server, &trust);
        let places = members.each_mut().map(|member| {
            let (place, reply) = member.subscribe(Some(&last));
            // Who may have missed something is told so, whatever it passes.
            let is_lost = place.epoch != last.epoch;
            assert_eq!(reply["recovered"] == true, !is_lost, "{reply}");
            assert_eq!(is_lost, other.is_some(), "{reply}");
            place
        });
        assert_eq!(places[0], places[1]);
        lost += u32::from(places[0].epoch != before.epoch);
        publish(&handle);
        let heard = members.each_mut().map(Member::offset);
        assert_eq!(heard, [places[0].offset + 2; SHARDS]);
    }
    // Each shard has failed once, and one of them had the room.
    assert_eq!(lost, 1);
}
