//! The servers that are measured: how each is named, spoken to, built and started. Constant data,
//! read by plans, runs and tables; a server that is added here and in a work's list takes part,
//! nothing else needs to know it.

/// A server that can take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// How it is selected.
    pub key: &'static str,
    /// How it is recorded and named in tables.
    pub name: &'static str,
    /// What `shardcast-load` speaks to it.
    pub protocol: &'static str,
    /// Where it takes connections; `/`: where its protocol has it.
    pub path: &'static str,
    /// Where it comes from.
    pub program: Program,
    /// Its command line; `{listen}` and `{port}` stand for where it listens, `{next}` for the
    /// address one port above, `{certificate}` and `{key}` for the files of the comparison's
    /// identity, `{tokens}` for a configuration that requires tokens, `{store}` for the setting of
    /// an empty folder to store in.
    pub arguments: &'static [&'static str],
    /// The cores it may use, as `taskset` takes them.
    pub cores: &'static str,
    /// How it is connected to.
    pub scheme: &'static str,
    /// Options of the load generator besides the work's own.
    pub load: &'static [&'static str],
    /// Whose CPU time is counted.
    pub threads: Threads,
    /// What hits it besides, from the first connection of the work to its end.
    pub storm: Storm,
}

/// Whose CPU time is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The process's.
    All,
    /// Those of its shards alone, the warm-up included: what is done elsewhere is not to cost them
    /// anything.
    Shards,
}

/// Connects that are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storm {
    /// None come.
    None,
    /// With this header, [`crate::storm::CONNECTS_PER_SECOND`].
    Of(&'static str),
}

/// Where a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A package of this workspace and its binary.
    Own(&'static str, &'static str),
    /// A folder of `bench/peers` with a `start` script.
    Peer(&'static str),
    /// A path on the command line (`--floor`).
    Given,
    /// Another (`--against`).
    Against,
}

impl Server {
    /// Whether it needs the configuration of [`crate::tokens`].
    pub fn checks_tokens(&self) -> bool {
        self.arguments.contains(&"{tokens}")
    }

    /// Whether it needs the comparison's identity.
    pub fn has_tls(&self) -> bool {
        self.scheme == "wss"
    }
}

/// The core that servers run on; the second shard of two goes to [`LOAD_CPU`].
pub const SERVER_CPU: &str = "1";
/// The core that the load generator runs on.
pub const LOAD_CPU: &str = "0";

/// The engine, one shard, raw protocol.
pub const RAW: Server = Server {
    key: "raw",
    name: "raw-server",
    protocol: "raw",
    path: "/ws",
    program: Program::Own("shardcast-bench", "raw-server"),
    arguments: &["--listen", "{listen}", "--pin", SERVER_CPU],
    cores: SERVER_CPU,
    scheme: "ws",
    load: &[],
    threads: Threads::All,
    storm: Storm::None,
};

/// Another build of it, given by path.
pub const RAW_BEFORE: Server = Server {
    key: "before",
    name: "raw-server before",
    program: Program::Against,
    ..RAW
};

/// The same engine, over TLS.
pub const RAW_TLS: Server = Server {
    key: "raw-tls",
    name: "raw-server, TLS",
    arguments: &[
        "--listen",
        "{listen}",
        "--pin",
        SERVER_CPU,
        "--tls",
        "{certificate}",
        "{key}",
    ],
    scheme: "wss",
    load: TLS_LOAD,
    ..RAW
};

/// Another build of it, over TLS.
pub const RAW_TLS_BEFORE: Server = Server {
    key: "before-tls",
    name: "raw-server before, TLS",
    program: Program::Against,
    ..RAW_TLS
};

/// The same engine, compressing.
pub const RAW_DEFLATE: Server = Server {
    key: "raw-deflate",
    name: "raw-server, deflate",
    arguments: &["--listen", "{listen}", "--pin", SERVER_CPU, "--compress"],
    load: &["--compress"],
    ..RAW
};

/// The same engine; what is published goes into the topic's log.
pub const RAW_KEPT: Server = Server {
    key: "raw-kept",
    name: "raw-server, history",
    arguments: &["--listen", "{listen}", "--pin", SERVER_CPU, "--keep", "100"],
    ..RAW
};

/// One cipher suite for all, so that not its choice is compared; the certificate is checked by
/// nobody, which spares the load generator.
const TLS_LOAD: &[&str] = &["--insecure", "--tls-suite", "TLS13_AES_128_GCM_SHA256"];

/// The engine, two shards, raw protocol.
pub const RAW_TWO_SHARDS: Server = Server {
    key: "raw2",
    name: "raw-server × 2 shards",
    arguments: &["--listen", "{listen}", "--shards", "2", "--pin", "1,0"],
    cores: "0,1",
    ..RAW
};

