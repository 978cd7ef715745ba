//! Where a client goes on with the pages of a map: a text that it is told and says again.
//!
//! Invariant: a cursor names the place of the first page, which all pages are of, so the server
//! remembers nothing between them. One that a client has made up leads to a page that it may read
//! anyway, or to none.

use crate::wire::position::{epoch_text, since_of};
use shardcast_engine::{Position, Since};
use shardcast_protocol::dialect;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapCursor {
    /// The place of the first page.
    pub(super) first: Position,
    /// The last offset that the pages before this one had.
    pub(super) after: u64,
}

const SEPARATOR: char = '.';

impl MapCursor {
    pub(super) fn text(&self) -> String {
        let MapCursor { first, after } = self;
        let epoch = epoch_text(*first);
        format!(
            "{}{SEPARATOR}{}{SEPARATOR}{after}",
            epoch.as_str(),
            first.offset
        )
    }

    /// `None`: no cursor is such.
    pub(super) fn read(text: &str) -> Option<MapCursor> {
        let mut parts = text.splitn(3, SEPARATOR);
        let (epoch, offset, after) = (parts.next()?, parts.next()?, parts.next()?);
        let Since { epoch, offset } = since_of(&dialect::Since {
            epoch: epoch.into(),
            offset: offset.parse().ok()?,
        });
        Some(MapCursor {
            first: Position {
                epoch: epoch?,
                offset,
            },
            after: after.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        for (epoch, offset, after) in [(1, 0, 0), (723, 7, 3), (u64::MAX, u64::MAX, u64::MAX)] {
            let first = Position { epoch, offset };
            let cursor = MapCursor { first, after };
            assert_eq!(MapCursor::read(&cursor.text()), Some(cursor));
        }
        for text in [
            "", ".", "..", "k3", "k3.1", "k3.1.", ".1.1", "k3.1.x", "k3.-1.1", "k3.1.1.1",
        ] {
            assert_eq!(MapCursor::read(text), None, "{text}");
        }
    }
}
