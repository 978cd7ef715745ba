//! Who a client of the Centrifuge protocol is, by its tokens: those of connections and of channels,
//! how they are refreshed, what becomes of expired ones, and the channels that a client is in from
//! the start.

use super::{Format, Sdk, block_on};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use shardcast::namespace::{History, Namespace, Namespaces, Newcomers, Owners, Roles, Who};
use shardcast::{App, Auth, Centrifuge, KeyMaterial, Origins, TokenAlgorithm, TokenKey};
use shardcast_tests::{Server, config};
use std::time::{Duration, SystemTime};

pub(super) const SECRET: &[u8] = b"a secret of this test, and of no other one";

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("a clock behind 1970").as_secs()
}

/// A token with these claims, which ends in so many seconds, or did.
pub(super) fn token(mut claims: Value, ends_in: i64) -> String {
    claims["exp"] = (now().cast_signed() + ends_in).into();
    let key = EncodingKey::from_secret(SECRET);
    encode(&Header::default(), &claims, &key.expect("a secret")).expect("claims")
}

/// Long after the leeway of the server.
const OVER: i64 = -600;
pub(super) const VALID: i64 = 600;

fn app(auth: fn(TokenKey) -> Auth) -> App {
    let history = History {
        publications_max: 4,
        ..History::default()
    };
    let kept = |last| Namespace {
        history: Some(History { last, ..history }),
        ..Namespace::default()
    };
    let staff = Roles::new(["staff"]).expect("a role");
    let closed = Namespace {
        join: Who::Roles(staff),
        ..Namespace::default()
    };
    let shut = Namespace {
        join: Who::Nobody,
        ..Namespace::default()
    };
    let talk = Namespace {
        owners: Owners::ListBehindHash,
        ..Namespace::default()
    };
    let named = [
        ("kept", kept(Newcomers::Nothing)),
        ("state", kept(Newcomers::Newest)),
        ("closed", closed),
        ("shut", shut),
        ("talk", talk),
    ];
    let namespaces = Namespaces::new(Namespace::default(), named).expect("they fit");
    let key = TokenKey::new("test", TokenAlgorithm::Hs256, KeyMaterial::Secret(SECRET));
    let options = Centrifuge {
        personal_channels: Some("#".to_owned()),
        ..Centrifuge::default()
    };
    App::new()
        .namespaces(namespaces)
        .origins(Origins::any())
        .auth(auth(key.expect("a key")))
        .centrifuge(options)
}

fn required(key: TokenKey) -> Auth {
    Auth::required([key]).expect("one key")
}

impl Sdk {
    #[track_caller]
    fn connect_with(&mut self, server: &Server, more: &Value) {
        let url = format!("ws://{}/connection/websocket", server.address());
        let mut argument = json!({"url": url, "format": self.format.name()});
        for (name, value) in more.as_object().expect("an object") {
            argument[name] = value.clone();
        }
        self.obey("connect", &argument);
    }

    /// The next events, by name and channel, in the order of their channels.
    #[track_caller]
    fn of_channels(&mut self, count: usize) -> Vec<Value> {
        let mut events = self.events(count);
        events.sort_by_key(|event| event["channel"].to_string());
        events
    }
}

fn publish(handle: &shardcast::Handle, room: &str, data: u64) {
    block_on(handle.to(room).publish("e", &data)).expect("it is published");
}

#[track_caller]
fn check(mut sdk: Sdk) {
    let (server, handle) = Server::of(app(required), config(2));
    let claims = json!({
        "sub": "ann",
        "info": {"name": "Ann"},
        "meta": {"seen": "by the application"},
        "channels": ["news"],
        "subs": {"kept:server": {}},
        "caps": [{"channels": ["closed:caps"], "allow": ["sub"]}],
    });
    sdk.connect_with(&server, &json!({"token": token(claims, VALID)}));
    sdk.event("connected");
    let subscribed = sdk.of_channels(3);
    let channels = subscribed.iter().map(|event| event["channel"].clone());
    assert_eq!(
        channels.collect::<Vec<_>>(),
        ["#ann", "kept:server", "news"]
    );
    assert_eq!(subscribed[1]["recoverable"], true, "{subscribed:?}");
    server_side(&mut sdk, &handle);
    who_publishes(&mut sdk);
    channels_with_tokens(&mut sdk);
    state(&mut sdk, &handle);
    come_back(&mut sdk, &server, &handle);
    drop(sdk);
    server.wait_until_empty();
}

fn server_side(sdk: &mut Sdk, handle: &shardcast::Handle) {
    for (room, data) in [("#ann", 1), ("kept:server", 2), ("news", 3)] {
        block_on(handle.to(room).emit("e", &data)).expect("it is sent");
        let heard = sdk.event("publication");
        assert_eq!(
            (&heard["channel"], &heard["data"], &heard["server"]),
            (&room.into(), &data.into(), &true.into())
        );
    }
}

