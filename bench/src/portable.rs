//! Our own servers on epoll, as on hosts that refuse io_uring, each beside the same one on
//! io_uring. Listed by `servers`, chosen by plans; `drivers` says what came of the pairs.

use crate::product::{CENTRIFUGE_JSON, CENTRIFUGE_PROTOBUF, NATIVE, serve};
use crate::server::{RAW, RAW_DEFLATE, RAW_TLS, RAW_TWO_SHARDS, SERVER_CPU, Server};
use crate::work::Work;

/// The engine on epoll, one shard, raw protocol.
pub const RAW_PORTABLE: Server = Server {
    key: "raw-portable",
    name: "raw-server on epoll",
    arguments: &[
        "--listen", "{listen}", "--pin", SERVER_CPU, "--driver", "portable",
    ],
    ..RAW
};

/// The same on two shards.
pub const RAW_TWO_SHARDS_PORTABLE: Server = Server {
    key: "raw2-portable",
    name: "raw-server × 2 shards on epoll",
    arguments: &[
        "--listen", "{listen}", "--shards", "2", "--pin", "1,0", "--driver", "portable",
    ],
    ..RAW_TWO_SHARDS
};

/// The same over TLS.
pub const RAW_TLS_PORTABLE: Server = Server {
    key: "raw-tls-portable",
    name: "raw-server, TLS, on epoll",
    arguments: &[
        "--listen",
        "{listen}",
        "--pin",
        SERVER_CPU,
        "--driver",
        "portable",
        "--tls",
        "{certificate}",
        "{key}",
    ],
    ..RAW_TLS
};

/// The same, compressing.
pub const RAW_DEFLATE_PORTABLE: Server = Server {
    key: "raw-deflate-portable",
    name: "raw-server, deflate, on epoll",
    arguments: &[
        "--listen",
        "{listen}",
        "--pin",
        SERVER_CPU,
        "--driver",
        "portable",
        "--compress",
    ],
    ..RAW_DEFLATE
};

/// The product on epoll, native JSON dialect.
pub const NATIVE_PORTABLE: Server = Server {
    key: "native-portable",
    name: "shardcast (native JSON) on epoll",
    arguments: serve!("--driver", "portable"; ),
    ..NATIVE
};

/// The same, spoken to in the Centrifuge protocol.
pub const CENTRIFUGE_JSON_PORTABLE: Server = Server {
    key: "centrifuge-json-portable",
    name: "shardcast (Centrifuge JSON) on epoll",
    arguments: NATIVE_PORTABLE.arguments,
    ..CENTRIFUGE_JSON
};

/// The same in Protobuf.
pub const CENTRIFUGE_PROTOBUF_PORTABLE: Server = Server {
    key: "centrifuge-protobuf-portable",
    name: "shardcast (Centrifuge Protobuf) on epoll",
    arguments: NATIVE_PORTABLE.arguments,
    ..CENTRIFUGE_PROTOBUF
};

/// On io_uring, and on epoll.
pub const PAIRS: &[(Server, Server)] = &[
    (RAW, RAW_PORTABLE),
    (RAW_TWO_SHARDS, RAW_TWO_SHARDS_PORTABLE),
    (RAW_TLS, RAW_TLS_PORTABLE),
    (RAW_DEFLATE, RAW_DEFLATE_PORTABLE),
    (NATIVE, NATIVE_PORTABLE),
    (CENTRIFUGE_JSON, CENTRIFUGE_JSON_PORTABLE),
    (CENTRIFUGE_PROTOBUF, CENTRIFUGE_PROTOBUF_PORTABLE),
];

/// Of those who do a work, the ones that can be on either, in pairs.
pub fn pairs_of(work: &Work) -> impl Iterator<Item = (Server, Server)> {
    let pairs = PAIRS.iter().copied();
    pairs.filter(|(uring, _)| work.servers.contains(uring))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_differs_in_its_driver_alone() {
        for (uring, portable) in PAIRS {
            let at = portable
                .arguments
                .windows(2)
                .position(|words| words == ["--driver", "portable"]);
            let at = at.expect("its driver");
            let (before, after) = portable.arguments.split_at(at);
            let without = [before, &after[2..]].concat();
            assert_eq!(without, uring.arguments, "{}", portable.key);
            let same = Server {
                key: uring.key,
                name: uring.name,
                arguments: uring.arguments,
                ..*portable
            };
            assert_eq!(same, *uring);
        }
    }
}
