//! A scanner over MessagePack: it finds where values end and accepts exactly what the specification
//! allows, builds nothing and allocates nothing.
//!
//! Invariant: every span handed out is one complete valid value: nothing is cut off, strings are
//! UTF-8 (which the specification leaves open), the reserved byte `0xc1` stands nowhere, containers
//! nest at most [`DEPTH_MAX`] deep, and no key is a container. A length is believed only as far as
//! there are bytes, so it costs nothing to lie. Called by `span` and the dialects.

use crate::json::DEPTH_MAX;
use rmp::Marker;
use thiserror::Error;

/// The bytes are not MessagePack as clients may send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{fault} at byte {at}")]
pub(crate) struct Malformed {
    fault: Fault,
    /// Where the scanner stopped, in bytes from the start.
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Fault {
    #[error("not valid MessagePack")]
    Syntax,
    #[error("nested too deeply")]
    Depth,
    #[error("a key that is an array, a map or an extension")]
    Key,
}

impl Malformed {
    fn at(at: usize) -> Malformed {
        Malformed {
            fault: Fault::Syntax,
            at,
        }
    }
}

/// What a value begins with: all of it, or what its content is and how long, in bytes or elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head {
    Nil,
    Bool(bool),
    Unsigned(u64),
    /// Below zero, or what was written as signed.
    Signed(i64),
    Float(f64),
    Str(u32),
    Bin(u32),
    /// The length does not count the type byte, which comes first. Counts as a container: one that
    /// JSON has no value for becomes an object.
    Ext(u32),
    Array(u32),
    /// In pairs.
    Map(u32),
}

/// Stands for the containers around a key, which may hold none itself: JSON has only text there.
const KEY: u32 = u32::MAX;

