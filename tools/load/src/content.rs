//! What a body says behind its stamp: a pattern, or JSON as feeds send it, so that it compresses as
//! real traffic does. Invariant: the same variant of the same length is always the same, in every
//! run and worker. Called by `message` and `plan`.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What the bodies of a run say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Content {
    /// The alphabet, again and again.
    Pattern,
    /// A JSON object with varying names and numbers.
    Json,
}

/// Different bodies of a run; which one a message has follows from its stamp.
pub(crate) const VARIANTS: usize = 64;
/// What stands before a JSON body's stamp.
pub(crate) const JSON_BEGIN: &[u8] = b"{\"stamp\":\"";
/// Smallest rest of a JSON body behind its stamp: the fixed members, and an empty note.
pub(crate) const JSON_REST_BYTES_MIN: usize = 128;
/// Bytes of an item at most.
const ITEM_BYTES_MAX: usize = 160;

const NAMES: [&str; 8] = [
    "ACME", "BOLT", "CORA", "DUNE", "ELMO", "FJORD", "GALA", "HELIX",
];
const WORDS: [&str; 12] = [
    "delayed", "market", "open", "partial", "settled", "since", "the", "last", "trade", "under",
    "review", "again",
];

/// The alphabet, `bytes` long.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| b'a' + (i % 26) as u8).collect()
}

/// The rest of a JSON object of which `JSON_BEGIN` and the stamp's digits stand before it: `bytes`
/// long, at least `JSON_REST_BYTES_MIN`.
pub(crate) fn json(variant: usize, bytes: usize) -> Vec<u8> {
    let mut draw = Draw(variant as u64);
    let mut text = format!(
        "\",\"type\":\"quotes\",\"market\":\"{}\",\"sent_ms\":{},\"items\":[",
        ["eu-west", "eu-north", "us-east"][draw.below(3) as usize],
        1_790_000_000_000 + draw.below(1_000_000_000),
    );
    let mut comma = "";
    while text.len() + ITEM_BYTES_MAX + JSON_REST_BYTES_MIN / 2 < bytes {
        text.push_str(comma);
        item(&mut text, &mut draw);
        comma = ",";
    }
    text.push_str("],\"note\":\"");
    let end = "\"}";
    while text.len() + end.len() < bytes {
        text.push_str(WORDS[draw.below(WORDS.len() as u64) as usize]);
        text.push(' ');
    }
    text.truncate(bytes - end.len());
    text.push_str(end);
    text.into_bytes()
}

fn item(text: &mut String, draw: &mut Draw) {
    let (name, price) = (NAMES[draw.below(8) as usize], 1_000 + draw.below(90_000));
    let (spread, volume) = (1 + draw.below(30), draw.below(1_000_000));
    let (id, change) = (100_000 + draw.below(900_000), draw.below(900));
    let sign = ["", "-"][draw.below(2) as usize];
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "{{\"id\":{id},\"symbol\":\"{name}\",\"bid\":{},\"ask\":{},\"change\":{sign}{},\"volume\":{volume},\"open\":{}}}",
        Cents(price),
        Cents(price + spread),
        Cents(change),
        draw.below(8) != 0,
    );
}

/// With two digits behind the point.
struct Cents(u64);

impl std::fmt::Display for Cents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::Compressor;

    #[test]
    fn every_variant_is_json_of_its_length_and_unlike_the_others() {
        let mut seen = std::collections::BTreeSet::new();
        for bytes in [JSON_REST_BYTES_MIN, 300, 1_024, 16_384] {
            for variant in 0..VARIANTS {
                let rest = json(variant, bytes);
                assert_eq!(rest.len(), bytes);
                let whole = [JSON_BEGIN, &rest].concat();
                let read: serde_json::Value = serde_json::from_slice(&whole).unwrap();
                assert_eq!(read["stamp"], "");
                let items = read["items"].as_array().unwrap().len();
                assert_eq!(items > 1, bytes > 600, "{bytes}: {items}");
                assert!(seen.insert(rest));
            }
        }
    }

    #[test]
    fn it_compresses_as_feeds_do() {
        let (mut plain, mut wire) = (0, 0);
        let mut compressor = Compressor::new();
        for variant in 0..VARIANTS {
            let body = [JSON_BEGIN, &[b'0'; 64], &json(variant, 950)].concat();
            let payload = compressor.compress(&body);
            (plain, wire) = (plain + body.len(), wire + payload.len());
        }
        let ratio = plain as f64 / wire as f64;
        assert!((1.7..4.0).contains(&ratio), "{ratio}");
    }
}
