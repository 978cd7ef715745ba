//! Figures as people read them: thousands set apart, three digits that count, the unit that fits.
//! Used by the charts and tables of the page.

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds in; shown as µs, ms or s.
    Microseconds,
    /// CPU per message: µs, and never another unit.
    CpuMicroseconds,
    /// Of something small: shown as bytes.
    Bytes,
    /// KiB in; shown as MiB.
    Kib,
    /// Things in a second.
    PerSecond,
    /// Cores' worth of CPU.
    Cores,
    /// Things.
    Count,
}

impl Unit {
    /// With its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Microseconds => duration(value),
            Unit::CpuMicroseconds => format!("{} µs", significant(value)),
            Unit::Bytes => format!("{} B", grouped(value, 0)),
            Unit::Kib => format!("{} MiB", significant(value / 1024.0)),
            Unit::PerSecond => format!("{} /s", grouped(value, 0)),
            Unit::Cores => significant(value),
            Unit::Count => grouped(value, 0),
        }
    }

    /// At an axis: as short as it can be.
    pub(crate) fn tick(self, value: f64) -> String {
        match self {
            Unit::Microseconds | Unit::CpuMicroseconds if value == 0.0 => "0".to_owned(),
            Unit::Microseconds if value < 1e3 => format!("{} µs", plain(value)),
            Unit::Microseconds if value < 1e6 => format!("{} ms", plain(value / 1e3)),
            Unit::Microseconds => format!("{} s", plain(value / 1e6)),
            Unit::Kib => plain(value / 1024.0),
            Unit::PerSecond | Unit::Count if value >= 1e6 => format!("{} M", plain(value / 1e6)),
            Unit::PerSecond | Unit::Count if value >= 1e4 => format!("{} k", plain(value / 1e3)),
            _ => plain(value),
        }
    }

    /// How `page.js` knows it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Unit::Microseconds => "us",
            Unit::CpuMicroseconds => "cpu_us",
            Unit::Bytes => "bytes",
            Unit::Kib => "kib",
            Unit::PerSecond => "per_s",
            Unit::Cores => "cores",
            Unit::Count => "count",
        }
    }
}

/// µs as µs, ms or s.
fn duration(us: f64) -> String {
    let magnitude = us.abs();
    if magnitude < 999.5 {
        format!("{} µs", significant(us))
    } else if magnitude < 999_500.0 {
        format!("{} ms", significant(us / 1e3))
    } else {
        format!("{} s", significant(us / 1e6))
    }
}

/// Three digits, and all of those before the point.
pub(crate) fn significant(value: f64) -> String {
    let digits = match value.abs() {
        magnitude if magnitude >= 99.95 => 0,
        magnitude if magnitude >= 9.995 => 1,
        0.0 => 0,
        _ => 2,
    };
    grouped(value, digits)
}

/// With thousands set apart.
pub(crate) fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    if value < 0.0 && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        out.push('−');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

/// Without zeros that say nothing.
fn plain(value: f64) -> String {
    let text = grouped(value, 3);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_count() {
        let cases = [
            (Unit::Microseconds, 0.0, "0 µs"),
            (Unit::Microseconds, 4.123, "4.12 µs"),
            (Unit::Microseconds, 360.255, "360 µs"),
            (Unit::Microseconds, 999.6, "1.00 ms"),
            (Unit::Microseconds, 4153.0, "4.15 ms"),
            (Unit::Microseconds, 65_863.7, "65.9 ms"),
            (Unit::Microseconds, 1_080_000.0, "1.08 s"),
            (Unit::CpuMicroseconds, 0.333, "0.33 µs"),
            (Unit::Bytes, 6553.2, "6,553 B"),
            (Unit::Kib, 3948.0, "3.86 MiB"),
            (Unit::Kib, -2048.0, "−2.00 MiB"),
            (Unit::PerSecond, 278_693.75, "278,694 /s"),
            (Unit::Cores, 0.9871, "0.99"),
            (Unit::Count, 1_402_509.0, "1,402,509"),
            (Unit::Count, -0.2, "0"),
        ];
        for (unit, value, expected) in cases {
            assert_eq!(unit.show(value), expected, "{value}");
        }
    }

    #[test]
    fn ticks_are_short() {
        let cases = [
            (Unit::Microseconds, 0.0, "0"),
            (Unit::Microseconds, 500.0, "500 µs"),
            (Unit::Microseconds, 2500.0, "2.5 ms"),
            (Unit::Microseconds, 100_000.0, "100 ms"),
            (Unit::Microseconds, 2e6, "2 s"),
            (Unit::Kib, 1536.0, "1.5"),
            (Unit::PerSecond, 250_000.0, "250 k"),
            (Unit::PerSecond, 5000.0, "5,000"),
            (Unit::Count, 1_500_000.0, "1.5 M"),
            (Unit::Cores, 0.25, "0.25"),
        ];
        for (unit, value, expected) in cases {
            assert_eq!(unit.tick(value), expected, "{value}");
        }
    }
}
