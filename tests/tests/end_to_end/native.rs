//! Every request of the native dialect, answered byte for byte as it is documented, on one shard
//! and across several.

use crate::SHARDS;
use shardcast_tests::{Client, Server, VERSION, config};

#[test]
fn welcome_comes_first() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut client = Client::plain(&server);
        let welcome = client.hear();
        let id = welcome.split('"').nth(7).unwrap().to_owned();
        assert_eq!(
            welcome,
            format!(
                r#"{{"type":"welcome","connection":"{id}","server":"{VERSION}","heartbeat_ms":25000,"max_message_bytes":65536}}"#
            )
        );
        let parts: Vec<u32> = id
            .split('-')
            .map(|part| u32::from_str_radix(part, 16).unwrap())
            .collect();
        assert!(parts.len() == 3 && (parts[0] as usize) < shards, "{id}");
        client.check_quiet();
    }
}

#[test]
fn subprotocols_are_confirmed_if_they_are_ours() {
    let server = Server::native(config(1));
    let header = "sec-websocket-protocol";
    for offered in ["shardcast.v1", "soap, shardcast.v1"] {
        let (mut client, response) = Client::offering(&server, offered);
        assert_eq!(response.headers()[header], "shardcast.v1");
        assert!(client.hear().starts_with(r#"{"type":"welcome","#));
    }
    // tungstenite gives up where nothing is confirmed; the server does not.
    let mut raw = shardcast_tests::Raw::connect(&server);
    let offer = "\r\nSec-WebSocket-Protocol: soap\r\n\r\n";
    raw.send(
        shardcast_tests::upgrade()
            .replace("\r\n\r\n", offer)
            .as_bytes(),
    );
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(!head.to_ascii_lowercase().contains(header), "{head}");
}

/// Request and answer; neither needs anybody else.
const ANSWERS: &[(&str, &str)] = &[
    (r#"{"type":"ping"}"#, r#"{"type":"pong"}"#),
    (r#"{"type":"ping","id":1}"#, r#"{"type":"pong","id":1}"#),
    (
        r#"{"type":"ping","id":1,"data":null}"#,
        r#"{"type":"pong","id":1,"data":null}"#,
    ),
    (r#"{"type":"echo"}"#, r#"{"type":"echo"}"#),
    (r#"{"type":"echo","data":7}"#, r#"{"type":"echo","data":7}"#),
    (
        r#"{"type":"echo","id":"","data":""}"#,
        r#"{"type":"echo","id":"","data":""}"#,
    ),
    // Ids come back as they were written.
    (r#"{"id":1.0,"type":"echo"}"#, r#"{"type":"echo","id":1.0}"#),
    (r#"{"id":-0,"type":"echo"}"#, r#"{"type":"echo","id":-0}"#),
    (
        r#"{"id":1E+2,"type":"echo"}"#,
        r#"{"type":"echo","id":1E+2}"#,
    ),
    (
        r#"{"id":123456789012345678901234567890,"type":"echo"}"#,
        r#"{"type":"echo","id":123456789012345678901234567890}"#,
    ),
    (
        r#"{"id":"\u0041\/","type":"echo"}"#,
        r#"{"type":"echo","id":"\u0041\/"}"#,
    ),
    (
        r#"{"id":"é🦀","type":"echo"}"#,
        r#"{"type":"echo","id":"é🦀"}"#,
    ),
    // So does data: white space, escapes, numbers, repeated keys.
    (
        r#"{"type":"echo","data": {"a" :[ 1 ,2.0 ] , "a":"\u00e9\ud83e\udd80\/" } }"#,
        r#"{"type":"echo","data":{"a" :[ 1 ,2.0 ] , "a":"\u00e9\ud83e\udd80\/" }}"#,
    ),
    (
        "{\"type\":\"echo\",\"data\":\t[\r\n\t]\n}",
        "{\"type\":\"echo\",\"data\":[\r\n\t]}",
    ),
    (
        " \r\n\t{ \"type\" : \"echo\" , \"data\" : 1e-7 } \n",
        r#"{"type":"echo","data":1e-7}"#,
    ),
    (
        "{\"type\":\"echo\",\"data\":\"\u{2028}\u{7f}\"}",
        "{\"type\":\"echo\",\"data\":\"\u{2028}\u{7f}\"}",
    ),
    // Keys and types mean the same however they are escaped, and unknown keys mean nothing.
    (
        r#"{"t\u0079pe":"e\u0063ho","d\u0061ta":1,"type ":2,"Type":3}"#,
        r#"{"type":"echo","data":1}"#,
    ),
    (
        r#"{"type":"rooms","id":1}"#,
        r#"{"type":"rooms","id":1,"rooms":[]}"#,
    ),
];

#[test]
fn answers_are_exact() {
    let server = Server::native(config(1));
    let mut client = Client::native(&server);
    for (request, answer) in ANSWERS {
        client.check(request, answer);
    }
    let data = format!("\"{}\"", "é".repeat(32_000));
    client.check(
        &format!(r#"{{"type":"echo","data":{data}}}"#),
        &format!(r#"{{"type":"echo","data":{data}}}"#),
    );
}

#[test]
fn joins_count_the_members_of_all_shards() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut clients = server.spread();
        for (index, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.join("lobby"), index as u32 + 1);
            // Again is answered like the first time, and counts nobody twice.
            assert_eq!(client.join("lobby"), index as u32 + 1);
        }
        let (last, members) = (clients.len() - 1, clients.len());
        clients[last].check(
            r#"{"type":"join_room","id":[1],"room":"lobby"}"#,
            r#"{"type":"error","code":"bad_request","message":"id must be a string or a number","retryable":false}"#,
        );
        clients[last].check(
            r#"{"type":"join_room","rooms":["b","lobby","b","\u0061"]}"#,
            &format!(
                r#"{{"type":"joined","rooms":[{{"room":"b","members":1}},{{"room":"lobby","members":{members}}},{{"room":"a","members":1}}]}}"#
            ),
        );
        clients[last].check(
            r#"{"type":"rooms","id":"r"}"#,
            r#"{"type":"rooms","id":"r","rooms":["a","b","lobby"]}"#,
        );
        clients[last].check(
            r#"{"type":"leave_room","id":2,"rooms":["lobby","b","lobby"]}"#,
            r#"{"type":"left","id":2,"rooms":["lobby","b"]}"#,
        );
        clients[last].check(
            r#"{"type":"leave_room","room":"a"}"#,
            r#"{"type":"left","room":"a"}"#,
        );
        clients[last].check(r#"{"type":"rooms"}"#, r#"{"type":"rooms","rooms":[]}"#);
        assert_eq!(clients[last].join("lobby"), members as u32);
        // A closed connection is no member.
        clients.remove(0).leave();
        server.wait_until("the leave", |server| {
            server.sum(|shard| &shard.connections) == members as u64 - 1
        });
        let mut late = Client::native(&server);
        assert_eq!(late.join("lobby"), members as u32);
        clients.into_iter().for_each(Client::leave);
        late.leave();
        server.wait_until_empty();
    }
}

#[test]
fn room_names_are_compared_byte_by_byte() {
    let server = Server::native(config(2));
    let (mut one, mut two) = (Client::native(&server), Client::native(&server));
    // Composed and decomposed, and in another case: three rooms. Escapes make no difference.
    for (room, shown) in [
        ("é", "é"),
        ("e\u{301}", "e\u{301}"),
        ("É", "É"),
        (r"\u00c9\u0022", r#"É\""#),
    ] {
        one.check(
            &format!(r#"{{"type":"join_room","room":"{room}"}}"#),
            &format!(r#"{{"type":"joined","room":"{shown}","members":1}}"#),
        );
    }
    two.check(
        r#"{"type":"join_room","room":"\u00e9"}"#,
        r#"{"type":"joined","room":"é","members":2}"#,
    );
    let longest = "r".repeat(255);
    assert_eq!(two.join(&longest), 1);
}

#[test]
fn status_knows_the_connection() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        for (shard, mut client) in server.spread().into_iter().enumerate() {
            client.join("z");
            client.join("a");
            let status = client.ask(r#"{"type":"status","id":8}"#);
            let value: serde_json::Value = serde_json::from_str(&status).unwrap();
            let connected_ms = value["connected_ms"].as_u64().unwrap();
            assert_eq!(
                status,
                format!(
                    r#"{{"type":"status","id":8,"connection":"{}","user":null,"rooms":["a","z"],"connected_ms":{connected_ms},"shard":{shard}}}"#,
                    client.id()
                )
            );
        }
    }
}

/// What `from` broadcast, as everyone hears it.
fn message(room: Option<&str>, from: &str, data: &str) -> String {
    let room = room.map_or(String::new(), |room| format!(r#""room":"{room}","#));
    format!(r#"{{"type":"message",{room}"from":"{from}","data":{data}}}"#)
}

#[test]
fn broadcasts_reach_every_member_and_nobody_else() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut members = server.spread();
        members.extend((0..5).map(|_| Client::native(&server)));
        let mut outsider = Client::native(&server);
        members.iter_mut().for_each(|member| {
            member.join("r");
        });
        let data = r#"{ "text":"h\u00e9llo" ,"n":[1.0]}"#;
        // From outside: no membership is needed. No id: no answer.
        outsider.say(&format!(
            r#"{{"type":"broadcast","room":"r","data":{data}}}"#
        ));
        for member in &mut members {
            member.expect(&message(Some("r"), outsider.id(), data));
        }
        // From inside, to the sender too. The report comes when all shards have delivered.
        let count = members.len();
        let from = members[0].id().to_owned();
        members[0].say(r#"{"type":"broadcast","id":5,"room":"r","report":true}"#);
        for member in &mut members {
            member.expect(&message(Some("r"), &from, "null"));
        }
        members[0].expect(&format!(
            r#"{{"type":"ack","id":5,"delivered":{count},"queued":0,"dropped":0,"conflated":0,"catching_up":0}}"#
        ));
        // Without the sender.
        members[0].check(
            r#"{"type":"broadcast","room":"r","data":1,"echo":false,"report":true}"#,
            &format!(
                r#"{{"type":"ack","delivered":{},"queued":0,"dropped":0,"conflated":0,"catching_up":0}}"#,
                count - 1
            ),
        );
        for member in &mut members[1..] {
            member.expect(&message(Some("r"), &from, "1"));
        }
        // An acknowledgement without counts.
        outsider.check(
            r#"{"type":"broadcast","id":"x","room":"nobody","data":1}"#,
            r#"{"type":"ack","id":"x"}"#,
        );
        outsider.check(
            r#"{"type":"broadcast","id":"x","room":"nobody","data":1,"report":true}"#,
            r#"{"type":"ack","id":"x","delivered":0,"queued":0,"dropped":0,"conflated":0,"catching_up":0}"#,
        );
        members.iter_mut().for_each(Client::check_quiet);
        outsider.check_quiet();
    }
}

#[test]
fn broadcasts_to_several_rooms_come_once_for_each() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut clients = server.spread();
        clients.push(Client::native(&server));
        for (index, client) in clients.iter_mut().enumerate() {
            client.join("a");
            if index > 0 {
                client.join("b");
            }
        }
        let from = clients[0].id().to_owned();
        let both = 2 * clients.len() - 1;
        clients[0].say(
            r#"{"type":"broadcast","id":1,"rooms":["a","b","none","a"],"data":1,"report":true}"#,
        );
        clients[0].expect(&message(Some("a"), &from, "1"));
        clients[0].expect(&format!(
            r#"{{"type":"ack","id":1,"delivered":{both},"queued":0,"dropped":0,"conflated":0,"catching_up":0}}"#
        ));
        for client in &mut clients[1..] {
            let mut heard = [client.hear(), client.hear()];
            heard.sort();
            assert_eq!(
                heard,
                [
                    message(Some("a"), &from, "1"),
                    message(Some("b"), &from, "1")
                ]
            );
            client.check_quiet();
        }
    }
}

#[test]
fn broadcasts_to_everyone_need_no_room() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut clients = server.spread();
        clients.extend((0..3).map(|_| Client::native(&server)));
        let (count, from) = (clients.len(), clients[0].id().to_owned());
        clients[0].say(r#"{"type":"broadcast","id":1,"data":"all","report":true}"#);
        for client in &mut clients {
            client.expect(&message(None, &from, r#""all""#));
        }
        clients[0].expect(&format!(
            r#"{{"type":"ack","id":1,"delivered":{count},"queued":0,"dropped":0,"conflated":0,"catching_up":0}}"#
        ));
        clients[0].check(
            r#"{"type":"broadcast","id":2,"data":"others","echo":false}"#,
            r#"{"type":"ack","id":2}"#,
        );
        for client in &mut clients[1..] {
            client.expect(&message(None, &from, r#""others""#));
            client.check_quiet();
        }
        clients[0].check_quiet();
    }
}