fn who_publishes(sdk: &mut Sdk) {
    for room in ["lobby", "kept:a"] {
        sdk.subscribe(room);
        let publish = json!({"channel": room, "data": {"a": 1}});
        sdk.check("publish", &publish, &json!({"published": true}));
        let heard = sdk.event("publication");
        assert_eq!(
            (&heard["user"], &heard["info"], &heard["data"]),
            (&"ann".into(), &json!({"name": "Ann"}), &json!({"a": 1}))
        );
    }
    let history = sdk.obey("history", &json!({"channel": "kept:a", "limit": 1}));
    let kept = &history["publications"][0];
    assert_eq!(
        (&kept["user"], &kept["info"], &kept["data"]),
        (&"ann".into(), &json!({"name": "Ann"}), &json!({"a": 1}))
    );
    sdk.check("users", &json!("lobby"), &json!({"users": ["ann"]}));
    sdk.obey("unsubscribe", &json!(["lobby", "kept:a"]));
    sdk.events(2);
}

/// Tokens of channels, and channels of users.
fn channels_with_tokens(sdk: &mut Sdk) {
    let of = |channel: &str, user: &str, ends_in| {
        token(json!({"sub": user, "channel": channel, "info": 1}), ends_in)
    };
    for (channel, code) in [("closed:a", 103), ("talk:1#bob,carl", 103), ("shut:a", 103)] {
        sdk.obey("subscribe_with", &json!({"channel": channel}));
        let refused = sdk.event("unsubscribed");
        assert_eq!(
            (&refused["channel"], &refused["code"]),
            (&channel.into(), &code.into())
        );
        sdk.obey("forget", &channel.into());
    }
    for (channel, token) in [
        ("closed:a", of("closed:b", "ann", VALID)),
        ("closed:a", of("closed:a", "bob", VALID)),
        ("shut:a", of("shut:a", "ann", VALID)),
        ("lobby0", "nonsense".to_owned()),
    ] {
        sdk.obey(
            "subscribe_with",
            &json!({"channel": channel, "token": token}),
        );
        let refused = sdk.event("unsubscribed");
        assert_eq!(refused["code"], 103, "{channel}: {refused}");
        sdk.obey("forget", &channel.into());
    }
    sdk.subscribe("talk:1#bob,ann");
    sdk.subscribe("talk:1");
    sdk.subscribe("closed:caps");
    let good = of("closed:a", "ann", VALID);
    sdk.obey(
        "subscribe_with",
        &json!({"channel": "closed:a", "token": good}),
    );
    assert_eq!(sdk.event("subscribed")["channel"], "closed:a");
    // One that is over is replaced by the SDK, on the same connection.
    let again = json!([of("closed:b", "ann", VALID)]);
    let expired =
        json!({"channel": "closed:b", "token": of("closed:b", "ann", OVER), "tokens": again});
    sdk.obey("subscribe_with", &expired);
    sdk.event("error");
    assert_eq!(sdk.event("asked")["channel"], "closed:b");
    assert_eq!(sdk.event("subscribed")["channel"], "closed:b");
    let left = json!([
        "talk:1#bob,ann",
        "talk:1",
        "closed:caps",
        "closed:a",
        "closed:b"
    ]);
    sdk.obey("unsubscribe", &left);
    sdk.events(5);
}

/// Of a channel that sends newcomers its newest, that stands in the reply, and comes once.
fn state(sdk: &mut Sdk, handle: &shardcast::Handle) {
    publish(handle, "state:a", 1);
    publish(handle, "state:a", 2);
    for (recovered, data) in [(false, 2), (true, 3)] {
        let subscribed = sdk.subscribe("state:a");
        assert_eq!(subscribed["recovered"], recovered, "{subscribed}");
        assert_eq!(sdk.hear("state:a").0, data);
        sdk.obey("unsubscribe", &json!(["state:a"]));
        sdk.event("unsubscribed");
        if !recovered {
            publish(handle, "state:a", 3);
        }
    }
    // The client has it already.
    let subscribed = sdk.subscribe("state:a");
    assert_eq!(subscribed["recovered"], true, "{subscribed}");
    publish(handle, "state:a", 4);
    assert_eq!(sdk.hear("state:a").0, 4);
    sdk.obey("unsubscribe", &json!(["state:a"]));
    sdk.event("unsubscribed");
}

/// The channels of the server are recovered, too.
fn come_back(sdk: &mut Sdk, server: &Server, handle: &shardcast::Handle) {
    sdk.obey("disconnect", &Value::Null);
    sdk.event("disconnected");
    for data in [5, 6] {
        publish(handle, "kept:server", data);
    }
    sdk.connect_with(server, &json!({}));
    sdk.event("connected");
    let mut events = sdk.events(5);
    let at = |event: &Value| event["event"] == "subscribed";
    let subscribed: Vec<Value> = events.extract_if(.., |event| at(event)).collect();
    let kept = subscribed
        .iter()
        .find(|event| event["channel"] == "kept:server");
    assert_eq!(
        kept.expect("it is in it")["recovered"],
        true,
        "{subscribed:?}"
    );
    let heard: Vec<&Value> = events.iter().map(|event| &event["data"]).collect();
    assert_eq!(heard, [5, 6]);
    for data in 7..20 {
        publish(handle, "kept:server", data);
        let heard = sdk.event("publication");
        assert_eq!(heard["data"], data, "{heard}");
    }
}

