//! Publications that go into their topic's log, and what the log needs of them.

use crate::topic::keep::Keep;
use crate::topic::key::Topic;
use crate::topic::publication::{Content, Inner, Kept, StoredKind, find};
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;

impl Content {
    /// The same, to go into its topic's log.
    pub(crate) fn into_kept(self, keep: Keep) -> Content {
        Content(Inner::Kept(Box::new(Kept {
            content: self,
            keep,
        })))
    }

    /// What its topic's log is to do with it, and what goes in there. `None`: it is not kept.
    #[inline]
    pub(crate) fn kept(&self) -> Option<(&Keep, &Content)> {
        match &self.0 {
            Inner::Kept(kept) => Some((&kept.keep, &kept.content)),
            Inner::Frame { .. } | Inner::Message { .. } | Inner::Data(_) | Inner::Traced(_) => None,
        }
    }

    /// Its keys, where its topic keeps a log: [`crate::Publish::key`] and
    /// [`crate::Publish::conflate`].
    pub(crate) fn keys(&self) -> (Option<&str>, Option<&str>) {
        let keep = self.kept().map(|(keep, _)| keep);
        keep.map_or((None, None), |keep| {
            (keep.key.as_deref(), keep.conflate.as_deref())
        })
    }

    /// The publication alone, whatever its topic's log is to do with it.
    pub(crate) fn as_published(&self) -> &Content {
        self.kept().map_or(self, |(_, content)| content)
    }

    /// Whether the next publication of its topic builds on it: it is data, and no news of members.
    pub(crate) fn is_base(&self) -> bool {
        match &self.as_published().0 {
            Inner::Message { .. } => true,
            Inner::Data(stored) => match stored.kind {
                StoredKind::Message { .. }
                | StoredKind::Elsewhere { .. }
                | StoredKind::Event { .. } => true,
                StoredKind::Presence { .. } | StoredKind::Members { .. } => false,
            },
            Inner::Traced(traced) => traced.content.is_base(),
            Inner::Frame { .. } | Inner::Kept(_) => false,
        }
    }

    /// The same publication, held by the first of these frames that has its data in it. `None`:
    /// none has, or it is a frame already.
    pub(crate) fn with_delivered<'f>(
        &self,
        topic: Topic<'_>,
        delivered: impl Iterator<Item = (EncodingId, &'f Frame)>,
    ) -> Option<Content> {
        let publication = self.publication(Some(topic))?;
        let mut delivered = delivered;
        let (encoding, frame) =
            delivered.find(|(_, frame)| find(frame, publication.data).is_some())?;
        Some(Content::data(&publication, Some((encoding, frame.clone()))))
    }
}
