//! The frame reader: however the bytes are cut it says the same, it touches nothing that it has not
//! consumed, it asks for what it needs and no more, keeps no more than the limit, and what it read
//! can be written and read again.

use crate::stream::{Received, Stream, without_end};
use shardcast_protocol::frame::{HEADER_BYTES_MAX, Kind};
use shardcast_protocol::reader::{self, Assembly, FrameEvent, ReadLimits, Role, Step};

/// Longest header and payload of a control frame.
const CONTROL_BYTES_MAX: usize = HEADER_BYTES_MAX + 125;

/// See [`crate::stream::Stream::of`] for the form of an input.
///
/// # Panics
/// A promise is broken.
pub fn frames(input: &[u8]) {
    let Some(stream) = Stream::of(input) else {
        return;
    };
    let complete = read(&stream, stream.bytes, stream.bytes.len().max(1));
    let cut = read(&stream, stream.bytes, stream.chunk_bytes);
    assert_eq!(complete, cut, "in pieces of {} bytes", stream.chunk_bytes);
    let again = stream.written(&complete);
    assert_eq!(
        read(&stream, &again, again.len().max(1)),
        without_end(&complete),
        "written and read again"
    );
}

/// What the stream says when it arrives `chunk_bytes` at a time.
pub(crate) fn read(stream: &Stream<'_>, bytes: &[u8], chunk_bytes: usize) -> Vec<Received> {
    let (mut buffer, mut assembly, mut received) = (Vec::new(), None, Vec::new());
    // No more is needed: asking again before would say the same, and byte by byte it would take the
    // square of the time.
    let mut need = 0;
    for chunk in bytes.chunks(chunk_bytes) {
        buffer.extend_from_slice(chunk);
        while buffer.len() >= need {
            match step(&mut buffer, &mut assembly, stream.role, &stream.limits) {
                Err(missing) => need = missing,
                Ok((event, used)) => {
                    buffer.drain(..used);
                    need = 0;
                    received.extend(event);
                    if matches!(
                        received.last(),
                        Some(Received::Close(..) | Received::Broken(_))
                    ) {
                        return received;
                    }
                }
            }
        }
    }
    received
}

/// One step, with its promises: an event, if it was more than a fragment, and the bytes it took; or
/// the length that is needed.
fn step(
    buffer: &mut [u8],
    assembly: &mut Option<Box<Assembly>>,
    role: Role,
    limits: &ReadLimits,
) -> Result<(Option<Received>, usize), usize> {
    let before = buffer.to_vec();
    // Of a large frame that has begun, a single byte is a step; every other step takes a header.
    let is_in_frame = |assembly: &Assembly| assembly.is_in_frame();
    let used_min = match assembly.as_deref().is_some_and(is_in_frame) {
        true => 1,
        false => 2,
    };
    let most = limits.message_bytes_max;
    let (event, used) = match reader::next(buffer, assembly, role, limits) {
        Err(error) => return Ok((Some(Received::Broken(error)), before.len())),
        Ok(Step::Incomplete { need }) => {
            assert!(need > before.len(), "asks for {need} of {}", before.len());
            assert!(
                need <= CONTROL_BYTES_MAX.max(HEADER_BYTES_MAX + most),
                "{need}"
            );
            assert!(buffer == before, "touched an incomplete frame");
            return Err(need);
        }
        Ok(Step::Event { event, used }) => {
            let event = match event {
                FrameEvent::Text(text) => {
                    Some(Received::Message(Kind::Text, text.as_bytes().to_vec()))
                }
                FrameEvent::Binary(bytes) => Some(Received::Message(Kind::Binary, bytes.to_vec())),
                FrameEvent::Ping(bytes) => Some(Received::Ping(bytes.to_vec())),
                FrameEvent::Pong(bytes) => Some(Received::Pong(bytes.to_vec())),
                FrameEvent::Close(close) => Some(Received::Close(
                    close.code.map(|code| code.get()),
                    close.reason.to_owned(),
                )),
                FrameEvent::Fragment => None,
                FrameEvent::Assembled => {
                    let (kind, bytes) = assembly.take().expect("an assembled message").finish();
                    assert!(
                        bytes.capacity() <= most,
                        "{} bytes reserved of {most}",
                        bytes.capacity()
                    );
                    Some(Received::Message(kind, bytes))
                }
            };
            (event, used)
        }
    };
    assert!((used_min..=before.len()).contains(&used), "used {used}");
    assert!(buffer[used..] == before[used..], "touched what follows");
    match &event {
        Some(Received::Message(kind, bytes)) => {
            assert!(bytes.len() <= most, "{} bytes of {most}", bytes.len());
            assert!(*kind == Kind::Binary || str::from_utf8(bytes).is_ok());
        }
        Some(Received::Ping(bytes) | Received::Pong(bytes)) => assert!(bytes.len() <= 125),
        Some(Received::Close(_, reason)) => assert!(reason.len() <= 123),
        Some(Received::Broken(_)) | None => {}
    }
    let kept = assembly.as_ref().map_or(0, |assembly| assembly.len());
    assert!(kept <= most, "{kept} bytes kept of {most}");
    Ok((event, used))
}
