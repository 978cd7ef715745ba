//! The Centrifuge protocol over real sockets, said by hand: what is answered, what a client is
//! disconnected for, and rooms that it shares with native clients.

use serde_json::{Value, json};
use shardcast::namespace::{History, Namespace, Namespaces, Who};
use shardcast::{App, Auth, Centrifuge, Failure, KeyMaterial, Problem, TokenAlgorithm, TokenKey};
use shardcast_engine::Config;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_tests::{Client, PATIENCE, Server, VERSION, config};
use std::time::Duration;
use tungstenite::Message;

const PATH: &str = "/connection/websocket";

/// A client that speaks JSON lines.
struct Lines(Client);

impl Lines {
    fn open(server: &Server) -> Lines {
        Lines(Client::asking(server.address(), PATH, "centrifuge-json"))
    }

    /// The same, and its first command is answered.
    fn connect(server: &Server) -> (Lines, String) {
        let mut client = Lines::open(server);
        let reply = client.ask(&json!({"id": 1, "connect": {"name": "test"}}));
        let connect = &reply["connect"];
        let id = connect["client"].as_str().expect("an id").to_owned();
        let expected = json!({"client": id, "version": VERSION, "ping": 25, "pong": true});
        assert_eq!(reply, json!({"id": 1, "connect": expected}));
        (client, id)
    }

    fn say(&mut self, commands: &[Value]) {
        let lines: Vec<String> = commands.iter().map(Value::to_string).collect();
        self.0.say(&lines.join("\n"));
    }

    #[track_caller]
    fn hear(&mut self) -> Value {
        serde_json::from_str(&self.0.hear()).expect("JSON")
    }

    #[track_caller]
    fn ask(&mut self, command: &Value) -> Value {
        self.say(std::slice::from_ref(command));
        self.hear()
    }

    #[track_caller]
    fn check(&mut self, command: &Value, expected: &Value) {
        assert_eq!(self.ask(command), *expected, "{command}");
    }

    #[track_caller]
    fn closed(mut self) -> (u16, String) {
        self.0.closed()
    }
}

pub(crate) fn app() -> App {
    let kept = Namespace {
        history: Some(History {
            publications_max: 2,
            ..History::default()
        }),
        ..Namespace::default()
    };
    let shut = Namespace {
        join: Who::Nobody,
        ..Namespace::default()
    };
    let named = [("kept", kept), ("shut", shut)];
    App::new().namespaces(Namespaces::new(Namespace::default(), named).expect("they fit"))
}

fn server(app: App) -> Server {
    Server::of(app, config(2)).0
}

fn subscribe(id: u32, channel: &str) -> Value {
    json!({"id": id, "subscribe": {"channel": channel}})
}

fn unsubscribe(id: u32, channel: &str) -> Value {
    json!({"id": id, "unsubscribe": {"channel": channel}})
}

fn publish(id: u32, channel: &str, data: &Value) -> Value {
    json!({"id": id, "publish": {"channel": channel, "data": data}})
}

/// Who wants them has the pings of its WebSocket, and is told of no others.
#[test]
fn pings_may_be_those_of_the_websocket() {
    let server = server(app());
    let path = format!("{PATH}?cf_ws_frame_ping_pong=true");
    let mut client = Lines(Client::asking(server.address(), &path, "centrifuge-json"));
    let reply = client.ask(&json!({"id": 1, "connect": {}}));
    assert_eq!(
        (&reply["connect"]["ping"], &reply["connect"]["pong"]),
        (&Value::Null, &Value::Null)
    );
    client.say(&[json!({})]);
    assert_eq!(client.closed().0, 3501);
}

