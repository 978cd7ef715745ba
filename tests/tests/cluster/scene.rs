//! How a scenario is run: on each broker that is here, in a runtime, with a deadline.
//!
//! Invariant: a scenario ends. Used by all of them.

use crate::broker::Kind;
use shardcast_patience::PATIENCE;
use std::time::Duration;

/// Faults on end in one scenario, each of which may take its time.
const SCENARIO_MAX: u32 = 4;

/// Runs a scenario with NATS and with Redis.
#[track_caller]
pub(crate) fn on_each_broker(scenario: impl AsyncFn(Kind)) {
    for kind in [Kind::Nats, Kind::Redis] {
        if kind.is_here() {
            run(scenario(kind));
        }
    }
}

/// Runs a scenario's future.
#[track_caller]
pub(crate) fn run<T>(scenario: impl Future<Output = T>) -> T {
    // More than one thread: some wait for a process while others speak.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let deadline = PATIENCE * SCENARIO_MAX;
    let ended = runtime.block_on(async { tokio::time::timeout(deadline, scenario).await });
    ended.expect("it ends in time")
}

/// Looks again and again until `reached`, and lets the others work meanwhile.
pub(crate) async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let looked = tokio::time::timeout(PATIENCE, async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(looked.await.is_ok(), "not within {PATIENCE:?}: {what}");
}
