//! One MessagePack value as its sender wrote it.
//!
//! Invariant: the bytes are one complete valid value: nothing is cut off, strings are UTF-8, and
//! containers nest no deeper than a value in an envelope may. So it may be placed into other
//! MessagePack as it stands. Only the scanner makes them.

use super::UNDEFINED;
use super::scan::{Head, Malformed, PackScanner};

/// A borrowed MessagePack value, byte for byte as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pack<'b>(&'b [u8]);

impl<'b> Pack<'b> {
    /// nil.
    pub const NIL: Pack<'static> = Pack(&[0xc0]);

    /// Checks bytes of one value. `None` if they are not MessagePack, something follows, or it
    /// nests deeper than a value in an envelope may.
    pub fn parse(bytes: &'b [u8]) -> Option<Pack<'b>> {
        let mut scanner = PackScanner::new(bytes);
        let value = Pack::scan(&mut scanner, 1).ok()?;
        scanner.finish().ok()?;
        Some(value)
    }

    /// Takes the next value, itself inside `outer` containers.
    pub(crate) fn scan(scanner: &mut PackScanner<'b>, outer: u32) -> Result<Pack<'b>, Malformed> {
        scanner.value(outer).map(Pack)
    }

    /// Whether it is nil, or `undefined`.
    pub fn is_null(self) -> bool {
        let mut scanner = PackScanner::new(self.0);
        match scanner.head() {
            Ok(Head::Nil) => true,
            Ok(Head::Ext(len)) => scanner.extension(len) == Ok(UNDEFINED),
            _ => false,
        }
    }

    /// What a serializer wrote, or what was a [`Pack`] before: one complete value. It is not looked
    /// at: for bytes that were never anywhere else, and whose depth the caller knows.
    pub fn of_serializer(bytes: &'b [u8]) -> Pack<'b> {
        debug_assert!(Pack::parse(bytes).is_some());
        Pack(bytes)
    }

    /// The encoded value.
    pub fn as_bytes(self) -> &'b [u8] {
        self.0
    }

    /// A copy that outlives the message.
    pub fn to_boxed(self) -> PackBox {
        PackBox(self.0.into())
    }
}

/// An owned [`Pack`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackBox(Box<[u8]>);

impl PackBox {
    /// The value.
    pub fn as_pack(&self) -> Pack<'_> {
        Pack(&self.0)
    }

    /// Takes bytes of one value, checked as [`Pack::parse`] does.
    pub fn parse(bytes: Vec<u8>) -> Option<PackBox> {
        Pack::parse(&bytes)?;
        Some(PackBox(bytes.into()))
    }

    /// `bytes` are one complete valid value.
    pub(crate) fn written(bytes: Vec<u8>) -> PackBox {
        debug_assert!(Pack::parse(&bytes).is_some());
        PackBox(bytes.into())
    }
}
