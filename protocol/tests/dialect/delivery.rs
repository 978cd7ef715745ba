//! What clients say and are told of what rooms keep: positions, keys, queries and gaps, in every
//! dialect.

use crate::decoding::{check, json, pack, packed};
use crate::written::{event, reply};
use shardcast_protocol::dialect::{
    Counts, Dialect, Encoding, Event, HistoryPage, Joined, KeptMessage, LogPosition, LossReason,
    Origin, Place, Places, Recovery, Repeat, Reply, RoomPlace,
};
use shardcast_protocol::trace_parent::TraceParent;

/// The keys of a request, and what is read of them in every dialect.
#[track_caller]
fn one(kind: &str, keys: &str, expected: &str) {
    let comma = if keys.is_empty() { "" } else { "," };
    let native = format!(r#"{{"type":"{kind}","id":1{comma}{keys}}}"#);
    let rpc = format!(r#"{{"jsonrpc":"2.0","method":"{kind}","id":1,"params":{{{keys}}}}}"#);
    check(Dialect::NativeJson, native.as_bytes(), &[expected]);
    check(Dialect::MessagePack, &packed(&native), &[expected]);
    check(Dialect::JsonRpc, rpc.as_bytes(), &[expected]);
}

#[test]
fn joins_name_what_the_client_has() {
    for (keys, expected) in [
        (
            r#""room":"r","since":{"epoch":"k3","offset":41}"#,
            r#"join_room id=1 room="r" since="k3"/41"#,
        ),
        (
            r#""since":{"x":[],"offset":1e1,"epoch":""},"room":"r""#,
            r#"join_room id=1 room="r" since=""/10"#,
        ),
        // Any epoch, in two more spellings; the largest offset.
        (
            r#""room":"r","since":{"offset":0}"#,
            r#"join_room id=1 room="r" since=""/0"#,
        ),
        (
            r#""room":"r","since":{"offset":18446744073709551615,"epoch":null}"#,
            r#"join_room id=1 room="r" since=""/18446744073709551615"#,
        ),
        (r#""room":"r","since":null"#, r#"join_room id=1 room="r""#),
        (
            r#""rooms":["a","b","c"],"since":{"b":{"epoch":"k3","offset":4},"a":{"offset":1}}"#,
            r#"join_room id=1 rooms=["a", "b", "c"] since={"b" "k3"/4, "a" ""/1}"#,
        ),
        (
            r#""rooms":["a"],"since":{}"#,
            r#"join_room id=1 rooms=["a"] since={}"#,
        ),
        // Which rooms may stand there, and how often, is not known here.
        (
            r#""rooms":["a"],"since":{"x":{"offset":1},"a":{"offset":2},"a":{"offset":3}}"#,
            r#"join_room id=1 rooms=["a"] since={"x" ""/1, "a" ""/2, "a" ""/3}"#,
        ),
    ] {
        one("join_room", keys, expected);
    }
}

const SINCE: &str = "since must be an object with epoch, a string, and offset, a whole number";
const BY_ROOM: &str = "since must be an object of positions by room, as rooms names several";

#[test]
fn what_is_no_position_is_refused() {
    let room = |since: &str| format!(r#""room":"r","since":{since}"#);
    let rooms = |since: &str| format!(r#""rooms":["a"],"since":{since}"#);
    for (since, wrong) in [
        ("41", SINCE),
        ("\"k3\"", SINCE),
        ("[]", SINCE),
        ("{}", SINCE),
        (r#"{"epoch":"k3"}"#, SINCE),
        (r#"{"epoch":7,"offset":1}"#, SINCE),
        (r#"{"epoch":"","offset":-1}"#, SINCE),
        (r#"{"epoch":"","offset":1.5}"#, SINCE),
        (r#"{"epoch":"","offset":"1"}"#, SINCE),
        (r#"{"epoch":"","offset":null}"#, SINCE),
        (r#"{"epoch":"","offset":18446744073709551616}"#, SINCE),
        (r#"{"offset":1,"epoch":"","offset":1}"#, "duplicate key"),
    ] {
        let refused = format!("bad_request -32602 id=1: {wrong}");
        one("join_room", &room(since), &refused);
        one("history", &room(since), &refused);
        one(
            "join_room",
            &rooms(&format!(r#"{{"a":{since}}}"#)),
            &refused,
        );
    }
    for since in ["1", "\"a\"", "[]", "true"] {
        let refused = format!("bad_request -32602 id=1: {BY_ROOM}");
        one("join_room", &rooms(since), &refused);
    }
    // One for all rooms is none for any.
    let refused = format!("bad_request -32602 id=1: {SINCE}");
    one(
        "join_room",
        &rooms(r#"{"epoch":"k3","offset":41}"#),
        &refused,
    );
    one(
        "join_room",
        r#""room":"r","since":{"offset":1},"since":null"#,
        "bad_request -32602 id=1: duplicate key",
    );
}

#[test]
fn what_is_kept_is_asked_for() {
    for (keys, expected) in [
        (r#""room":"r""#, r#"history id=1 room="r""#),
        (
            r#""room":"r","since":{"epoch":"k3","offset":7},"limit":100,"reverse":true"#,
            r#"history id=1 room="r" limit=100 since="k3"/7 reverse=true"#,
        ),
        (
            r#""room":"r","since":null,"limit":0,"reverse":false"#,
            r#"history id=1 room="r" limit=0"#,
        ),
        (
            r#""room":"r","limit":null,"reverse":null"#,
            r#"history id=1 room="r""#,
        ),
        (
            r#""room":"r","reverse":1"#,
            "bad_request -32602 id=1: reverse must be true or false",
        ),
        (
            r#""room":"r","limit":-1"#,
            "bad_request -32602 id=1: limit must be a whole number below 4294967296",
        ),
        ("", "bad_request -32602 id=1: room is missing"),
        (
            r#""rooms":["a"]"#,
            "bad_request -32602 id=1: room is missing",
        ),
    ] {
        one("history", keys, expected);
    }
}

#[test]
fn publishes_bear_keys() {
    let (longest, longer) = ("k".repeat(128), "é".repeat(64) + "k");
    for (keys, expected) in [
        (
            r#""room":"r","key":"order-17""#.to_owned(),
            r#" room="r" key="order-17""#.to_owned(),
        ),
        (
            r#""rooms":["a","b"],"conflate":"AAPL","key":null"#.into(),
            r#" rooms=["a", "b"] conflate="AAPL""#.into(),
        ),
        (
            r#""room":"r","key":"\u0041","conflate":"\n""#.into(),
            r#" room="r" key="A" conflate="\n""#.into(),
        ),
        (
            r#""room":"r","key":null,"conflate":null"#.into(),
            r#" room="r""#.into(),
        ),
        (
            format!(r#""room":"r","key":"{longest}""#),
            format!(r#" room="r" key="{longest}""#),
        ),
    ] {
        for kind in ["broadcast", "publish"] {
            one(kind, &keys, &format!("{kind} id=1{expected}"));
        }
    }
    for (key, value) in [("key", "7"), ("conflate", "true"), ("key", "\"\"")]
        .into_iter()
        .chain([("conflate", "\"\""), ("key", &*format!("\"{longer}\""))])
    {
        one(
            "publish",
            &format!(r#""room":"r","{key}":{value}"#),
            &format!("bad_request -32602 id=1: {key} must be a string of 1 to 128 bytes"),
        );
    }
    for target in ["", r#""user":"ann","#] {
        one(
            "broadcast",
            &format!(r#"{target}"key":"k""#),
            "bad_request -32602 id=1: key and conflate need room or rooms",
        );
    }
}

/// Handlers of the application have keys of their own.
#[test]
fn other_requests_may_bear_what_they_like() {
    let keys = r#""key":1,"conflate":[],"since":"x","reverse":"no""#;
    let native = format!(r#"{{"type":"mine","id":1,{keys}}}"#);
    check(Dialect::NativeJson, native.as_bytes(), &["mine id=1"]);
    check(Dialect::MessagePack, &packed(&native), &["mine id=1"]);
    one("ping", keys, "ping id=1");
}

const AT: LogPosition<'_> = LogPosition {
    epoch: "k3",
    offset: 44,
};

#[test]
fn joined_rooms_have_positions() {
    let joined = |position, recovery| Joined {
        room: "r",
        members: 3,
        position,
        recovery,
    };
    for (recovery, rest) in [
        (None, ""),
        (Some(Recovery::Recovered), r#","recovered":true"#),
        (
            Some(Recovery::Lost(LossReason::TrimmedBySize)),
            r#","recovered":false,"reason":"trimmed_by_size""#,
        ),
    ] {
        let body = format!(r#""room":"r","members":3,"epoch":"k3","offset":44{rest}"#);
        reply(
            Reply::Joined(joined(Some(AT), recovery)),
            &format!(r#"{{"type":"joined","id":7,{body}}}"#),
            &format!(r#"{{"jsonrpc":"2.0","result":{{{body}}},"id":7}}"#),
        );
    }
    reply(
        Reply::JoinedRooms(&[joined(Some(AT), None), joined(None, None)]),
        r#"{"type":"joined","id":7,"rooms":[{"room":"r","members":3,"epoch":"k3","offset":44},{"room":"r","members":3}]}"#,
        r#"{"jsonrpc":"2.0","result":{"rooms":[{"room":"r","members":3,"epoch":"k3","offset":44},{"room":"r","members":3}]},"id":7}"#,
    );
}

#[test]
fn acks_have_positions() {
    let place = |repeat| Place {
        position: AT,
        repeat,
    };
    let counts = Counts {
        delivered: 1,
        queued: 2,
        dropped: 3,
        conflated: 4,
        catching_up: 5,
        acknowledged: None,
    };
    let rooms = [Repeat::First, Repeat::Duplicate].map(|repeat| RoomPlace {
        room: "a",
        place: place(repeat),
    });
    let first = Places::Room(place(Repeat::First));
    for (places, counts, body) in [
        (first, None, r#""epoch":"k3","offset":44"#),
        (
            Places::Room(place(Repeat::Duplicate)),
            None,
            r#""epoch":"k3","offset":44,"duplicate":true"#,
        ),
        (
            first,
            Some(counts),
            r#""epoch":"k3","offset":44,"delivered":1,"queued":2,"dropped":3,"conflated":4,"catching_up":5"#,
        ),
        (
            Places::Rooms(&rooms),
            None,
            r#""rooms":[{"room":"a","epoch":"k3","offset":44},{"room":"a","epoch":"k3","offset":44,"duplicate":true}]"#,
        ),
    ] {
        reply(
            Reply::Published { places, counts },
            &format!(r#"{{"type":"ack","id":7,{body}}}"#),
            &format!(r#"{{"jsonrpc":"2.0","result":{{{body}}},"id":7}}"#),
        );
    }
}

#[test]
fn pages_of_history() {
    let messages = [
        KeptMessage {
            offset: 43,
            origin: Origin::From("0-1-2"),
            sender: None,
            data: json("[1]"),
        },
        KeptMessage {
            offset: 44,
            origin: Origin::Event("price\n"),
            sender: None,
            data: json("null"),
        },
    ];
    let page = |loss, messages| HistoryPage {
        room: "r",
        position: AT,
        loss,
        messages,
    };
    for (page, body) in [
        (
            page(None, &messages[..]),
            r#""messages":[{"offset":43,"from":"0-1-2","data":[1]},{"offset":44,"event":"price\n","data":null}]"#,
        ),
        (
            page(Some(LossReason::EpochChanged), &[]),
            r#""recovered":false,"reason":"epoch_changed","messages":[]"#,
        ),
    ] {
        let body = format!(r#""room":"r","epoch":"k3","offset":44,{body}"#);
        reply(
            Reply::History(page),
            &format!(r#"{{"type":"history","id":7,{body}}}"#),
            &format!(r#"{{"jsonrpc":"2.0","result":{{{body}}},"id":7}}"#),
        );
    }
}

/// A page is as long as its messages and a little more, however they grow.
#[test]
fn no_message_of_a_page_is_longer_than_foretold() {
    let controls = "\u{1}".repeat(50);
    let zeros = format!("[{}]", ["-0"; 500].join(","));
    let extensions = [&[0xdc, 1, 0xf4][..], &[0xd4, 0x85, 0].repeat(500)].concat();
    for data in [json("7"), json(&zeros), pack(&extensions)] {
        let message = KeptMessage {
            offset: u64::MAX,
            origin: Origin::Event(&controls),
            sender: None,
            data,
        };
        for dialect in Dialect::OWN {
            let bytes = |messages| {
                let page = HistoryPage {
                    room: "r",
                    position: AT,
                    loss: None,
                    messages,
                };
                let mut out = Vec::new();
                dialect.write_reply(&mut out, None, &Reply::History(page));
                out.len()
            };
            let grown = bytes(&[message; 2]) - bytes(&[message]);
            assert!(
                grown <= message.bytes_max(dialect.encoding()),
                "{dialect:?}"
            );
        }
    }
    let plain = KeptMessage {
        offset: 1,
        origin: Origin::From("0-1-2"),
        sender: None,
        data: json("7"),
    };
    assert!(plain.bytes_max(Encoding::Json) < 100);
}

#[test]
fn what_is_delivered_bears_its_offset_and_gaps_are_told() {
    event(
        Event::Message {
            room: Some("r"),
            from: "0-1-2",
            sender: None,
            offset: Some(7),
            data: Some(json("[1]")),
        },
        r#"{"type":"message","room":"r","from":"0-1-2","offset":7,"data":[1]}"#,
        r#"{"jsonrpc":"2.0","method":"message","params":{"room":"r","from":"0-1-2","offset":7,"data":[1]}}"#,
    );
    event(
        Event::Event {
            event: "price",
            room: Some("r"),
            offset: Some(u64::MAX),
            data: None,
        },
        r#"{"type":"event","event":"price","room":"r","offset":18446744073709551615,"data":null}"#,
        r#"{"jsonrpc":"2.0","method":"event","params":{"event":"price","room":"r","offset":18446744073709551615,"data":null}}"#,
    );
    let trace = TraceParent::recorded(0xab << 120 | 1, 0x2a).expect("no id is zero");
    let said = Event::Message {
        room: Some("r"),
        from: "0-1-2",
        sender: None,
        offset: None,
        data: Some(json("[1]")),
    };
    let traced = Event::Traced {
        event: &said,
        trace,
    };
    let body = r#""room":"r","from":"0-1-2","data":[1],"traceparent":"00-ab000000000000000000000000000001-000000000000002a-01""#;
    event(
        traced,
        &format!(r#"{{"type":"message",{body}}}"#),
        &format!(r#"{{"jsonrpc":"2.0","method":"message","params":{{{body}}}}}"#),
    );
    for reason in LossReason::ALL {
        let body = format!(r#""room":"r","count":17,"reason":"{}""#, reason.as_str());
        event(
            Event::Missed {
                room: Some("r"),
                count: 17,
                reason,
            },
            &format!(r#"{{"type":"missed",{body}}}"#),
            &format!(r#"{{"jsonrpc":"2.0","method":"missed","params":{{{body}}}}}"#),
        );
    }
    let mut names = LossReason::ALL.map(LossReason::as_str);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}
