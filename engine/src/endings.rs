//! How connections end and requests are refused, counted by code and by status. Written by the
//! shard, read by anybody.
//!
//! Invariant: each code and status has one place of a fixed row, so what peers say makes no place.

use crate::counter::Counter;
use crate::reading::{Measured, Reading};
use shardcast_protocol::close::CloseCode;

/// Close codes that have a place of their own, and the ranges of all others.
const CODES: [&str; 16] = [
    "1000",
    "1001",
    "1002",
    "1003",
    "1007",
    "1008",
    "1009",
    "1011",
    "1012",
    "1013",
    "3000-3999",
    "4000-4099",
    "4100-4199",
    "4200-4999",
    "none",
    "other",
];
/// Statuses that have a place of their own.
const STATUSES: [&str; 14] = [
    "400", "401", "403", "404", "405", "408", "413", "414", "426", "429", "431", "500", "503",
    "other",
];

/// One shard's ends.
#[derive(Debug, Default)]
pub struct EndingCounters {
    closes: [Counter; CODES.len()],
    peer_closes: [Counter; CODES.len()],
    refusals: [Counter; STATUSES.len()],
}

impl EndingCounters {
    /// A close frame of ours.
    pub(crate) fn closed(&self, code: CloseCode) {
        self.closes[place_of_code(Some(code))].add(1);
    }

    /// A close frame of a peer whose connection was open.
    pub(crate) fn peer_closed(&self, code: Option<CloseCode>) {
        self.peer_closes[place_of_code(code)].add(1);
    }

    /// An HTTP request was answered with this status.
    pub(crate) fn answered(&self, status: u16) {
        if status < 400 {
            return;
        }
        let known = STATUSES
            .iter()
            .position(|known| known.parse() == Ok(status));
        self.refusals[known.unwrap_or(STATUSES.len() - 1)].add(1);
    }

    /// Every counter.
    pub fn each<'a>(&'a self, mut visit: impl FnMut(Reading<'a>)) {
        let mut family =
            |name, help, (key, values): (&'static str, &[&'static str]), all: &[Counter]| {
                for (value, counter) in values.iter().zip(all) {
                    visit(Reading {
                        name,
                        label: Some((key, *value)),
                        help,
                        value: Measured::Count(counter.get()),
                    });
                }
            };
        family("closes", CLOSES, ("code", &CODES), &self.closes);
        family(
            "peer_closes",
            PEER_CLOSES,
            ("code", &CODES),
            &self.peer_closes,
        );
        family(
            "http_refusals",
            REFUSALS,
            ("status", &STATUSES),
            &self.refusals,
        );
    }
}

const CLOSES: &str = "Close frames that the server began with, by code.";
const PEER_CLOSES: &str = "Close frames of clients whose connections were open, by code.";
const REFUSALS: &str = "HTTP requests answered 4xx or 5xx, by status.";

fn place_of_code(code: Option<CloseCode>) -> usize {
    let name = match code.map(CloseCode::get) {
        None => "none",
        Some(3000..=3999) => "3000-3999",
        Some(4000..=4099) => "4000-4099",
        Some(4100..=4199) => "4100-4199",
        Some(4200..=4999) => "4200-4999",
        Some(code) => {
            let known = CODES.iter().position(|known| known.parse() == Ok(code));
            return known.unwrap_or(CODES.len() - 1);
        }
    };
    CODES
        .iter()
        .position(|known| *known == name)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_and_status_has_one_place() {
        let counters = EndingCounters::default();
        let codes = [1000, 1001, 1008, 1010, 1014, 3000, 4004, 4099, 4100, 4999];
        for code in codes {
            counters.closed(CloseCode::new(code).expect("it may be sent"));
        }
        counters.peer_closed(None);
        for status in [101, 200, 304, 400, 404, 404, 418, 503] {
            counters.answered(status);
        }
        let mut found = Vec::new();
        counters.each(|reading| {
            if let (Measured::Count(1..), Some((_, value))) = (reading.value, reading.label) {
                let Measured::Count(count) = reading.value else {
                    return;
                };
                found.push((reading.name, value, count));
            }
        });
        let expected = [
            ("closes", "1000", 1),
            ("closes", "1001", 1),
            ("closes", "1008", 1),
            ("closes", "3000-3999", 1),
            ("closes", "4000-4099", 2),
            ("closes", "4100-4199", 1),
            ("closes", "4200-4999", 1),
            ("closes", "other", 2),
            ("peer_closes", "none", 1),
            ("http_refusals", "400", 1),
            ("http_refusals", "404", 2),
            ("http_refusals", "503", 1),
            ("http_refusals", "other", 1),
        ];
        assert_eq!(found, expected);
    }
}
