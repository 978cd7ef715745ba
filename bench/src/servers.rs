//! All servers, and each by its key. Read by plans, tables and the command line.

use crate::portable::{
    CENTRIFUGE_JSON_PORTABLE, CENTRIFUGE_PROTOBUF_PORTABLE, NATIVE_PORTABLE, RAW_DEFLATE_PORTABLE,
    RAW_PORTABLE, RAW_TLS_PORTABLE, RAW_TWO_SHARDS_PORTABLE,
};
use crate::product::{
    CENTRIFUGE_JSON, CENTRIFUGE_PROTOBUF, NATIVE, NATIVE_CHECKING, NATIVE_KEPT, NATIVE_LIMITS,
    NATIVE_PRESENCE, NATIVE_QUIET, NATIVE_REFUSING, NATIVE_ROOM, NATIVE_STORED, NATIVE_TOKENS,
    NATIVE_UNSTORED, NATIVE_USERS,
};
use crate::server::{
    BUN, BUN_DEFLATE, BUN_TLS, FASTWEBSOCKETS, FLOOR, GORILLA, MONOIO, MONOIO_EACH, MONOIO_EPOLL,
    MONOIO_EPOLL_LEAN, NATS, NCHAN, NODE_WS, RAW, RAW_BEFORE, RAW_DEFLATE, RAW_KEPT, RAW_TLS,
    RAW_TLS_BEFORE, RAW_TWO_SHARDS, SOCKETIO_BUN, SOCKETIO_NODE, SOCKUDO, SOCKUDO_WS, Server,
    TUNGSTENITE, TUNGSTENITE_EACH, TUNGSTENITE_TLS, UWEBSOCKETS,
};

/// Every server, in the order of table columns.
pub const SERVERS: &[Server] = &[
    RAW,
    RAW_BEFORE,
    RAW_PORTABLE,
    RAW_TWO_SHARDS,
    RAW_TWO_SHARDS_PORTABLE,
    RAW_TLS,
    RAW_TLS_PORTABLE,
    RAW_TLS_BEFORE,
    RAW_DEFLATE,
    RAW_DEFLATE_PORTABLE,
    RAW_KEPT,
    NATIVE,
    NATIVE_PORTABLE,
    NATIVE_ROOM,
    NATIVE_LIMITS,
    NATIVE_KEPT,
    NATIVE_STORED,
    NATIVE_UNSTORED,
    NATIVE_PRESENCE,
    NATIVE_TOKENS,
    NATIVE_USERS,
    NATIVE_QUIET,
    NATIVE_REFUSING,
    NATIVE_CHECKING,
    CENTRIFUGE_JSON,
    CENTRIFUGE_JSON_PORTABLE,
    CENTRIFUGE_PROTOBUF,
    CENTRIFUGE_PROTOBUF_PORTABLE,
    UWEBSOCKETS,
    BUN,
    BUN_TLS,
    BUN_DEFLATE,
    MONOIO,
    MONOIO_EACH,
    MONOIO_EPOLL,
    MONOIO_EPOLL_LEAN,
    FASTWEBSOCKETS,
    TUNGSTENITE,
    TUNGSTENITE_EACH,
    TUNGSTENITE_TLS,
    SOCKUDO_WS,
    NODE_WS,
    GORILLA,
    NATS,
    NCHAN,
    SOCKETIO_NODE,
    SOCKETIO_BUN,
    SOCKUDO,
    FLOOR,
];

/// The server of that key.
pub fn find(key: &str) -> Option<Server> {
    SERVERS.iter().copied().find(|server| server.key == key)
}

/// The keys of all servers, for messages.
pub fn keys() -> String {
    let keys: Vec<&str> = SERVERS.iter().map(|server| server.key).collect();
    keys.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_names_are_unique() {
        for server in SERVERS {
            assert_eq!(find(server.key), Some(*server), "{}", server.key);
            let same = SERVERS.iter().filter(|other| other.name == server.name);
            assert_eq!(same.count(), 1, "{}", server.name);
        }
        assert_eq!(find("no-such-server"), None);
    }

    #[test]
    fn who_listens_for_tls_is_called_by_it() {
        for server in SERVERS {
            let has_identity = server.arguments.contains(&"{certificate}");
            assert_eq!(has_identity, server.has_tls(), "{}", server.key);
            let insecure = server.load.contains(&"--insecure");
            assert_eq!(insecure, server.has_tls(), "{}", server.key);
        }
    }

    #[test]
    fn every_server_is_told_where_to_listen() {
        for server in SERVERS {
            let is_set = server
                .arguments
                .iter()
                .any(|argument| ["{listen}", "{port}"].contains(argument));
            assert!(is_set, "{}", server.key);
        }
    }
}
