//! The public files of HdrHistogram: the percentile text (.hgrm, milliseconds) and the interval log
//! (.hlog, V1.3, nanoseconds). Invariant: the log's intervals add up to the text's total. Called by
//! `outputs`.

use crate::latencies::Latencies;
use crate::series::Series;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use std::fmt::Write;
use std::time::Duration;

/// Lines for each halving of what is left to 1: HdrHistogram's own default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
const NS_PER_MS: f64 = 1e6;
/// Of three significant digits.
const SUB_BUCKETS: u64 = 2048;

/// Value in ms, percentile, count up to it, 1/(1-percentile).
pub(crate) fn to_hgrm(latencies: &Latencies) -> String {
    let histogram = latencies.histogram();
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        let (ms, quantile) = (
            step.value_iterated_to() as f64 / NS_PER_MS,
            step.quantile_iterated_to(),
        );
        let _ = write!(text, "{ms:12.3} {quantile:14.12} {count:10}");
        let _ = if quantile < 1.0 {
            writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(text)
        };
    }
    let ms = |ns: f64| ns / NS_PER_MS;
    let (mean, deviation) = (ms(histogram.mean()), ms(histogram.stdev()));
    let (max, total) = (ms(histogram.max() as f64), histogram.len());
    // Each bucket but the first doubles the range.
    let buckets = (histogram.high() / SUB_BUCKETS).max(1).ilog2() + 2;
    let _ = writeln!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    );
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {total:12}]");
    let _ = writeln!(
        text,
        "#[Buckets = {buckets:12}, SubBuckets     = {SUB_BUCKETS:12}]"
    );
    text
}

/// One line for each interval with measured latencies; times count from the beginning of the
/// series.
///
/// # Errors
/// A histogram cannot be packed, in words.
pub(crate) fn to_hlog(series: &Series) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let words = |error: std::io::Error| error.to_string();
    IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("[Latencies in nanoseconds, written by shardcast-load]")
        .with_start_time(series.started)
        .with_base_time(series.started)
        .begin_log_with(&mut text, &mut serializer)
        .map_err(words)?;
    text.extend_from_slice(
        b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
    );
    let mut log = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(&mut text, &mut serializer)
        .map_err(words)?;
    for (end_ns, length_ns, latencies) in series.histograms() {
        let start_ns = end_ns.saturating_sub(length_ns.saturating_add(series.start_ns));
        log.write_histogram(
            latencies.histogram(),
            Duration::from_nanos(start_ns),
            Duration::from_nanos(length_ns),
            None,
        )
        .map_err(|error| error.to_string())?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_text_counts_everything_once() {
        let mut latencies = Latencies::new();
        (1..=1_000).for_each(|us| latencies.record(us * 1_000));
        let text = to_hgrm(&latencies);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .filter(|line| line.starts_with(' ') && !line.contains("Value"))
            .map(|line| {
                let words = line.split_whitespace();
                words.map(|word| word.parse().unwrap()).collect()
            })
            .collect();
        for row in &rows[..rows.len() - 1] {
            assert_eq!(row.len(), 4, "{text}");
            assert!((row[3] * (1.0 - row[1]) - 1.0).abs() < 0.01, "{text}");
            // 1,000 values of 1 to 1,000 µs: the count up to a value is the value.
            assert!((row[2] - row[0] * 1_000.0).abs() <= 1.0, "{text}");
        }
        assert_eq!(rows.last().unwrap()[1..], [1.0, 1_000.0]);
        assert!(rows.is_sorted_by(|one, next| one[1] < next[1] && one[2] <= next[2]));
        for line in [
            "#[Mean    =        0.501, StdDeviation   =        0.289]",
            "#[Max     =        1.000, Total count    =         1000]",
            "#[Buckets =           26, SubBuckets     =         2048]",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(to_hgrm(&Latencies::new()).contains("Total count    =            0]"));
    }
}
