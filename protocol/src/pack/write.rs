//! Appending MessagePack values, each in its shortest form. Called by the dialects' writers.

use rmp::encode;

/// What a length may be: more does not fit a message (`max_message_bytes` is 64 MiB at most).
fn len32(len: usize) -> u32 {
    u32::try_from(len).expect("a message is far smaller than 4 GiB")
}

const INFALLIBLE: &str = "writing to memory does not fail";

pub(crate) fn push_nil(out: &mut Vec<u8>) {
    encode::write_nil(out).expect(INFALLIBLE);
}

pub(crate) fn push_bool(out: &mut Vec<u8>, flag: bool) {
    encode::write_bool(out, flag).expect(INFALLIBLE);
}

pub(crate) fn push_u64(out: &mut Vec<u8>, number: u64) {
    encode::write_uint(out, number).expect(INFALLIBLE);
}

pub(crate) fn push_i64(out: &mut Vec<u8>, number: i64) {
    encode::write_sint(out, number).expect(INFALLIBLE);
}

pub(crate) fn push_f64(out: &mut Vec<u8>, number: f64) {
    encode::write_f64(out, number).expect(INFALLIBLE);
}

pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    encode::write_str_len(out, len32(text.len())).expect(INFALLIBLE);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    encode::write_bin_len(out, len32(bytes.len())).expect(INFALLIBLE);
    out.extend_from_slice(bytes);
}

pub(crate) fn push_array_len(out: &mut Vec<u8>, len: usize) {
    encode::write_array_len(out, len32(len)).expect(INFALLIBLE);
}

/// In pairs.
pub(crate) fn push_map_len(out: &mut Vec<u8>, len: usize) {
    encode::write_map_len(out, len32(len)).expect(INFALLIBLE);
}
