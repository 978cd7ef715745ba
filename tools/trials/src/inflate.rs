//! permessage-deflate: compressed bytes become no more than the limits say, frames say the same
//! however they are cut, and what is deflated inflates to itself.

use crate::stream::{Received, Stream};
use shardcast_protocol::deflate::{
    self, DeflateStream, Deflater, InflateLimits, InflateStream, Inflater,
};
use shardcast_protocol::frame::Kind;
use shardcast_protocol::reader::{FrameEvent, ProtocolError, Step};

/// Compressed bytes may be a little more than what they become.
const fn compressed_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max + message_bytes_max / 16 + 64
}

/// See [`crate::stream::Stream::of`] for the form of an input; what it says is taken as frames, as
/// a compressed message, and as a message.
///
/// # Panics
/// A promise is broken.
pub fn inflate(input: &[u8]) {
    let Some(stream) = Stream::of(input) else {
        return;
    };
    let limits = InflateLimits {
        message_bytes_max: stream.limits.message_bytes_max,
        ratio_max: InflateLimits::RATIO_MAX_DEFAULT,
    };
    for own in [Own::Never, Own::Allowed, Own::MayRefer] {
        let complete = read(&stream, &limits, stream.bytes.len().max(1), own);
        assert_eq!(read(&stream, &limits, stream.chunk_bytes, own), complete);
    }
    one_message(stream.bytes, &limits);
    round_trip(stream.bytes);
}

/// Whether the connection has a window of its own.
#[derive(Clone, Copy)]
enum Own {
    Never,
    Allowed,
    /// Only if the client turns out to need one.
    MayRefer,
}

/// Room for the messages of such a client, in bytes: not always enough.
const MAY_REFER_BYTES: usize = 60_000;

fn read(
    stream: &Stream<'_>,
    limits: &InflateLimits,
    chunk_bytes: usize,
    own: Own,
) -> Vec<Received> {
    let mut inflater = Inflater::default();
    let mut window = match own {
        Own::MayRefer => InflateStream::may_refer(),
        Own::Never | Own::Allowed => InflateStream::default(),
    };
    window.set_room(MAY_REFER_BYTES);
    let (mut buffer, mut assembly, mut received) = (Vec::new(), None, Vec::new());
    for chunk in stream.bytes.chunks(chunk_bytes) {
        buffer.extend_from_slice(chunk);
        loop {
            let before = buffer.clone();
            let own = match own {
                Own::Never => None,
                Own::Allowed | Own::MayRefer => Some(&mut window),
            };
            let step = deflate::next(
                &mut buffer,
                &mut assembly,
                stream.role,
                limits,
                &mut inflater,
                own,
            );
            let (event, used) = match step {
                Err(error) => {
                    received.push(Received::Broken(error));
                    return received;
                }
                Ok(Step::Incomplete { need }) => {
                    assert!(need > before.len() && buffer == before);
                    break;
                }
                Ok(Step::Event { event, used }) => {
                    let event = match event {
                        FrameEvent::Assembled => {
                            let (kind, bytes) = assembly.take().expect("a message").finish();
                            Some(Received::Message(kind, bytes))
                        }
                        event => received_by(&event),
                    };
                    (event, used)
                }
            };
            let most = limits.message_bytes_max;
            if let Some(Received::Message(_, bytes)) = &event {
                assert!(bytes.len() <= most, "{} bytes of {most}", bytes.len());
            }
            let kept = assembly.as_ref().map_or(0, |assembly| assembly.len());
            assert!(
                kept <= compressed_bytes_max(most),
                "{kept} bytes kept of {most}"
            );
            assert!(buffer[used..] == before[used..], "touched what follows");
            buffer.drain(..used);
            received.extend(event);
            if matches!(received.last(), Some(Received::Close(..))) {
                return received;
            }
        }
    }
    received
}

/// What an event says by itself.
fn received_by(event: &FrameEvent<'_>) -> Option<Received> {
    match event {
        FrameEvent::Text(text) => Some(Received::Message(Kind::Text, text.as_bytes().to_vec())),
        FrameEvent::Binary(bytes) => Some(Received::Message(Kind::Binary, bytes.to_vec())),
        FrameEvent::Ping(bytes) => Some(Received::Ping(bytes.to_vec())),
        FrameEvent::Pong(bytes) => Some(Received::Pong(bytes.to_vec())),
        FrameEvent::Close(close) => Some(Received::Close(
            close.code.map(|code| code.get()),
            close.reason.to_owned(),
        )),
        FrameEvent::Fragment | FrameEvent::Assembled => None,
    }
}

/// The bytes as one compressed message.
fn one_message(compressed: &[u8], limits: &InflateLimits) {
    let mut inflater = Inflater::default();
    let first = inflater
        .inflate(compressed, None, limits)
        .map(<[u8]>::to_vec);
    match &first {
        Ok(message) => {
            let ratio_cap =
                InflateLimits::RATIO_FREE_BYTES.max(compressed.len() * limits.ratio_max as usize);
            assert!(message.len() <= limits.message_bytes_max.min(ratio_cap));
        }
        Err(error) => assert!(matches!(
            error,
            ProtocolError::CompressedDamaged
                | ProtocolError::ReferredBack
                | ProtocolError::InflatedTooBig
                | ProtocolError::InflatedTooMuch
        )),
    }
    // Nothing is left of a message, damaged or not.
    let again = inflater
        .inflate(compressed, None, limits)
        .map(<[u8]>::to_vec);
    assert_eq!(again, first);
    let empty = inflater.inflate(&[0], None, limits).map(<[u8]>::len);
    assert_eq!(empty, Ok(0));
}

/// The bytes as a message to be compressed.
fn round_trip(message: &[u8]) {
    let limits = InflateLimits {
        message_bytes_max: message.len(),
        ratio_max: 2_000,
    };
    let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
    for window_bits in [8, 9, 15] {
        if let Some(compressed) = deflater.deflate(message, window_bits) {
            assert!(compressed.len() < message.len());
            assert!(compressed[0] & 1 == 0, "a final block");
            let inflated = inflater.inflate(compressed, None, &limits);
            assert_eq!(inflated, Ok(message), "{window_bits} bits");
        }
        let Some(mut stream) = DeflateStream::new(window_bits) else {
            continue;
        };
        let mut window = InflateStream::default();
        for _ in 0..2 {
            let mut compressed = Vec::new();
            stream.deflate(message, &mut compressed);
            assert!(
                !compressed.is_empty() && compressed.len() <= compressed_bytes_max(message.len())
            );
            let inflated = inflater.inflate(&compressed, Some(&mut window), &limits);
            assert_eq!(inflated, Ok(message), "{window_bits} bits, in a stream");
        }
    }
}
