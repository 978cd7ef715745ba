//! Numbers to JSON text.

use std::io::Write as _;

/// Appends decimal digits, without the formatting machinery.
pub(crate) fn push_u64(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends decimal digits, with a sign below zero.
pub(crate) fn push_i64(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_u64(out, number.unsigned_abs());
}

/// Appends the shortest digits that read as the same float, with a point or an exponent so that it
/// stays one. NaN and the infinities, which JSON does not have, become `null`. At most 24
/// bytes.
pub(crate) fn push_f64(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        // `Debug` has an exponent where it is shorter; `Display` writes up to 300 zeros.
        write!(out, "{number:?}").expect("writing to memory does not fail");
    } else {
        out.extend_from_slice(b"null");
    }
}

/// `u64::MAX` has 20 digits.
const DIGITS_MAX: usize = 20;
/// `-2.2250738585072014e-308`.
#[cfg(test)]
const FLOAT_BYTES_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::{FLOAT_BYTES_MAX, push_f64, push_i64, push_u64};
    use fastrand::Rng;

    fn written<T>(push: fn(&mut Vec<u8>, T), number: T) -> String {
        let mut out = Vec::new();
        push(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers() {
        for number in [0, 1, 9, 10, 12_345, u64::MAX] {
            assert_eq!(written(push_u64, number), number.to_string());
        }
        for number in [0, 1, -1, i64::MIN, i64::MAX] {
            assert_eq!(written(push_i64, number), number.to_string());
        }
    }

    #[test]
    fn floats() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e16"),
            (1e-7, "1e-7"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(written(push_f64, number), text);
        }
        let mut rng = Rng::with_seed(1);
        for _ in 0..100_000 {
            let number = f64::from_bits(rng.u64(..));
            let text = written(push_f64, number);
            assert!(text.len() <= FLOAT_BYTES_MAX, "{text}");
            if number.is_finite() {
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
                assert!(serde_json::from_str::<f64>(&text).unwrap().to_bits() == number.to_bits());
            }
        }
    }
}
