//! What goes wrong in code of the application: it is answered to that client, counted or logged,
//! and harms nobody else.

use crate::speaker::Speaker;
use crate::{SHARDS, each, guests, told, wait};
use serde_json::{Value, json};
use shardcast::{App, Background, Context, Failure, Flow, Handlers, Options};
use shardcast_engine::Refusal;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::dialect::{Code, Dialect, Problem};
use shardcast_tests::{Raw, Server, config, events, upgrade};
use std::future::pending;
use std::io::Write;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// Every place in which a request runs code of the application, each of which panics.
fn panicking() -> App {
    let app = App::new();
    let handlers = app.handlers();
    let nothing = |_: &mut Context<'_>, (): ()| Ok(());
    handlers
        .on("sync", |_, (): ()| -> Result<(), Failure> {
            panic!("sync")
        })
        .unwrap();
    handlers
        .on("replied", |cx, (): ()| -> Result<(), Failure> {
            cx.reply(&"before")?;
            panic!("after the reply")
        })
        .unwrap();
    handlers
        .on_async("async", |_, (): ()| async {
            tokio::task::yield_now().await;
            panic!("async");
            #[expect(unreachable_code, reason = "it gives the future its type")]
            Ok(())
        })
        .unwrap();
    handlers
        .on_async("beginning", |_, (): ()| {
            assert!(std::hint::black_box(false), "before there is a future");
            async { Ok(()) }
        })
        .unwrap();
    handlers.on("before", nothing).unwrap();
    handlers
        .before("before", |_, _| -> Result<Flow, Failure> {
            panic!("before")
        })
        .unwrap();
    handlers.on("after", nothing).unwrap();
    handlers.after("after", |_, _, _| panic!("after")).unwrap();
    handlers
        .before("status", |_, _| -> Result<Flow, Failure> {
            panic!("before a built-in")
        })
        .unwrap();
    handlers
        .with(Options::new().validate(|_| panic!("validate")))
        .on("validate", nothing)
        .unwrap();
    panicking_later(&handlers);
    app
}

/// In callbacks, and in what comes from the background.
fn panicking_later(handlers: &Handlers) {
    handlers
        .on("join_then", |cx, (): ()| {
            cx.join_then(&["r"], |_, _| panic!("then"))
        })
        .unwrap();
    handlers
        .on("leave_then", |cx, (): ()| {
            cx.leave_then(&["r"], |_| panic!("then"))
        })
        .unwrap();
    handlers
        .on("members_then", |cx, (): ()| {
            cx.members("r", |_, _| panic!("then"))
        })
        .unwrap();
    handlers
        .on_async("on_shard", |cx: Background, (): ()| async move {
            cx.on_shard(|_| panic!("on the shard")).await?;
            Ok(())
        })
        .unwrap();
    handlers
        .on_async("ignored", |cx: Background, (): ()| async move {
            let gone = cx.on_shard(|_| panic!("on the shard")).await;
            Ok(gone.is_err())
        })
        .unwrap();
}

#[test]
fn a_panic_is_answered_and_counted_and_everybody_lives_on() {
    each(panicking, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        let mut other = Speaker::new(server, dialect);
        other.join("r");
        for (kind, answer) in [
            ("sync", None),
            ("replied", Some(json!("before"))),
            ("async", None),
            ("beginning", None),
            ("before", None),
            ("after", Some(Value::Null)),
            ("status", None),
            ("validate", None),
            ("join_then", Some(Value::Null)),
            ("members_then", Some(Value::Null)),
            ("leave_then", Some(Value::Null)),
            ("on_shard", None),
            ("ignored", Some(json!(true))),
        ] {
            let before = server.sum(|shard| &shard.panics);
            match answer {
                Some(answer) => one.check(kind, Value::Null, answer),
                None => {
                    let refused = one.check_refused(kind, Value::Null, "handler_failed");
                    let text = refused.to_string();
                    assert!(!text.contains("shard") && !text.contains(kind), "{text}");
                }
            }
            server.wait_until("one more panic", |server| {
                server.sum(|shard| &shard.panics) == before + 1
            });
            one.check_quiet();
            other.check_quiet();
        }
        // It has left the room all the same, and rooms work.
        one.check("rooms", Value::Null, json!({"rooms": []}));
        assert_eq!(one.join("r"), 2);
        one.notify("publish", json!({"room": "r", "data": 1}));
        assert_eq!(other.hear()["data"], 1);
    });
}

