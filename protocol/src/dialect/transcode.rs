//! JSON to MessagePack and back, straight from scanner to bytes: no tree in between. `value` says
//! what becomes of what.
//!
//! Invariant: the input is one complete valid value, so both go [`super::DEPTH_MAX`] deep at most.

use super::timestamp;
use crate::json::{self, JsonScanner, Number, Raw, SyntaxError};
use crate::pack::{self, Head, Malformed, Pack, PackScanner, UNDEFINED};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Appends JSON as MessagePack. Two passes: a container's length stands before its elements.
pub(super) fn pack_of_json(out: &mut Vec<u8>, raw: Raw<'_>) {
    let mut lens = Vec::new();
    let counted = count(&mut JsonScanner::new(raw.as_str()), &mut lens);
    let mut scanner = JsonScanner::new(raw.as_str());
    let written = counted.and_then(|()| push_pack(out, &mut scanner, &mut lens.into_iter()));
    written.expect("a raw span is one complete valid value");
}

/// The container that begins here, if one does: whether it is an object, and its end.
fn container(scanner: &mut JsonScanner<'_>) -> Option<(bool, u8)> {
    if scanner.take(b'{') {
        Some((true, b'}'))
    } else if scanner.take(b'[') {
        Some((false, b']'))
    } else {
        None
    }
}

/// Collects how many elements each container has, in the order in which they open: 4 bytes for at
/// least 3 of the text.
fn count(scanner: &mut JsonScanner<'_>, lens: &mut Vec<u32>) -> Result<(), SyntaxError> {
    let Some((is_object, end)) = container(scanner) else {
        return scanner.value(1).map(drop);
    };
    let place = lens.len();
    lens.push(0);
    if scanner.take(end) {
        return Ok(());
    }
    loop {
        if is_object {
            scanner.key()?;
        }
        count(scanner, lens)?;
        lens[place] += 1;
        if !scanner.take(b',') {
            return scanner.expect(end);
        }
    }
}

fn push_pack(
    out: &mut Vec<u8>,
    scanner: &mut JsonScanner<'_>,
    lens: &mut impl Iterator<Item = u32>,
) -> Result<(), SyntaxError> {
    let Some((is_object, end)) = container(scanner) else {
        return push_scalar(out, scanner);
    };
    let len = lens.next().expect("every container was counted") as usize;
    if is_object {
        pack::push_map_len(out, len);
    } else {
        pack::push_array_len(out, len);
    }
    for _ in 0..len {
        if is_object {
            pack::push_string(out, &scanner.key_text()?);
        }
        push_pack(out, scanner, lens)?;
        scanner.take(b',');
    }
    scanner.expect(end)
}

fn push_scalar(out: &mut Vec<u8>, scanner: &mut JsonScanner<'_>) -> Result<(), SyntaxError> {
    match scanner.peek() {
        Some(b'"') => pack::push_string(out, &scanner.text()?),
        Some(b'-' | b'0'..=b'9') => push_number(out, scanner.number()?),
        _ => match scanner.value(1)? {
            "true" => pack::push_bool(out, true),
            "false" => pack::push_bool(out, false),
            _ => pack::push_nil(out),
        },
    }
    Ok(())
}

/// `number` is valid JSON.
fn push_number(out: &mut Vec<u8>, number: &str) {
    let float = match Number::of(number) {
        Number::Unsigned(number) => return pack::push_u64(out, number),
        Number::Signed(number) => return pack::push_i64(out, number),
        Number::Float(number) => number,
        Number::Wide => number.parse().expect("JSON's numbers are Rust's"),
    };
    match integer(float) {
        Some(number) => pack::push_i64(out, number),
        None => pack::push_f64(out, float),
    }
}

/// The integer that is a float's value. Languages differ in which numbers they write with a point,
/// or as floats, so an integer is one however it was written. Not `-0.0`, which is no integer's
/// value, and not beyond 2^53, where several integers have one float.
pub(super) fn integer(number: f64) -> Option<i64> {
    const END: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    // Without `fract`, which is a call of the C library on most machines.
    let whole = number as i64;
    let is_integer = number.abs() < END && whole as f64 == number;
    let is_minus_zero = whole == 0 && number.is_sign_negative();
    (is_integer && !is_minus_zero).then_some(whole)
}

/// Appends MessagePack as JSON.
pub(super) fn json_of_pack(out: &mut Vec<u8>, pack: Pack<'_>) {
    push_json(out, &mut PackScanner::new(pack.as_bytes()))
        .expect("a pack is one complete valid value");
}

fn push_json(out: &mut Vec<u8>, scanner: &mut PackScanner<'_>) -> Result<(), Malformed> {
    match scanner.head()? {
        Head::Str(len) => json::push_string(out, scanner.text(len)?),
        Head::Bin(len) => push_base64(out, scanner.content(len as usize)?),
        Head::Ext(len) => {
            let (kind, content) = scanner.extension(len)?;
            push_extension(out, kind, content);
        }
        Head::Array(len) => {
            out.push(b'[');
            for index in 0..len {
                if index > 0 {
                    out.push(b',');
                }
                push_json(out, scanner)?;
            }
            out.push(b']');
        }
        Head::Map(len) => {
            out.push(b'{');
            for index in 0..len {
                if index > 0 {
                    out.push(b',');
                }
                push_key(out, scanner)?;
                out.push(b':');
                push_json(out, scanner)?;
            }
            out.push(b'}');
        }
        Head::Nil => out.extend_from_slice(b"null"),
        Head::Bool(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
        Head::Unsigned(number) => json::push_u64(out, number),
        Head::Signed(number) => json::push_i64(out, number),
        Head::Float(number) => match integer(number) {
            Some(number) => json::push_i64(out, number),
            None => json::push_f64(out, number),
        },
    }
    Ok(())
}

/// A key is no container, and so its JSON is a string or has nothing that must be escaped in one.
fn push_key(out: &mut Vec<u8>, scanner: &mut PackScanner<'_>) -> Result<(), Malformed> {
    let is_string = matches!(scanner.clone().head()?, Head::Str(_) | Head::Bin(_));
    if is_string {
        return push_json(out, scanner);
    }
    out.push(b'"');
    push_json(out, scanner)?;
    out.push(b'"');
    Ok(())
}

/// An extension's point in time, as JSON has it.
pub(super) fn timestamp(kind: i8, content: &[u8]) -> Option<String> {
    (kind == timestamp::KIND)
        .then(|| timestamp::rfc3339(content))
        .flatten()
}

fn push_extension(out: &mut Vec<u8>, kind: i8, content: &[u8]) {
    if (kind, content) == UNDEFINED {
        out.extend_from_slice(b"null");
        return;
    }
    if let Some(text) = timestamp(kind, content) {
        json::push_string(out, &text);
        return;
    }
    out.extend_from_slice(br#"{"ext":"#);
    json::push_i64(out, kind.into());
    out.extend_from_slice(br#","data":"#);
    push_base64(out, content);
    out.push(b'}');
}

pub(super) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("four characters for three bytes, padded");
    out.push(b'"');
}
