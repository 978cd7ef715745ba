//! Publications whose steps are recorded. Made by embedders, and asked by `topic/traces`.

use crate::topic::publication::{Content, Inner, RecordedTrace, Traced};
use shardcast_protocol::trace_parent::TraceParent;

impl Content {
    /// The same, whose steps from here on are told ([`crate::Config::traces`]) as parts of this
    /// one. What of it clients are told, the data says. A trace that is not sampled changes
    /// nothing.
    pub fn traced(self, from: TraceParent) -> Content {
        if !from.is_sampled() {
            return self;
        }
        let from = RecordedTrace {
            trace: from.trace(),
            span: from.span(),
        };
        Content(Inner::Traced(Box::new(Traced {
            content: self,
            from,
        })))
    }

    /// The step that comes before, if the publication is recorded.
    #[inline]
    pub(crate) fn recorded(&self) -> Option<RecordedTrace> {
        match &self.0 {
            Inner::Frame { .. } | Inner::Message { .. } | Inner::Data(_) => None,
            Inner::Traced(traced) => Some(traced.from),
            Inner::Kept(kept) => kept.content.recorded(),
        }
    }

    /// The same, for whoever takes the step that comes next.
    #[inline]
    pub(crate) fn recorded_mut(&mut self) -> Option<&mut RecordedTrace> {
        match &mut self.0 {
            Inner::Frame { .. } | Inner::Message { .. } | Inner::Data(_) => None,
            Inner::Traced(traced) => Some(&mut traced.from),
            Inner::Kept(kept) => kept.content.recorded_mut(),
        }
    }
}
