//! Filters of publications by their tags, as the engine keeps and asks them.
//!
//! Invariant: what a filter says of a publication depends on both alone, so it is the same on every
//! shard, live and from a log. Used where clients subscribe and where publications are sent.

use shardcast_engine::{Filter, History, Publication, PublicationKind, Topic};
use shardcast_protocol::dialect::centrifuge::{KeyChange, TagFilter, Tags, entry_of};

/// As the engine keeps it.
pub(crate) fn filter_of(filter: &TagFilter) -> Filter {
    Filter::new(filter.as_bytes())
}

/// Which of these filters a publication passes. News of members pass all, and so does the end of a
/// key of a map: whoever was sent the key hears of it, and it has no tags of its own.
pub(crate) fn sift(publication: &Publication<'_>, filters: &[Filter], passes: &mut [bool]) {
    let tags = match publication.kind {
        PublicationKind::Event { name } if ends_a_key(name) => return,
        PublicationKind::Event { name } => Tags::of_event(name),
        PublicationKind::Message { .. } | PublicationKind::Elsewhere { .. } => Tags::default(),
        PublicationKind::Presence { .. } | PublicationKind::Members { .. } => return,
    };
    for (filter, passes) in filters.iter().zip(passes) {
        *passes = TagFilter::passes_kept(filter.bytes(), &tags);
    }
}

fn ends_a_key(event: &str) -> bool {
    entry_of(event).is_some_and(|entry| entry.change == KeyChange::Remove)
}

/// Leaves in a page of a room what passes.
pub(crate) fn retain(filter: &Filter, room: &str, history: &mut History) {
    history.publications.retain(|kept| {
        let publication = kept.publication(Some(Topic::Room(room)));
        publication.is_none_or(|publication| {
            let mut passes = [true];
            sift(&publication, std::slice::from_ref(filter), &mut passes);
            passes[0]
        })
    });
}
