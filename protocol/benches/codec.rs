//! What the codec costs by itself, without a shard: unmasking, reading and writing frames,
//! deflating and inflating messages, scanning the native dialect's. `bench/README.md` says how to
//! run it.

#[path = "../../bench/benches/piece/mod.rs"]
mod piece;

use divan::{Bencher, black_box};
use piece::Piece;
use shardcast_protocol::deflate::{Deflater, InflateLimits, Inflater};
use shardcast_protocol::dialect::{Decoded, Dialect, Event, Payload, Rules, Value};
use shardcast_protocol::frame::{self, Header, OpCode, apply_mask};
use shardcast_protocol::json::Raw;
use shardcast_protocol::reader::{self, ReadLimits, Role, Step};
use std::process::ExitCode;

/// `unmask/N+A`: N bytes that begin A bytes after a cache line.
const PIECES: &[Piece] = &[
    piece("unmask/16", 4096, || unmask(16, 0)),
    piece("unmask/64", 4096, || unmask(64, 0)),
    piece("unmask/64+1", 4096, || unmask(64, 1)),
    piece("unmask/1000+6", 1024, || unmask(1000, 6)),
    piece("unmask/4096", 1024, || unmask(4096, 0)),
    piece("unmask/4096+1", 1024, || unmask(4096, 1)),
    piece("unmask/65536", 128, || unmask(64 << 10, 0)),
    piece("unmask/65536+14", 128, || unmask(64 << 10, 14)),
    piece("read/ping", 4096, || read(OpCode::Ping, 4, 1)),
    piece("read/binary-64", 4096, || read(OpCode::Binary, 64, 1)),
    piece("read/text-64", 4096, || read(OpCode::Text, 64, 1)),
    piece("read/text-64x32", 256, || read(OpCode::Text, 64, 32)),
    piece("read/text-1000", 1024, || read(OpCode::Text, 1000, 1)),
    piece("read/binary-16384", 256, || {
        read(OpCode::Binary, 16 << 10, 1)
    }),
    piece("read/incomplete", 4096, read_incomplete),
    piece("write/header-64", 4096, || write_header(64)),
    piece("write/header-65536", 4096, || write_header(64 << 10)),
    piece("write/frame-64", 4096, || write_frame(64)),
    piece("write/frame-16384", 256, || write_frame(16 << 10)),
    piece("deflate/1024", 64, || deflate(1 << 10)),
    piece("deflate/16384", 16, || deflate(16 << 10)),
    piece("inflate/1024", 64, || inflate(1 << 10)),
    piece("inflate/16384", 16, || inflate(16 << 10)),
    piece("envelope/ping", 4096, || {
        envelope(r#"{"type":"ping","id":7}"#.to_owned())
    }),
    piece("envelope/broadcast-64", 4096, || envelope(broadcast(64))),
    piece("envelope/broadcast-500", 1024, || envelope(broadcast(500))),
    piece("envelope/broadcast-8192", 128, || {
        envelope(broadcast(8 << 10))
    }),
    piece("envelope/message-500", 1024, || native_message(500)),
];

const fn piece(name: &'static str, times: u32, set_up: fn() -> Box<dyn FnMut()>) -> Piece {
    Piece {
        name,
        times,
        set_up,
    }
}

#[divan::bench(args = PIECES)]
fn codec(bencher: Bencher<'_, '_>, piece: &Piece) {
    piece::time(bencher, piece);
}

fn main() -> ExitCode {
    piece::run(PIECES)
}

const LINE_BYTES: usize = 64;

fn unmask(bytes: usize, alignment: usize) -> Box<dyn FnMut()> {
    let mut buffer = vec![7; bytes + alignment + LINE_BYTES];
    let start = buffer.as_ptr().align_offset(LINE_BYTES) + alignment;
    Box::new(move || {
        let payload = &mut buffer[start..start + bytes];
        apply_mask(black_box(payload), black_box([1, 2, 3, 4]));
    })
}

const LIMITS: ReadLimits = ReadLimits {
    message_bytes_max: 1 << 20,
};

/// `frames` frames of one receive. They are unmasked in place; with a key of zeros, the bytes are
/// there for the next time, too.
fn read(opcode: OpCode, bytes: usize, frames: usize) -> Box<dyn FnMut()> {
    let mut one = Vec::new();
    frame::write_client_frame(&mut one, opcode, &vec![b'a'; bytes], [0; 4]);
    let mut received = one.repeat(frames);
    Box::new(move || {
        let mut rest = black_box(&mut received[..]);
        while !rest.is_empty() {
            match reader::next(rest, &mut None, Role::Server, &LIMITS) {
                Ok(Step::Event { event, used }) => {
                    black_box(&event);
                    rest = &mut rest[used..];
                }
                step => panic!("{step:?}"),
            }
        }
    })
}

/// A frame of which a byte is missing.
fn read_incomplete() -> Box<dyn FnMut()> {
    let mut received = Vec::new();
    frame::write_client_frame(&mut received, OpCode::Text, &[b'a'; 64], [0; 4]);
    received.pop();
    Box::new(move || {
        let step = reader::next(black_box(&mut received), &mut None, Role::Server, &LIMITS);
        assert!(matches!(step, Ok(Step::Incomplete { .. })));
    })
}

fn write_header(bytes: usize) -> Box<dyn FnMut()> {
    Box::new(move || {
        black_box(Header::server(OpCode::Text, black_box(bytes)));
    })
}

/// Into memory that is there already, as the shard's scratch is.
fn write_frame(bytes: usize) -> Box<dyn FnMut()> {
    let (payload, mut out) = (vec![b'a'; bytes], Vec::new());
    Box::new(move || {
        out.clear();
        frame::write_frame(&mut out, OpCode::Text, black_box(&payload));
        black_box(&out);
    })
}

/// An array of small objects that differ in their numbers.
fn json(bytes: usize) -> Vec<u8> {
    let mut text = String::from(r#"{"type":"message","room":"r1","data":["#);
    for id in (0_u64..).map(|n| n * 7919 % 100_003) {
        if text.len() >= bytes {
            break;
        }
        text += &format!(r#"{{"id":{id},"x":{}.{},"ok":true}},"#, id % 977, id % 89);
    }
    text.truncate(bytes);
    text.into_bytes()
}

fn deflate(bytes: usize) -> Box<dyn FnMut()> {
    let (message, mut deflater) = (json(bytes), Deflater::default());
    Box::new(move || {
        let payload = deflater.deflate(black_box(&message), 15);
        assert!(black_box(payload).is_some());
    })
}

fn inflate(bytes: usize) -> Box<dyn FnMut()> {
    let mut deflater = Deflater::default();
    let payload = deflater.deflate(&json(bytes), 15).map(<[u8]>::to_vec);
    let (payload, mut inflater) = (payload.unwrap_or_default(), Inflater::default());
    let limits = InflateLimits {
        message_bytes_max: 1 << 20,
        ratio_max: InflateLimits::RATIO_MAX_DEFAULT,
    };
    Box::new(move || {
        let message = inflater.inflate(black_box(&payload), None, &limits);
        assert_eq!(black_box(message).map(<[u8]>::len), Ok(bytes));
    })
}

/// A client's broadcast to a room, `bytes` long in all: an object of numbers, short strings and a
/// text that fills it up.
fn broadcast(bytes: usize) -> String {
    let start = r#"{"type":"broadcast","id":7,"room":"r1","data":{"x":12.5,"text":""#;
    let end = r#""}}"#;
    let fill = "lorem ipsum ".chars().cycle();
    let fill: String = fill
        .take(bytes.saturating_sub(start.len() + end.len()))
        .collect();
    format!("{start}{fill}{end}")
}

fn envelope(message: String) -> Box<dyn FnMut()> {
    Box::new(move || {
        let payload = Payload::Text(black_box(&message));
        let decoded = Dialect::NativeJson.read(payload, &Rules::default());
        assert!(matches!(black_box(&decoded), Decoded::One(Ok(_))));
    })
}

/// What a member of the room hears of a broadcast.
fn native_message(bytes: usize) -> Box<dyn FnMut()> {
    let text = "lorem ipsum ".repeat(bytes / 12);
    let data: &'static str = format!("\"{text}\"").leak();
    let (data, mut out) = (Raw::parse(data), Vec::new());
    Box::new(move || {
        out.clear();
        let event = Event::Message {
            room: Some("r1"),
            from: "0-0-1",
            sender: None,
            offset: None,
            data: black_box(data).map(Value::Json),
        };
        let written = Dialect::NativeJson.write_event(&mut out, &event);
        assert!(written.is_ok());
        black_box(&out);
    })
}