#[test]
fn panics_of_hooks_end_one_connection_at_most() {
    for shards in SHARDS {
        let (gone, goes) = sync_channel(8);
        let app = guests()
            .on_opened(|cx| match cx.user() {
                Some("opened") => panic!("opened"),
                Some("problem") => Err(Problem::new(Code::Forbidden, "not today").into()),
                Some("error") => Err(std::io::Error::other("secret").into()),
                _ => Ok(()),
            })
            .on_disconnect(move |cx, _| {
                gone.send(cx.user().map(str::to_owned)).unwrap();
                assert_ne!(cx.user(), Some("disconnect"), "disconnect");
            });
        let (server, _) = Server::of(app, config(shards));
        for dialect in Dialect::OWN {
            let mut other = Speaker::new(&server, dialect);
            for (user, panics, closed) in [
                ("opened", 1, Some((1011, "handler failed"))),
                ("problem", 0, Some((4004, "not today"))),
                (
                    "error",
                    0,
                    Some((4102, "the server failed while it handled this request")),
                ),
                ("disconnect", 1, None),
            ] {
                let before = server.sum(|shard| &shard.panics);
                let mut one = Speaker::at(server.address(), dialect, &format!("?user={user}"));
                if let Some((code, reason)) = closed {
                    assert_eq!(one.client.closed(), (code, reason.to_owned()), "{user}");
                }
                drop(one);
                assert_eq!(told(&goes).as_deref(), Some(user));
                server.wait_until("its panic", |server| {
                    server.sum(|shard| &shard.panics) == before + panics
                });
                other.check_quiet();
            }
            drop(other);
            assert_eq!(told(&goes), None);
            server.wait_until_empty();
        }
    }
}

#[test]
fn a_connect_hook_that_panics_or_refuses_answers_with_http() {
    let app = App::new().on_connect(|connect| match connect.parameter("do") {
        Some("panic") => panic!("connect"),
        Some("refuse") => Err(Refusal::new(401, "who are you?")),
        _ => Ok(shardcast::Identity::nobody()),
    });
    let (server, _) = Server::of(app, config(1));
    for (what, head, body) in [
        ("panic", "HTTP/1.1 500 ", "handler failed"),
        ("refuse", "HTTP/1.1 401 ", "who are you?"),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(
            upgrade()
                .replace("/ws", &format!("/ws?do={what}"))
                .as_bytes(),
        );
        let answer = raw.head();
        assert!(answer.starts_with(head), "{answer}");
        assert_eq!(String::from_utf8_lossy(&raw.rest()), body);
    }
    assert_eq!(server.sum(|shard| &shard.panics), 1);
    Speaker::new(&server, Dialect::JsonRpc).check_quiet();
}

/// What is asked, the status, the application's headers. No status: the hook failed.
const REFUSED: [(&str, &str, &str); 5] = [
    (
        "login",
        "401 Unauthorized",
        "WWW-Authenticate: Bearer realm=\"a\"\r\n",
    ),
    (
        "move",
        "307 Temporary Redirect",
        "Location: wss://b.test/ws?x=1\r\n",
    ),
    (
        "wait",
        "503 Service Unavailable",
        "Retry-After: 120\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
    ),
    ("smuggle", "", ""),
    ("length", "", ""),
];

