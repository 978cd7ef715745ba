//! The native dialect on simulated shards without faults: what every request is answered, and who
//! hears what, byte for byte.

mod cluster;

use cluster::{Cluster, MESSAGE_BYTES_MAX, RECONNECT_WINDOW_MS};
use shardcast_engine::StopAccept;
use shardcast_engine::protocol::frame::OpCode;

#[test]
fn pings_and_echoes() {
    let mut cluster = Cluster::of_four();
    cluster.check(0, r#"{"type":"ping"}"#, &[(0, r#"{"type":"pong"}"#)]);
    cluster.check(
        1,
        r#"{ "id":1.0, "data":[1 ,2], "type":"ping" }"#,
        &[(1, r#"{"type":"pong","id":1.0,"data":[1 ,2]}"#)],
    );
    cluster.check(
        2,
        r#"{"type":"echo","id":"\u0041"}"#,
        &[(2, r#"{"type":"echo","id":"\u0041"}"#)],
    );
    cluster.check(
        3,
        r#"{"type":"echo","data":"\/"}"#,
        &[(3, r#"{"type":"echo","data":"\/"}"#)],
    );
}

#[test]
fn joining_one_room() {
    let mut cluster = Cluster::of_four();
    for (client, request, answer) in [
        (
            0,
            r#"{"type":"join_room","id":1,"room":"a"}"#,
            r#"{"type":"joined","id":1,"room":"a","members":1}"#,
        ),
        (
            1,
            r#"{"type":"join_room","room":"\u0061"}"#,
            r#"{"type":"joined","room":"a","members":2}"#,
        ),
        (
            1,
            r#"{"type":"join_room","id":2,"room":"a"}"#,
            r#"{"type":"joined","id":2,"room":"a","members":2}"#,
        ),
        (
            0,
            r#"{"type":"leave_room","id":3,"room":"a"}"#,
            r#"{"type":"left","id":3,"room":"a"}"#,
        ),
        (
            2,
            r#"{"type":"join_room","room":"a"}"#,
            r#"{"type":"joined","room":"a","members":2}"#,
        ),
        (
            0,
            r#"{"type":"rooms","id":4}"#,
            r#"{"type":"rooms","id":4,"rooms":[]}"#,
        ),
    ] {
        cluster.check(client, request, &[(client, answer)]);
    }
}

#[test]
fn several_rooms_are_joined_and_left_all_or_none() {
    let mut cluster = Cluster::of_four();
    cluster.check(
        0,
        r#"{"type":"join_room","room":"a"}"#,
        &[(0, r#"{"type":"joined","room":"a","members":1}"#)],
    );
    cluster.check(
        1,
        r#"{"type":"join_room","id":2,"rooms":["b","a","b"]}"#,
        &[(1, r#"{"type":"joined","id":2,"rooms":[{"room":"b","members":1},{"room":"a","members":2}]}"#)],
    );
    let full = "the connection would be in more rooms than it may be";
    cluster.check_refused(
        1,
        r#"{"id":1,"type":"join_room","rooms":["c","d"]}"#,
        "room_limit",
        full,
    );
    cluster.check(
        1,
        r#"{"type":"rooms"}"#,
        &[(1, r#"{"type":"rooms","rooms":["a","b"]}"#)],
    );
    cluster.check(
        1,
        r#"{"type":"join_room","rooms":["a","c"]}"#,
        &[(
            1,
            r#"{"type":"joined","rooms":[{"room":"a","members":2},{"room":"c","members":1}]}"#,
        )],
    );
    cluster.check_refused(
        1,
        r#"{"id":1,"type":"join_room","room":"d"}"#,
        "room_limit",
        full,
    );
    let outside = "the connection is not in this room";
    cluster.check_refused(
        1,
        r#"{"id":1,"type":"leave_room","rooms":["a","x"]}"#,
        "not_joined",
        outside,
    );
    cluster.check_refused(
        1,
        r#"{"id":1,"type":"leave_room","room":"x"}"#,
        "not_joined",
        outside,
    );
    cluster.check(
        1,
        r#"{"type":"leave_room","id":3,"rooms":["c","a","c"]}"#,
        &[(1, r#"{"type":"left","id":3,"rooms":["c","a"]}"#)],
    );
    cluster.check_refused(
        1,
        r#"{"id":1,"type":"leave_room","room":"a"}"#,
        "not_joined",
        outside,
    );
    cluster.check(
        1,
        r#"{"type":"rooms"}"#,
        &[(1, r#"{"type":"rooms","rooms":["b"]}"#)],
    );
}

#[test]
fn broadcasts() {
    let mut cluster = Cluster::of_four();
    for (client, rooms) in [(0, r#"["a","b"]"#), (1, r#"["a"]"#), (2, r#"["b","c"]"#)] {
        cluster.say(
            client,
            OpCode::Text,
            &format!("{{\"type\":\"join_room\",\"rooms\":{rooms}}}"),
        );
        cluster.run();
        assert_eq!(cluster.heard(client).len(), 1);
    }
    // To a room, by a member; nothing is answered without id.
    let message = r#"{"type":"message","room":"a","from":"{0}","data":{ "x" : 1.0 }}"#;
    cluster.check(
        0,
        r#"{"type":"broadcast","room":"a","data":{ "x" : 1.0 }}"#,
        &[(0, message), (1, message)],
    );
    // By somebody else, without data.
    let message = r#"{"type":"message","room":"b","from":"{3}","data":null}"#;
    cluster.check(
        3,
        r#"{"type":"broadcast","id":1,"room":"b"}"#,
        &[(0, message), (2, message), (3, r#"{"type":"ack","id":1}"#)],
    );
    // Without the sender, with a report.
    cluster.check(
        0,
        r#"{"type":"broadcast","id":2,"room":"a","data":2,"echo":false,"report":true}"#,
        &[
            (1, r#"{"type":"message","room":"a","from":"{0}","data":2}"#),
            (
                0,
                r#"{"type":"ack","id":2,"delivered":1,"queued":0,"dropped":0,"conflated":0,"catching_up":0}"#,
            ),
        ],
    );
    // To nobody.
    cluster.check(
        0,
        r#"{"type":"broadcast","room":"z","report":true}"#,
        &[(
            0,
            r#"{"type":"ack","delivered":0,"queued":0,"dropped":0,"conflated":0,"catching_up":0}"#,
        )],
    );
    // To everyone.
    let message = r#"{"type":"message","from":"{1}","data":"all"}"#;
    cluster.check(
        1,
        r#"{"type":"broadcast","data":"all","echo":false}"#,
        &[(0, message), (2, message), (3, message)],
    );
}

#[test]
fn a_broadcast_to_several_rooms_is_one_report() {
    let mut cluster = Cluster::of_four();
    cluster.check(
        0,
        r#"{"type":"join_room","room":"a"}"#,
        &[(0, r#"{"type":"joined","room":"a","members":1}"#)],
    );
    cluster.check(
        1,
        r#"{"type":"join_room","room":"b"}"#,
        &[(1, r#"{"type":"joined","room":"b","members":1}"#)],
    );
    cluster.check(
        3,
        r#"{"type":"broadcast","id":3,"rooms":["a","b","a"],"data":3,"report":true}"#,
        &[
            (0, r#"{"type":"message","room":"a","from":"{3}","data":3}"#),
            (1, r#"{"type":"message","room":"b","from":"{3}","data":3}"#),
            (
                3,
                r#"{"type":"ack","id":3,"delivered":2,"queued":0,"dropped":0,"conflated":0,"catching_up":0}"#,
            ),
        ],
    );
}

#[test]
fn refusals_leave_the_connection_open() {
    let mut cluster = Cluster::of_four();
    let too_many = "rooms names more rooms than a connection may be in";
    let bad_name = "a room's name is empty, too long or has control characters";
    let unknown = "no such type of request";
    for (request, code, message) in [
        (
            "{",
            "bad_json",
            "not valid JSON at byte 1, where the text ends",
        ),
        ("[]", "bad_request", "a message is one JSON object"),
        (r#"{"id":1}"#, "bad_request", "type is missing"),
        (r#"{"id":1,"type":"nope"}"#, "unknown_type", unknown),
        (r#"{"id":1,"type":"histories"}"#, "unknown_type", unknown),
        (
            r#"{"id":1,"type":"join_room"}"#,
            "bad_request",
            "room or rooms is missing",
        ),
        (
            r#"{"id":1,"type":"leave_room"}"#,
            "bad_request",
            "room or rooms is missing",
        ),
        (
            r#"{"id":1,"type":"join_room","room":"a","rooms":["b"]}"#,
            "bad_request",
            "room and rooms exclude each other",
        ),
        (
            r#"{"id":1,"type":"join_room","rooms":["a","b","c","a"]}"#,
            "room_limit",
            too_many,
        ),
        (
            r#"{"id":1,"type":"broadcast","user":""}"#,
            "bad_request",
            "a user's name is empty or too long",
        ),
        (
            r#"{"id":1,"type":"join_room","room":""}"#,
            "bad_request",
            bad_name,
        ),
        (
            r#"{"id":1,"type":"join_room","rooms":["a","123456789"]}"#,
            "bad_request",
            bad_name,
        ),
        (
            r#"{"id":1,"type":"broadcast","room":"\u0007"}"#,
            "bad_request",
            bad_name,
        ),
    ] {
        cluster.check_refused(0, request, code, message);
    }
    cluster.check(
        0,
        r#"{"type":"rooms"}"#,
        &[(0, r#"{"type":"rooms","rooms":[]}"#)],
    );
}

#[test]
fn binary_messages_are_refused() {
    let mut cluster = Cluster::of_four();
    cluster.say(0, OpCode::Binary, r#"{"type":"ping"}"#);
    cluster.run();
    let error = r#"{"type":"error","code":"bad_request","message":"binary messages are not understood: send text","retryable":false}"#;
    cluster.check_heard("a binary message", &[(0, error)]);
    cluster.check(
        0,
        r#"{"type":"rooms"}"#,
        &[(0, r#"{"type":"rooms","rooms":[]}"#)],
    );
}

#[test]
fn a_message_may_be_as_large_on_delivery_as_when_it_is_sent() {
    let mut cluster = Cluster::of_four();
    cluster.check(
        1,
        r#"{"type":"join_room","room":"a"}"#,
        &[(1, r#"{"type":"joined","room":"a","members":1}"#)],
    );
    let envelope_bytes =
        r#"{"type":"message","room":"a","from":"","data":""}"#.len() + cluster.clients[0].id.len();
    let fits = "x".repeat(MESSAGE_BYTES_MAX - envelope_bytes);
    let message = format!(r#"{{"type":"message","room":"a","from":"{{0}}","data":"{fits}"}}"#);
    cluster.check(
        0,
        &format!(r#"{{"type":"broadcast","room":"a","data":"{fits}"}}"#),
        &[(1, &message)],
    );
    let error = r#"{"type":"error","id":1,"code":"too_large","message":"the message would be larger than max_message_bytes on delivery","retryable":false}"#;
    cluster.check(
        0,
        &format!(r#"{{"id":1,"type":"broadcast","room":"a","data":"{fits}x"}}"#),
        &[(0, error)],
    );
    // One room of several is enough, and none receives it.
    cluster.check(
        0,
        &format!(r#"{{"id":1,"type":"broadcast","rooms":["a","b2"],"data":"{fits}"}}"#),
        &[(0, error)],
    );
}

#[test]
fn requests_that_wait_are_bounded() {
    let mut cluster = Cluster::of_four();
    for id in 0..70 {
        cluster.say(
            0,
            OpCode::Text,
            &format!(r#"{{"type":"join_room","id":{id},"room":"a"}}"#),
        );
    }
    cluster.run();
    let mut heard = cluster.heard(0);
    heard.sort_by_key(|text| {
        text.split_once(r#""id":"#)
            .unwrap()
            .1
            .split(',')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    });
    assert_eq!(heard.len(), 70, "each request is answered once");
    for (id, text) in heard.iter().enumerate() {
        let joined = format!(r#"{{"type":"joined","id":{id},"room":"a","members":1}}"#);
        let refused = format!(
            r#"{{"type":"error","id":{id},"code":"rate_limited","message":"too many requests of this connection wait for their answers","retryable":true,"retry_after_ms":100}}"#
        );
        assert_eq!(*text, if id < 64 { joined } else { refused });
    }
    cluster.check(
        0,
        r#"{"type":"leave_room","room":"a"}"#,
        &[(0, r#"{"type":"left","room":"a"}"#)],
    );
}

#[test]
fn status_tells_what_the_server_knows() {
    let mut cluster = Cluster::of_four();
    cluster.check(
        1,
        r#"{"type":"join_room","rooms":["b","a"]}"#,
        &[(
            1,
            r#"{"type":"joined","rooms":[{"room":"b","members":1},{"room":"a","members":1}]}"#,
        )],
    );
    cluster.world.borrow_mut().advance_to(1234);
    cluster.check(
        1,
        r#"{"type":"status","id":1}"#,
        &[(1, r#"{"type":"status","id":1,"connection":"{1}","user":null,"rooms":["a","b"],"connected_ms":1234,"shard":1}"#)],
    );
}

#[test]
fn only_one_path_and_only_known_subprotocols() {
    let mut cluster = Cluster::new();
    for (path, headers, status, confirmed) in [
        ("/ws?x=1", "", "101", None),
        (
            "/ws",
            "Sec-WebSocket-Protocol: other, shardcast.v1\r\n",
            "101",
            Some("shardcast.v1"),
        ),
        ("/ws", "Sec-WebSocket-Protocol: other\r\n", "101", None),
        ("/", "", "404", None),
        ("/ws/", "", "404", None),
    ] {
        let head = cluster.connect(0, path, headers);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {head}"
        );
        let subprotocol = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(subprotocol, confirmed, "{path} {headers}");
    }
}

#[test]
fn draining_clients_are_told_when_to_come_back() {
    let mut cluster = Cluster::of_four();
    for shard in &mut cluster.shards {
        shard.start_drain(StopAccept::Release);
        shard.tick();
    }
    cluster.run();
    for client in 0..4 {
        let heard = cluster.heard(client);
        let reconnect_ms = heard[0]
            .strip_prefix(r#"{"type":"closing","reason":"draining","reconnect_ms":"#)
            .expect(&heard[0]);
        let reconnect_ms: u64 = reconnect_ms.strip_suffix('}').unwrap().parse().unwrap();
        assert!(reconnect_ms <= RECONNECT_WINDOW_MS);
        assert_eq!(heard[1..], ["close 1001"]);
    }
}
