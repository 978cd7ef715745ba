//! What is measured in the window between warm-up and end: latencies, lateness, counts, and the worker's own CPU.
//! Invariant: counts go by the time of arrival, latencies by the time a message was meant to leave. Called by the loads.

use crate::clock::{NS_PER_S, own_cpu_ns};
use crate::epochs::Epochs;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

/// Nanoseconds, three significant digits, up to a minute (longer counts as a minute).
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

const LATENCY_NS_MAX: u64 = 60 * NS_PER_S;

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds"))
    }

    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("equal bounds");
    }

    /// Recorded values.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At a quantile in 0..=1, in microseconds.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    pub(crate) fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    pub(crate) fn mean_us(&self) -> f64 {
        self.0.mean() / 1e3
    }
}

/// As hexadecimal digits of the histogram's own V2 form.
impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&self.0, &mut bytes)
            .map_err(serde::ser::Error::custom)?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Latencies, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let bytes: Option<Vec<u8>> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
            .collect();
        let bytes = bytes.ok_or_else(|| serde::de::Error::custom("not hexadecimal"))?;
        Deserializer::new()
            .deserialize(&mut &bytes[..])
            .map(Latencies)
            .map_err(serde::de::Error::custom)
    }
}

/// One worker's measurements.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meter {
    window_start_ns: u64,
    window_end_ns: u64,
    /// From the intended departure to the arrival.
    pub(crate) latencies: Latencies,
    /// From the intended to the actual departure (open loop only).
    pub(crate) lateness: Latencies,
    /// Arrivals within the window.
    pub(crate) received_in_window: u64,
    cpu_at_start_ns: Option<u64>,
    /// CPU that the worker spent in the window.
    pub(crate) cpu_ns: u64,
    /// The latencies once more, if there is a storm.
    pub(crate) epochs: Option<Epochs>,
}

impl Meter {
    /// Measures nothing until `open`.
    pub(crate) fn new() -> Meter {
        Meter {
            window_start_ns: u64::MAX,
            window_end_ns: u64::MAX,
            latencies: Latencies::new(),
            lateness: Latencies::new(),
            received_in_window: 0,
            cpu_at_start_ns: None,
            cpu_ns: 0,
            epochs: None,
        }
    }

    /// Sets the window.
    pub(crate) fn open(&mut self, start_ns: u64, end_ns: u64) {
        (self.window_start_ns, self.window_end_ns) = (start_ns, end_ns);
    }

    /// When sending ends.
    pub(crate) fn window_end_ns(&self) -> u64 {
        self.window_end_ns
    }

    /// Once per turn of the loop: takes the CPU clock at both ends of the window. Returns when it wants to be called again.
    pub(crate) fn tick(&mut self, now_ns: u64) -> u64 {
        if now_ns >= self.window_start_ns && self.cpu_at_start_ns.is_none() {
            self.cpu_at_start_ns = Some(own_cpu_ns());
        }
        if now_ns >= self.window_end_ns {
            self.close();
        }
        if self.cpu_at_start_ns.is_none() {
            self.window_start_ns
        } else {
            self.window_end_ns
        }
    }

    /// Nothing is sent any more.
    pub(crate) fn close(&mut self) {
        if self.cpu_ns == 0 {
            let start_ns = self.cpu_at_start_ns.unwrap_or_else(own_cpu_ns);
            self.cpu_ns = own_cpu_ns().saturating_sub(start_ns).max(1);
        }
    }

    pub(crate) fn arrived(&mut self, now_ns: u64, intended_ns: u64) {
        if self.contains(intended_ns) {
            self.latencies.record(now_ns.saturating_sub(intended_ns));
            if let Some(epochs) = &mut self.epochs {
                epochs.record(intended_ns, now_ns);
            }
        }
        self.received_in_window += u64::from(self.contains(now_ns));
    }

    pub(crate) fn departed(&mut self, now_ns: u64, intended_ns: u64) {
        if self.contains(intended_ns) {
            self.lateness.record(now_ns.saturating_sub(intended_ns));
        }
    }

    /// Whether the window does.
    pub(crate) fn contains(&self, time_ns: u64) -> bool {
        (self.window_start_ns..self.window_end_ns).contains(&time_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_histograms_hold_what_both_held() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        (1..=50).for_each(|ms| one.record(ms * 1_000_000));
        (51..=100).for_each(|ms| other.record(ms * 1_000_000));
        other.record(u64::MAX);
        let travelled: Latencies =
            serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap();
        one.merge(&travelled);
        assert_eq!(one.0.len(), 101);
        assert_eq!(one.0.count_between(1, 50_020_000), 50);
        assert!(
            (one.quantile_us(0.5) / 51_000.0 - 1.0).abs() < 0.001,
            "{}",
            one.quantile_us(0.5)
        );
        assert!(
            (one.max_us() / 60e6 - 1.0).abs() < 0.001,
            "{}",
            one.max_us()
        );
        assert!(serde_json::from_str::<Latencies>("\"zz\"").is_err());
        assert!(serde_json::from_str::<Latencies>("\"00\"").is_err());
    }

    #[test]
    fn only_the_window_counts() {
        let mut meter = Meter::new();
        meter.arrived(5, 5);
        meter.open(100, 200);
        for (now, intended) in [
            (99, 90),
            (100, 99),
            (150, 120),
            (199, 198),
            (200, 199),
            (250, 200),
        ] {
            meter.arrived(now, intended);
        }
        assert_eq!(meter.received_in_window, 3);
        assert_eq!(meter.latencies.0.len(), 3);
        assert_eq!(meter.latencies.0.max(), 30);
    }
}
