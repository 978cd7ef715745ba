//! One JSON value as its sender wrote it.
//!
//! Invariant: the text is one complete valid value without white space around it, so it may be
//! placed into other JSON as it stands. Only the scanner makes them.

use super::scan::{JsonScanner, SyntaxError};

/// A borrowed JSON value, byte for byte as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'b>(&'b str);

impl<'b> Raw<'b> {
    /// `null`.
    pub const NULL: Raw<'static> = Raw("null");

    /// Checks a text of one value. `None` if it is not JSON or nests deeper than a value in an
    /// envelope may.
    pub fn parse(text: &'b str) -> Option<Raw<'b>> {
        Raw::parse_inside(text, 1)
    }

    /// Checks a text of one value that is to stand inside of so many containers. `None` if it is
    /// not JSON, or nests too deeply there.
    pub fn parse_inside(text: &'b str, outer: u32) -> Option<Raw<'b>> {
        let mut scanner = JsonScanner::new(text);
        let value = scanner.value(outer).ok()?;
        scanner.finish().ok()?;
        Some(Raw(value))
    }

    /// Takes the next value of a text, itself inside `outer` containers. It may be placed
    /// elsewhere, where it must be inside one container.
    #[inline(always)] // As the scanner's own.
    pub(crate) fn scan(scanner: &mut JsonScanner<'b>, outer: u32) -> Result<Raw<'b>, SyntaxError> {
        debug_assert!(outer > 0);
        scanner.value(outer).map(Raw)
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// What a JSON serializer wrote, or what was a [`Raw`] before: one complete value without white
    /// space around it. It is not looked at: for text that was never anywhere else, and whose depth
    /// the caller knows.
    pub fn of_serializer(text: &'b str) -> Raw<'b> {
        debug_assert!(!text.is_empty());
        Raw(text)
    }

    /// The JSON text.
    pub fn as_str(self) -> &'b str {
        self.0
    }

    /// A copy that outlives the message.
    pub fn to_boxed(self) -> RawBox {
        RawBox(self.0.into())
    }
}

/// An owned [`Raw`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBox(Box<str>);

impl RawBox {
    /// The value.
    pub fn as_raw(&self) -> Raw<'_> {
        Raw(&self.0)
    }

    /// Takes a text of one value, checked as [`Raw::parse`] does; white space around it is dropped.
    pub fn parse(text: String) -> Option<RawBox> {
        let value = Raw::parse(&text)?;
        if value.as_str().len() == text.len() {
            Some(RawBox(text.into()))
        } else {
            Some(value.to_boxed())
        }
    }

    /// `text` is one complete valid value.
    pub(crate) fn written(text: String) -> RawBox {
        debug_assert!(Raw::parse(&text).is_some());
        RawBox(text.into())
    }
}
