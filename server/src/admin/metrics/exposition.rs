//! The metrics in the Protobuf format of Prometheus, for scrapers that ask for it: the same
//! families and samples as the text, and distributions as native histograms besides.
//!
//! Invariant: what is encoded is what the text says. Fields are numbered as `metrics.proto` of
//! Prometheus' client model has them. Used by the admin port.

use crate::session::latencies::Distribution;

/// The media type of the format.
pub(crate) const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Whether a scraper with this header `Accept` wants Protobuf rather than text.
pub(crate) fn is_asked_for(accept: &str) -> bool {
    let quality = |range: &str| {
        let q = range
            .split(';')
            .find_map(|part| part.trim().strip_prefix("q="));
        q.map_or(Some(1.0), |q| q.parse::<f32>().ok())
            .unwrap_or(0.0)
    };
    let best = |is: fn(&str) -> bool| {
        let ranges = accept.split(',').map(str::trim).filter(|range| is(range));
        ranges.map(quality).fold(0.0, f32::max)
    };
    let is_protobuf = |range: &str| {
        range.starts_with("application/vnd.google.protobuf")
            && range.contains("io.prometheus.client.MetricFamily")
            && range.contains("delimited")
    };
    let protobuf = best(is_protobuf);
    protobuf > 0.0 && protobuf >= best(|range| !range.starts_with("application/vnd.google"))
}

/// A family of the text.
struct TextFamily<'t> {
    name: &'t str,
    kind: &'t str,
    help: &'t str,
    samples: Vec<TextSample<'t>>,
}

struct TextSample<'t> {
    name: &'t str,
    labels: Vec<(&'t str, String)>,
    value: f64,
}

impl<'t> TextSample<'t> {
    /// The labels but the bound of a bucket.
    fn others(&self) -> impl Iterator<Item = &(&'t str, String)> {
        self.labels.iter().filter(|(name, _)| *name != "le")
    }
}

/// The text as Protobuf; `natives` are families with a native histogram.
pub(crate) fn encode(text: &str, natives: &[(&str, &Distribution)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for family in families(text) {
        let native = natives.iter().find(|(name, _)| *name == family.name);
        let message = encode_family(&family, native.map(|(_, native)| *native));
        varint(&mut out, message.len() as u64);
        out.extend(message);
    }
    out
}

fn families(text: &str) -> Vec<TextFamily<'_>> {
    let mut families: Vec<TextFamily<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            families.push(TextFamily {
                name,
                kind: "unknown",
                help,
                samples: Vec::new(),
            });
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let kind = rest.rsplit(' ').next().unwrap_or_default();
            if let Some(family) = families.last_mut() {
                family.kind = kind;
            }
        } else if !line.starts_with('#')
            && let (Some(sample), Some(family)) = (sample(line), families.last_mut())
        {
            family.samples.push(sample);
        }
    }
    families
}

/// `name{label="value"} 1`
fn sample(line: &str) -> Option<TextSample<'_>> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, mut rest) = match head.split_once('{') {
        Some((name, labels)) => (name, labels),
        None => (head, ""),
    };
    let mut labels = Vec::new();
    while let Some((label, behind)) = rest.split_once("=\"") {
        let (value, length) = unescaped(behind);
        labels.push((label.trim_start_matches(','), value));
        rest = behind.get(length + 1..)?;
    }
    let value = value.replace("+Inf", "inf").parse().ok()?;
    Some(TextSample {
        name,
        labels,
        value,
    })
}

/// A label's value up to its closing quote, and its length in the text.
fn unescaped(text: &str) -> (String, usize) {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in text.char_indices() {
        match (escaped, character) {
            (false, '"') => return (value, at),
            (false, '\\') => escaped = true,
            (true, 'n') => {
                value.push('\n');
                escaped = false;
            }
            (_, other) => {
                value.push(other);
                escaped = false;
            }
        }
    }
    (value, text.len())
}

/// The numbers of `MetricType`.
const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;

fn encode_family(family: &TextFamily<'_>, native: Option<&Distribution>) -> Vec<u8> {
    let (name, kind) = match family.kind {
        "counter" => (format!("{}_total", family.name), COUNTER),
        "info" => (format!("{}_info", family.name), GAUGE),
        "gauge" => (family.name.to_owned(), GAUGE),
        "histogram" => (family.name.to_owned(), HISTOGRAM),
        _ => (family.name.to_owned(), UNTYPED),
    };
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    bytes(&mut out, 2, family.help.as_bytes());
    number(&mut out, 3, kind);
    if kind == HISTOGRAM {
        // Samples of one histogram stand side by side, and differ in `le` alone.
        let samples = &family.samples;
        for one in samples.chunk_by(|one, next| one.others().eq(next.others())) {
            let mut metric = encode_labels(one[0].others());
            bytes(&mut metric, 7, &encode_histogram(family.name, one, native));
            bytes(&mut out, 4, &metric);
        }
        return out;
    }
    for sample in &family.samples {
        let mut metric = encode_labels(sample.labels.iter());
        let mut value = Vec::new();
        double(&mut value, 1, sample.value);
        let field = match kind {
            COUNTER => 3,
            GAUGE => 2,
            _ => 5,
        };
        bytes(&mut metric, field, &value);
        bytes(&mut out, 4, &metric);
    }
    out
}

