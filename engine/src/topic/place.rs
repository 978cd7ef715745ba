//! Where a frame holds the data of its publication, so that no copy of the data is kept. Found and
//! used by `topic/publication`.

use shardcast_protocol::frame::Kind;

/// Where a frame holds the data of its publication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    start: u16,
    /// Bytes behind the data: what closes an object or two.
    tail: u8,
    kind: Kind,
}

impl Place {
    const TAIL_BYTES_MAX: u8 = 4;

    /// `None`: the frame does not end with the data, up to a few bytes.
    pub(crate) fn find(frame: &[u8], bytes: &[u8], kind: Kind) -> Option<Place> {
        let before = frame.len().checked_sub(bytes.len())?;
        let start = |tail: u8| before.checked_sub(tail.into());
        let is_data = |start: usize| frame[start..start + bytes.len()] == *bytes;
        let tail = (0..=Place::TAIL_BYTES_MAX).find(|tail| start(*tail).is_some_and(is_data))?;
        Some(Place {
            start: start(tail)?.try_into().ok()?,
            tail,
            kind,
        })
    }

    /// The data, in the frame that it was found in.
    pub(crate) fn bytes(self, frame: &[u8]) -> &[u8] {
        &frame[self.start.into()..frame.len() - usize::from(self.tail)]
    }

    /// Whether the data is text.
    pub(crate) fn kind(self) -> Kind {
        self.kind
    }
}
