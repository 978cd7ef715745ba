//! What a request costs above the shard: dialects, the table of handlers, middleware, translation.
//! A whole shard on a driver that does nothing; what a piece adds is its difference to another of
//! the same size. `bench/README.md` says how to run it.
#![forbid(unsafe_code)]

mod office;
#[path = "../../../bench/benches/piece/mod.rs"]
mod piece;
#[path = "../../../engine/benches/parts/quiet.rs"]
mod quiet;
mod words;

use divan::Bencher;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use office::{Office, client_frame, upgrade};
use piece::Piece;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shardcast::{App, Auth, Flow, Identity, KeyMaterial, TokenAlgorithm, TokenKey};
use shardcast_engine::protocol::dialect::Dialect::{self, JsonRpc, MessagePack, NativeJson};
use shardcast_engine::protocol::frame::Kind;
use std::process::ExitCode;

/// Names end in what is varied.
const PIECES: &[Piece] = &[
    piece("request/built-in-numbers", || ask("echo", "[42,23]", 0)),
    piece("request/built-in-record", || ask("echo", DATA, 0)),
    piece("request/handler-numbers", || ask("subtract", "[42,23]", 0)),
    piece("request/handler-record", || ask("same", DATA, 0)),
    piece("request/middleware-1", || ask("subtract", "[42,23]", 1)),
    piece("request/middleware-2", || ask("subtract", "[42,23]", 2)),
    piece("request/middleware-4", || ask("subtract", "[42,23]", 4)),
    piece("request/middleware-8", || ask("subtract", "[42,23]", 8)),
    piece("request/background-record", || ask("later", DATA, 0)),
    piece("dialect/native-json", || ask_in(NativeJson)),
    piece("dialect/json-rpc", || ask_in(JsonRpc)),
    piece("dialect/messagepack", || ask_in(MessagePack)),
    piece("room/native-json", || publish(&[NativeJson; 3])),
    piece("room/join-leave", || join_and_leave(0)),
    piece("room/join-leave-100", || join_and_leave(100)),
    piece("room/two-dialects", || {
        publish(&[NativeJson, NativeJson, JsonRpc])
    }),
    piece("room/three-dialects", || {
        publish(&[NativeJson, MessagePack, JsonRpc])
    }),
    piece("room/native-json-300", || publish(&[NativeJson; 300])),
    piece("room/three-dialects-300", || {
        publish(&[NativeJson, MessagePack, JsonRpc].repeat(100))
    }),
    piece("connect/nobody", || visit(App::new(), "")),
    piece("connect/hs256", || connect(json!({}))),
    piece("connect/user", connect_user),
    piece("connect/hs256-user", || connect(json!({"sub": "ann"}))),
    piece("words/native-json", || words::echo(NativeJson)),
    piece("words/json-rpc", || words::echo(JsonRpc)),
    piece("words/messagepack", || words::echo(MessagePack)),
    piece("words/native-json-to-json-rpc", || {
        words::translation(NativeJson, JsonRpc)
    }),
    piece("words/native-json-to-messagepack", || {
        words::translation(NativeJson, MessagePack)
    }),
    piece("words/json-rpc-to-native-json", || {
        words::translation(JsonRpc, NativeJson)
    }),
    piece("words/json-rpc-to-messagepack", || {
        words::translation(JsonRpc, MessagePack)
    }),
    piece("words/messagepack-to-native-json", || {
        words::translation(MessagePack, NativeJson)
    }),
    piece("words/messagepack-to-json-rpc", || {
        words::translation(MessagePack, JsonRpc)
    }),
];

const fn piece(name: &'static str, set_up: fn() -> Box<dyn FnMut()>) -> Piece {
    Piece {
        name,
        times: 1024,
        set_up,
    }
}

#[divan::bench(args = PIECES)]
fn handlers(bencher: Bencher<'_, '_>, piece: &Piece) {
    piece::time(bencher, piece);
}

fn main() -> ExitCode {
    piece::run(PIECES)
}

/// What the handler takes and returns: 64 bytes of JSON.
#[derive(Deserialize, Serialize)]
struct Same {
    symbol: String,
    price: f64,
    quantity: u64,
    note: String,
}

const DATA: &str = r#"{"symbol":"ABCD","price":101.25,"quantity":1500,"note":"sixty-four"}"#;

