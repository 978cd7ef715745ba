//! The messages of the Centrifuge client protocol, version 2: which fields each has, with the name
//! that JSON uses and the tag that Protobuf uses. Read by `record`, written by `body`.
//!
//! Invariant: a tag is 1 to [`TAG_MAX`], and stands once in a message, as its name does.

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) tag: u8,
}

/// The largest tag of any message here.
pub(super) const TAG_MAX: u8 = 19;

/// A module with a constant for each field, and all of them.
macro_rules! messages {
    ([$all:meta] $($(#[$doc:meta])* $message:ident { $($field:ident = $name:literal $tag:literal),* $(,)? })*) => {
        $($(#[$doc])* pub(crate) mod $message {
            use crate::dialect::centrifuge::schema::Field;
            $(pub(crate) const $field: Field = Field { name: $name, tag: $tag };)*
            #[$all]
            pub(crate) const ALL: &[Field] = &[$($field),*];
        })*
    };
}

/// What clients send.
pub(super) mod sent {
    messages! {
        [cfg(all())]
        /// One command.
        command {
            ID = "id" 1, CONNECT = "connect" 4, SUBSCRIBE = "subscribe" 5,
            UNSUBSCRIBE = "unsubscribe" 6, PUBLISH = "publish" 7, PRESENCE = "presence" 8,
            PRESENCE_STATS = "presence_stats" 9, HISTORY = "history" 10, PING = "ping" 11,
            SEND = "send" 12, RPC = "rpc" 13, REFRESH = "refresh" 14,
            SUB_REFRESH = "sub_refresh" 15,
        }
        /// Of the fields here, those that mean something to this server.
        connect {
            TOKEN = "token" 1, DATA = "data" 2, SUBS = "subs" 3, NAME = "name" 4,
            VERSION = "version" 5,
        }
        subscribe {
            CHANNEL = "channel" 1, TOKEN = "token" 2, RECOVER = "recover" 3, EPOCH = "epoch" 6,
            OFFSET = "offset" 7, DATA = "data" 8, DELTA = "delta" 12, FILTER = "tf" 13,
            FLAG = "flag" 14, TYPE = "type" 15, PHASE = "phase" 16, CURSOR = "cursor" 17,
            LIMIT = "limit" 18,
        }
        /// A comparison of a tag, or several nodes together.
        filter_node {
            OP = "op" 1, KEY = "key" 2, COMPARISON = "cmp" 3, VALUE = "val" 4, VALUES = "vals" 5,
            NODES = "nodes" 6,
        }
        /// Of every command that names a channel and nothing else.
        channel { CHANNEL = "channel" 1 }
        publish {
            CHANNEL = "channel" 1, DATA = "data" 2, TYPE = "type" 3, KEY = "key" 4,
            REMOVED = "removed" 5,
        }
        history {
            CHANNEL = "channel" 1, LIMIT = "limit" 7, SINCE = "since" 8, REVERSE = "reverse" 9,
        }
        position { OFFSET = "offset" 1, EPOCH = "epoch" 2 }
        /// An entry of a map of subscriptions in Protobuf.
        sub_entry { KEY = "key" 1, VALUE = "value" 2 }
        send { DATA = "data" 1 }
        rpc { DATA = "data" 1, METHOD = "method" 2 }
        refresh { TOKEN = "token" 1 }
        sub_refresh { CHANNEL = "channel" 1, TOKEN = "token" 2, TYPE = "type" 3 }
        /// Commands beside a stream.
        emulation { NODE = "node" 1, SESSION = "session" 2, DATA = "data" 3 }
    }
}

/// What the server sends.
pub(super) mod received {
    messages! {
        [cfg(test)]
        /// One reply.
        reply {
            ID = "id" 1, ERROR = "error" 2, PUSH = "push" 4, CONNECT = "connect" 5,
            SUBSCRIBE = "subscribe" 6, UNSUBSCRIBE = "unsubscribe" 7, PUBLISH = "publish" 8,
            PRESENCE = "presence" 9, PRESENCE_STATS = "presence_stats" 10,
            HISTORY = "history" 11, RPC = "rpc" 13, REFRESH = "refresh" 14,
            SUB_REFRESH = "sub_refresh" 15,
        }
        error { CODE = "code" 1, MESSAGE = "message" 2, TEMPORARY = "temporary" 3 }
        push {
            CHANNEL = "channel" 2, PUB = "pub" 4, JOIN = "join" 5, LEAVE = "leave" 6,
            UNSUBSCRIBE = "unsubscribe" 7, MESSAGE = "message" 8, SUBSCRIBE = "subscribe" 9,
            DISCONNECT = "disconnect" 11, REFRESH = "refresh" 12,
        }
        /// The push.
        refreshed { EXPIRES = "expires" 1, TTL = "ttl" 2 }
        /// The push.
        disconnect { CODE = "code" 1, REASON = "reason" 2 }
        publication {
            DATA = "data" 4, INFO = "info" 5, OFFSET = "offset" 6, TAGS = "tags" 7,
            DELTA = "delta" 8, KEY = "key" 11, REMOVED = "removed" 12,
        }
        client_info {
            USER = "user" 1, CLIENT = "client" 2, CONN_INFO = "conn_info" 3,
            CHAN_INFO = "chan_info" 4,
        }
        /// `join` and `leave`.
        member { INFO = "info" 1 }
        /// The push, and the request's answer has nothing.
        unsubscribe { CODE = "code" 2, REASON = "reason" 3 }
        /// Of the push `message`, and of an answer to `rpc`.
        data { DATA = "data" 1 }
        /// Of `refresh`, too, as far as it has these fields.
        connect {
            CLIENT = "client" 1, VERSION = "version" 2, EXPIRES = "expires" 3, TTL = "ttl" 4,
            DATA = "data" 5,
            SUBS = "subs" 6, PING = "ping" 7, PONG = "pong" 8, SESSION = "session" 9,
        }
        /// Of `sub_refresh`, too, likewise.
        subscribe {
            EXPIRES = "expires" 1, TTL = "ttl" 2, RECOVERABLE = "recoverable" 3,
            EPOCH = "epoch" 6, PUBLICATIONS = "publications" 7, RECOVERED = "recovered" 8,
            OFFSET = "offset" 9, POSITIONED = "positioned" 10,
            WAS_RECOVERING = "was_recovering" 12, DELTA = "delta" 13, TYPE = "type" 15,
            PHASE = "phase" 16, CURSOR = "cursor" 17, STATE = "state" 18,
        }
        /// The push.
        subscribed {
            RECOVERABLE = "recoverable" 1, EPOCH = "epoch" 4, OFFSET = "offset" 5,
            POSITIONED = "positioned" 6,
        }
        presence { PRESENCE = "presence" 1 }
        presence_stats { NUM_CLIENTS = "num_clients" 1, NUM_USERS = "num_users" 2 }
        history { PUBLICATIONS = "publications" 1, EPOCH = "epoch" 2, OFFSET = "offset" 3 }
        /// An entry of a map in Protobuf.
        entry { KEY = "key" 1, VALUE = "value" 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_stand_once_in_a_message() {
        use {received as r, sent as s};
        for message in [
            s::command::ALL,
            s::connect::ALL,
            s::subscribe::ALL,
            s::filter_node::ALL,
            s::channel::ALL,
            s::publish::ALL,
            s::history::ALL,
            s::position::ALL,
            s::sub_entry::ALL,
            s::send::ALL,
            s::rpc::ALL,
            s::refresh::ALL,
            s::sub_refresh::ALL,
            s::emulation::ALL,
            r::reply::ALL,
            r::error::ALL,
            r::push::ALL,
            r::disconnect::ALL,
            r::refreshed::ALL,
            r::publication::ALL,
            r::client_info::ALL,
            r::member::ALL,
            r::unsubscribe::ALL,
            r::data::ALL,
            r::connect::ALL,
            r::subscribe::ALL,
            r::subscribed::ALL,
            r::presence::ALL,
            r::presence_stats::ALL,
            r::history::ALL,
            r::entry::ALL,
        ] {
            for (at, field) in message.iter().enumerate() {
                assert!((1..=TAG_MAX).contains(&field.tag), "{field:?}");
                let others = message[at + 1..].iter();
                let same = |other: &&Field| other.tag == field.tag || other.name == field.name;
                assert_eq!(others.filter(same).count(), 0, "{field:?}");
            }
        }
    }
}
