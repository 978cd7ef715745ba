//! What a worker measures: latencies, lateness, counts and its own CPU, in all of the window and
//! interval by interval. Invariant: counts go by the time of arrival, latencies by the time a
//! message was meant to leave. Called by the loads and by `worker`.

use crate::clock::own_cpu_ns;
use crate::epochs::Epochs;
use crate::interval::{Interval, Ruler};
use crate::latencies::Latencies;
use serde::{Deserialize, Serialize};

/// One worker's measurements.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meter {
    window_start_ns: u64,
    window_end_ns: u64,
    /// From the intended to the actual send (open loop only).
    pub(crate) lateness: Latencies,
    /// Arrivals within the window.
    pub(crate) received_in_window: u64,
    cpu_at_start_ns: Option<u64>,
    /// CPU that the worker spent in the window.
    pub(crate) cpu_ns: u64,
    /// The latencies once more, if there is a storm.
    pub(crate) epochs: Option<Epochs>,
    #[serde(skip)]
    current: Current,
}

/// The interval that goes on.
#[derive(Clone, Debug)]
struct Current {
    interval: Interval,
    start_ns: u64,
    cpu_at_start_ns: u64,
    interval_ns: u64,
}

impl Default for Current {
    fn default() -> Current {
        Current {
            interval: Interval::new(),
            start_ns: 0,
            cpu_at_start_ns: 0,
            interval_ns: u64::MAX,
        }
    }
}

impl Meter {
    /// Measures nothing until `open`.
    pub(crate) fn new() -> Meter {
        Meter {
            window_start_ns: u64::MAX,
            window_end_ns: u64::MAX,
            lateness: Latencies::new(),
            received_in_window: 0,
            cpu_at_start_ns: None,
            cpu_ns: 0,
            epochs: None,
            current: Current::default(),
        }
    }

    /// Sets the window.
    pub(crate) fn open(&mut self, start_ns: u64, end_ns: u64) {
        (self.window_start_ns, self.window_end_ns) = (start_ns, end_ns);
    }

    /// Begins the first interval; the window is set.
    pub(crate) fn begin(&mut self, start_ns: u64, interval_ns: u64) {
        self.current = Current {
            interval: Interval::new(),
            start_ns,
            cpu_at_start_ns: own_cpu_ns(),
            interval_ns,
        };
        self.current.interval.end_ns = self.ruler().after(start_ns);
    }

    /// When sending ends.
    pub(crate) fn window_end_ns(&self) -> u64 {
        self.window_end_ns
    }

    /// Ends the window early.
    pub(crate) fn cut(&mut self, now_ns: u64) {
        self.window_end_ns = self.window_end_ns.min(now_ns);
    }

    /// When the current interval ends.
    pub(crate) fn interval_end_ns(&self) -> u64 {
        self.current.interval.end_ns
    }

    /// Ends the current interval and begins the next. Who asks knows the connections and the
    /// errors.
    pub(crate) fn take_interval(&mut self, now_ns: u64) -> Interval {
        let cpu_ns = own_cpu_ns();
        let mut next = Interval::new();
        // A worker that was held up for several intervals reports them as one.
        next.end_ns = self.ruler().after(now_ns.max(self.current.interval.end_ns));
        let mut done = std::mem::replace(&mut self.current.interval, next);
        done.length_ns = now_ns.saturating_sub(self.current.start_ns);
        done.cpu_ns = cpu_ns.saturating_sub(self.current.cpu_at_start_ns);
        self.current.start_ns = self.current.start_ns.max(now_ns);
        self.current.cpu_at_start_ns = cpu_ns;
        done
    }

    fn ruler(&self) -> Ruler {
        Ruler {
            window_start_ns: self.window_start_ns,
            window_end_ns: self.window_end_ns,
            interval_ns: self.current.interval_ns,
        }
    }

    /// Once per turn of the loop: takes the CPU clock at both ends of the window. Returns when it
    /// wants to be called again.
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

    /// So many messages are on their way.
    pub(crate) fn sent(&mut self, count: u64) {
        self.current.interval.sent += count;
    }

    pub(crate) fn arrived(&mut self, now_ns: u64, intended_ns: u64) {
        let latency_ns = now_ns.saturating_sub(intended_ns);
        let interval = &mut self.current.interval;
        interval.received += 1;
        // Each arrival is recorded once; the window's latencies are the sum of the intervals'.
        if (self.window_start_ns..self.window_end_ns).contains(&intended_ns) {
            interval.measured.record(latency_ns);
            if let Some(epochs) = &mut self.epochs {
                epochs.record(intended_ns, now_ns);
            }
        } else {
            interval.unmeasured.record(latency_ns);
        }
        self.received_in_window += u64::from(self.contains(now_ns));
    }

    /// Something arrived that has no latency.
    pub(crate) fn received(&mut self, now_ns: u64) {
        self.current.interval.received += 1;
        self.received_in_window += u64::from(self.contains(now_ns));
    }

    pub(crate) fn record_lateness(&mut self, now_ns: u64, intended_ns: u64) {
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
    fn only_the_window_is_measured_and_every_arrival_is_in_one_interval() {
        let mut meter = Meter::new();
        meter.open(100, 200);
        meter.begin(80, 50);
        let mut intervals = Vec::new();
        for (now, intended) in [
            (85, 81),
            (99, 90),
            (100, 99),
            (150, 120),
            (199, 198),
            (200, 199),
            (250, 200),
        ] {
            while now >= meter.interval_end_ns() {
                intervals.push(meter.take_interval(meter.interval_end_ns()));
            }
            meter.sent(2);
            meter.arrived(now, intended);
        }
        intervals.push(meter.take_interval(260));
        assert_eq!(meter.received_in_window, 3);
        let seen: Vec<_> = intervals
            .iter()
            .map(|interval| {
                (
                    interval.end_ns,
                    interval.length_ns,
                    interval.sent,
                    interval.received,
                    interval.measured.count(),
                    interval.unmeasured.count(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (100, 20, 4, 2, 0, 2),
                (150, 50, 2, 1, 0, 1),
                (200, 50, 4, 2, 2, 0),
                (250, 50, 2, 1, 1, 0),
                (300, 10, 2, 1, 0, 1),
            ]
        );
        assert_eq!(intervals[2].measured.histogram().max(), 30);
        assert_eq!(meter.interval_end_ns(), 350);
    }

    #[test]
    fn a_cut_ends_the_window() {
        let mut meter = Meter::new();
        meter.open(100, 200);
        meter.begin(100, 1_000);
        assert_eq!(meter.interval_end_ns(), 200);
        meter.arrived(120, 110);
        meter.cut(150);
        meter.arrived(160, 155);
        meter.cut(170);
        let interval = meter.take_interval(150);
        assert_eq!(
            (
                meter.window_end_ns(),
                meter.received_in_window,
                interval.measured.count(),
                interval.unmeasured.count()
            ),
            (150, 1, 1, 1)
        );
    }
}
