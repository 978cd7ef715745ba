//! Control characters in what clients send: C0 but tab, line feed and carriage return; DEL; C1
//! (U+0000-U+0008, U+000B, U+000C, U+000E-U+001F, U+007F-U+009F). They end lines and colour logs
//! and terminals of whoever prints them; U+0000 ends strings in C.

use super::value::{Value, ValueBox};
use super::{Code, Problem};
use crate::json::{Raw, RawBox};
use crate::pack::{self, Head, Malformed, Pack, PackBox, PackScanner};

/// What is done about control characters in the strings of a value, keys included. MessagePack's
/// `bin` and `ext` are no strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ControlPolicy {
    /// Nothing. Costs nothing.
    #[default]
    Allow,
    /// They are taken out. Keys that differ in them only become duplicates.
    Strip,
    /// A value that has some is refused.
    Reject,
}

impl ControlPolicy {
    /// Applies the policy. `Some` is the value without them; `None` means that it stays as it is.
    ///
    /// # Errors
    /// `bad_request`: there are some, and the policy is to reject.
    pub fn apply(self, value: Value<'_>) -> Result<Option<ValueBox>, Problem> {
        match self {
            ControlPolicy::Allow => Ok(None),
            ControlPolicy::Reject if has_controls(value) => Err(Problem::new(
                Code::BadRequest,
                "data has control characters",
            )),
            ControlPolicy::Reject => Ok(None),
            ControlPolicy::Strip => Ok(has_controls(value).then(|| match value {
                Value::Json(raw) => ValueBox::Json(stripped_json(raw)),
                Value::Pack(pack) => ValueBox::Pack(stripped_pack(pack)),
                Value::Bytes(bytes) => ValueBox::Bytes(bytes.into()),
            })),
        }
    }
}

fn has_controls(value: Value<'_>) -> bool {
    match value {
        Value::Json(raw) => control_in_json(raw.as_str(), 0).is_some(),
        Value::Pack(pack) => strings_of(pack, |text| text.chars().any(is_control)),
        Value::Bytes(_) => false,
    }
}

/// Tab, line feed and carriage return are text.
fn is_control(character: char) -> bool {
    character.is_control() && !matches!(character, '\t' | '\n' | '\r')
}

/// The first control character at `from` or behind it: where, and how many bytes. Outside of
/// strings valid JSON has neither a backslash nor any of them, and bare C0 stands in no string.
fn control_in_json(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        // C1 is 0xc2 and 0x80 to 0x9f in UTF-8.
        at += memchr::memchr3(b'\\', 0x7f, 0xc2, &bytes[at..])?;
        let (len, found) = match (bytes[at], bytes.get(at + 1)) {
            (0x7f, _) => (1, true),
            (0xc2, Some(next)) => (2, (0x80..=0x9f).contains(next)),
            (_, Some(b'b' | b'f')) => (2, true),
            (_, Some(b'u')) => (6, is_escaped_control(&text[at + 2..])),
            (_, _) => (2, false),
        };
        if found {
            return Some((at, len));
        }
        at += len;
    }
}

/// `hex` begins with the four digits of an escape.
fn is_escaped_control(hex: &str) -> bool {
    let unit = hex
        .get(..4)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok());
    // A half of a pair is no character, and never one of these.
    unit.and_then(char::from_u32).is_some_and(is_control)
}

fn stripped_json(raw: Raw<'_>) -> RawBox {
    let text = raw.as_str();
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    while let Some((at, len)) = control_in_json(text, rest) {
        out.push_str(&text[rest..at]);
        rest = at + len;
    }
    out.push_str(&text[rest..]);
    RawBox::written(out)
}

/// Whether any string, key or value, is such.
fn strings_of(pack: Pack<'_>, is_such: impl Fn(&str) -> bool) -> bool {
    let mut scanner = PackScanner::new(pack.as_bytes());
    // Flat: where containers end does not matter here.
    while scanner.finish().is_err() {
        let found = leaf(&mut scanner).is_ok_and(|leaf| match leaf {
            Leaf::Text(text) => is_such(text),
            Leaf::Other => false,
        });
        if found {
            return true;
        }
    }
    false
}

/// A value's own bytes; a container's are its head.
enum Leaf<'b> {
    Text(&'b str),
    Other,
}

/// Takes the next.
fn leaf<'b>(scanner: &mut PackScanner<'b>) -> Result<Leaf<'b>, Malformed> {
    match scanner.head()? {
        Head::Str(len) => return scanner.text(len).map(Leaf::Text),
        Head::Bin(len) => scanner.content(len as usize)?,
        Head::Ext(len) => scanner.content(1 + len as usize)?,
        Head::Nil
        | Head::Bool(_)
        | Head::Unsigned(_)
        | Head::Signed(_)
        | Head::Float(_)
        | Head::Array(_)
        | Head::Map(_) => &[],
    };
    Ok(Leaf::Other)
}

fn stripped_pack(pack: Pack<'_>) -> PackBox {
    let bytes = pack.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut scanner = PackScanner::new(bytes);
    while scanner.finish().is_err() {
        let start = scanner.at();
        match leaf(&mut scanner).expect("a pack is one complete valid value") {
            Leaf::Text(text) if text.chars().any(is_control) => {
                pack::push_string(&mut out, &text.replace(is_control, ""));
            }
            // Everything else as it was written, in its shortest form or not.
            Leaf::Text(_) | Leaf::Other => out.extend_from_slice(&bytes[start..scanner.at()]),
        }
    }
    PackBox::written(out)
}
