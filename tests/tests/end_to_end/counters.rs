//! Every counter against what was done: a row does a known set of things, and then all counters of
//! the server are compared, those that must not have moved included.

use miniz_oxide::deflate::compress_to_vec;
use shardcast::{App, Context, Failure};
use shardcast_engine::{Compression, Config, DriverChoice};
use shardcast_tests::{
    CLOSE, CONTINUE, FIN, PATIENCE, PING, Server, TEXT, config, driver, frame, header, upgrade,
    upgrade_with,
};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// One row: a server, what happens to it, and every counter that is not 0 afterwards.
struct Row {
    name: &'static str,
    server: fn() -> Server,
    run: fn(&Scene),
    counts: &'static [(&'static str, u64)],
}

/// A server, and what its clients said and heard of it.
struct Scene {
    server: Server,
    said: Cell<u64>,
    heard: Cell<u64>,
    /// Counts that only the row can know.
    counts: Cell<Vec<(&'static str, u64)>>,
}

/// A client over plain TCP that counts its bytes.
struct Peer<'a> {
    scene: &'a Scene,
    stream: TcpStream,
    heard: Vec<u8>,
}

/// What depends on how completions fall into ticks. `sends` is bounded by what there was to send.
/// `held_bytes` is told in steps.
const BY_CHANCE: &[&str] = &[
    "enters",
    "completions",
    "sends",
    "rings",
    "rotated",
    "held_bytes",
];

/// Families of ends by code and status, which each row would have to name besides: they are
/// compared in `admin/metrics.rs`, and in the engine's own tests.
const OF_ENDS: &[&str] = &["closes[", "peer_closes[", "http_refusals["];

/// Every other counter of a server.
fn counted(server: &Server) -> BTreeMap<String, u64> {
    let mut readings = server.readings();
    readings.retain(|name, _| !OF_ENDS.iter().any(|family| name.starts_with(family)));
    readings
}

/// Counters that no row moves, and where they are tested.
const ELSEWHERE: &[(&str, &str)] = &[
    ("closed_slow", "slow.rs"),
    ("windows_bytes", "conformance/deflate.rs"),
    ("sends_short", "slow.rs"),
    ("outboxes", "slow.rs"),
    ("outbox_bytes", "slow.rs"),
    ("closed_deadline[progress]", "deadlines.rs"),
    ("closed_deadline[admission]", "application/admission.rs"),
    ("refused_waiting", "application/admission.rs"),
    ("admissions_deferred", "application/admission.rs"),
    ("admissions_waiting", "application/admission.rs"),
    (
        "dropped_closing",
        "refusals of a full outbox, in the simulation",
    ),
    ("dropped_untranslatable", "encodings.rs"),
    ("tls_handshakes", "server/tests/tls"),
    ("tls_resumed", "server/tests/tls"),
    ("tls_handshakes_failed", "server/tests/tls"),
    ("users", "application/users.rs"),
    ("users_home", "application/users.rs"),
    ("parked", "the shard's own tests"),
    ("asks_refused", "the shard's own tests"),
    (
        "receive_starved",
        "the simulation cannot; pressure.rs meets it by chance",
    ),
    ("completion_overflows", "none in a small server"),
    ("lane_depth", "messages under way, of which none is left"),
    ("rings_refused", "server/tests/host.rs"),
    ("publishes_repeated", "application/history.rs"),
    ("filtered", "clients/centrifuge/filters.rs"),
    ("map_keys_expired", "the shard's own tests"),
    ("map_refused", "the shard's own tests"),
    ("logs", "the simulation"),
    ("log_bytes", "lagging.rs"),
    ("cursors", "lagging.rs"),
    ("recoveries", "application/recovery.rs"),
    ("recoveries_lost[epoch_changed]", "application/recovery.rs"),
    (
        "recoveries_lost[trimmed_by_size]",
        "application/recovery.rs",
    ),
    ("recoveries_lost[trimmed_by_age]", "application/recovery.rs"),
    (
        "recoveries_lost[limit]",
        "takes 262,144 cursors of one shard",
    ),
    ("caught_up", "lagging.rs"),
    ("missed[dropped]", "lagging.rs"),
    ("missed[conflated]", "lagging.rs"),
    ("missed[trimmed_by_size]", "lagging.rs"),
    ("missed[trimmed_by_age]", "the log's own tests"),
    ("missed[unacknowledged]", "application/acks.rs"),
    ("acknowledged", "application/acks.rs"),
    ("redelivered", "application/acks.rs"),
    ("offline_queued", "application/offline.rs"),
    ("offline_refused", "application/offline.rs"),
    ("store_behind", "the journal's own tests"),
    ("closed_memory", "memory.rs"),
    ("refused_memory", "the shard's own tests"),
    ("publishes_refused", "the shard's own tests"),
    ("fell_behind", "lagging.rs"),
    ("presences", "application/presence.rs"),
    ("presence_events", "application/presence.rs"),
    ("rotated", "the driver's own tests"),
    ("arrivals_refused", "access/addresses.rs"),
    ("proxies_refused", "access/introduced.rs"),
    ("closed_replaced", "application/same_user.rs"),
    ("closed_too_many", "application/same_user.rs"),
    ("drained", "the end of a drain, which takes the server"),
    ("restarts", "engine/tests/restart.rs"),
    ("stuck_ms", "engine/tests/restart.rs"),
];

