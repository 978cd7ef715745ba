//! Appending values piece by piece, in either encoding by one data model (see
//! [`super::Value::write_json`]). For writers of typed data; a message's own keys are written by
//! `map`.

use super::transcode;
use super::value::Encoding;
use crate::json;
use crate::pack;

impl Encoding {
    /// Appends nothing.
    pub fn push_null(self, out: &mut Vec<u8>) {
        match self {
            Encoding::Json => out.extend_from_slice(b"null"),
            Encoding::Pack => pack::push_nil(out),
        }
    }

    /// Appends true or false.
    pub fn push_bool(self, out: &mut Vec<u8>, flag: bool) {
        match self {
            Encoding::Json => out.extend_from_slice(if flag { b"true" } else { b"false" }),
            Encoding::Pack => pack::push_bool(out, flag),
        }
    }

    /// Appends a whole number.
    pub fn push_u64(self, out: &mut Vec<u8>, number: u64) {
        match self {
            Encoding::Json => json::push_u64(out, number),
            Encoding::Pack => pack::push_u64(out, number),
        }
    }

    /// Appends a whole number of any sign.
    pub fn push_i64(self, out: &mut Vec<u8>, number: i64) {
        match self {
            Encoding::Json => json::push_i64(out, number),
            Encoding::Pack => pack::push_i64(out, number),
        }
    }

    /// Appends a float: as an integer where its value is one, as null where it is not finite.
    pub fn push_f64(self, out: &mut Vec<u8>, number: f64) {
        match (self, transcode::integer(number)) {
            (_, Some(integer)) => self.push_i64(out, integer),
            (_, None) if !number.is_finite() => self.push_null(out),
            (Encoding::Json, None) => json::push_f64(out, number),
            (Encoding::Pack, None) => pack::push_f64(out, number),
        }
    }

    /// Appends text.
    pub fn push_string(self, out: &mut Vec<u8>, text: &str) {
        match self {
            Encoding::Json => json::push_string(out, text),
            Encoding::Pack => pack::push_string(out, text),
        }
    }

    /// Appends a key of a map; in JSON with what stands around it. `count` is how many came before.
    pub fn push_key(self, out: &mut Vec<u8>, key: &str, count: usize) {
        match self {
            Encoding::Json => {
                let lead = if count > 0 { ",\"" } else { "\"" };
                out.extend_from_slice(lead.as_bytes());
                json::push_text(out, key);
                out.extend_from_slice(b"\":");
            }
            Encoding::Pack => pack::push_string(out, key),
        }
    }

    /// Appends bytes, in JSON as a string in base64.
    pub fn push_bytes(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Encoding::Json => transcode::push_base64(out, bytes),
            Encoding::Pack => pack::push_bytes(out, bytes),
        }
    }

    /// Opens an array of so many elements; JSON does not say how many.
    pub fn open_array(self, out: &mut Vec<u8>, len: usize) {
        match self {
            Encoding::Json => out.push(b'['),
            Encoding::Pack => pack::push_array_len(out, len),
        }
    }

    /// Opens a map of so many pairs; JSON does not say how many.
    pub fn open_map(self, out: &mut Vec<u8>, len: usize) {
        match self {
            Encoding::Json => out.push(b'{'),
            Encoding::Pack => pack::push_map_len(out, len),
        }
    }
}
