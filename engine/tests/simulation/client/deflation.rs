//! A client that speaks permessage-deflate: what it offers, and how it reads and writes once the
//! server agreed.

use shardcast_engine::protocol::deflate::{
    DeflateStream, Deflater, InflateStream, Inflater, Takeover, read_answer,
};

/// The extension on one connection.
#[derive(Debug)]
pub(crate) struct Deflation {
    /// Value of the header.
    pub(crate) offer: &'static str,
    pub(crate) takeover: Takeover,
    pub(crate) inflater: Inflater,
    /// If the server's messages refer to earlier ones.
    pub(crate) window: Option<InflateStream>,
    deflater: Deflater,
    /// If the client's do.
    stream: Option<DeflateStream>,
}

impl Deflation {
    /// Clients differ by their number: no extension, messages that stand for themselves, a small
    /// window, context takeover, whether the server agrees to it or not.
    pub(crate) fn of(id: usize) -> Option<Deflation> {
        let (offer, takeover) = match id % 4 {
            0 => (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                Takeover::Never,
            ),
            1 => (
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
                Takeover::Never,
            ),
            2 => (
                "permessage-deflate; client_max_window_bits",
                Takeover::Allowed,
            ),
            _ => return None,
        };
        Some(Deflation {
            offer,
            takeover,
            inflater: Inflater::default(),
            window: None,
            deflater: Deflater::default(),
            stream: None,
        })
    }

    /// Reads the answer's head. False: the server declined, as it does where messages are taken in
    /// pieces.
    pub(crate) fn agree(&mut self, head: &str) -> bool {
        let answers = head
            .lines()
            .filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "))
            .map(str::as_bytes);
        let agreement = read_answer(answers, self.takeover).expect("an answer to the offer");
        let Some(agreement) = agreement else {
            return false;
        };
        self.window = (agreement.server_takeover == Takeover::Allowed).then(InflateStream::default);
        // Who was told not to and had not offered it goes on with its window all the same.
        if self.takeover == Takeover::Allowed {
            self.stream = DeflateStream::new(agreement.client_window_bits);
        }
        true
    }

    /// A compressed payload; `None`: it is better sent as it is.
    pub(crate) fn deflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        match &mut self.stream {
            Some(stream) => {
                let mut out = Vec::new();
                stream.deflate(payload, &mut out);
                Some(out)
            }
            None => self.deflater.deflate(payload, 15).map(<[u8]>::to_vec),
        }
    }
}
