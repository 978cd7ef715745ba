//! Deltas: applied to the base, each gives exactly the target, and is shorter. The other direction
//! is a slow one of this package's own, written from the format's description.

use shardcast_protocol::delta::{BYTES_MAX, DeltaUnit, delta as make};

/// The input is a unit, the length of the base in two bytes, the base, and the target.
///
/// # Panics
/// A promise is broken.
pub fn delta(input: &[u8]) {
    let [unit, high, low, rest @ ..] = input else {
        return;
    };
    let bytes = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (base, target) = rest.split_at(bytes);
    // What was never made may be anything.
    let _ = apply_delta(base, target);
    if unit % 2 == 0 {
        assert_exact(base, target, DeltaUnit::Bytes);
        assert_exact(target, base, DeltaUnit::Bytes);
        return;
    }
    let (base, target) = (
        String::from_utf8_lossy(base),
        String::from_utf8_lossy(target),
    );
    assert_exact(base.as_bytes(), target.as_bytes(), DeltaUnit::Characters);
    assert_exact(target.as_bytes(), base.as_bytes(), DeltaUnit::Characters);
}

fn assert_exact(base: &[u8], target: &[u8], unit: DeltaUnit) {
    let Some(delta) = make(base, target, unit) else {
        let is_worth_it = base == target && (32..BYTES_MAX).contains(&base.len());
        assert!(!is_worth_it, "a delta of nothing is short");
        return;
    };
    assert!(delta.len() < target.len());
    assert_eq!(apply_delta(base, &delta).as_deref(), Some(target));
    if unit == DeltaUnit::Characters {
        assert!(str::from_utf8(&delta).is_ok(), "{}", delta.escape_ascii());
    }
}

/// What a delta makes of a base. `None`: it is not a delta of this base.
pub fn apply_delta(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut reader = delta;
    let bytes = number(&mut reader, b"\n")?.0 as usize;
    let mut made = Vec::new();
    loop {
        let (number_read, mark) = number(&mut reader, b"@:;")?;
        let count = number_read as usize;
        match mark {
            b'@' => {
                let from = number(&mut reader, b",")?.0 as usize;
                made.extend_from_slice(base.get(from..from.checked_add(count)?)?);
            }
            b':' => {
                made.extend_from_slice(reader.get(..count)?);
                reader = &reader[count..];
            }
            _ => {
                let is_it = made.len() == bytes && checksum(&made) == number_read;
                return (is_it && reader.is_empty()).then_some(made);
            }
        }
        if made.len() > bytes {
            return None;
        }
    }
}

/// A number and the mark behind it, which is one of these.
fn number(reader: &mut &[u8], marks: &[u8]) -> Option<(u32, u8)> {
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
    let mut number = 0u32;
    let mut is_empty = true;
    loop {
        let (first, rest) = reader.split_first()?;
        *reader = rest;
        match digits.iter().position(|digit| digit == first) {
            Some(digit) => number = number.checked_mul(64)?.checked_add(digit as u32)?,
            None if marks.contains(first) && !is_empty => return Some((number, *first)),
            None => return None,
        }
        is_empty = false;
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let shifted = bytes.iter().zip([24, 16, 8, 0].into_iter().cycle());
    shifted.fold(0, |sum, (byte, shift)| {
        sum.wrapping_add(u32::from(*byte) << shift)
    })
}
