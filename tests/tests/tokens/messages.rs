//! Tokens that come over an open connection, in every dialect: `auth` as the first message,
//! `refresh`, `expiring`, and what a connection that has not said who it is does and hears.

use crate::signed::{OTHER_SECRET, SECRET, es256, es256_pair, hs256, now, with};
use serde_json::{Value, json};
use shardcast::{App, Auth, KeyMaterial, TokenAlgorithm, TokenKey, TokenRules};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Client, Server, config};
use std::time::Duration;

/// A server that takes tokens of a secret and of a pair.
fn server(pair: &rcgen::KeyPair, change: impl Fn(Auth) -> Auth) -> Server {
    let public = pair.public_key_pem();
    let keys = [
        TokenKey::new(
            "a",
            TokenAlgorithm::Hs256,
            KeyMaterial::Secret(SECRET.as_bytes()),
        ),
        TokenKey::new(
            "b",
            TokenAlgorithm::Es256,
            KeyMaterial::Pem(public.as_bytes()),
        ),
    ];
    let keys = keys.map(|key| key.expect("a key"));
    let rules = TokenRules {
        leeway: Duration::ZERO,
        ..TokenRules::default()
    };
    let auth = change(Auth::required(keys).expect("two").rules(rules));
    Server::of(App::new().auth(auth), config(2)).0
}

/// A client in JSON or JSON-RPC, which answers alike but for the envelope.
pub(crate) struct Talker {
    pub(crate) client: Client,
    dialect: Dialect,
    asked: u32,
}

impl Talker {
    #[track_caller]
    fn new(server: &Server, dialect: Dialect) -> Talker {
        Talker::welcomed(server, dialect).0
    }

    /// A client, and what it was welcomed with.
    #[track_caller]
    pub(crate) fn welcomed(server: &Server, dialect: Dialect) -> (Talker, Value) {
        let client = Client::asking(server.address(), "/ws", dialect.subprotocol());
        let mut talker = Talker {
            client,
            dialect,
            asked: 0,
        };
        let welcome = talker.event();
        assert!(welcome["connection"].is_string());
        (talker, welcome)
    }

    #[track_caller]
    fn hear(&mut self) -> Value {
        serde_json::from_str(&self.client.hear()).expect("JSON")
    }

    /// The keys of the next event.
    #[track_caller]
    fn event(&mut self) -> Value {
        let heard = self.hear();
        match self.dialect {
            Dialect::JsonRpc => {
                let mut params = heard["params"].clone();
                params["type"] = heard["method"].clone();
                params
            }
            _ => heard,
        }
    }

    /// The keys of the answer, or `{"code": …}` of an error.
    #[track_caller]
    pub(crate) fn ask(&mut self, kind: &str, keys: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let text = match self.dialect {
            Dialect::JsonRpc => {
                json!({"jsonrpc": "2.0", "id": id, "method": kind, "params": keys}).to_string()
            }
            _ => {
                let mut request = keys;
                request["type"] = json!(kind);
                request["id"] = json!(id);
                request.to_string()
            }
        };
        self.client.say(&text);
        let heard = self.hear();
        assert_eq!(heard["id"], json!(id), "{heard}");
        match self.dialect {
            Dialect::JsonRpc if heard["error"].is_object() => heard["error"]["data"].clone(),
            Dialect::JsonRpc => heard["result"].clone(),
            _ => heard,
        }
    }
}

const DIALECTS: [Dialect; 2] = [Dialect::NativeJson, Dialect::JsonRpc];