impl Scene {
    fn peer(&self) -> Peer<'_> {
        let stream = TcpStream::connect(self.server.address()).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_nodelay(true).expect("a TCP socket");
        Peer {
            scene: self,
            stream,
            heard: Vec::new(),
        }
    }

    /// A client that is upgraded.
    fn open(&self) -> Peer<'_> {
        let mut peer = self.peer();
        peer.say(upgrade());
        peer.hear("\r\n\r\n");
        peer
    }

    /// A client of the native dialect, welcomed.
    fn native(&self) -> Peer<'_> {
        let mut peer = self.open();
        peer.hear("\"max_message_bytes\"");
        peer
    }

    #[track_caller]
    fn wait(&self, what: &str, reached: impl Fn(&BTreeMap<String, u64>) -> bool) {
        self.server
            .wait_until(what, |server| reached(&server.readings()));
    }

    fn note(&self, name: &'static str, count: u64) {
        let mut counts = self.counts.take();
        counts.push((name, count));
        self.counts.set(counts);
    }
}

impl Peer<'_> {
    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.stream.write_all(bytes).expect("the server reads");
        self.scene.said.update(|said| said + bytes.len() as u64);
    }

    /// Reads until this text has come, behind the last that was waited for; returns what came
    /// before it.
    #[track_caller]
    fn hear(&mut self, text: &str) -> Vec<u8> {
        let found = |heard: &[u8]| {
            let mut places = heard.windows(text.len());
            places.position(|bytes| bytes == text.as_bytes())
        };
        loop {
            if let Some(at) = found(&self.heard) {
                let mut before: Vec<u8> = self.heard.drain(..at + text.len()).collect();
                before.truncate(at);
                return before;
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes).expect("in time");
            assert!(count > 0, "no {text:?} in {:?}", self.heard);
            self.heard.extend(&bytes[..count]);
            self.scene.heard.update(|heard| heard + count as u64);
        }
    }

    /// Reads to the end.
    fn hear_out(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an end in time");
        self.scene.heard.update(|heard| heard + rest.len() as u64);
        self.heard.extend(rest);
    }

    /// Closes as a WebSocket does.
    fn leave(mut self) {
        self.say(frame(FIN | CLOSE, &1000_u16.to_be_bytes()));
        self.hear_out();
    }

    /// Closes as everybody else does.
    fn quit(mut self) {
        let _it_may_be_gone = self.stream.shutdown(std::net::Shutdown::Write);
        self.hear_out();
    }
}

fn echo() -> Server {
    Server::echo(config(1))
}

fn native() -> Server {
    Server::native(Config {
        event_streams: Some("/sse".to_owned()),
        ..config(2)
    })
}

const SHORT: Duration = Duration::from_millis(200);

fn hasty(shorten: fn(&mut Config)) -> Server {
    let mut config = config(1);
    shorten(&mut config);
    Server::echo(config)
}

