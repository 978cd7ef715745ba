//! Numbers as they stand in tables: thousands set apart, a middle with its ends. Called by `goal`
//! and the tables.

use crate::statistics::Spread;

/// The middle value, and the ends in brackets.
pub fn range(spread: Spread, digits: usize) -> String {
    format!(
        "{} ({} – {})",
        number(spread.median, digits),
        number(spread.min, digits),
        number(spread.max, digits)
    )
}

/// With a fixed number of digits and thousands set apart.
pub fn number(value: f64, digits: usize) -> String {
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain
        .split_once('.')
        .map_or((plain.as_str(), None), |(whole, fraction)| {
            (whole, Some(fraction))
        });
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let rest = whole.len() - index;
        if index > 0 && rest.is_multiple_of(3) && digit.is_ascii_digit() && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A time in µs, as short as tells it apart.
pub fn microseconds(us: f64) -> String {
    number(us, if us < 100.0 { 1 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_set_in_thousands() {
        let cases = [
            (0.0, 2, "0.00"),
            (999.4, 0, "999"),
            (999.5, 0, "1,000"),
            (6553.25, 1, "6,553.2"),
            (1_234_567.0, 0, "1,234,567"),
            (-100.0, 0, "-100"),
        ];
        for (value, digits, expected) in cases {
            assert_eq!(number(value, digits), expected);
        }
        assert_eq!(
            [99.94, 100.0, 12_345.6].map(microseconds),
            ["99.9", "100", "12,346"]
        );
    }
}
