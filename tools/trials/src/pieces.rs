//! The reader of messages in pieces: it says what the reader of complete messages says, whatever
//! the cuts, and only sooner where a text is broken off; it needs no buffer larger than a control
//! frame.

use crate::frames::read;
use crate::stream::{Received, Stream, without_end};
use shardcast_protocol::frame::{HEADER_BYTES_MAX, Kind};
use shardcast_protocol::pieces::{Piece, PieceEvent, PieceStep, Pieces};
use shardcast_protocol::reader::ProtocolError;

/// Most that a caller has to keep.
const KEPT_BYTES_MAX: usize = HEADER_BYTES_MAX + 125;

/// See [`crate::stream::Stream::of`] for the form of an input.
///
/// # Panics
/// A promise is broken.
pub fn pieces(input: &[u8]) {
    let Some(stream) = Stream::of(input) else {
        return;
    };
    let expected = read(&stream, stream.bytes, stream.bytes.len().max(1));
    for chunk_bytes in [stream.bytes.len().max(1), stream.chunk_bytes] {
        let received = read_pieces(&stream, chunk_bytes);
        let is_sooner = received.last() == Some(&Received::Broken(ProtocolError::TextNotUtf8));
        match is_sooner {
            // The rest of the frame, which the other reader waits for, need not come; or breaks
            // another rule behind it.
            true => assert_eq!(
                without_end(&received),
                &expected[..without_end(&received).len()]
            ),
            false => assert_eq!(received, expected, "in pieces of {chunk_bytes} bytes"),
        }
    }
}

fn read_pieces(stream: &Stream<'_>, chunk_bytes: usize) -> Vec<Received> {
    let (mut reader, mut buffer, mut received) = (Pieces::default(), Vec::new(), Vec::new());
    let mut message: Option<Vec<u8>> = None;
    for chunk in stream.bytes.chunks(chunk_bytes) {
        buffer.extend_from_slice(chunk);
        loop {
            let before = buffer.clone();
            let (event, used) = match reader.next(&mut buffer, stream.role, &stream.limits) {
                Err(error) => {
                    received.push(Received::Broken(error));
                    return received;
                }
                Ok(PieceStep::Incomplete { need }) => {
                    assert!(need > before.len() && need <= KEPT_BYTES_MAX, "{need}");
                    assert!(buffer == before, "touched what is incomplete");
                    break;
                }
                Ok(PieceStep::Event { event, used }) => {
                    let event = match event {
                        PieceEvent::Piece(piece) => {
                            joined(&mut message, &piece, stream.limits.message_bytes_max)
                        }
                        PieceEvent::Ping(bytes) => Some(Received::Ping(bytes.to_vec())),
                        PieceEvent::Pong(bytes) => Some(Received::Pong(bytes.to_vec())),
                        PieceEvent::Close(close) => Some(Received::Close(
                            close.code.map(|code| code.get()),
                            close.reason.to_owned(),
                        )),
                    };
                    (event, used)
                }
            };
            assert!((1..=before.len()).contains(&used), "used {used}");
            assert!(buffer[used..] == before[used..], "touched what follows");
            assert_eq!(reader.is_idle(), message.is_none());
            buffer.drain(..used);
            received.extend(event);
            if matches!(received.last(), Some(Received::Close(..))) {
                return received;
            }
        }
    }
    received
}

/// The message, once its last piece is there.
fn joined(message: &mut Option<Vec<u8>>, piece: &Piece<'_>, most: usize) -> Option<Received> {
    assert_eq!(piece.first, message.is_none());
    let bytes = message.get_or_insert_default();
    bytes.extend_from_slice(piece.bytes);
    assert!(bytes.len() <= most, "{} bytes of {most}", bytes.len());
    if !piece.last {
        return None;
    }
    let bytes = message.take().unwrap_or_default();
    assert!(piece.kind == Kind::Binary || str::from_utf8(&bytes).is_ok());
    Some(Received::Message(piece.kind, bytes))
}