/// A position in MessagePack.
#[derive(Clone, Debug)]
pub(crate) struct PackScanner<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> PackScanner<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> PackScanner<'b> {
        PackScanner { bytes, at: 0 }
    }

    /// In bytes from the start.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Takes the next value's head.
    pub(crate) fn head(&mut self) -> Result<Head, Malformed> {
        let marker = Marker::from_u8(self.array::<1>()?[0]);
        Ok(match marker {
            Marker::Null => Head::Nil,
            Marker::False => Head::Bool(false),
            Marker::True => Head::Bool(true),
            Marker::FixPos(number) => Head::Unsigned(number.into()),
            Marker::U8 => Head::Unsigned(self.array::<1>()?[0].into()),
            Marker::U16 => Head::Unsigned(self.u16()?.into()),
            Marker::U32 => Head::Unsigned(self.u32()?.into()),
            Marker::U64 => Head::Unsigned(u64::from_be_bytes(self.array()?)),
            Marker::FixNeg(number) => Head::Signed(number.into()),
            Marker::I8 => Head::Signed(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Head::Signed(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Head::Signed(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Head::Signed(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Head::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Head::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(len) => Head::Str(len.into()),
            Marker::Str8 => Head::Str(self.array::<1>()?[0].into()),
            Marker::Str16 => Head::Str(self.u16()?.into()),
            Marker::Str32 => Head::Str(self.u32()?),
            Marker::Bin8 => Head::Bin(self.array::<1>()?[0].into()),
            Marker::Bin16 => Head::Bin(self.u16()?.into()),
            Marker::Bin32 => Head::Bin(self.u32()?),
            Marker::FixExt1 => Head::Ext(1),
            Marker::FixExt2 => Head::Ext(2),
            Marker::FixExt4 => Head::Ext(4),
            Marker::FixExt8 => Head::Ext(8),
            Marker::FixExt16 => Head::Ext(16),
            Marker::Ext8 => Head::Ext(self.array::<1>()?[0].into()),
            Marker::Ext16 => Head::Ext(self.u16()?.into()),
            Marker::Ext32 => Head::Ext(self.u32()?),
            Marker::FixArray(len) => Head::Array(len.into()),
            Marker::Array16 => Head::Array(self.u16()?.into()),
            Marker::Array32 => Head::Array(self.u32()?),
            Marker::FixMap(len) => Head::Map(len.into()),
            Marker::Map16 => Head::Map(self.u16()?.into()),
            Marker::Map32 => Head::Map(self.u32()?),
            Marker::Reserved => return Err(Malformed::at(self.at - 1)),
        })
    }

    /// Takes the content of a string or of bytes, an extension's type included.
    pub(crate) fn content(&mut self, len: usize) -> Result<&'b [u8], Malformed> {
        let content = self.bytes[self.at..].get(..len);
        let content = content.ok_or(Malformed::at(self.at))?;
        self.at += len;
        Ok(content)
    }

    /// Takes the type and the content of an extension.
    pub(crate) fn extension(&mut self, len: u32) -> Result<(i8, &'b [u8]), Malformed> {
        let at = self.at;
        let content = self.content(1 + len as usize)?;
        let (kind, content) = content.split_first().ok_or(Malformed::at(at))?;
        Ok((*kind as i8, content))
    }

    /// Takes the content of a string.
    pub(crate) fn text(&mut self, len: u32) -> Result<&'b str, Malformed> {
        let at = self.at;
        simdutf8::basic::from_utf8(self.content(len as usize)?).map_err(|_| Malformed::at(at))
    }

    /// The same without a look at it beyond what makes it text.
    #[inline]
    fn skip_text(&mut self, len: u32) -> Result<(), Malformed> {
        let at = self.at;
        let content = self.content(len as usize)?;
        // Short strings are nearly always ASCII, which a few words show.
        match is_short_ascii(content) || simdutf8::basic::from_utf8(content).is_ok() {
            true => Ok(()),
            false => Err(Malformed::at(at)),
        }
    }

    /// Takes one complete value, itself inside `outer` containers, and returns it as it was sent.
    pub(crate) fn value(&mut self, outer: u32) -> Result<&'b [u8], Malformed> {
        let start = self.at;
        self.skip(outer)?;
        Ok(&self.bytes[start..self.at])
    }

    /// Nothing may follow the last value.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(Malformed::at(self.at))
        }
    }

    /// Calls itself for what is inside, so at most [`DEPTH_MAX`] deep.
    fn skip(&mut self, outer: u32) -> Result<(), Malformed> {
        let at = self.at;
        let (is_map, elements) = match self.head()? {
            Head::Nil | Head::Bool(_) | Head::Unsigned(_) | Head::Signed(_) | Head::Float(_) => {
                return Ok(());
            }
            Head::Str(len) => return self.skip_text(len),
            Head::Bin(len) => return self.content(len as usize).map(drop),
            Head::Ext(_) | Head::Array(_) | Head::Map(_) if outer >= DEPTH_MAX => {
                let fault = if outer == KEY {
                    Fault::Key
                } else {
                    Fault::Depth
                };
                return Err(Malformed { fault, at });
            }
            Head::Ext(len) => return self.content(1 + len as usize).map(drop),
            Head::Array(len) => (false, len),
            Head::Map(len) => (true, len),
        };
        for _ in 0..elements {
            if is_map {
                self.skip(KEY)?;
            }
            self.skip(outer + 1)?;
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.bytes[self.at..].first_chunk::<N>();
        let bytes = *bytes.ok_or(Malformed::at(self.at))?;
        self.at += N;
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }
}

/// Whether a text is short and of ASCII alone.
#[inline]
fn is_short_ascii(text: &[u8]) -> bool {
    const SHORT_BYTES_MAX: usize = 32;
    let highs = |word: &[u8; 8]| u64::from_ne_bytes(*word) & u64::from_ne_bytes([0x80; 8]);
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let (words, _) = text.as_chunks::<8>();
        let ends = highs(first) | highs(last);
        text.len() <= SHORT_BYTES_MAX && words.iter().fold(ends, |all, word| all | highs(word)) == 0
    } else {
        text.iter().fold(0, |all, byte| all | byte) < 0x80
    }
}