/// A refusal, and the answer that lets a client in, bear what the application says; what cannot
/// stand there is an error of its own.
#[test]
fn answers_bear_the_applications_headers() {
    let app = App::new().on_connect(|connect| {
        let refusal = |status| Refusal::new(status, "not here");
        match connect.parameter("do") {
            Some("login") => {
                return Err(refusal(401).with_header("WWW-Authenticate", r#"Bearer realm="a""#)?);
            }
            Some("move") => {
                return Err(refusal(307).with_header("Location", "wss://b.test/ws?x=1")?);
            }
            Some("wait") => {
                return Err(refusal(503)
                    .with_header("Retry-After", "120")?
                    .with_header("Set-Cookie", "a=1")?
                    .with_header("Set-Cookie", "b=2")?);
            }
            Some("smuggle") => return Err(refusal(403).with_header("X", "a\r\nSet-Cookie: b=c")?),
            Some("length") => connect.add_header("Content-Length", "7")?,
            Some(_) | None => connect.add_header("Set-Cookie", "seen=1; HttpOnly")?,
        }
        Ok(shardcast::Identity::nobody())
    });
    let mut config = config(1);
    config.event_streams = Some("/sse".to_owned());
    let (server, _) = Server::of(app, config);
    let failed = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n\
                  Content-Length: 14\r\nConnection: close\r\n\r\n";
    for (what, status, lines) in REFUSED {
        let expected = match status {
            "" => failed.to_owned(),
            _ => format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 8\r\n\
                 Connection: close\r\n{lines}\r\n"
            ),
        };
        let target = format!("/ws?do={what}");
        let mut raw = Raw::connect(&server);
        raw.send(upgrade().replace("/ws", &target).as_bytes());
        assert_eq!(raw.head(), expected);
        let mut stream = Raw::connect(&server);
        stream.send(events::stream(&target.replace("/ws", "/sse")).as_bytes());
        // A page of another origin may read why.
        let readable = "\r\nAccess-Control-Allow-Origin: *\r\n\r\n";
        assert_eq!(stream.head(), expected.replace("\r\n\r\n", readable));
    }
    let cookie = "\r\nSet-Cookie: seen=1; HttpOnly\r\n";
    for said in [upgrade(), events::stream("/sse")] {
        let mut raw = Raw::connect(&server);
        raw.send(said.as_bytes());
        let head = raw.head();
        assert_eq!(head.matches(cookie).count(), 1, "{head}");
    }
}

/// Everything that is logged in this process.
static LOG: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(Mutex::default);

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_is_logged_and_its_text_is_not_told() {
    let log = tracing_subscriber::fmt().with_ansi(false);
    log.with_writer(|| Log).init();
    let app = || {
        let app = App::new();
        let handlers = app.handlers();
        let secret = |sort: &str| std::io::Error::other(format!("{sort}: /etc/secret is missing"));
        handlers
            .on("sync.fail", move |_, (): ()| {
                Err::<(), _>(secret("s").into())
            })
            .unwrap();
        handlers
            .on_async("async.fail", move |_, (): ()| async move {
                Err::<(), _>(secret("a").into())
            })
            .unwrap();
        app
    };
    each(app, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for (kind, text) in [("sync.fail", "s: /etc"), ("async.fail", "a: /etc")] {
            LOG.lock().unwrap().clear();
            let refused = one.check_refused(kind, Value::Null, "handler_failed");
            assert!(!refused.to_string().contains("secret"), "{refused}");
            assert_eq!(refused["retryable"], false);
            let log = String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned();
            let has = |line: &str| line.contains(kind) && line.contains(text);
            assert!(log.lines().any(has), "{log}");
        }
        assert_eq!(server.sum(|shard| &shard.panics), 0);
    });
}

/// Tells when the future that holds it is dropped.
struct Guard(SyncSender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send(()).expect("the test listens");
    }
}

/// A handler that never ends (`forever`), tells when it begins and when it is dropped.
fn endless(begun: SyncSender<()>, dropped: SyncSender<()>, options: Options) -> App {
    let app = App::new();
    app.handlers()
        .with(options)
        .on_async("forever", move |_, (): ()| {
            let (begun, guard) = (begun.clone(), Guard(dropped.clone()));
            async move {
                begun.send(()).unwrap();
                let _guard = guard;
                pending::<()>().await;
                Ok(())
            }
        })
        .unwrap();
    app
}

#[test]
fn what_takes_too_long_is_answered_and_dropped() {
    let (begun, begins) = sync_channel(64);
    let (dropped, drops) = sync_channel(64);
    let options = Options::new().timeout(Duration::from_millis(5));
    each(
        || endless(begun.clone(), dropped.clone(), options.clone()),
        |server, _, dialect| {
            let mut one = Speaker::new(server, dialect);
            let refused = one.check_refused("forever", Value::Null, "timeout");
            assert_eq!(refused["retryable"], true);
            told(&begins);
            told(&drops);
            one.check_quiet();
        },
    );
}