#[test]
fn a_connection_says_first_who_it_is() {
    let pair = es256_pair();
    let server = server(&pair, |auth| auth);
    for dialect in DIALECTS {
        let claims = with("roles", json!(["moderator"]));
        for token in [hs256(SECRET, &claims), es256(&pair, None, &claims)] {
            let mut ann = Talker::new(&server, dialect);
            for kind in ["ping", "status", "rooms"] {
                assert_eq!(ann.ask(kind, json!({}))["code"], "unauthorized", "{kind}");
            }
            let joined = ann.ask("join_room", json!({"room": "r"}));
            assert_eq!(joined["code"], "unauthorized", "{joined}");
            let bad = ann.ask("auth", json!({"token": hs256(OTHER_SECRET, &claims)}));
            assert_eq!(bad["code"], "unauthorized", "{bad}");
            assert_eq!(ann.ask("auth", json!({}))["code"], "bad_request");
            assert_eq!(
                ann.ask("refresh", json!({"token": token}))["code"],
                "unauthorized"
            );
            let answer = ann.ask("auth", json!({ "token": token }));
            assert_eq!(answer["user"], "ann", "{answer}");
            assert_eq!(answer["roles"], json!(["moderator"]));
            let expires_ms = answer["expires_ms"].as_u64().expect("a number");
            assert!((1..=600_000).contains(&expires_ms), "{answer}");
            assert_eq!(ann.ask("status", json!({}))["user"], "ann");
            assert_eq!(ann.ask("join_room", json!({"room": "r"}))["room"], "r");
            // It stays who it is.
            let other = with("sub", json!("bob"));
            for kind in ["auth", "refresh"] {
                let other = ann.ask(kind, json!({"token": hs256(SECRET, &other)}));
                assert_eq!(other["code"], "unauthorized", "{other}");
            }
            let again = ann.ask("refresh", json!({ "token": token }));
            assert_eq!(again["user"], "ann", "{again}");
        }
    }
}

#[test]
fn who_has_not_said_who_it_is_hears_nothing_of_others_and_is_closed() {
    let pair = es256_pair();
    let server = server(&pair, |auth| auth.message_timeout(Duration::from_secs(2)));
    let mut ann = Talker::new(&server, Dialect::NativeJson);
    let token = hs256(SECRET, &with("x", json!(1)));
    ann.ask("auth", json!({ "token": token }));
    for dialect in DIALECTS {
        let mut late = Talker::new(&server, dialect);
        let mut stranger = Talker::new(&server, dialect);
        // Delivered to everyone before the answer of ann's next request.
        let told = ann.ask(
            "broadcast",
            json!({"data": "to all", "report": true, "echo": false}),
        );
        assert_eq!(told["delivered"], json!(0), "{told}");
        late.ask("auth", json!({ "token": token }));
        ann.ask("broadcast", json!({"data": "now", "echo": false}));
        assert_eq!(late.event()["data"], "now");
        assert_eq!(
            stranger.client.closed(),
            (4003, "no token came in time".to_owned())
        );
        late.client.leave();
    }
}

#[test]
fn a_client_is_told_before_its_token_ends_and_goes_on_with_another() {
    let pair = es256_pair();
    let server = server(&pair, |auth| auth.expiring(Duration::from_secs(60)));
    for dialect in DIALECTS {
        let mut ann = Talker::new(&server, dialect);
        // Within the last minute from the start: told at once is told never, for it knows.
        let token = |seconds: u64| hs256(SECRET, &with("exp", json!(now() + seconds)));
        ann.ask("auth", json!({"token": token(62)}));
        let expiring = ann.event();
        assert_eq!(expiring["type"], "expiring", "{expiring}");
        let in_ms = expiring["in_ms"].as_u64().expect("a number");
        assert!((1..=60_000).contains(&in_ms), "{expiring}");
        let answer = ann.ask("refresh", json!({"token": token(600)}));
        assert!(answer["expires_ms"].as_u64() > Some(60_000), "{answer}");
        let answer = ann.ask("refresh", json!({"token": token(2)}));
        assert!(answer["expires_ms"].as_u64() <= Some(2_000), "{answer}");
        assert_eq!(
            ann.client.closed(),
            (4105, "the token has expired".to_owned())
        );
    }
}
