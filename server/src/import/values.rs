//! Values as Centrifugo writes them, as our configuration has them.

use serde_json::Value;

/// A duration: `1h30m`, `300ms`. `None`: it is none, or not of whole milliseconds.
pub(super) fn duration(value: &Value) -> Option<String> {
    let mut rest = value.as_str()?;
    let mut all_ms = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len()
            - rest
                .trim_start_matches(|char: char| char.is_ascii_digit())
                .len();
        let (number, behind) = rest.split_at(digits);
        let letters = behind
            .find(|char: char| char.is_ascii_digit())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        all_ms = all_ms.checked_add(number.checked_mul(unit_ms)?)?;
        rest = behind;
    }
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let whole = units
        .iter()
        .find(|(unit_ms, _)| all_ms > 0 && all_ms.is_multiple_of(*unit_ms));
    Some(match whole {
        Some((unit_ms, unit)) => format!("{}{unit}", all_ms / unit_ms),
        None => format!("{all_ms}ms"),
    })
}

/// A whole number that is not 0, which stands for none.
pub(super) fn count(value: &Value) -> Option<u64> {
    value.as_u64().filter(|count| *count > 0)
}
