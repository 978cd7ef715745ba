//! permessage-deflate on the client's side (RFC 7692), without context takeover in either
//! direction: what is offered, the check of the answer, and both ways of a message. Invariant: what
//! comes out of a message fits the room given, whatever the server sent. Called by `handshake`,
//! `worker` and `sockets`.

use crate::websocket::{BINARY, TEXT, Template, next_sent};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};

/// What is offered. Without context takeover one inflater serves all connections, and a broadcast
/// may be compressed once.
pub(crate) const OFFER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// Messages below it are sent as they are, as a browser does not but may (RFC 7692 §6): what is
/// echoed with 64 bytes compresses badly.
pub(crate) const COMPRESSED_BYTES_MIN: usize = 256;
/// What RFC 7692 §7.2.1 takes off the end of a message.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Room for more than what ends a message.
const SPARE_BYTES: usize = 64;

/// Checks the answer to [`OFFER`].
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check_answer(extensions: &[&str]) -> Result<(), String> {
    let wrong = |reason: &str| {
        let said = extensions.join(", ");
        Err(format!("the server chose the extension {said:?}: {reason}"))
    };
    let [extension] = extensions else {
        return match extensions {
            [] => Err("the server does not compress, though permessage-deflate was offered".into()),
            _ => wrong("more than one line"),
        };
    };
    let mut words = extension.split(';').map(str::trim);
    if words.next() != Some("permessage-deflate") {
        return wrong("it was not offered");
    }
    let mut seen: Vec<&str> = Vec::new();
    for word in words {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (word, None),
        };
        if seen.contains(&name) {
            return wrong("a parameter is there twice");
        }
        let is_right = match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
            // RFC 7692 §7.1.2.1: it may be there without being asked for.
            ("server_max_window_bits", Some(bits)) => {
                matches!(bits.parse(), Ok(8..=15)) && !bits.starts_with(['0', '+'])
            }
            _ => false,
        };
        if !is_right {
            return wrong(&format!("{word:?} is no answer to what was offered"));
        }
        seen.push(name);
    }
    // RFC 7692 §7.1.1.1: who accepts the offer says so.
    if !seen.contains(&"server_no_context_takeover") {
        return wrong("it does not accept server_no_context_takeover");
    }
    Ok(())
}

/// Messages of one direction, control frames not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// All.
    pub(crate) messages: u64,
    /// Of them, in compressed form.
    pub(crate) compressed: u64,
    /// Of all messages, as they are meant.
    pub(crate) payload_bytes: u64,
    /// The same in their frames, without heads, TCP and TLS.
    pub(crate) wire_bytes: u64,
}

impl Carried {
    /// One more.
    fn note(&mut self, payload_bytes: usize, wire_bytes: usize, compressed: u64) {
        self.messages += 1;
        self.compressed += compressed;
        self.payload_bytes += payload_bytes as u64;
        self.wire_bytes += wire_bytes as u64;
    }

    /// Another's, too.
    pub(crate) fn merge(&mut self, other: &Carried) {
        self.messages += other.messages;
        self.compressed += other.compressed;
        self.payload_bytes += other.payload_bytes;
        self.wire_bytes += other.wire_bytes;
    }

    /// How many times smaller the wire's bytes are.
    pub(crate) fn ratio(&self) -> Option<f64> {
        (self.wire_bytes > 0).then(|| self.payload_bytes as f64 / self.wire_bytes as f64)
    }
}

/// Both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) sent: Carried,
    pub(crate) received: Carried,
}

impl Traffic {
    /// Another's, too.
    pub(crate) fn merge(&mut self, other: &Traffic) {
        self.sent.merge(&other.sent);
        self.received.merge(&other.received);
    }
}

/// Opens what servers send.
#[derive(Debug)]
pub(crate) struct Inflater {
    state: Decompress,
    /// The last compressed payload, and what was in it. A broadcast brings the same bytes to every
    /// connection: opened once, they are known.
    last: Vec<u8>,
    /// As long as any message and one byte more; the message is at its start.
    inflated: Vec<u8>,
    len: usize,
    seen: Carried,
}

impl Inflater {
    /// Messages of at most `room_bytes` come out of it.
    pub(crate) fn new(room_bytes: usize) -> Inflater {
        Inflater {
            state: Decompress::new(false),
            last: Vec::new(),
            inflated: vec![0; room_bytes + 1],
            len: 0,
            seen: Carried::default(),
        }
    }

    /// Counts a message that came as it is meant.
    pub(crate) fn note_plain(&mut self, payload: &[u8]) {
        self.seen.note(payload.len(), payload.len(), 0);
    }

