//! What is measured of an embedded server, as the program around it shows it.

use crate::speaker::Speaker;
use serde_json::Value;
use shardcast::{App, Background, Context, Failure, ServerMetrics};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{config, wait_until};
use std::collections::BTreeSet;
use std::time::Duration;

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// The sum of a family's samples.
#[track_caller]
fn sum(metrics: &ServerMetrics, name: &str) -> f64 {
    let text = metrics.text();
    let samples = text.lines().filter_map(|line| {
        let (sample, value) = line.rsplit_once(' ')?;
        let named = sample.split('{').next() == Some(name);
        named.then(|| value.parse::<f64>().expect("a number"))
    });
    samples.sum()
}

#[test]
fn an_embedded_server_shows_what_the_admin_port_would() {
    const QUICK: usize = 640;
    const SLOW: usize = 3;
    let app = App::new();
    let quick = |_: &mut Context<'_>, (): ()| -> Result<u32, Failure> { Ok(1) };
    app.handlers().on("quick", quick).expect("a free name");
    let slow = |_: Background, (): ()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, Failure>(())
    };
    app.handlers().on_async("slow", slow).expect("a free name");
    let server = app.start(config(2)).expect("it starts");
    let metrics = server.metrics();
    let at = server.local_addr().expect("TCP");
    let mut clients: Vec<Speaker> = (0..2)
        .map(|_| Speaker::at(at, Dialect::NativeJson, ""))
        .collect();
    for call in 0..QUICK {
        clients[call % 2].ask("quick", Value::Null);
    }
    for _ in 0..SLOW {
        clients[0].ask("slow", Value::Null);
    }
    let slow = sum(&metrics, "shardcast_background_seconds_count");
    assert_eq!(slow, SLOW as f64);
    assert!(sum(&metrics, "shardcast_background_seconds_sum") >= 0.02 * SLOW as f64);
    // About one of 64, counted shard by shard.
    let timed = sum(&metrics, "shardcast_handler_seconds_count");
    assert!((8.0..=12.0).contains(&timed), "{timed}");
    assert_eq!(sum(&metrics, "shardcast_handshake_seconds_count"), 2.0);
    assert_eq!(sum(&metrics, "shardcast_upgrades_total"), 2.0);
    assert_eq!(sum(&metrics, "shardcast_connections"), 2.0);
    drop(clients);
    wait_until("they have left", || {
        sum(&metrics, "shardcast_connections") == 0.0
    });
    // Nothing is measured that the page does not list.
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let text = metrics.text();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for family in families.filter_map(|family| family.split(' ').next()) {
        assert!(listed.contains(family), "{family}");
    }
    assert!(!metrics.protobuf().is_empty());
}
