//! The reader of messages in pieces: it says what the reader of whole messages says, whatever the
//! cuts, and only sooner where a text is broken off; it needs no buffer larger than a control
//! frame.

use crate::frames::read;
use crate::stream::{Said, Stream, without_end};
use shardcast_protocol::frame::{HEADER_BYTES_MAX, Kind};
use shardcast_protocol::pieces::{Event, Piece, Pieces, Step};
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
        let said = read_pieces(&stream, chunk_bytes);
        let is_sooner = said.last() == Some(&Said::Broken(ProtocolError::TextNotUtf8));
        match is_sooner {
            // The rest of the frame, which the other reader waits for, need not come; or breaks
            // another rule behind it.
            true => assert_eq!(without_end(&said), &expected[..without_end(&said).len()]),
            false => assert_eq!(said, expected, "in pieces of {chunk_bytes} bytes"),
        }
    }
}

fn read_pieces(stream: &Stream<'_>, chunk_bytes: usize) -> Vec<Said> {
    let (mut reader, mut buffer, mut said) = (Pieces::default(), Vec::new(), Vec::new());
    let mut message: Option<Vec<u8>> = None;
    for chunk in stream.bytes.chunks(chunk_bytes) {
        buffer.extend_from_slice(chunk);
        loop {
            let before = buffer.clone();
            let (event, used) = match reader.next(&mut buffer, stream.role, &stream.limits) {
                Err(error) => {
                    said.push(Said::Broken(error));
                    return said;
                }
                Ok(Step::Incomplete { need }) => {
                    assert!(need > before.len() && need <= KEPT_BYTES_MAX, "{need}");
                    assert!(buffer == before, "touched what is incomplete");
                    break;
                }
                Ok(Step::Event { event, used }) => {
                    let event = match event {
                        Event::Piece(piece) => {
                            joined(&mut message, &piece, stream.limits.message_bytes_max)
                        }
                        Event::Ping(bytes) => Some(Said::Ping(bytes.to_vec())),
                        Event::Pong(bytes) => Some(Said::Pong(bytes.to_vec())),
                        Event::Close(close) => Some(Said::Close(
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
            said.extend(event);
            if matches!(said.last(), Some(Said::Close(..))) {
                return said;
            }
        }
    }
    said
}

/// The message, once its last piece is there.
fn joined(message: &mut Option<Vec<u8>>, piece: &Piece<'_>, most: usize) -> Option<Said> {
    assert_eq!(piece.first, message.is_none());
    let bytes = message.get_or_insert_default();
    bytes.extend_from_slice(piece.bytes);
    assert!(bytes.len() <= most, "{} bytes of {most}", bytes.len());
    if !piece.last {
        return None;
    }
    let bytes = message.take().unwrap_or_default();
    assert!(piece.kind == Kind::Binary || str::from_utf8(&bytes).is_ok());
    Some(Said::Message(piece.kind, bytes))
}