fn app(middlewares: usize) -> App {
    let app = App::new();
    let handlers = app.handlers();
    handlers
        .on("same", |_, same: Same| Ok(same))
        .expect("a free type");
    handlers
        .on("subtract", |_, (a, b): (i64, i64)| Ok(a - b))
        .expect("a free type");
    handlers
        .on_async("later", |_, same: Same| async { Ok(same) })
        .expect("a free type");
    for _ in 0..middlewares {
        handlers
            .before("*", |_, _| Ok(Flow::Continue))
            .expect("a pattern");
    }
    app
}

const SECRET: &[u8] = b"a secret that nobody else knows!";

/// A client connects with a token of these claims, and goes.
fn connect(mut claims: Value) -> Box<dyn FnMut()> {
    claims["exp"] = json!(9_999_999_999_u64);
    let key = EncodingKey::from_secret(SECRET).expect("a secret");
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
    let token = token.expect("claims");
    let key = TokenKey::new("main", TokenAlgorithm::Hs256, KeyMaterial::Secret(SECRET));
    let auth = Auth::required([key.expect("a key")]).expect("one key");
    let header = format!("Authorization: Bearer {token}\r\n");
    visit(App::new().auth(auth), &header)
}

/// The same for a user whom a hook has named.
fn connect_user() -> Box<dyn FnMut()> {
    let app = App::new().on_connect(|_| Ok(Identity::user("ann")?));
    visit(app, "")
}

fn visit(app: App, header: &str) -> Box<dyn FnMut()> {
    let mut office = Office::new(app, &[]);
    let request = upgrade(header);
    Box::new(move || office.visit(request.as_bytes()))
}

/// A request with data is answered: by the server itself with the same bytes, by a handler with a
/// value of its type.
fn ask(kind: &str, data: &str, middlewares: usize) -> Box<dyn FnMut()> {
    let request = format!(r#"{{"type":"{kind}","id":1,"data":{data}}}"#);
    let said = client_frame(Kind::Text, request.as_bytes());
    let mut office = Office::new(app(middlewares), &[NativeJson]);
    Box::new(move || {
        office.arrive(0, &said);
        office.settle(1);
    })
}

/// The handler is asked in a dialect.
fn ask_in(dialect: Dialect) -> Box<dyn FnMut()> {
    #[derive(Serialize)]
    struct Request {
        r#type: &'static str,
        id: u32,
        data: Same,
    }
    let data: Same = serde_json::from_str(DATA).expect("it is of this type");
    let request = match dialect {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => unreachable!("it speaks another"),
        NativeJson => format!(r#"{{"type":"same","id":1,"data":{DATA}}}"#).into_bytes(),
        JsonRpc => {
            format!(r#"{{"jsonrpc":"2.0","method":"same","id":1,"params":{DATA}}}"#).into_bytes()
        }
        MessagePack => rmp_serde::to_vec_named(&Request {
            r#type: "same",
            id: 1,
            data,
        })
        .expect("it can be packed"),
    };
    let said = client_frame(dialect.kind(), &request);
    let mut office = Office::new(app(0), &[dialect]);
    Box::new(move || {
        office.arrive(0, &said);
        office.settle(1);
    })
}

/// The first connection, which speaks the native dialect, publishes to a room with all of them.
fn publish(dialects: &[Dialect]) -> Box<dyn FnMut()> {
    let app = App::new().on_opened(|cx| cx.join("room"));
    let mut office = Office::new(app, dialects);
    // The joins are counted by now, or by the first tick of the first operation.
    let request = format!(r#"{{"type":"broadcast","room":"room","data":{DATA}}}"#);
    let said = client_frame(Kind::Text, request.as_bytes());
    let members = dialects.len() as u64;
    office.settle(0);
    Box::new(move || {
        office.arrive(0, &said);
        office.settle(members);
    })
}

/// A client that is in so many rooms joins one more, and leaves it.
fn join_and_leave(rooms: usize) -> Box<dyn FnMut()> {
    let app = App::new().on_opened(move |cx| {
        let rooms: Vec<String> = (0..rooms).map(|room| room.to_string()).collect();
        let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
        // One request: of a request for each room, some would be refused as too many.
        cx.join_then(&rooms, |_, joined| {
            joined.expect("it may be in so many rooms");
        })
    });
    let mut office = Office::new(app, &[NativeJson]);
    office.settle(0);
    let said = ["join_room", "leave_room"].map(|kind| {
        let request = format!(r#"{{"type":"{kind}","id":1,"room":"one-more"}}"#);
        client_frame(Kind::Text, request.as_bytes())
    });
    Box::new(move || {
        for said in &said {
            office.arrive(0, said);
            office.settle(1);
        }
    })
}
