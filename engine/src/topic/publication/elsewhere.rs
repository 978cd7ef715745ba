//! Publications that come from other processes, and those that other processes are to hear of. Made
//! by embedders; asked by the way out (`topic/relay`).

use crate::topic::publication::{Content, Inner, Publication, Stored, StoredKind, find};
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use std::sync::Arc;

impl Content {
    /// As [`Content::data`], of a publication that came from another process: it does not go out
    /// again ([`crate::Config::relay`]).
    pub fn of_elsewhere(
        publication: &Publication<'_>,
        encoded: impl IntoIterator<Item = (EncodingId, Frame)>,
    ) -> Content {
        let mut encoded = encoded.into_iter();
        let first = encoded.next();
        let place = first
            .as_ref()
            .and_then(|(_, frame)| find(frame, publication.data));
        let stored = Stored::new(publication, place, first, encoded.collect());
        Content(Inner::Data(Arc::new(Stored {
            is_of_elsewhere: true,
            ..stored
        })))
    }

    /// Whether other processes have not heard of it, and can.
    pub(crate) fn is_of_this_process(&self) -> bool {
        match &self.0 {
            Inner::Frame { .. } => false,
            Inner::Message { .. } => true,
            Inner::Data(stored) => match &stored.kind {
                StoredKind::Message { .. } | StoredKind::Event { .. } => !stored.is_of_elsewhere,
                // What members do is told by each process to its own.
                StoredKind::Presence { .. } | StoredKind::Members { .. } => false,
                StoredKind::Elsewhere { .. } => false,
            },
            Inner::Traced(traced) => traced.content.is_of_this_process(),
            Inner::Kept(kept) => kept.content.is_of_this_process(),
        }
    }
}
