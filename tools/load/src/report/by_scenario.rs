//! What only one scenario adds to a report. Called by `line` and `summary`.

use crate::chat::{Chat, Seats, TALKERS_PER_ROOM_MAX};
use crate::line::quantiles;
use crate::movement::Movement;
use crate::particulars::Particulars;
use crate::plan::Scenario;
use crate::report::Report;
use crate::stall::StallFindings;
use crate::summary::in_words;
use serde_json::json;

impl Report<'_> {
    /// `None`: the common findings are all.
    pub(crate) fn particulars(&self) -> Option<Particulars> {
        match self.plan.scenario {
            Scenario::Echo | Scenario::Broadcast | Scenario::Idle => None,
            Scenario::FanIn => Some(self.fan_in()),
            Scenario::Slow => self.slow(),
            Scenario::Chat => self.plan.chat.map(|chat| self.chat(chat)),
            Scenario::Churn | Scenario::Storm => {
                Movement::new(self.plan.motion, self.findings).particulars()
            }
        }
    }

    fn slow(&self) -> Option<Particulars> {
        let outcomes = self.findings.outcomes.iter();
        let found = outcomes
            .filter_map(|outcome| outcome.stall.clone())
            .reduce(|mut all, more| {
                all.merge(&more);
                all
            })?;
        let StallFindings {
            stalled,
            closed,
            caught_up,
            lost,
            missed,
            felt,
        } = &found;
        let mut rows = vec![(
            "stalled",
            format!(
                "{stalled}: {} closed (missed {missed} messages), {caught_up} caught up, {lost} messages lost by who stayed",
                closed.values().sum::<u64>()
            ),
        )];
        rows.extend(
            closed
                .iter()
                .map(|(code, count)| ("closed", format!("{count} with code {code}"))),
        );
        for (name, latencies) in [
            ("before", &felt.before),
            ("during", &felt.during),
            ("after", &felt.after),
            ("stallers", &felt.stallers),
        ] {
            if !latencies.is_empty() {
                rows.push((name, in_words(latencies)));
            }
        }
        Some(Particulars {
            name: "slow",
            line: json!({
                "stalled": stalled,
                "closed": closed,
                "caught_up": caught_up,
                "lost": lost,
                "missed": missed,
                "others_latency_us": quantiles(&felt.others()),
                "others_before_us": quantiles(&felt.before),
                "others_during_us": quantiles(&felt.during),
                "others_after_us": quantiles(&felt.after),
                "stalled_latency_us": quantiles(&felt.stallers),
            }),
            rows,
        })
    }

    fn chat(&self, chat: Chat) -> Particulars {
        let plan = self.plan;
        let sizes: Vec<u64> = Seats::new(plan.connections, plan.rooms, chat)
            .sizes()
            .collect();
        let [largest, median, smallest] =
            [0, sizes.len() / 2, sizes.len() - 1].map(|which| sizes[which]);
        let mean_bytes = chat.sizes.bytes(plan.payload_bytes).1;
        let (rooms, each) = (plan.rooms, chat.rooms_per_connection);
        Particulars {
            name: "chat",
            line: json!({
                "rooms": rooms,
                "rooms_per_connection": each,
                "largest_room": largest,
                "median_room": median,
                "smallest_room": smallest,
                "talkers_per_room_max": TALKERS_PER_ROOM_MAX,
                "sizes": chat.sizes,
                "payload_bytes_mean": mean_bytes,
                "seed": chat.seed,
            }),
            rows: vec![(
                "chat",
                format!(
                    "{rooms} rooms of {largest} to {smallest} members, {median} in the middle; everyone in {each}; {mean_bytes:.0} bytes a message"
                ),
            )],
        }
    }

    fn fan_in(&self) -> Particulars {
        let (publishers, listeners) = (self.plan.publishers, self.plan.connections);
        Particulars {
            name: "fan_in",
            line: json!({"publishers": publishers, "listeners": listeners}),
            rows: vec![(
                "fan-in",
                format!("{publishers} publishers, each heard by {listeners} listeners"),
            )],
        }
    }
}
