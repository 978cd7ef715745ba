//! Streams of frames built by hand, and the reader driven over them as a connection would drive it.

use shardcast_protocol::frame::HEADER_BYTES_MAX;
use shardcast_protocol::reader::{
    self, Assembly, FrameEvent, ProtocolError, ReadLimits, Role, Step,
};

/// What reading a stream said, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Fragment,
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Broken(ProtocolError),
}

pub(crate) const FIN: u8 = 0x80;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// How many bytes a length is written in, besides the seven bits.
#[derive(Clone, Copy)]
pub(crate) enum Extended {
    Two,
    Eight,
}

/// A frame for a reader in `role`, with the shortest length.
pub(crate) fn frame(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let extended = match payload.len() {
        0..126 => None,
        126..65_536 => Some(Extended::Two),
        _ => Some(Extended::Eight),
    };
    let mut bytes = header(role, first, payload.len() as u64, extended);
    let key = if role == Role::Server { KEY } else { [0; 4] };
    bytes.extend(
        payload
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ key[index % 4]),
    );
    bytes
}

/// A header for a reader in `role`, whose length is written as told.
pub(crate) fn header(role: Role, first: u8, length: u64, extended: Option<Extended>) -> Vec<u8> {
    let mask_bit = if role == Role::Server { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match extended {
        None => bytes.push(mask_bit | length as u8),
        Some(Extended::Two) => {
            bytes.push(mask_bit | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        Some(Extended::Eight) => {
            bytes.push(mask_bit | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    if role == Role::Server {
        bytes.extend(KEY);
    }
    bytes
}

/// Reads a stream that arrives in the given pieces, until it ends, closes or breaks the protocol.
pub(crate) fn read<'p>(
    role: Role,
    message_bytes_max: usize,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Vec<Seen> {
    let limits = ReadLimits { message_bytes_max };
    let mut buffer = Vec::new();
    let mut assembly = None;
    let mut seen = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut start = 0;
        loop {
            let before = buffer[start..].to_vec();

            match reader::next(&mut buffer[start..], &mut assembly, role, &limits) {
                Ok(Step::Incomplete { need }) => {
                    assert!(need > before.len(), "asks for bytes that it has");
                    assert!(
                        need < Assembly::LARGE_BYTES + HEADER_BYTES_MAX,
                        "{need} bytes are not waited for"
                    );
                    assert_eq!(buffer[start..], before, "touched an incomplete frame");
                    break;
                }
                Ok(Step::Event { event, used }) => {
                    let event = match event {
                        FrameEvent::Text(text) => Seen::Text(text.to_owned()),
                        FrameEvent::Binary(bytes) => Seen::Binary(bytes.to_vec()),
                        FrameEvent::Fragment => Seen::Fragment,
                        FrameEvent::Ping(bytes) => Seen::Ping(bytes.to_vec()),
                        FrameEvent::Pong(bytes) => Seen::Pong(bytes.to_vec()),
                        FrameEvent::Close(close) => {
                            Seen::Close(close.code.map(|c| c.get()), close.reason.to_owned())
                        }
                        FrameEvent::Assembled => finish(assembly.take()),
                    };
                    start += used;
                    // A part of a large frame is no fragment.
                    if assembly.as_ref().is_some_and(|begun| begun.is_in_frame()) {
                        continue;
                    }
                    let is_closed = matches!(event, Seen::Close(..));
                    seen.push(event);
                    if is_closed {
                        return seen;
                    }
                }
                Err(error) => {
                    seen.push(Seen::Broken(error));
                    return seen;
                }
            }
        }
        buffer.drain(..start);
    }
    seen
}

fn finish(assembly: Option<Box<Assembly>>) -> Seen {
    use shardcast_protocol::frame::Kind;
    match assembly.expect("an assembled message").finish() {
        (Kind::Text, bytes) => Seen::Text(String::from_utf8(bytes).expect("checked text")),
        (Kind::Binary, bytes) => Seen::Binary(bytes),
    }
}

/// The complete stream at once.
pub(crate) fn read_at_once(role: Role, message_bytes_max: usize, bytes: &[u8]) -> Vec<Seen> {
    read(role, message_bytes_max, [bytes])
}

/// The stream byte by byte.
pub(crate) fn read_bytewise(role: Role, message_bytes_max: usize, bytes: &[u8]) -> Vec<Seen> {
    read(role, message_bytes_max, bytes.chunks(1))
}