/// Each of these ends the connection, and nothing behind it is answered.
#[test]
fn who_breaks_the_protocol_is_disconnected_for_good() {
    let server = server(app());
    let ping = json!({"id": 9, "rpc": {"method": "m"}});
    for (connected, command, reason) in [
        (false, subscribe(1, "a"), "bad request"),
        (false, json!({}), "bad request"),
        (true, json!({"id": 2, "connect": {}}), "bad request"),
        (true, json!({}), "bad request"),
        (
            true,
            json!({"rpc": {"method": "m"}}),
            "bad request: id is missing",
        ),
        (true, subscribe(2, ""), "bad request: channel is missing"),
        (
            true,
            json!({"id": 2, "subscribe": {"channel": "a", "delta": "x"}}),
            "bad request: delta is of a kind that there is not",
        ),
        (
            true,
            json!({"id": 2, "ping": {}}),
            "bad request: the command asks for nothing that there is",
        ),
        (
            true,
            json!({"id": 2, "publish": {"channel": "a"}}),
            "bad request: data is missing",
        ),
    ] {
        let mut client = match connected {
            true => Lines::connect(&server).0,
            false => Lines::open(&server),
        };
        client.say(&[command.clone(), ping.clone()]);
        assert_eq!(client.closed(), (3501, reason.to_owned()), "{command}");
    }
    let mut binary = Lines::connect(&server).0;
    binary.0.send(Message::binary(b"{}".to_vec()));
    assert_eq!(binary.closed().0, 3501);
    let mut large = Lines::connect(&server).0;
    large.0.say(&"x".repeat(70_000));
    assert_eq!(large.closed(), (3501, "message too big".to_owned()));
    server.wait_until_empty();
}

#[test]
fn many_commands_are_answered_one_by_one_in_their_order() {
    let server = server(app());
    let (mut client, id) = Lines::connect(&server);
    client.say(&[
        subscribe(2, "a"),
        subscribe(3, "a"),
        unsubscribe(4, "a"),
        subscribe(5, "a"),
        publish(6, "a", &json!([1])),
    ]);
    // Who is on the way in is in, and who is on the way out is out.
    let refused = json!({"code": 105, "message": "already subscribed"});
    assert_eq!(client.hear(), json!({"id": 3, "error": refused}));
    let mut replies: Vec<Value> = (0..5).map(|_| client.hear()).collect();
    replies.sort_by_key(|reply| reply["id"].as_u64());
    let publication = json!({"info": {"client": id}, "data": [1]});
    let expected = [
        json!({"push": {"channel": "a", "pub": publication}}),
        json!({"id": 2, "subscribe": {}}),
        json!({"id": 4, "unsubscribe": {}}),
        json!({"id": 5, "subscribe": {}}),
        json!({"id": 6, "publish": {}}),
    ];
    assert_eq!(replies, expected);
    // Who is in no such channel has left it.
    client.check(&unsubscribe(7, "b"), &json!({"id": 7, "unsubscribe": {}}));
    client.0.leave();
    server.wait_until_empty();
}

