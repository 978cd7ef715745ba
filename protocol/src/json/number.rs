//! Numbers to JSON text and back.
//!
//! Invariant: both directions have a short way for the numbers that nearly every message has, few
//! digits without an exponent, and it gives exactly what the standard library's gives. Called by
//! what writes JSON, and by the readers of typed data.

use std::io::Write as _;

/// What a number of JSON stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// A whole number, written as one.
    Unsigned(u64),
    /// The same below zero.
    Signed(i64),
    /// Written with a point or an exponent; or `-0`, which is no integer's value.
    Float(f64),
    /// Written as a whole number, which is beyond 64 bits.
    Wide,
}

impl Number {
    /// `text` is one valid number of JSON.
    #[inline]
    pub(crate) fn of(text: &str) -> Number {
        Number::short(text.as_bytes()).unwrap_or_else(|| Number::long(text))
    }

    /// A number without an exponent whose digits fit a word.
    #[inline]
    fn short(text: &[u8]) -> Option<Number> {
        let (is_negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        if digits.len() > SHORT_BYTES_MAX {
            return None;
        }
        let (mut value, mut point) = (0_i64, None);
        for (at, byte) in digits.iter().enumerate() {
            match byte {
                b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
                b'.' => point = Some(at),
                _ => return None,
            }
        }
        let Some(point) = point else {
            return match (is_negative, value) {
                (false, value) => Some(Number::Unsigned(value as u64)),
                (true, 0) => None,
                (true, value) => Some(Number::Signed(-value)),
            };
        };
        if value > EXACT_MAX {
            return None;
        }
        // Both are exact, so their quotient is the nearest float, as the standard library's is.
        let number = value as f64 / POWERS_OF_TEN[digits.len() - 1 - point];
        Some(Number::Float(if is_negative { -number } else { number }))
    }

    #[inline(never)]
    fn long(text: &str) -> Number {
        if let Ok(number) = text.parse() {
            return Number::Unsigned(number);
        }
        match text.parse() {
            Ok(number) if number != 0 => Number::Signed(number),
            Err(_) if !text.contains(['.', 'e', 'E']) => Number::Wide,
            // `-0`, too.
            _ => Number::Float(text.parse().expect("JSON's numbers are Rust's")),
        }
    }
}

/// 18 digits fit an `i64`, and a point is one byte less of them.
const SHORT_BYTES_MAX: usize = 18;
/// The first whole number that has no float of its own is the next one.
const EXACT_MAX: i64 = 1 << f64::MANTISSA_DIGITS;
/// All of them are exact: 5^22 has 52 bits.
const POWERS_OF_TEN: [f64; SHORT_BYTES_MAX] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17,
];

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
    if let Some((digits, places)) = short_decimal(number) {
        push_decimal(out, number.is_sign_negative(), digits, places);
    } else if number.is_finite() {
        // `Debug` has an exponent where it is shorter; `Display` writes up to 300 zeros.
        write!(out, "{number:?}").expect("writing to memory does not fail");
    } else {
        out.extend_from_slice(b"null");
    }
}

/// The decimal of few digits and few places that reads as this float, with the least places: its
/// digits without a point, and how many of them stand behind it. `None`: look the long way.
///
/// It has at most 15 digits, and no two decimals of so few read as the same float. So none is
/// shorter, and it is the one that the standard library finds.
#[inline]
fn short_decimal(number: f64) -> Option<(u64, usize)> {
    const DIGITS_END: f64 = 1e15;
    /// Below it, the standard library writes an exponent.
    const LEAST: f64 = 1e-4;
    let magnitude = number.abs();
    if !(LEAST..DIGITS_END).contains(&magnitude) {
        return None;
    }
    for (places, power) in (1..).zip(&POWERS_OF_TEN[1..=SHORT_PLACES_MAX]) {
        let scaled = magnitude * power;
        if scaled >= DIGITS_END {
            return None;
        }
        let digits = (scaled + 0.5) as i64;
        if digits as f64 / power == magnitude {
            return Some((digits as u64, places));
        }
    }
    None
}

/// Cents, thousandths, and what prices of currencies have; for more places the standard library is
/// as quick.
const SHORT_PLACES_MAX: usize = 6;

fn push_decimal(out: &mut Vec<u8>, is_negative: bool, digits: u64, places: usize) {
    let scale = POWERS_OF_TEN[places] as u64;
    let (whole, fraction) = (digits / scale, digits % scale);
    if is_negative {
        out.push(b'-');
    }
    push_u64(out, whole);
    let mut text = [b'0'; 1 + SHORT_PLACES_MAX];
    text[0] = b'.';
    let mut left = fraction;
    for digit in text[1..=places].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&text[..=places]);
}

/// `u64::MAX` has 20 digits.
const DIGITS_MAX: usize = 20;
/// `-2.2250738585072014e-308`.
#[cfg(test)]
const FLOAT_BYTES_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::{FLOAT_BYTES_MAX, Number, push_f64, push_i64, push_u64};
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

    /// What the standard library makes of it, by the type that the text is of.
    fn of_std(text: &str) -> Number {
        let is_integer = !text.contains(['.', 'e', 'E']) && text != "-0";
        match (is_integer, text.parse(), text.parse()) {
            (true, Ok(number), _) => Number::Unsigned(number),
            (true, Err(_), Ok(number)) => Number::Signed(number),
            (true, Err(_), Err(_)) => Number::Wide,
            (false, ..) => Number::Float(text.parse().unwrap()),
        }
    }

    fn check_read(text: &str) {
        let (number, expected) = (Number::of(text), of_std(text));
        assert_eq!(number, expected, "{text}");
        if let (Number::Float(number), Number::Float(expected)) = (number, expected) {
            assert_eq!(number.to_bits(), expected.to_bits(), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_as_the_standard_library_reads_them() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "0.000",
            "-1",
            "101.25",
            "999999999999999999",
            "-999999999999999999",
            "1000000000000000000",
            "-9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "9007199254740992.0",
            "9007199254740993.0",
            "900719925474099.35",
            "0.00000000000000001",
            "0.1e1",
            "1E2",
            "1e-7",
            "123456789012345678901234567890.5",
        ] {
            check_read(text);
        }
        let mut rng = Rng::with_seed(2);
        for _ in 0..100_000 {
            let digits = rng.u64(..) >> rng.u32(..64);
            let sign = if rng.bool() { "-" } else { "" };
            check_read(&format!("{sign}{digits}"));
            let places = rng.usize(1..20);
            let fraction = rng.u64(..) % 10_u64.pow(places.min(19) as u32);
            let whole = digits >> rng.u32(..64);
            check_read(&format!("{sign}{whole}.{fraction:0places$}"));
        }
    }

    #[test]
    fn decimals_are_written_as_the_standard_library_writes_them() {
        let mut rng = Rng::with_seed(3);
        for _ in 0..200_000 {
            let digits = rng.u64(..1 << 52) >> rng.u32(..52);
            let places = rng.i32(0..9);
            let number = digits as f64 / 10_f64.powi(places);
            // Its neighbours, too, which have many digits.
            for bits in number.to_bits().saturating_sub(1)..=number.to_bits() + 1 {
                for number in [f64::from_bits(bits), -f64::from_bits(bits)] {
                    if number.is_finite() {
                        assert_eq!(written(push_f64, number), format!("{number:?}"));
                    }
                }
            }
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