#[test]
fn what_was_begun_for_a_client_is_dropped_when_it_goes() {
    let (begun, begins) = sync_channel(64);
    let (dropped, drops) = sync_channel(64);
    let ways: [fn(Speaker, &shardcast::Handle); 3] = [
        |one, _| one.client.leave(),
        |one, _| drop(one),
        |mut one, handle| {
            let id = one.id().parse().expect("an id");
            wait(handle.disconnect(id, CloseCode::GOING_AWAY, "go")).expect("it is there");
            assert_eq!(one.client.closed(), (1001, "go".to_owned()));
        },
    ];
    each(
        || endless(begun.clone(), dropped.clone(), Options::new()),
        |server, handle, dialect| {
            for way in ways {
                let mut one = Speaker::new(server, dialect);
                one.begin("forever", Value::Null);
                one.begin("forever", Value::Null);
                for _ in 0..2 {
                    told(&begins);
                }
                assert!(drops.try_recv().is_err());
                way(one, handle);
                for _ in 0..2 {
                    told(&drops);
                }
                server.wait_until_empty();
            }
        },
    );
}

#[test]
fn one_too_many_at_once_is_refused_until_one_has_ended() {
    for shards in SHARDS {
        let app = App::new();
        let (go, waits) = tokio::sync::watch::channel(0_u32);
        let handlers = app.handlers();
        for (kind, at_once) in [("two", 2), ("many", 1000)] {
            let waits = waits.clone();
            handlers
                .with(Options::new().at_once(at_once))
                .on_async(kind, move |_, round: u32| {
                    let mut waits = waits.clone();
                    async move {
                        waits.wait_for(|go| *go >= round).await?;
                        Ok(round)
                    }
                })
                .unwrap();
        }
        let (server, _) = Server::of(app, config(shards));
        let mut round = 0;
        // JSON-RPC has no numbers as params: the handler's type is a tuple of one there.
        for dialect in [Dialect::NativeJson, Dialect::MessagePack] {
            let mut one = Speaker::new(&server, dialect);
            let mut other = Speaker::new(&server, dialect);
            round += 1;
            let two = [(); 2].map(|()| one.begin("two", json!(round)));
            let refused = one.check_refused("two", json!(round), "rate_limited");
            assert_eq!(refused["retryable"], true);
            assert!(refused["retry_after_ms"].as_u64() > Some(0), "{refused}");
            let theirs = other.begin("two", json!(round));
            // 64 of all handlers together.
            let many: Vec<u64> = (2..64).map(|_| one.begin("many", json!(round))).collect();
            one.check_refused("many", json!(round), "rate_limited");
            one.check_refused("two", json!(round), "rate_limited");
            other.check_quiet();
            go.send(round).unwrap();
            for id in two.into_iter().chain(many) {
                assert_eq!(one.answer(id), round);
            }
            assert_eq!(other.answer(theirs), round);
            one.check("two", json!(round), json!(round));
        }
        server.wait_until_empty();
    }
}

#[test]
fn one_too_many_that_wait_for_other_shards_is_refused() {
    let app = || {
        let app = App::new();
        let handlers = app.handlers();
        handlers
            .on("lists", |cx, (): ()| {
                for _ in 0..65 {
                    cx.members("r", |_, _| {})?;
                }
                Ok(())
            })
            .unwrap();
        handlers
            .on("joins", |cx, (): ()| {
                for number in 0..65 {
                    cx.join(&format!("r{number}"))?;
                }
                Ok(())
            })
            .unwrap();
        app
    };
    each(app, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for kind in ["lists", "joins"] {
            let refused = one.check_refused(kind, Value::Null, "rate_limited");
            assert!(refused["retry_after_ms"].as_u64() > Some(0), "{refused}");
        }
        let rooms = one.ask("rooms", Value::Null);
        assert!(rooms["rooms"].as_array().expect("a list").len() <= 64);
        one.check_quiet();
    });
}
