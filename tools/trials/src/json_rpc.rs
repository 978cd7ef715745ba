//! JSON-RPC: what is taken is text that came, a batch is bounded and each member said once, answers are valid JSON with the same id and data,
//! and data is translated within its bounds and loses its control characters only.

use crate::values::{check_value, place};
use shardcast_protocol::dialect::{
    BATCH_MAX, Command, Dialect, ID_BYTES_MAX, Incoming, Payload, Refused, Reply, Rules, Said,
    Wants,
};

/// The input is a client's message, if it is text.
///
/// # Panics
/// A promise is broken.
pub fn json_rpc(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    match Dialect::JsonRpc.read(Payload::Text(text), &Rules::default()) {
        Incoming::One(said) => check(text, &said),
        Incoming::Batch(batch) => {
            assert!((1..=BATCH_MAX).contains(&batch.count()));
            assert_eq!(batch.members().count(), batch.count());
            for said in batch.members() {
                check(text, &said);
            }
        }
    }
}

fn check(text: &str, said: &Result<Said<'_>, Refused<'_>>) {
    match said {
        Ok(Said::Command(command)) => check_command(text, command),
        Ok(Said::Response(response)) => {
            let value = match &response.outcome {
                Ok(value) => Some(*value),
                Err(error) => error.data,
            };
            if let Some(value) = value {
                place(text.as_bytes(), value);
            }
        }
        Err(refused) => {
            let mut out = Vec::new();
            let error = Reply::Error(&refused.problem);
            Dialect::JsonRpc.write_reply(&mut out, refused.id, &error);
            check_json(&out);
        }
    }
}

fn check_command(text: &str, command: &Command<'_>) {
    if let Some(id) = command.id {
        place(text.as_bytes(), id.value());
        assert!(id.value().as_bytes().len() <= ID_BYTES_MAX);
    }
    if let Some(rooms) = command.rooms {
        assert!(rooms.count() > 0);
        assert_eq!(rooms.names().count(), rooms.count());
    }
    let Some(data) = command.data else {
        return;
    };
    place(text.as_bytes(), data);
    check_value(data);
    let mut out = Vec::new();
    Dialect::JsonRpc.write_reply(&mut out, command.id, &Reply::Result(Some(data)));
    check_json(&out);
    let id = command.id.map_or(&b"null"[..], |id| id.value().as_bytes());
    let expected = [
        br#"{"jsonrpc":"2.0","result":"#,
        data.as_bytes(),
        br#","id":"#,
        id,
        b"}",
    ];
    assert_eq!(out, expected.concat());
}

/// An answer reads as a response; whether to a call of ours depends on its id.
fn check_json(out: &[u8]) {
    let text = str::from_utf8(out).expect("UTF-8");
    match Dialect::JsonRpc.read(Payload::Text(text), &Rules::default()) {
        Incoming::One(Ok(Said::Response(_))) => {}
        Incoming::One(Err(refused)) if refused.wants == Wants::Silence => {
            assert_eq!(refused.problem.message, "the id is none of ours", "{text}");
        }
        other => panic!("{text}: {other:?}"),
    }
}