/// The prototype, given by path, with the constants that it was measured with.
pub const FLOOR: Server = Server {
    key: "floor",
    name: "floor",
    protocol: "raw",
    path: "/ws",
    program: Program::Given,
    arguments: &[
        "--port", "{port}", "--shards", "1", "--nbuf", "128", "--bsz", "16640", "--pred", "4",
        "--wantb", "64", "--mw", "50", "--chunk", "1024", "--slice", "64",
    ],
    ..RAW
};

/// uWebSockets by itself, in C++.
pub const UWEBSOCKETS: Server = peer("uwebsockets", "uWebSockets", "uwebsockets", "raw", "/ws");
/// Bun, which has uWebSockets inside.
pub const BUN: Server = peer("bun", "Bun", "bun", "raw", "/ws");
/// The same, over TLS: BoringSSL.
pub const BUN_TLS: Server = Server {
    key: "bun-tls",
    name: "Bun, TLS",
    arguments: PEER_TLS,
    scheme: "wss",
    load: TLS_LOAD,
    ..BUN
};
/// The same, compressing by the shared compressor of uWebSockets.
pub const BUN_DEFLATE: Server = Server {
    key: "bun-deflate",
    name: "Bun, deflate",
    arguments: &["--listen", "{listen}", "--compress"],
    load: &["--compress"],
    ..BUN
};
/// monoio on io_uring, one send for all that waits.
pub const MONOIO: Server = peer("monoio", "monoio", "monoio", "raw", "/ws");
/// The same, each message written by itself.
pub const MONOIO_EACH: Server = Server {
    key: "monoio-each",
    name: "monoio, unmerged",
    arguments: FLUSH_EACH,
    ..MONOIO
};
/// monoio on epoll.
pub const MONOIO_EPOLL: Server = peer(
    "monoio-epoll",
    "monoio on epoll",
    "monoio-epoll",
    "raw",
    "/ws",
);
/// The same; a connection that waits has no buffer of its own.
pub const MONOIO_EPOLL_LEAN: Server = Server {
    key: "monoio-epoll-lean",
    name: "monoio on epoll, shared buffers",
    arguments: &["--listen", "{listen}", "--buffers", "shared"],
    ..MONOIO_EPOLL
};
/// fastwebsockets on tokio.
pub const FASTWEBSOCKETS: Server = peer(
    "fastwebsockets",
    "fastwebsockets",
    "fastwebsockets",
    "raw",
    "/ws",
);
/// tokio-tungstenite, one flush for all that is ready.
pub const TUNGSTENITE: Server = peer(
    "tungstenite",
    "tokio-tungstenite",
    "tokio-tungstenite",
    "raw",
    "/ws",
);
/// The same, each message written by itself.
pub const TUNGSTENITE_EACH: Server = Server {
    key: "tungstenite-each",
    name: "tokio-tungstenite, unmerged",
    arguments: FLUSH_EACH,
    ..TUNGSTENITE
};
/// The same, over TLS: tokio-rustls.
pub const TUNGSTENITE_TLS: Server = Server {
    key: "tungstenite-tls",
    name: "tokio-rustls + tungstenite",
    arguments: PEER_TLS,
    scheme: "wss",
    load: TLS_LOAD,
    ..TUNGSTENITE
};
/// sockudo-ws on tokio.
pub const SOCKUDO_WS: Server = peer("sockudo-ws", "sockudo-ws", "sockudo-ws", "raw", "/ws");
/// `ws` on Node.
pub const NODE_WS: Server = peer("node-ws", "Node ws", "node-ws", "raw", "/ws");
/// gorilla/websocket on Go.
pub const GORILLA: Server = peer("gorilla", "Go gorilla", "gorilla", "raw", "/ws");

/// nats-server, its own protocol over WebSocket.
pub const NATS: Server = peer("nats", "nats-server", "nats", "nats", "/");
/// nchan in nginx.
pub const NCHAN: Server = peer("nchan", "nchan on nginx", "nchan", "nchan", "/");
/// socket.io on Node.
pub const SOCKETIO_NODE: Server = peer(
    "socketio-node",
    "socket.io on Node",
    "socketio-node",
    "socketio",
    "/",
);
/// socket.io on Bun.
pub const SOCKETIO_BUN: Server = peer(
    "socketio-bun",
    "socket.io on Bun",
    "socketio-bun",
    "socketio",
    "/",
);
/// sockudo, Pusher's protocol.
pub const SOCKUDO: Server = peer("sockudo", "sockudo", "sockudo", "pusher", "/");

/// Set for the Rust peers, which otherwise merge what waits.
const FLUSH_EACH: &[&str] = &["--listen", "{listen}", "--flush", "each"];

/// Told to the peers that speak TLS.
const PEER_TLS: &[&str] = &["--listen", "{listen}", "--tls", "{certificate}", "{key}"];

const fn peer(
    key: &'static str,
    name: &'static str,
    folder: &'static str,
    protocol: &'static str,
    path: &'static str,
) -> Server {
    Server {
        key,
        name,
        protocol,
        path,
        program: Program::Peer(folder),
        arguments: &["--listen", "{listen}"],
        ..RAW
    }
}