    /// What was received.
    pub(crate) fn seen(&self) -> Carried {
        self.seen
    }

    /// The message in a compressed payload.
    ///
    /// # Errors
    /// It is none, or too large; in words.
    pub(crate) fn inflate(&mut self, payload: &[u8]) -> Result<&[u8], &'static str> {
        if payload.is_empty() || payload != self.last {
            self.last.clear();
            self.len = self.open(payload)?;
            self.last.extend_from_slice(payload);
        }
        self.seen.note(self.len, payload.len(), 1);
        Ok(&self.inflated[..self.len])
    }

    /// Into `inflated`; returns how much it is.
    fn open(&mut self, payload: &[u8]) -> Result<usize, &'static str> {
        const TOO_LARGE: &str = "a compressed message much larger than anything that was sent";
        self.state.reset(false);
        for part in [payload, &TAIL] {
            let mut taken = 0;
            while taken < part.len() {
                let (before, out) = (self.state.total_in(), self.state.total_out() as usize);
                let room = &mut self.inflated[out..];
                if room.is_empty() {
                    return Err(TOO_LARGE);
                }
                let status = self
                    .state
                    .decompress(&part[taken..], room, FlushDecompress::Sync)
                    .map_err(|_| "a message that cannot be inflated")?;
                taken += (self.state.total_in() - before) as usize;
                // RFC 7692 §7.2.3.4: a block with BFINAL may end the message.
                if status == Status::StreamEnd {
                    break;
                }
            }
        }
        match self.state.total_out() as usize {
            len if len < self.inflated.len() => Ok(len),
            _ => Err(TOO_LARGE),
        }
    }
}

/// Makes what is sent smaller.
#[derive(Debug)]
pub(crate) struct Compressor {
    state: Compress,
    compressed: Vec<u8>,
    unmasked: Vec<u8>,
    frames: Vec<u8>,
    sent: Carried,
}

impl Compressor {
    pub(crate) fn new() -> Compressor {
        Compressor {
            state: Compress::new(Compression::fast(), false),
            compressed: Vec::new(),
            unmasked: Vec::new(),
            frames: Vec::new(),
            sent: Carried::default(),
        }
    }

    /// What was sent.
    pub(crate) fn sent(&self) -> Carried {
        self.sent
    }

    /// The same frames, with the messages compressed that are long enough.
    pub(crate) fn translate(&mut self, mut frames: &[u8]) -> &[u8] {
        let mut out = std::mem::take(&mut self.frames);
        out.clear();
        let mut unmasked = std::mem::take(&mut self.unmasked);
        while let Some(frame) = next_sent(frames, &mut unmasked) {
            let is_message = matches!(frame.opcode, TEXT | BINARY);
            if is_message && unmasked.len() >= COMPRESSED_BYTES_MIN {
                let payload = self.compress(&unmasked);
                Template::compressed(frame.opcode, payload).append(&mut out, &[]);
                let wire_bytes = payload.len();
                self.sent.note(unmasked.len(), wire_bytes, 1);
            } else {
                out.extend_from_slice(&frames[..frame.bytes]);
                if is_message {
                    self.sent.note(unmasked.len(), unmasked.len(), 0);
                }
            }
            frames = &frames[frame.bytes..];
        }
        debug_assert!(frames.is_empty(), "only complete frames are sent");
        (self.frames, self.unmasked) = (out, unmasked);
        &self.frames
    }

