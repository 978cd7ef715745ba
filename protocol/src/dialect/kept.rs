//! A message that a room keeps, as replies bring it. Made by the server, written by `reply` and by
//! the replies of the Centrifuge protocol.

use super::event::Sender;
use super::value::{Encoding, Value};

/// A message that a room keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptMessage<'a> {
    /// Its place.
    pub offset: u64,
    /// Who had something to say.
    pub origin: Origin<'a>,
    /// Who that was, where it is known; told to clients of the Centrifuge protocol.
    pub sender: Option<&'a Sender<'a>>,
    /// What it says.
    pub data: Value<'a>,
}

/// Who had something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// A connection.
    From(&'a str),
    /// The application, with an event of this name.
    Event(&'a str),
}

/// A control character is six in JSON: `\u0001`.
const STRING_GROWTH_MAX: usize = 6;

impl KeptMessage<'_> {
    /// Bytes that it has in a reply of this encoding, at most.
    pub fn bytes_max(&self, encoding: Encoding) -> usize {
        let envelope = r#",{"offset":18446744073709551615,"event":"","data":}"#.len();
        let name = match self.origin {
            Origin::From(name) | Origin::Event(name) => name.len(),
        };
        let name = name + self.sender.map_or(0, Sender::bytes);
        envelope + STRING_GROWTH_MAX * name + self.data.bytes_max(encoding)
    }
}
