//! When a certificate ends: the one field of X.509 that operators forget. Reads DER by its lengths
//! alone (X.690 §8.1) and gives `None` for whatever it does not understand; whether a certificate
//! is valid is not decided here.

use std::fmt;

/// A moment in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since 1970.
    pub(super) seconds: i64,
    year: i64,
    month: i64,
    day: i64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// The `notAfter` of a certificate in DER (RFC 5280 §4.1.2.5).
pub(super) fn of(certificate: &[u8]) -> Option<Moment> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // version (optional), serialNumber, signature, issuer, validity.
    let (tag, _, rest) = element(fields)?;
    if tag == VERSION {
        fields = rest;
    }
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, text, _) = element(not_after)?;
    moment(tag, text)
}

/// The first element's tag and content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let length = length
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` until 2049, `YYYYMMDDhhmmssZ` from 2050 on.
fn moment(tag: u8, text: &[u8]) -> Option<Moment> {
    let text = text.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year = number(text.get(..2)?)?;
            (year + if year < 50 { 2000 } else { 1900 }, &text[2..])
        }
        GENERALIZED_TIME => (number(text.get(..4)?)?, &text[4..]),
        _ => return None,
    };
    let mut parts = [0; 5];
    for (part, digits) in parts.iter_mut().zip(rest.chunks(2)) {
        *part = number(digits)?;
    }
    let [month, day, hour, minute, second] = parts;
    if rest.len() != 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(Moment {
        seconds,
        year,
        month,
        day,
    })
}

fn number(digits: &[u8]) -> Option<i64> {
    let all = digits.iter().all(u8::is_ascii_digit);
    all.then(|| {
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    })
}

/// Days from 1970-01-01 in the Gregorian calendar: years begin in March here, so that the leap day
/// is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (153 * month + 2) / 5 + day - 719_469
}

/// `[0] EXPLICIT Version`.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (tag, text, want) in [
            (UTC_TIME, "700101000000Z", Some((0, "1970-01-01"))),
            (UTC_TIME, "000229235959Z", Some((951_868_799, "2000-02-29"))),
            (
                UTC_TIME,
                "491231235959Z",
                Some((2_524_607_999, "2049-12-31")),
            ),
            (
                GENERALIZED_TIME,
                "20500301000000Z",
                Some((2_529_705_600, "2050-03-01")),
            ),
            (
                GENERALIZED_TIME,
                "99991231235959Z",
                Some((253_402_300_799, "9999-12-31")),
            ),
            (UTC_TIME, "7001010000Z", None),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "70010100000xZ", None),
            (UTC_TIME, "", None),
            (4, "700101000000Z", None),
        ] {
            let got = moment(tag, text.as_bytes());
            let got = got.map(|moment| (moment.seconds, moment.to_string()));
            let want = want.map(|(seconds, date)| (seconds, date.to_owned()));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn a_certificate_cut_anywhere_has_no_end_or_its_own() {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2024, 2, 29);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let der: &[u8] = certificate.der();
        assert_eq!(of(der).unwrap().to_string(), "2024-02-29");
        assert_eq!(of(der).unwrap().seconds, 1_709_164_800);
        for end in 0..der.len() {
            assert_eq!(of(&der[..end]), None, "{end}");
        }
    }
}
