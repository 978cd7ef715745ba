//! The product, with what is measured of it switched on. Listed by `servers`.

use crate::server::{Program, RAW, SERVER_CPU, Server, Storm, Threads};
use crate::tokens;

/// The command line of one shard, for the largest work and its publishers, which connect at once
/// from one core: options before those that all have, and behind them.
macro_rules! serve {
    ($($before:expr),*; $($more:expr),*) => {
        &[
            "serve",
            $($before,)*
            "--shards",
            "1",
            "--set",
            "limits.max_connections=110000",
            "--set",
            "timeouts.handshake=60s",
            $($more,)*
            "--listen",
            "{listen}",
            "--admin",
            "{next}",
        ]
    };
}
pub(crate) use serve;

/// The product, one shard, native JSON dialect. The limits leave room for the largest work and its
/// publishers, which connect at once from one core.
pub const NATIVE: Server = Server {
    key: "native",
    name: "shardcast (native JSON)",
    protocol: "native",
    path: "/ws",
    program: Program::Own("shardcast", "shardcast"),
    arguments: serve!(; ),
    ..RAW
};

/// The same; an echo is a publish to a room of one's own.
pub const NATIVE_ROOM: Server = Server {
    key: "native-room",
    name: "shardcast (native JSON, by a room)",
    protocol: "native-room",
    ..NATIVE
};

/// The same as [`NATIVE`], spoken to in the Centrifuge protocol.
pub const CENTRIFUGE_JSON: Server = Server {
    key: "centrifuge-json",
    name: "shardcast (Centrifuge JSON)",
    protocol: "centrifuge-json",
    path: "/",
    ..NATIVE
};

/// The same in Protobuf.
pub const CENTRIFUGE_PROTOBUF: Server = Server {
    key: "centrifuge-protobuf",
    name: "shardcast (Centrifuge Protobuf)",
    protocol: "centrifuge-protobuf",
    ..CENTRIFUGE_JSON
};

/// The same with every limit of clients on, none of which is reached.
pub const NATIVE_LIMITS: Server = Server {
    key: "native-limits",
    name: "shardcast, all limits",
    arguments: serve!(;
        "--set", "limits.connections_per_address=1000000",
        "--set", "limits.connections_per_user=1000000",
        "--set", "limits.connects_per_second=1000000000",
        "--set", "limits.messages_per_second=1000000000",
        "--set", "limits.bytes_per_second=16GiB",
        "--set", "limits.messages_per_second_per_user=1000000000",
        "--set", "limits.bytes_per_second_per_user=16GiB",
        "--set", "limits.messages_per_second_per_room=1000000000",
        "--set", "limits.bytes_per_second_per_room=16GiB",
        "--set", "limits.joins_per_second=1000000000",
        "--set", "limits.fanout_per_second=1000000000",
        "--set", "limits.requests_in_flight=1000000"
    ),
    ..NATIVE
};

/// The same; every room keeps its last 100 messages.
pub const NATIVE_KEPT: Server = Server {
    key: "native-kept",
    name: "shardcast, history",
    arguments: serve!(; "--set", "rooms.history=100"),
    ..NATIVE
};

/// The same with what rooms keep on the disk as well; the CPU is that of the shard.
pub const NATIVE_STORED: Server = Server {
    key: "native-stored",
    name: "shardcast, history on disk",
    arguments: serve!(; "--pin", SERVER_CPU, "--set", "rooms.history=100", "--set", "{store}"),
    cores: "0,1",
    threads: Threads::Shards,
    ..NATIVE
};

/// Beside it: history in memory, the CPU is that of the shard.
pub const NATIVE_UNSTORED: Server = Server {
    key: "native-unstored",
    name: "shardcast, history, its shard",
    arguments: serve!(; "--pin", SERVER_CPU, "--set", "rooms.history=100"),
    ..NATIVE_STORED
};

/// The same; rooms keep messages, and members hear who comes and goes.
pub const NATIVE_PRESENCE: Server = Server {
    key: "native-presence",
    name: "shardcast, history and presence",
    arguments: serve!(; "--set", "rooms.history=100", "--set", "rooms.presence_events=true"),
    ..NATIVE
};

/// The same without limits, for clients that show a token of nobody.
pub const NATIVE_TOKENS: Server = Server {
    key: "native-tokens",
    name: "shardcast, HS256 tokens",
    arguments: serve!("--config", "{tokens}"; ),
    load: &["--header", tokens::NOBODY],
    ..NATIVE
};

/// The same for clients whose token names a user.
pub const NATIVE_USERS: Server = Server {
    key: "native-users",
    name: "shardcast, HS256 tokens of a user",
    load: &["--header", tokens::USER],
    ..NATIVE_TOKENS
};

/// The same for clients that need no token, with the checks of other tokens on the other core.
pub const NATIVE_QUIET: Server = Server {
    key: "native-quiet",
    name: "shardcast, tokens, quiet",
    arguments: &[
        "serve",
        "--config",
        "{tokens}",
        "--set",
        "auth.tokens=optional",
        "--shards",
        "1",
        "--pin",
        SERVER_CPU,
        "--listen",
        "{listen}",
        "--admin",
        "{next}",
    ],
    cores: "0,1",
    load: &[],
    threads: Threads::Shards,
    ..NATIVE_TOKENS
};

/// The same while others come with tokens that are malformed, so that nothing is checked.
pub const NATIVE_REFUSING: Server = Server {
    key: "native-refusing",
    name: "shardcast, malformed tokens",
    storm: Storm::Of(tokens::MALFORMED),
    ..NATIVE_QUIET
};

/// The same while others come with tokens of ES256 that nobody has signed.
pub const NATIVE_CHECKING: Server = Server {
    key: "native-checking",
    name: "shardcast, ES256 tokens",
    storm: Storm::Of(tokens::UNSIGNED),
    ..NATIVE_QUIET
};