    /// A message's payload as it travels.
    pub(crate) fn compress(&mut self, payload: &[u8]) -> &[u8] {
        self.state.reset();
        self.compressed.clear();
        // Once more while there was no room left: something may wait for it (zlib.h, deflate).
        loop {
            self.compressed.reserve(payload.len() / 2 + SPARE_BYTES);
            let rest = &payload[self.state.total_in() as usize..];
            let status = self
                .state
                .compress_vec(rest, &mut self.compressed, FlushCompress::Sync);
            debug_assert!(status.is_ok(), "{status:?}");
            if self.compressed.len() < self.compressed.capacity() {
                break;
            }
        }
        debug_assert!(self.compressed.ends_with(&TAIL));
        let len = self.compressed.len() - TAIL.len();
        &self.compressed[..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked() {
        let agreed = "permessage-deflate; server_no_context_takeover";
        for good in [
            agreed.to_owned(),
            format!("{agreed}; client_no_context_takeover"),
            format!("{agreed};server_max_window_bits=15"),
            format!("{agreed} ; server_max_window_bits=\"8\""),
        ] {
            assert_eq!(check_answer(&[&good]), Ok(()), "{good}");
        }
        let twice = format!("{agreed}; server_no_context_takeover");
        for (wrong, words) in [
            (&[][..], "does not compress"),
            (&[agreed, agreed], "more than one line"),
            (&["permessage-deflate"], "does not accept"),
            (&["x-webkit-deflate-frame"], "not offered"),
            (&[&twice], "twice"),
            (
                &[&format!("{agreed}; client_max_window_bits=15")],
                "no answer",
            ),
            (&[&format!("{agreed}; server_max_window_bits")], "no answer"),
            (
                &[&format!("{agreed}; server_max_window_bits=16")],
                "no answer",
            ),
            (
                &[&format!("{agreed}; server_max_window_bits=08")],
                "no answer",
            ),
            (&[&format!("{agreed}=1")], "no answer"),
            (&[&format!("{agreed}, permessage-deflate")], "no answer"),
        ] {
            let refusal = check_answer(wrong);
            assert!(
                refusal.as_ref().is_err_and(|said| said.contains(words)),
                "{wrong:?}: {refusal:?}"
            );
        }
    }

    /// Compressible, and not.
    fn payloads() -> Vec<Vec<u8>> {
        let noise = |len: usize| {
            let mut state = 1_u32;
            (0..len).map(move |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
        };
        let mut all: Vec<Vec<u8>> = [1, 255, 256, 1_024, 70_000]
            .map(|len| vec![b'x'; len])
            .into();
        all.extend([1, 300, 70_000].map(|len| noise(len).collect::<Vec<u8>>()));
        all
    }

    #[test]
    fn what_is_compressed_comes_out_again() {
        let mut compressor = Compressor::new();
        let mut inflater = Inflater::new(100_000);
        for payload in payloads() {
            let wire = compressor.compress(&payload).to_vec();
            // Twice: the second time it is known.
            for _ in 0..2 {
                assert_eq!(inflater.inflate(&wire), Ok(&payload[..]));
            }
            assert_eq!(
                Inflater::new(payload.len()).inflate(&wire),
                Ok(&payload[..])
            );
            if let Some(less) = payload.len().checked_sub(1) {
                let refusal = Inflater::new(less).inflate(&wire).map(<[u8]>::len);
                assert!(refusal.is_err_and(|said| said.contains("larger")));
            }
        }
        assert!(inflater.inflate(&[0xff; 9]).is_err());
        let Carried {
            messages,
            compressed,
            ..
        } = inflater.seen();
        assert_eq!((messages, compressed), (16, 16));
    }

    #[test]
    fn a_final_block_ends_a_message() {
        // Stored, BFINAL set (RFC 1951 §3.2.4), as a library may send it (RFC 7692 §7.2.3.4).
        let wire = [&[1, 3, 0, 0xfc, 0xff][..], b"abc", &[0]].concat();
        assert_eq!(Inflater::new(9).inflate(&wire), Ok(&b"abc"[..]));
    }

    #[test]
    fn only_long_messages_are_translated() {
        let mut compressor = Compressor::new();
        let (short, long) = (
            [b'x'; COMPRESSED_BYTES_MIN - 1],
            [b'x'; COMPRESSED_BYTES_MIN],
        );
        let mut frames = Vec::new();
        for (opcode, payload) in [(BINARY, &short[..]), (TEXT, &long), (9, b"ping")] {
            Template::new(opcode, payload).append(&mut frames, &[]);
        }
        let mut translated = compressor.translate(&frames).to_vec();
        let mut unmasked = Vec::new();
        let mut seen = Vec::new();
        while let Some(frame) = next_sent(&translated, &mut unmasked) {
            let is_compressed = translated[0] & 0x40 != 0;
            let mut inflater = Inflater::new(1_000);
            let payload = if is_compressed {
                inflater.inflate(&unmasked).unwrap()
            } else {
                &unmasked
            };
            seen.push((frame.opcode, is_compressed, payload.to_vec()));
            translated.drain(..frame.bytes);
        }
        let expected = [
            (BINARY, false, short.to_vec()),
            (TEXT, true, long.to_vec()),
            (9, false, b"ping".to_vec()),
        ];
        assert_eq!(seen, expected);
        let Carried {
            messages,
            compressed,
            payload_bytes,
            wire_bytes,
        } = compressor.sent();
        assert_eq!((messages, compressed, payload_bytes), (2, 1, 511));
        assert!((255 + 5..255 + 30).contains(&wire_bytes), "{wire_bytes}");
    }
}
