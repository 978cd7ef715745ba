//! What a search for the limit holds a run to: `p99<10ms`, `p99.9<500us`, `max<1s`. Called by
//! `arguments` and `limit`.

use crate::latencies::Latencies;
use std::fmt;
use std::str::FromStr;

/// A latency quantile must stay below a bound.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Objective {
    /// As it was typed.
    text: String,
    /// 0 to 1.
    quantile: f64,
    /// In microseconds, above 0.
    bound_us: f64,
}

impl Objective {
    /// What counts of these latencies, in microseconds; `None`: there are none.
    pub(crate) fn value_us(&self, latencies: &Latencies) -> Option<f64> {
        (!latencies.is_empty()).then(|| latencies.quantile_us(self.quantile))
    }

    /// Whether it is reached.
    pub(crate) fn is_met_by(&self, value_us: f64) -> bool {
        value_us < self.bound_us
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Objective, String> {
        let grammar = || format!("`{text}` is no objective: p99<10ms, p99.9<500us or max<1s");
        let (figure, bound) = text.split_once('<').ok_or_else(grammar)?;
        let quantile = match (figure.trim(), figure.trim().strip_prefix('p')) {
            ("max", _) => 1.0,
            (_, Some(percent)) => {
                let percent: f64 = percent.parse().map_err(|_| grammar())?;
                // 99.9 / 100 is no short decimal: rounded, it is one.
                (percent * 1e7).round() / 1e9
            }
            (_, None) => return Err(grammar()),
        };
        let bound = bound.trim();
        let unit_at = bound
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(grammar)?;
        let (number, unit) = bound.split_at(unit_at);
        let unit_us = match unit {
            "us" | "µs" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            _ => return Err(grammar()),
        };
        let number: f64 = number.parse().map_err(|_| grammar())?;
        let bound_us = number * unit_us;
        if (0.0..=1.0).contains(&quantile) && bound_us > 0.0 {
            Ok(Objective {
                text: text.to_owned(),
                quantile,
                bound_us,
            })
        } else {
            Err(grammar())
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_understood_or_refused() {
        for (text, quantile, bound_us) in [
            ("p99<10ms", 0.99, 10_000.0),
            ("p99.9<500us", 0.999, 500.0),
            ("p99.99 < 1.5s", 0.9999, 1_500_000.0),
            ("p50<7µs", 0.5, 7.0),
            ("max<1s", 1.0, 1_000_000.0),
        ] {
            let objective: Objective = text.parse().unwrap();
            assert_eq!(
                (
                    objective.quantile,
                    objective.bound_us,
                    &*objective.to_string()
                ),
                (quantile, bound_us, text)
            );
            assert!(objective.is_met_by(bound_us - 0.001) && !objective.is_met_by(bound_us));
        }
        for text in [
            "",
            "p99",
            "p99<",
            "p99<10",
            "99<10ms",
            "pxx<1ms",
            "p101<1ms",
            "p-1<1ms",
            "p99<0ms",
            "p99>1ms",
            "mean<1ms",
            "p99<1h",
            "p99<-1ms",
            "p99<1.2.3ms",
            "pNaN<1ms",
        ] {
            let refusal = text.parse::<Objective>().unwrap_err();
            assert!(refusal.contains("p99<10ms"), "{text}: {refusal}");
        }
    }
}
