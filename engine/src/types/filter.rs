//! Filters: which publications of a room a member is sent, as bytes that only the application gives
//! a meaning to. Members that share one are those whose bytes are equal.
//!
//! Used by whoever joins, and where publications are collected for members or read from a log.

use crate::topic::publication::Publication;
use std::sync::Arc;

/// Which publications of a room a member is sent ([`crate::JoinOptions::filter`]). Cloning shares
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(Arc<Box<[u8]>>);

impl Filter {
    /// A filter that these bytes say.
    pub fn new(bytes: &[u8]) -> Filter {
        Filter(Arc::new(bytes.into()))
    }

    /// What it says.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Says which filters a publication passes: [`crate::Application::sift`].
pub(crate) type Sift = for<'a> fn(&Publication<'a>, &[Filter], &mut [bool]);