#[test]
fn npm_centrifuge_json_with_tokens() {
    check(Sdk::node(Format::Json));
}

#[test]
fn npm_centrifuge_protobuf_with_tokens() {
    check(Sdk::node(Format::Protobuf));
}

#[test]
fn npm_centrifuge_in_chromium_with_tokens() {
    check(Sdk::chromium(Format::Json));
}

#[test]
fn pypi_centrifuge_json_with_tokens() {
    check(Sdk::python(Format::Json));
}

#[test]
fn pypi_centrifuge_protobuf_with_tokens() {
    check(Sdk::python(Format::Protobuf));
}

/// A token that is over is replaced; without another, or with a bad one, the SDK stays away. A
/// token without `sub` is nobody's, and good.
#[test]
fn tokens_that_are_refused() {
    let (server, _) = Server::of(app(required), config(1));
    type Start = fn(Format) -> Sdk;
    for start in [Sdk::node as Start, Sdk::python as Start] {
        let mut sdk = start(Format::Json);
        let (over, good) = (token(json!({"sub": "ann"}), OVER), token(json!({}), VALID));
        sdk.connect_with(&server, &json!({"token": over, "tokens": [good]}));
        let events = sdk.events(2);
        let names: Vec<&Value> = events.iter().map(|event| &event["event"]).collect();
        assert_eq!(names, ["asked", "connected"]);
        sdk.subscribe("lobby");
        let stats = json!({"numClients": 1, "numUsers": 1});
        sdk.check("presence_stats", &json!("lobby"), &stats);
        for bad in [json!({"token": "nonsense"}), json!({})] {
            let mut sdk = start(Format::Protobuf);
            sdk.connect_with(&server, &bad);
            assert_eq!(sdk.event("disconnected")["code"], 3500, "{bad}");
        }
    }
}

/// The SDK brings another token before the one that it has is over, for its connection and for its
/// channel; a connection and a channel whose tokens it does not replace end, and come back.
#[test]
fn tokens_are_refreshed() {
    let auth = |key| {
        let rules = shardcast::TokenRules {
            leeway: Duration::ZERO,
            ..shardcast::TokenRules::default()
        };
        required(key).rules(rules).expiring(Duration::from_secs(2))
    };
    let (server, _) = Server::of(app(auth), config(1));
    type Start = fn(Format) -> Sdk;
    for start in [Sdk::node as Start, Sdk::python as Start] {
        let mut sdk = start(Format::Json);
        let ann = |ends_in| token(json!({"sub": "ann"}), ends_in);
        let channel = |ends_in| token(json!({"sub": "ann", "channel": "closed:a"}), ends_in);
        sdk.connect_with(&server, &json!({"token": ann(6), "tokens": [ann(VALID)]}));
        sdk.event("connected");
        assert_eq!(sdk.event("subscribed")["channel"], "#ann");
        let tokens = json!([channel(VALID)]);
        let asked = json!({"channel": "closed:a", "token": channel(6), "tokens": tokens});
        sdk.obey("subscribe_with", &asked);
        assert_eq!(sdk.event("subscribed")["channel"], "closed:a");
        let asked = sdk.of_channels(2);
        assert_eq!(
            (&asked[0]["event"], &asked[1]["event"]),
            (&"asked".into(), &"asked".into())
        );
        // It is who it was, where it was.
        let said = json!({"channel": "closed:a", "data": 1});
        sdk.check("publish", &said, &json!({"published": true}));
        assert_eq!(sdk.event("publication")["user"], "ann");
    }
}

/// A first command and what comes behind it in the same message, while the token is checked
/// elsewhere: signatures with public keys are.
#[test]
fn commands_wait_for_the_first_one() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a pair");
    let key = TokenKey::new(
        "test",
        TokenAlgorithm::Es256,
        KeyMaterial::Pem(pair.public_key_pem().as_bytes()),
    );
    let auth = Auth::required([key.expect("a key")]).expect("one key");
    let (server, _) = Server::of(app(required).auth(auth), config(2));
    let claims = json!({"sub": "ann", "exp": now() + 600});
    let private = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a key");
    let header = Header::new(jsonwebtoken::Algorithm::ES256);
    let token = encode(&header, &claims, &private).expect("claims");
    for mut sdk in [Sdk::node(Format::Json), Sdk::node(Format::Protobuf)] {
        sdk.connect_with(
            &server,
            &json!({"token": token, "at_once": ["a", "b", "c"]}),
        );
        sdk.event("connected");
        let subscribed = sdk.of_channels(4);
        let channels = subscribed.iter().map(|event| event["channel"].clone());
        assert_eq!(channels.collect::<Vec<_>>(), ["#ann", "a", "b", "c"]);
    }
}