fn encode_labels<'l>(labels: impl Iterator<Item = &'l (&'l str, String)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        let mut pair = Vec::new();
        bytes(&mut pair, 1, name.as_bytes());
        bytes(&mut pair, 2, value.as_bytes());
        bytes(&mut out, 1, &pair);
    }
    out
}

fn encode_histogram(
    name: &str,
    samples: &[TextSample<'_>],
    native: Option<&Distribution>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let is = |sample: &TextSample<'_>, suffix: &str| {
        sample
            .name
            .strip_prefix(name)
            .is_some_and(|rest| rest == suffix)
    };
    for sample in samples {
        if is(sample, "_count") {
            number(&mut out, 1, sample.value as u64);
        } else if is(sample, "_sum") {
            double(&mut out, 2, sample.value);
        } else if let Some((_, bound)) = sample.labels.iter().find(|(name, _)| *name == "le") {
            let mut bucket = Vec::new();
            number(&mut bucket, 1, sample.value as u64);
            let bound = bound
                .replace("+Inf", "inf")
                .parse()
                .unwrap_or(f64::INFINITY);
            double(&mut bucket, 2, bound);
            bytes(&mut out, 3, &bucket);
        }
    }
    if let Some(native) = native {
        encode_native(&mut out, native);
    }
    out
}

/// Schema, zero bucket, one span, and what each bucket has more than the one before.
fn encode_native(out: &mut Vec<u8>, native: &Distribution) {
    let (below, counts) = native.counts();
    number(out, 5, zigzag(i64::from(Distribution::SCHEMA)));
    double(out, 6, f64::from(Distribution::LOWEST).exp2());
    number(out, 7, below);
    let first = counts.iter().position(|count| *count > 0);
    let last = counts.iter().rposition(|count| *count > 0);
    let (Some(first), Some(last)) = (first, last) else {
        // A span of no buckets says that the histogram is native although it is empty.
        let mut span = Vec::new();
        number(&mut span, 1, zigzag(0));
        number(&mut span, 2, 0);
        return bytes(out, 12, &span);
    };
    // Bucket n ends at 2^(n/8): the first behind the lowest bound has its index and one more.
    let index = Distribution::LOWEST * Distribution::PER_DOUBLING + first as i32 + 1;
    let mut span = Vec::new();
    number(&mut span, 1, zigzag(i64::from(index)));
    number(&mut span, 2, (last - first + 1) as u64);
    bytes(out, 12, &span);
    let (mut deltas, mut before) = (Vec::new(), 0);
    for count in &counts[first..=last] {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        varint(&mut deltas, zigzag(count - before));
        before = count;
    }
    bytes(out, 13, &deltas);
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, field << 3 | 1);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_scraper_says_what_it_wants() {
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let text = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5";
        for (accept, wanted) in [
            (format!("{protobuf},{text}"), true),
            (format!("{protobuf};q=0.3,{text}"), false),
            (format!("{protobuf};q=0,{text}"), false),
            (format!("{protobuf};q=0"), false),
            (text.to_owned(), false),
            (String::new(), false),
            ("application/vnd.google.protobuf".to_owned(), false),
        ] {
            assert_eq!(is_asked_for(&accept), wanted, "{accept}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let text = "# HELP a What.\n# TYPE a counter\na_total{x=\"q\\\"\"} 2\n# EOF\n";
        let expected = b"\x28\x0a\x07a_total\x12\x05What.\x18\x00\x22\x14\x0a\x07\x0a\x01x\x12\x02q\"\x1a\x09\x09\0\0\0\0\0\0\0\x40";
        assert_eq!(encode(text, &[]), expected);
    }

    #[test]
    fn a_native_histogram_says_where_its_buckets_begin() {
        let distribution = Distribution::default();
        // 1 s is the end of bucket 0, and 1.05 s is in bucket 1.
        distribution.record(Duration::from_secs(1));
        distribution.record(Duration::from_millis(1_050));
        distribution.record(Duration::from_millis(1_050));
        let mut out = Vec::new();
        encode_native(&mut out, &distribution);
        // Schema 3, then the zero bucket, a span from 0 of two, and the deltas 1 and 1.
        assert_eq!(out[..2], [5 << 3, 6]);
        let tail = [12 << 3 | 2, 4, 1 << 3, 0, 2 << 3, 2, 13 << 3 | 2, 2, 2, 2];
        assert!(out.ends_with(&tail), "{out:?}");
    }
}
