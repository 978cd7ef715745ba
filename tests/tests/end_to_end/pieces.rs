//! Messages in pieces: an upload is counted and summed while it arrives, held by nobody, and judged
//! as whole messages are.

use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Accepted, Admission, Application, CloseReason, Config, Context, Deadline, Message, Messages,
    Piece,
};
use shardcast_tests::{
    BINARY, CONTINUE, FIN, PING, PONG, Raw, Server, TEXT, config, frame, header,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the test sees of an application.
#[derive(Clone, Default)]
struct Seen {
    bytes: Arc<AtomicU64>,
    ends: Arc<Mutex<Vec<CloseReason>>>,
}

struct Uploads(Seen);

/// The message that is under way.
#[derive(Default)]
struct Upload {
    bytes: u64,
    sum: u64,
}

impl Application for Uploads {
    type Session = Upload;

    fn connect(&mut self, _cx: &mut Context<'_>, _request: &HttpRequest<'_>) -> Admission<Upload> {
        Admission::Accept(Accepted {
            messages: Messages::InPieces,
            ..Upload::default().into()
        })
    }

    fn message(&mut self, _cx: &mut Context<'_>, _upload: &mut Upload, _message: Message<'_>) {
        unreachable!("all messages come in pieces");
    }

    fn piece(&mut self, cx: &mut Context<'_>, upload: &mut Upload, piece: Piece<'_>) {
        if piece.first {
            *upload = Upload::default();
        }
        assert!(piece.bytes != b"panic", "as the client wished");
        upload.bytes += piece.bytes.len() as u64;
        upload.sum += sum(piece.bytes);
        let bytes = piece.bytes.len() as u64;
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        if piece.last {
            let Upload { bytes, sum } = upload;
            let text = format!("{:?} of {bytes} bytes, sum {sum}", piece.kind);
            cx.send(Kind::Text, text.as_bytes());
        }
    }

    fn closed(&mut self, _cx: &mut Context<'_>, _upload: Upload, reason: CloseReason) {
        self.0.ends.lock().unwrap().push(reason);
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

const MESSAGE_BYTES: usize = 16 << 20;

fn uploads(change: impl FnOnce(&mut Config)) -> (Server, Seen) {
    let mut config = config(1);
    config.listeners[0].message_bytes_max = MESSAGE_BYTES;
    config.outbox_bytes_max = 2 * MESSAGE_BYTES;
    change(&mut config);
    let seen = Seen::default();
    let told = seen.clone();
    (Server::with(config, move |_| Uploads(told.clone())), seen)
}

#[test]
fn an_upload_of_16_mib_is_summed_and_never_held() {
    let (server, seen) = uploads(|_| {});
    let payload: Vec<u8> = (0..MESSAGE_BYTES)
        .map(|index| (index % 251) as u8)
        .collect();
    let answer = format!("Binary of {MESSAGE_BYTES} bytes, sum {}", sum(&payload));
    let mut raw = Raw::upgraded(&server);
    let whole = frame(FIN | BINARY, &payload);
    let (most, rest) = whole.split_at(whole.len() - 1);
    raw.send(most);
    server.wait_until("all but the last byte", |_| {
        seen.bytes.load(Ordering::Relaxed) == MESSAGE_BYTES as u64 - 1
    });
    assert_eq!(server.sum(|shard| &shard.reassembly_bytes), 0);
    raw.send(rest);
    assert_eq!(raw.hear(), answer);
    // In fragments, with control frames between.
    for part in payload.chunks(100_000) {
        let first = if part.as_ptr() == payload.as_ptr() {
            BINARY
        } else {
            CONTINUE
        };
        raw.send(&frame(first, part));
        raw.send(&frame(FIN | PING, b"between"));
    }
    raw.send(&frame(FIN | CONTINUE, b""));
    for _ in payload.chunks(100_000) {
        raw.expect(FIN | PONG, b"between");
    }
    assert_eq!(raw.hear(), answer);
    assert_eq!(server.sum(|shard| &shard.messages_in), 2);
}

#[test]
fn pieces_are_judged_as_whole_messages_are() {
    let (server, seen) = uploads(|_| {});
    let text = "h\u{e9}llo \u{1f980}".as_bytes();
    let answer = format!("Text of {} bytes, sum {}", text.len(), sum(text));
    let mut raw = Raw::upgraded(&server);
    raw.send_bytewise(&frame(FIN | TEXT, text));
    assert_eq!(raw.hear(), answer);
    for cut in 0..=text.len() {
        raw.send(&[frame(TEXT, &text[..cut]), frame(FIN, &text[cut..])].concat());
        assert_eq!(raw.hear(), answer);
    }
    drop(raw);
    for (bytes, code, reason) in [
        (frame(FIN | TEXT, b"\xe2\x82"), 1007, "text is not UTF-8"),
        (frame(TEXT, b"a\xff"), 1007, "text is not UTF-8"),
        (
            frame(FIN, b"x"),
            1002,
            "continuation without a fragmented message",
        ),
        (
            header(BINARY, MESSAGE_BYTES as u64 + 1),
            1009,
            "message too big",
        ),
        (
            [frame(BINARY, b"12"), header(FIN, MESSAGE_BYTES as u64 - 1)].concat(),
            1009,
            "message too big",
        ),
        (frame(FIN | BINARY, b"panic"), 1011, "handler failed"),
    ] {
        let mut raw = Raw::upgraded(&server);
        raw.send(&bytes);
        assert_eq!(raw.closed(), (code, reason.to_owned()));
    }
    server.wait_until_empty();
    assert_eq!(seen.ends.lock().unwrap().len(), 7);
}

#[test]
fn an_upload_that_stops_is_late() {
    const SHORT: Duration = Duration::from_millis(200);
    type Change = fn(&mut Config);
    let cases: [(Change, Vec<u8>, Deadline); 2] = [
        (
            |config| config.frame_timeout = SHORT,
            frame(FIN | BINARY, &[7; 100])[..50].to_vec(),
            Deadline::Frame,
        ),
        (
            |config| config.message_timeout = SHORT,
            frame(BINARY, &[7; 100]),
            Deadline::Message,
        ),
    ];
    for (change, said, deadline) in cases {
        let (server, seen) = uploads(change);
        let mut raw = Raw::upgraded(&server);
        raw.send(&said);
        assert_eq!(raw.closed(), (1008, deadline.text().to_owned()));
        server.wait_until_empty();
        assert_eq!(
            *seen.ends.lock().unwrap(),
            [CloseReason::TimedOut(deadline)]
        );
    }
}
