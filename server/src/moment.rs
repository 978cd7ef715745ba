//! Moments in RFC 3339, as operators and brokers write them.

use std::time::Duration;
use toml::value::{Datetime, Offset, Time};

/// How long after the beginning of 1970 in UTC a moment is; a date is its first moment, and what
/// was before 1970 is its beginning. `None`: it says no date.
pub(crate) fn since_1970(moment: &Datetime) -> Option<Duration> {
    let Datetime { date, time, offset } = *moment;
    let date = date?;
    let days = days_since_1970(date.year.into(), date.month.into(), date.day.into());
    let minutes = match offset {
        Some(Offset::Custom { minutes }) => i64::from(minutes),
        Some(Offset::Z) | None => 0,
    };
    let of_day = |time: Time| {
        let minutes = i64::from(time.hour) * 60 + i64::from(time.minute);
        minutes * 60 + i64::from(time.second.unwrap_or(0))
    };
    let seconds = days * 86_400 + time.map_or(0, of_day) - minutes * 60;
    let nanos = time.and_then(|time| time.nanosecond).unwrap_or(0);
    let seconds = u64::try_from(seconds);
    Some(seconds.map_or(Duration::ZERO, |seconds| Duration::new(seconds, nanos)))
}

/// In the Gregorian calendar: years begin in March here, so that the odd day stands last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        month => (year, month - 3),
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + leap_days + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_from_1970_on() {
        for (text, want) in [
            ("1970-01-01", Some(Duration::ZERO)),
            ("1969-12-31T23:59:59.5Z", Some(Duration::ZERO)),
            ("2000-03-01", Some(Duration::from_secs(951_868_800))),
            (
                "2027-01-31T12:00:00.000000123Z",
                Some(Duration::new(1_801_396_800, 123)),
            ),
            (
                "2027-01-31T12:00:00.25+02:00",
                Some(Duration::new(1_801_389_600, 250_000_000)),
            ),
            ("12:00:00", None),
        ] {
            let moment = text.parse().expect("a moment");
            assert_eq!(since_1970(&moment), want, "{text}");
        }
    }
}
