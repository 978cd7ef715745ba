//! What a publisher asks of its topic's log. It travels with the publication to the topic's home.

use crate::topic::log::options::LogClass;
use std::sync::Arc;

/// A publication goes into the log of its topic.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    /// The class of a log that does not exist yet.
    pub(crate) class: LogClass,
    /// A publication with a key that the log knows is not published again.
    pub(crate) key: Option<Box<str>>,
    /// Of several with one such key the newest counts.
    pub(crate) conflate: Option<Arc<str>>,
}
