//! The strings of an array, one after the other, in either encoding. Called by `Rooms`.

use super::value::Value;
use crate::json::{JsonScanner, unescape};
use crate::pack::{Head, PackScanner};
use std::borrow::Cow;

/// The elements of an array, `None` for the first that is no string, which is the last then. `None`
/// if the value is no array.
pub(super) fn names<'b>(value: Value<'b>) -> Option<Names<'b>> {
    match value {
        Value::Json(raw) => {
            let mut scanner = JsonScanner::new(raw.as_str());
            let left = scanner.take(b'[');
            left.then(|| Names::Json {
                more: !scanner.take(b']'),
                scanner,
            })
        }
        Value::Pack(pack) => {
            let mut scanner = PackScanner::new(pack.as_bytes());
            match scanner.head() {
                Ok(Head::Array(left)) => Some(Names::Pack { scanner, left }),
                _ => None,
            }
        }
        Value::Bytes(_) => None,
    }
}

/// See [`names`].
pub(super) enum Names<'b> {
    Json {
        scanner: JsonScanner<'b>,
        more: bool,
    },
    Pack {
        scanner: PackScanner<'b>,
        left: u32,
    },
}

impl<'b> Iterator for Names<'b> {
    type Item = Option<Cow<'b, str>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Names::Json { scanner, more } => {
                if !*more {
                    return None;
                }
                let name = scanner.string().ok().map(unescape);
                *more = name.is_some() && scanner.take(b',');
                Some(name)
            }
            Names::Pack { scanner, left } => {
                *left = left.checked_sub(1)?;
                let name = match scanner.head() {
                    Ok(Head::Str(len)) => scanner.text(len).ok().map(Cow::Borrowed),
                    _ => None,
                };
                if name.is_none() {
                    *left = 0;
                }
                Some(name)
            }
        }
    }
}