#[test]
fn refusals_have_the_numbers_of_the_protocol() {
    let app = app();
    let handlers = app.handlers();
    handlers
        .on("fails", |_, (): ()| {
            Err::<(), _>(Failure::from(Problem::new(
                shardcast::Code::Forbidden,
                "no",
            )))
        })
        .expect("a new name");
    let server = server(app);
    let (mut client, _) = Lines::connect(&server);
    for (command, code, temporary) in [
        (json!({"subscribe": {"channel": "shut:a"}}), 103, false),
        (json!({"subscribe": {"channel": "none:a"}}), 102, false),
        (json!({"subscribe": {"channel": "a\u{1}"}}), 107, false),
        (
            json!({"subscribe": {"channel": "a", "type": 1}}),
            107,
            false,
        ),
        (
            json!({"subscribe": {"channel": "a", "type": 9}}),
            108,
            false,
        ),
        (json!({"rpc": {"method": "none"}}), 108, false),
        (json!({"rpc": {"method": "ping"}}), 108, false),
        (json!({"rpc": {}}), 108, false),
        (json!({"rpc": {"method": "fails"}}), 103, false),
        (json!({"history": {"channel": "a"}}), 108, false),
        (json!({"history": {"channel": "shut:a"}}), 103, false),
        (json!({"refresh": {"token": "t"}}), 108, false),
        (
            json!({"sub_refresh": {"channel": "a", "token": "t"}}),
            108,
            false,
        ),
    ] {
        let mut command = command;
        command["id"] = 7.into();
        let reply = client.ask(&command);
        let error = &reply["error"];
        assert_eq!(
            (&reply["id"], &error["code"]),
            (&json!(7), &json!(code)),
            "{command}"
        );
        assert_eq!(
            error["temporary"].as_bool().unwrap_or(false),
            temporary,
            "{command}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
}

#[test]
fn messages_to_the_application_need_a_handler() {
    let app = app();
    let (said, heard) = std::sync::mpsc::sync_channel(1);
    app.handlers()
        .on("send", move |_, data: Value| Ok(said.send(data)?))
        .expect("a new name");
    let with = server(app);
    let (mut client, _) = Lines::connect(&with);
    client.say(&[json!({"send": {"data": {"a": 1}}})]);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(json!({"a": 1})));
    // It is not replied to.
    let none = json!({"code": 108, "message": "not available"});
    client.check(
        &json!({"id": 2, "rpc": {}}),
        &json!({"id": 2, "error": none}),
    );
    let without = server(self::app());
    let (mut client, _) = Lines::connect(&without);
    client.say(&[json!({"send": {"data": {"a": 1}}})]);
    assert_eq!(client.closed(), (3508, "not available".to_owned()));
}

#[test]
fn who_comes_back_is_sent_what_was_missed_or_told_that_it_is_gone() {
    let server = server(app());
    let (mut client, _) = Lines::connect(&server);
    let (mut native, room) = (Client::native(&server), "kept:a");
    let first = client.ask(&subscribe(2, room));
    let epoch = first["subscribe"]["epoch"]
        .as_str()
        .expect("an epoch")
        .to_owned();
    let subscribed = json!({"recoverable": true, "positioned": true, "epoch": epoch});
    assert_eq!(first, json!({"id": 2, "subscribe": subscribed}));
    client.check(&unsubscribe(3, room), &json!({"id": 3, "unsubscribe": {}}));
    let recover = |id: u32, epoch: &str, offset: u64, flag: u64| {
        json!({"id": id, "subscribe": {
            "channel": room, "recover": true, "epoch": epoch, "offset": offset, "flag": flag}})
    };
    for (kept, expected) in [(1, 0), (2, 0)] {
        native.say(&format!(
            r#"{{"type":"publish","id":"p","room":"{room}","data":{kept}}}"#
        ));
        assert!(native.hear().starts_with(r#"{"type":"ack""#));
        client.say(&[recover(4, &epoch, expected, 0)]);
        let mut reply = subscribed.clone();
        reply["recovered"] = true.into();
        reply["was_recovering"] = true.into();
        let missed = (1..=kept).map(
            |offset| json!({"info": {"client": native.id()}, "offset": offset, "data": offset}),
        );
        reply["publications"] = missed.collect();
        assert_eq!(client.hear(), json!({"id": 4, "subscribe": reply}));
        client.check(&unsubscribe(5, room), &json!({"id": 5, "unsubscribe": {}}));
    }
    native.say(&format!(
        r#"{{"type":"publish","id":"p","room":"{room}","data":3}}"#
    ));
    native.hear();
    for (epoch_said, offset) in [(&*epoch, 0), ("other", 3)] {
        // By flag 2 a client says that it would rather not be in.
        let gone = json!({"code": 112, "message": "unrecoverable position"});
        client.check(
            &recover(6, epoch_said, offset, 2),
            &json!({"id": 6, "error": gone}),
        );
        let mut reply = subscribed.clone();
        reply["offset"] = 3.into();
        reply["was_recovering"] = true.into();
        client.check(
            &recover(7, epoch_said, offset, 1),
            &json!({"id": 7, "subscribe": reply}),
        );
        client.check(&unsubscribe(8, room), &json!({"id": 8, "unsubscribe": {}}));
    }
    // Whichever order it is.
    let mut reply = subscribed;
    reply["offset"] = 3.into();
    reply["recovered"] = true.into();
    reply["was_recovering"] = true.into();
    client.check(&recover(9, "", 3, 0), &json!({"id": 9, "subscribe": reply}));
}

#[test]
fn history_and_presence_are_told() {
    let server = server(app());
    let (mut client, id) = Lines::connect(&server);
    let (mut native, room) = (Client::native(&server), "kept:a");
    let first = client.ask(&subscribe(2, room));
    let epoch = first["subscribe"]["epoch"].as_str().expect("an epoch");
    for data in 1..=3 {
        native.say(&format!(
            r#"{{"type":"publish","id":"p","room":"{room}","data":{data}}}"#
        ));
        assert!(native.hear().starts_with(r#"{"type":"ack""#));
        assert_eq!(client.hear()["push"]["pub"]["offset"], data);
    }
    // What nothing is kept of can be asked for, and is lost.
    let lost = json!({"id": 10, "subscribe": {"was_recovering": true}});
    let asked = json!({"id": 10, "subscribe": {"channel": "a", "recover": true, "offset": 4}});
    client.check(&asked, &lost);
    let history = json!({"id": 11, "history": {"channel": room, "limit": 1, "reverse": true}});
    let newest = json!({"info": {"client": native.id()}, "offset": 3, "data": 3});
    let page = json!({"publications": [newest], "epoch": epoch, "offset": 3});
    client.check(&history, &json!({"id": 11, "history": page}));
    let none = json!({"id": 12, "history": {"channel": room}});
    let position = json!({"epoch": epoch, "offset": 3});
    client.check(&none, &json!({"id": 12, "history": position}));
    let since = json!({"epoch": "other", "offset": 1});
    let gone = json!({"id": 13, "history": {"channel": room, "limit": -1, "since": since}});
    let error = json!({"code": 112, "message": "unrecoverable position"});
    client.check(&gone, &json!({"id": 13, "error": error}));
    let (clients, users) = (json!({&id: {"client": id}}), 1);
    let presence = json!({"id": 14, "presence": {"channel": room}});
    client.check(
        &presence,
        &json!({"id": 14, "presence": {"presence": clients}}),
    );
    let stats = json!({"num_clients": 1, "num_users": users});
    let ask = json!({"id": 15, "presence_stats": {"channel": room}});
    client.check(&ask, &json!({"id": 15, "presence_stats": stats}));
}

/// Nobody is told what is said to everyone before it has connected, however open its WebSocket is.
#[test]
fn who_has_not_connected_hears_nothing() {
    let publish = |client: &mut Client| {
        client.say(r#"{"type":"broadcast","id":1,"data":"to everyone"}"#);
        assert_eq!(client.hear(), r#"{"type":"ack","id":1}"#);
        assert!(client.hear().contains("to everyone"));
    };
    for app in [app(), app().on_opened(|cx| cx.join("opened"))] {
        let server = server(app);
        let (mut native, mut client) = (Client::native(&server), Lines::open(&server));
        publish(&mut native);
        let reply = client.ask(&json!({"id": 1, "connect": {}}));
        assert!(reply["connect"]["client"].is_string(), "{reply}");
        let mut hear = || client.hear();
        publish(&mut native);
        let mut pushed = hear();
        if pushed["push"]["subscribe"].is_object() {
            // The application has made it a member as it connected.
            assert_eq!(pushed["push"]["channel"], "opened");
            pushed = hear();
        }
        assert_eq!(pushed["push"]["message"]["data"], "to everyone", "{pushed}");
    }
}

/// A token that is none does not make its bearer a stranger, where tokens mean something.
#[test]
fn a_token_that_is_none_is_refused() {
    let secret = KeyMaterial::Secret(b"a secret that nobody else knows!");
    let key = TokenKey::new("main", TokenAlgorithm::Hs256, secret).expect("a key");
    let server = server(app().auth(Auth::optional([key]).expect("one")));
    let mut client = Lines::open(&server);
    client.say(&[json!({"id": 1, "connect": {"token": "a.b.c"}})]);
    let said = "the token is malformed: its header is not base64url";
    assert_eq!(client.closed(), (3500, said.to_owned()));
    Lines::connect(&server).0.0.leave();
    let server = self::server(app());
    let mut client = Lines::open(&server);
    let reply = client.ask(&json!({"id": 1, "connect": {"token": "a.b.c"}}));
    assert_eq!(reply["connect"]["version"], VERSION, "{reply}");
}

fn quick() -> Centrifuge {
    Centrifuge {
        ping_interval: Duration::from_millis(1_000),
        pong_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_millis(100),
        ..Centrifuge::default()
    }
}

#[test]
fn who_does_not_connect_or_does_not_answer_pings_is_disconnected() {
    let server = server(app().centrifuge(quick()));
    assert_eq!(Lines::open(&server).closed(), (3502, "stale".to_owned()));
    let mut client = Lines::open(&server);
    let reply = client.ask(&json!({"id": 1, "connect": {}}));
    assert_eq!(reply["connect"]["ping"], 1);
    for _ in 0..2 {
        assert_eq!(client.0.hear(), "{}");
        client.0.say("{}");
    }
    assert_eq!(client.0.hear(), "{}");
    assert_eq!(client.closed(), (3012, "no answer to a ping".to_owned()));
    let mut protobuf = Client::asking(server.address(), PATH, "centrifuge-protobuf");
    protobuf.send(Message::binary(vec![4, 0x08, 1, 0x22, 0]));
    assert!(matches!(protobuf.hear_any(), Message::Binary(_)));
    for _ in 0..2 {
        assert_eq!(protobuf.hear_any(), Message::binary(vec![0]));
        protobuf.send(Message::binary(vec![0]));
    }
    // One answer too many.
    protobuf.send(Message::binary(vec![0]));
    assert_eq!(protobuf.closed(), (3501, "bad request".to_owned()));
    server.wait_until_empty();
}

/// Closes of the application and of a drain, as each dialect hears them; the table has a test of
/// its own.
#[test]
fn closes_are_said_in_the_words_of_the_dialect() {
    let app = app();
    let handlers = app.handlers();
    handlers
        .on("end", |cx, code: u16| {
            cx.disconnect(CloseCode::new(code).expect("a code"), "");
            Ok(())
        })
        .expect("a new name");
    let server = server(app);
    for (native_code, code, reason) in [
        (4003, 3500, "invalid token"),
        (4100, 3013, "too many requests"),
        (1000, 3503, "force disconnect"),
        (4500, 4500, "closed"),
    ] {
        let (mut client, _) = Lines::connect(&server);
        client.say(&[json!({"id": 2, "rpc": {"method": "end", "data": native_code}})]);
        assert_eq!(client.closed(), (code, reason.to_owned()));
        let mut native = Client::native(&server);
        native.say(&format!(r#"{{"type":"end","data":{native_code}}}"#));
        assert_eq!(native.closed(), (native_code, String::new()));
    }
    let (client, _) = Lines::connect(&server);
    let draining = std::thread::spawn(move || server.drain(PATIENCE));
    assert_eq!(client.closed(), (3001, "draining".to_owned()));
    assert!(draining.join().expect("a drain"));
}

/// SDKs subscribe to all their channels in one message.
#[test]
fn all_channels_are_subscribed_to_at_once() {
    let server = server(app());
    let (mut client, _) = Lines::connect(&server);
    let channels = Config::default().rooms_per_connection_max;
    let all: Vec<Value> = (0..=channels)
        .map(|number| subscribe(100 + number as u32, &format!("c{number}")))
        .collect();
    client.say(&all);
    let (mut subscribed, mut refused) = (0, 0);
    for _ in 0..=channels {
        let reply = client.hear();
        match reply["error"]["code"].as_u64() {
            None => subscribed += 1,
            Some(106) => refused += 1,
            Some(other) => panic!("{other}: {reply}"),
        }
    }
    assert_eq!((subscribed, refused), (channels, 1));
}
