//! What is shown on standard error while a run goes on: one line that changes on a terminal, or
//! plain lines. Called by `conduct` and `limit`.

use crate::latencies::Latencies;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::time::{Duration, Instant};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manner {
    /// A line that changes, if standard error is a terminal; else nothing.
    Auto,
    /// A line every few seconds.
    Plain,
    /// Nothing.
    None,
}

/// What there is to show.
pub(crate) struct View<'v> {
    /// Connections.
    pub(crate) open: u64,
    /// Since the warm-up began.
    pub(crate) elapsed: Duration,
    /// Received.
    pub(crate) rate_per_s: Option<f64>,
    /// Measured so far.
    pub(crate) latencies: &'v Latencies,
    pub(crate) errors: u64,
    /// Cores.
    pub(crate) server_cpu_share: Option<f64>,
}

/// The display.
#[derive(Debug)]
pub(crate) struct Progress {
    manner: Manner,
    bar: ProgressBar,
    phase: &'static str,
    /// Of which step a search is at.
    step: String,
    shown: Option<Instant>,
}

/// How often the line changes, and how often a plain one is written.
const BAR_INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_INTERVAL: Duration = Duration::from_secs(2);

impl Progress {
    /// Shows nothing yet.
    pub(crate) fn new(manner: Manner) -> Progress {
        let bar = ProgressBar::no_length();
        bar.set_draw_target(match manner {
            // Hides itself where there is no terminal.
            Manner::Auto => ProgressDrawTarget::stderr(),
            Manner::Plain | Manner::None => ProgressDrawTarget::hidden(),
        });
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}").expect("a constant template"),
        );
        Progress {
            manner,
            bar,
            phase: "",
            step: String::new(),
            shown: None,
        }
    }

    /// What is about to happen.
    pub(crate) fn phase(&mut self, phase: &'static str) {
        self.phase = phase;
        self.shown = None;
    }

    /// Which step it is part of.
    pub(crate) fn step(&mut self, step: String) {
        self.step = step;
    }

    /// Shows it, if it is time.
    pub(crate) fn show(&mut self, view: &View) {
        let interval = match self.manner {
            Manner::Auto if self.bar.is_hidden() => return,
            Manner::Auto => BAR_INTERVAL,
            Manner::Plain => PLAIN_INTERVAL,
            Manner::None => return,
        };
        let now = Instant::now();
        if self.shown.is_some_and(|shown| now - shown < interval) {
            return;
        }
        self.shown = Some(now);
        let line = format!("{}{}: {view}", self.step, self.phase);
        if self.manner == Manner::Plain {
            // Nobody needs to read it.
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            self.bar.set_message(line);
            self.bar.tick();
        }
    }

    /// Takes the line away, before something else is written.
    pub(crate) fn clear(&mut self) {
        self.bar.finish_and_clear();
        self.bar.reset();
    }
}

impl std::fmt::Display for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let seconds = self.elapsed.as_secs();
        write!(
            f,
            "{}:{:02}, {} connections",
            seconds / 60,
            seconds % 60,
            self.open
        )?;
        if let Some(rate_per_s) = self.rate_per_s {
            write!(f, ", {rate_per_s:.0}/s")?;
        }
        if !self.latencies.is_empty() {
            let [p50, p99] = [0.5, 0.99].map(|quantile| self.latencies.quantile_us(quantile));
            let max = self.latencies.max_us();
            write!(f, ", p50 {p50:.0} µs, p99 {p99:.0}, max {max:.0}")?;
        }
        write!(f, ", {} errors", self.errors)?;
        match self.server_cpu_share {
            Some(share) => write!(f, ", server {share:.2} cores"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_shows_what_is_known() {
        let mut latencies = Latencies::new();
        let mut view = View {
            open: 5,
            elapsed: Duration::from_secs(62),
            rate_per_s: None,
            latencies: &latencies.clone(),
            errors: 0,
            server_cpu_share: None,
        };
        assert_eq!(view.to_string(), "1:02, 5 connections, 0 errors");
        latencies.record(1_000);
        view.latencies = &latencies;
        (view.rate_per_s, view.server_cpu_share) = (Some(99.6), Some(0.5));
        assert_eq!(
            view.to_string(),
            "1:02, 5 connections, 100/s, p50 1 µs, p99 1, max 1, 0 errors, server 0.50 cores"
        );
    }
}