fn deflating() -> Server {
    Server::echo(Config {
        compression: Some(Compression {
            threshold_bytes: 64,
            ..Compression::default()
        }),
        ..config(1)
    })
}

/// The offer that is taken as it stands, and a compressed message.
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

fn compressed(text: &str) -> Vec<u8> {
    let mut payload = compress_to_vec(text.as_bytes(), 6);
    payload.push(0);
    payload
}

fn request(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
}

const ROWS: &[Row] = &[
    Row {
        name: "one message and back",
        server: echo,
        run: |scene| {
            let mut peer = scene.open();
            peer.say(frame(FIN | TEXT, b"hello"));
            peer.hear("hello");
            peer.leave();
        },
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("messages_in", 1),
            ("frames_out", 2),
        ],
    },
    Row {
        name: "a ping is no message, three fragments are one",
        server: echo,
        run: |scene| {
            let mut peer = scene.open();
            peer.say(frame(FIN | PING, b"ping"));
            peer.hear("ping");
            peer.say(
                [
                    frame(TEXT, b"a"),
                    frame(CONTINUE, b"b"),
                    frame(FIN | CONTINUE, b"c"),
                ]
                .concat(),
            );
            peer.hear("abc");
            peer.leave();
        },
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("messages_in", 1),
            ("frames_out", 3),
        ],
    },
    Row {
        name: "pages are no upgrades, and those that do not exist no refused ones",
        server: native,
        run: |scene| {
            let mut peer = scene.peer();
            for (line, status) in [
                ("GET /health", "200"),
                ("HEAD /health", "200"),
                ("GET /none", "404"),
                ("POST /none", "405"),
                ("OPTIONS /none", "204"),
            ] {
                peer.say(request(line));
                peer.hear(&format!("HTTP/1.1 {status}"));
            }
            peer.quit();
        },
        counts: &[("accepts", 1), ("answers_out", 5), ("requests_refused", 2)],
    },
    Row {
        name: "a head that is no HTTP",
        server: echo,
        run: |scene| {
            let mut peer = scene.peer();
            peer.say("nonsense\r\n\r\n");
            peer.hear("HTTP/1.1 400");
            peer.hear_out();
        },
        counts: &[("accepts", 1), ("answers_out", 1), ("requests_refused", 1)],
    },
    Row {
        name: "upgrades refused by HTTP rules and by the application",
        server: echo,
        run: |scene| {
            for (right, wrong, status) in [
                ("Version: 13", "Version: 12", "426"),
                ("/ws", "/elsewhere", "404"),
            ] {
                let mut peer = scene.peer();
                peer.say(upgrade().replace(right, wrong));
                peer.hear(&format!("HTTP/1.1 {status}"));
                peer.hear_out();
            }
        },
        counts: &[("accepts", 2), ("answers_out", 2), ("upgrades_refused", 2)],
    },
    Row {
        name: "a full server",
        server: || hasty(|config| config.connections_max = 1),
        run: |scene| {
            let first = scene.open();
            let mut second = scene.peer();
            second.say(upgrade());
            second.hear("HTTP/1.1 503");
            second.hear_out();
            first.leave();
        },
        counts: &[
            ("accepts", 2),
            ("upgrades", 1),
            ("answers_out", 2),
            ("refused_full", 1),
            ("frames_out", 1),
        ],
    },
    Row {
        name: "an event stream, a post that is taken, one that is not, and no stream",
        server: native,
        run: |scene| {
            let mut stream = scene.peer();
            stream.say("GET /sse HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
            stream.hear("event: session\ndata: ");
            stream.hear("\"max_message_bytes\"");
            let mut other = scene.peer();
            other.say("GET /sse HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n");
            other.hear("HTTP/1.1 406");
            other.say(request("POST /sse?session=forged"));
            other.hear("HTTP/1.1 404");
            other.quit();
            stream.quit();
        },
        counts: &[
            ("accepts", 2),
            ("event_streams", 1),
            ("answers_out", 3),
            ("requests_refused", 2),
            ("frames_out", 1),
        ],
    },
    Row {
        name: "a room of three hears one",
        server: native,
        run: |scene| {
            let mut peers: Vec<Peer<'_>> = (0..3).map(|_| scene.native()).collect();
            for peer in &mut peers {
                peer.say(frame(FIN | TEXT, br#"{"type":"join_room","room":"r"}"#));
                peer.hear("\"joined\"");
            }
            let text = r#"{"type":"broadcast","room":"r","data":"heard","echo":false,"id":1}"#;
            peers[0].say(frame(FIN | TEXT, text.as_bytes()));
            peers[0].hear("\"ack\"");
            peers[1..]
                .iter_mut()
                .for_each(|peer| drop(peer.hear("\"heard\"")));
            scene.wait("the gauges of a room", |readings| {
                // By shard.
                let has_rooms = (1..=2).contains(&readings["rooms"]);
                has_rooms && (readings["rooms_home"], readings["connections"]) == (1, 3)
            });
            peers.into_iter().for_each(Peer::leave);
        },
        counts: &[
            ("accepts", 3),
            ("upgrades", 3),
            ("answers_out", 3),
            ("messages_in", 4),
            ("publishes", 1),
            ("deliveries", 2),
            // A welcome, joined and a close for each, the message twice, and the ack.
            ("frames_out", 12),
        ],
    },
    Row {
        name: "a frame without a mask",
        server: echo,
        run: |scene| {
            let mut peer = scene.open();
            peer.say([0x81, 1, b'a']);
            peer.hear_out();
        },
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("frames_out", 1),
            ("closed_protocol", 1),
        ],
    },
    Row {
        name: "a handshake that does not come",
        server: || hasty(|config| config.handshake_timeout = SHORT),
        run: |scene| {
            let mut peer = scene.peer();
            peer.say("GET /ws HTTP/1.1\r\n");
            peer.hear_out();
        },
        counts: &[
            ("accepts", 1),
            ("answers_out", 1),
            ("closed_deadline[handshake]", 1),
        ],
    },
    Row {
        name: "a head that does not end",
        server: || hasty(|config| config.header_timeout = SHORT),
        run: |scene| {
            let mut peer = scene.peer();
            peer.say("GET /ws HTTP/1.1\r\n");
            peer.hear("HTTP/1.1 408");
            peer.hear_out();
        },
        counts: &[
            ("accepts", 1),
            ("answers_out", 1),
            ("closed_deadline[header]", 1),
        ],
    },
    Row {
        name: "a frame that does not end",
        server: || hasty(|config| config.frame_timeout = SHORT),
        run: |scene| late(scene, &header(FIN | TEXT, 5)),
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("frames_out", 1),
            ("closed_deadline[frame]", 1),
        ],
    },
    Row {
        name: "a message that does not end",
        server: || hasty(|config| config.message_timeout = SHORT),
        run: |scene| late(scene, &frame(TEXT, b"a")),
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("frames_out", 1),
            ("closed_deadline[message]", 1),
        ],
    },
    Row {
        name: "a ping without an answer, and a close without one",
        server: || {
            hasty(|config| {
                (config.heartbeat, config.pong_timeout) = (SHORT, SHORT);
                config.close_timeout = SHORT;
            })
        },
        run: |scene| scene.open().hear_out(),
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("frames_out", 2),
            ("closed_deadline[pong]", 1),
            ("closed_deadline[close]", 1),
        ],
    },
    Row {
        name: "silence",
        server: || hasty(|config| config.idle_timeout = 5 * SHORT),
        run: |scene| late(scene, b""),
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("frames_out", 1),
            ("closed_deadline[idle]", 1),
        ],
    },
    Row {
        name: "unfinished messages beyond the budget",
        server: || hasty(|config| config.reassembly_bytes_max = 1 << 20),
        run: hoard,
        counts: &[("closed_budget", 1)],
    },
    Row {
        name: "compressed both ways",
        server: deflating,
        run: |scene| {
            let mut peer = scene.peer();
            peer.say(upgrade_with(DEFLATE));
            peer.hear("\r\n\r\n");
            let (text, before) = ("how do you do? ".repeat(100), scene.heard.get());
            let payload = compressed(&text);
            peer.say(frame(FIN | 0x40 | TEXT, &payload));
            scene.wait("its answer", |readings| readings["deflated_bytes_out"] > 0);
            let out = counted(&scene.server)["deflated_bytes_out"];
            let mut answer = vec![0; out as usize + 2];
            peer.stream.read_exact(&mut answer).expect("the echo");
            scene.heard.update(|heard| heard + answer.len() as u64);
            assert_eq!(scene.heard.get() - before, out + 2, "a header of two bytes");
            for (name, count) in [
                ("inflated_bytes_in", payload.len() as u64),
                ("inflated_bytes_out", text.len() as u64),
                ("deflated_bytes_in", text.len() as u64),
                ("deflated_bytes_out", out),
            ] {
                scene.note(name, count);
            }
            peer.leave();
        },
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("messages_in", 1),
            ("frames_out", 2),
            ("inflated_messages", 1),
            ("deflated_messages", 1),
        ],
    },
    Row {
        name: "a bomb",
        server: deflating,
        run: |scene| {
            let mut peer = scene.peer();
            peer.say(upgrade_with(DEFLATE));
            peer.hear("\r\n\r\n");
            let payload = compressed(&"a".repeat(1 << 20));
            peer.say(frame(FIN | 0x40 | TEXT, &payload));
            peer.hear_out();
            // What was inflated until then is the inflater's affair.
            for name in [
                "inflated_messages",
                "inflated_bytes_in",
                "inflated_bytes_out",
            ] {
                scene.note(name, counted(&scene.server)[name]);
            }
        },
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("frames_out", 1),
            ("refused_bombs", 1),
            ("closed_protocol", 1),
        ],
    },
    Row {
        name: "a window that there is no memory for",
        server: || {
            let mut config = config(1);
            config.compression = Some(Compression {
                windows_bytes_max: 0,
                ..Compression::default()
            });
            Server::echo(config)
        },
        run: |scene| {
            let mut peer = scene.peer();
            peer.say(upgrade_with(
                "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            ));
            peer.hear("\r\n\r\n");
            // RFC 7692 §7.2.3.2: "Hello", and a reference to it.
            let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
            peer.say(frame(FIN | 0x40 | TEXT, &hello));
            peer.hear("Hello");
            peer.say(frame(FIN | 0x40 | TEXT, &[0xf2, 0x00, 0x11, 0x00, 0x00]));
            peer.hear_out();
            scene.note("inflated_bytes_in", hello.len() as u64);
            scene.note("inflated_bytes_out", 5);
        },
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("messages_in", 1),
            ("frames_out", 2),
            ("inflated_messages", 1),
            ("refused_windows", 1),
            ("closed_protocol", 1),
        ],
    },
    Row {
        name: "a handler that panics",
        server: || {
            let app = App::new();
            let panics = |_: &mut Context<'_>, (): ()| -> Result<(), Failure> { panic!("told to") };
            app.handlers().on("panic", panics).expect("a free name");
            Server::of(app, config(1)).0
        },
        run: |scene| {
            let mut peer = scene.native();
            peer.say(frame(FIN | TEXT, br#"{"type":"panic","id":1}"#));
            peer.hear("handler_failed");
            peer.leave();
        },
        counts: &[
            ("accepts", 1),
            ("upgrades", 1),
            ("answers_out", 1),
            ("messages_in", 1),
            ("frames_out", 3),
            ("panics", 1),
        ],
    },
];

/// Opens, says this and waits for the end.
fn late(scene: &Scene, bytes: &[u8]) {
    let mut peer = scene.open();
    peer.say(bytes);
    peer.hear("\u{3}");
    peer.quit();
}

/// One post reaches its stream, another comes when the stream is gone.
fn post(scene: &Scene) {
    let mut stream = scene.peer();
    stream.say("GET /sse HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    stream.hear("event: session\ndata: ");
    let token = String::from_utf8(stream.hear("\n")).expect("text");
    stream.hear("\"max_message_bytes\"");
    let mut poster = scene.peer();
    let body = r#"{"type":"ping","id":1}"#;
    let length = body.len();
    let request = format!(
        "POST /sse?session={token} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    poster.say(&request);
    poster.hear("HTTP/1.1 204");
    stream.hear("\"pong\"");
    stream.quit();
    scene.wait("only the poster", |readings| readings["connections"] == 1);
    poster.say(&request);
    poster.hear("HTTP/1.1 404");
    poster.quit();
}

/// More and more begin a message and do not end it, until one is too many. The witness's pongs say
/// that what came before was read.
fn hoard(scene: &Scene) {
    let (mut witness, mut peers) = (scene.open(), Vec::new());
    while counted(&scene.server)["closed_budget"] == 0 {
        let mut peer = scene.open();
        let mut begun = header(FIN | TEXT, 60_000);
        begun.resize(50_000, b'a');
        peer.say(begun);
        let said = scene.said.get();
        scene.wait("all read", |readings| readings["bytes_in"] == said);
        witness.say(frame(FIN | PING, b"read"));
        witness.hear("read");
        peers.push(peer);
        assert!(counted(&scene.server)["reassembly_bytes"] > 0 && peers.len() < 100);
    }
    let opened = peers.len() as u64;
    for name in ["accepts", "upgrades", "answers_out"] {
        scene.note(name, opened + 1);
    }
    // The pongs, the close of the one too many, and the witness's.
    scene.note("frames_out", opened + 2);
    peers.pop().expect("the one too many").hear_out();
    peers.into_iter().for_each(Peer::quit);
    witness.leave();
}

/// Compares all counters, once nothing is under way any more.
#[track_caller]
fn check(row: &Row) -> BTreeSet<String> {
    let scene = Scene {
        server: (row.server)(),
        said: Cell::new(0),
        heard: Cell::new(0),
        counts: Cell::default(),
    };
    (row.run)(&scene);
    let told = [
        ("bytes_in", scene.said.get()),
        ("bytes_out", scene.heard.get()),
    ];
    let counts = row.counts.iter().copied().chain(scene.counts.take());
    let counts: Vec<_> = counts.chain(told).collect();
    let expected = |readings: &BTreeMap<String, u64>| {
        let nothing = readings.keys().map(|name| (name.clone(), 0));
        let mut expected: BTreeMap<String, u64> = nothing.collect();
        for (name, count) in &counts {
            let before = expected.insert((*name).to_owned(), *count);
            assert!(before.is_some(), "{}: no counter {name}", row.name);
        }
        for name in BY_CHANCE {
            expected.insert((*name).to_owned(), readings[*name]);
        }
        expected
    };
    let deadline = Instant::now() + PATIENCE;
    let mut readings = counted(&scene.server);
    while readings != expected(&readings) && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(5));
        readings = counted(&scene.server);
    }
    assert_eq!(readings, expected(&readings), "{}", row.name);
    let (sends, written) = (
        readings["sends"],
        readings["frames_out"] + readings["answers_out"],
    );
    assert!(
        (1..=written).contains(&sends),
        "{}: {sends} sends of {written}",
        row.name
    );
    readings
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn counters_count_what_their_names_say() {
    let posted = Row {
        name: "a post that is taken, and one whose stream is gone",
        server: native,
        run: post,
        counts: &[
            ("accepts", 2),
            ("event_streams", 1),
            ("posts", 1),
            ("posts_refused", 1),
            ("requests_refused", 1),
            ("messages_in", 1),
            ("answers_out", 3),
            ("frames_out", 2),
        ],
    };
    let moved: BTreeSet<String> = ROWS.iter().chain([&posted]).flat_map(check).collect();
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    for name in counted(&echo()).into_keys() {
        let in_passing = [
            "connections",
            "rooms",
            "rooms_home",
            "reassembly_bytes",
            "held_bytes",
        ];
        // epoll has none.
        let without_rings = name == "rings" && driver() == DriverChoice::Portable;
        let covered = moved.contains(&name) || in_passing.contains(&&*name) || without_rings;
        assert!(
            covered != elsewhere.contains(&*name),
            "{name}: in a row, or listed with its test, not both"
        );
    }
}
