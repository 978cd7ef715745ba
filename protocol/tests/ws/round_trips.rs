//! What is written is read: every size class and kind, masked and not, at every alignment, in one
//! frame and in random fragments, by the reader of complete messages and by the reader of pieces.

use crate::stream::{FIN, Seen, frame, read_at_once};
use fastrand::Rng;
use shardcast_protocol::frame::{Kind, OpCode, write_client_frame, write_frame, write_frame_with};
use shardcast_protocol::pieces::{PieceEvent, PieceStep, Pieces};
use shardcast_protocol::reader::{ReadLimits, Role};

const SIZES: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1 << 20];
const LIMIT: usize = 1 << 20;
/// Where a payload may begin: more than a vector turn of the mask has words.
const ALIGNMENTS: usize = 72;

fn payload(rng: &mut Rng, kind: Kind, bytes: usize) -> Vec<u8> {
    match kind {
        Kind::Binary => (0..bytes).map(|_| rng.u8(..)).collect(),
        Kind::Text => {
            let mut text = String::with_capacity(bytes);
            while text.len() < bytes {
                let next = ['a', '\0', 'ß', '€', '🦀'][rng.usize(..5)];
                text.push(if text.len() + next.len_utf8() <= bytes {
                    next
                } else {
                    'z'
                });
            }
            text.into_bytes()
        }
    }
}

fn seen(kind: Kind, payload: &[u8]) -> Seen {
    match kind {
        Kind::Binary => Seen::Binary(payload.to_vec()),
        Kind::Text => Seen::Text(String::from_utf8(payload.to_vec()).expect("text")),
    }
}

/// The same message in random fragments, as a peer may send it.
fn fragments(rng: &mut Rng, role: Role, kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut first, mut rest) = (OpCode::from(kind) as u8, payload);
    for _ in 0..rng.usize(1..6) {
        let (fragment, behind) = rest.split_at(rng.usize(0..=rest.len()));
        bytes.extend(frame(role, first, fragment));
        (first, rest) = (0, behind);
    }
    bytes.extend(frame(role, FIN | first, rest));
    bytes
}

/// All messages of a stream that arrives in random pieces, put together from the pieces of
/// [`Pieces`].
fn read_pieces(rng: &mut Rng, role: Role, bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
    let limits = ReadLimits {
        message_bytes_max: LIMIT,
    };
    let (mut pieces, mut buffer, mut messages) = (Pieces::default(), Vec::new(), Vec::new());
    let mut rest = bytes;
    while !rest.is_empty() {
        let arrived = rng.usize(1..=rest.len().min(1 + bytes.len() / 3));
        buffer.extend_from_slice(&rest[..arrived]);
        rest = &rest[arrived..];
        while let Ok(PieceStep::Event { event, used }) = pieces.next(&mut buffer, role, &limits) {
            let PieceEvent::Piece(piece) = event else {
                panic!("{event:?}");
            };
            if piece.first {
                messages.push((piece.kind, Vec::new()));
            }
            let (_, message) = messages.last_mut().expect("a first piece");
            message.extend_from_slice(piece.bytes);
            drop(buffer.drain(..used));
        }
    }
    messages
}

#[test]
fn what_is_written_is_read() {
    for (seed, bytes) in (0..).zip(SIZES) {
        let rng = &mut Rng::with_seed(seed);
        for kind in [Kind::Text, Kind::Binary] {
            let payload = payload(rng, kind, bytes);
            let expected = [seen(kind, &payload)];
            let key = rng.u32(..).to_ne_bytes();
            let (mut plain, mut filled, mut masked) = (Vec::new(), Vec::new(), Vec::new());
            write_frame(&mut plain, kind.into(), &payload);
            write_frame_with(&mut filled, kind.into(), |out| {
                for part in payload.chunks(rng.usize(1..=1 + bytes / 2)) {
                    out.extend_from_slice(part);
                }
            });
            assert!(plain == filled, "seed {seed}, {bytes} bytes");
            write_client_frame(&mut masked, kind.into(), &payload, key);
            for (role, written) in [(Role::Client, &plain), (Role::Server, &masked)] {
                let read = read_at_once(role, LIMIT, written);
                assert!(read == expected, "seed {seed}, {bytes} bytes, {role:?}");
                let read = read_pieces(rng, role, written);
                assert!(
                    read == [(kind, payload.clone())],
                    "seed {seed}, {bytes} bytes, {role:?}, pieces"
                );
                let cut = fragments(rng, role, kind, &payload);
                let last = read_at_once(role, LIMIT, &cut).pop();
                assert!(
                    last.as_ref() == expected.first(),
                    "seed {seed}, {bytes} bytes, {role:?}, fragments"
                );
                let read = read_pieces(rng, role, &cut);
                assert!(
                    read == [(kind, payload.clone())],
                    "seed {seed}, {bytes} bytes, {role:?}, fragments in pieces"
                );
            }
        }
    }
}

/// A frame behind `before` bytes of another: the mask is taken off wherever the payload begins in
/// memory.
#[test]
fn every_alignment_of_a_mask_is_read() {
    let rng = &mut Rng::with_seed(1);
    for before in 0..ALIGNMENTS {
        for bytes in [0, 1, 7, 8, 63, 64, 65, 125, 126, 127, 1000] {
            let (first, second) = (
                payload(rng, Kind::Binary, before),
                payload(rng, Kind::Text, bytes),
            );
            let mut written = Vec::new();
            for (kind, payload) in [(Kind::Binary, &first), (Kind::Text, &second)] {
                write_client_frame(
                    &mut written,
                    kind.into(),
                    payload,
                    rng.u32(..).to_ne_bytes(),
                );
            }
            let expected = [seen(Kind::Binary, &first), seen(Kind::Text, &second)];
            assert_eq!(
                read_at_once(Role::Server, LIMIT, &written),
                expected,
                "{bytes} bytes behind {before}"
            );
        }
    }
}
