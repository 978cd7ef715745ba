//! MessagePack's timestamps (spec.md, extension type -1) as RFC 3339 has them. Called by
//! `transcode`.

/// The extension type.
pub(super) const KIND: i8 = -1;

/// A timestamp in UTC, with 3, 6 or 9 digits of the second. `None` if the content is none, or lies
/// outside of the years 0 to 9999.
pub(super) fn rfc3339(content: &[u8]) -> Option<String> {
    let (seconds, nanos) = read(content)?;
    if !(SECONDS_MIN..SECONDS_END).contains(&seconds) || nanos >= 1_000_000_000 {
        return None;
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match nanos {
        _ if nanos % 1_000_000 == 0 => format!("{:03}", nanos / 1_000_000),
        _ if nanos % 1000 == 0 => format!("{:06}", nanos / 1000),
        _ => format!("{nanos:09}"),
    };
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}Z"
    ))
}

/// Seconds since 1970-01-01 and nanoseconds of the second, in one of the three sizes.
fn read(content: &[u8]) -> Option<(i64, u32)> {
    Some(match content.len() {
        4 => (u32::from_be_bytes(content.try_into().ok()?).into(), 0),
        8 => {
            let both = u64::from_be_bytes(content.try_into().ok()?);
            ((both & ((1 << 34) - 1)) as i64, (both >> 34) as u32)
        }
        12 => {
            let (nanos, seconds) = content.split_first_chunk::<4>()?;
            let seconds = i64::from_be_bytes(seconds.try_into().ok()?);
            (seconds, u32::from_be_bytes(*nanos))
        }
        _ => return None,
    })
}

/// 0000-01-01T00:00:00Z.
const SECONDS_MIN: i64 = -62_167_219_200;
/// 10000-01-01T00:00:00Z.
const SECONDS_END: i64 = 253_402_300_800;

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", civil_from_days).
fn date(days: i64) -> (i64, i64, i64) {
    // Years begin in March, so that the leap day is their last; an era has 400 of them.
    let since_march_0000 = days + 719_468;
    let era = since_march_0000.div_euclid(146_097);
    let day = since_march_0000.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (year + era * 400 + i64::from(is_next_year), month, day)
}
