//! Filters that whoever lets a client in has given it: written in JSON, and together with the
//! client's own.

use super::{AND, FilterFault, TagFilter};
use crate::json::Raw;

impl TagFilter {
    /// Reads a filter as JSON has it.
    ///
    /// # Errors
    /// There is no such filter, or it is larger than filters may be.
    pub fn of_json(node: Raw<'_>) -> Result<TagFilter, FilterFault> {
        TagFilter::read(node)
    }

    /// What passes both.
    ///
    /// # Errors
    /// Both together are larger than a filter may be.
    pub fn and(&self, other: &TagFilter) -> Result<TagFilter, FilterFault> {
        let both = [&[AND, 2][..], self.as_bytes(), other.as_bytes()].concat();
        TagFilter::of_bytes(&both).ok_or(FilterFault::TooLarge)
    }
}
