//! Pools over two endpoints, with breakers and adaptation on: members that fail leave, rooms move
//! with what they missed, and a subscriber has seen exactly the room's log, once.

use crate::scene::{Seen, connect, quick, run, serve, url};
use shardcast_client::{Adaptive, Options, Pool, PoolOptions, PoolPolicy, SubscribeOptions};
use shardcast_tests::Served;
use shardcast_tests::proxy::{Fault, Proxy, Script, Way};
use std::time::Duration;

/// Messages of each log.
const LAST: u64 = 300;

fn cut(after: u64, what: Fault) -> Script {
    let way = Way {
        fault: Some((after, what)),
        ..Way::default()
    };
    Script {
        up: Way::default(),
        down: way,
        behind: 0,
    }
}

fn options(policy: PoolPolicy, spares: usize) -> PoolOptions {
    PoolOptions {
        connections: 2,
        spares,
        policy,
        health_check: Duration::from_millis(200),
        client: Options {
            adaptive: Adaptive::On,
            ..quick()
        },
    }
}

fn before(served: &Served, scripts: Vec<Script>) -> Proxy {
    Proxy::before(served.address("ws"), move |number| {
        scripts.get(number).copied().unwrap_or_default()
    })
}

/// A subscriber through a pool hears what a publisher through the same pool says.
async fn converse(pool: &Pool, room: &str) -> Seen {
    let mut heard = pool
        .subscribe(room, SubscribeOptions::default())
        .expect("open");
    heard.joined().await.expect("it joins");
    let mut seen = Seen::default();
    let publishes = async {
        for number in 1..=LAST {
            pool.publish(room, &number).await.expect("published");
        }
    };
    tokio::join!(publishes, seen.until(&mut heard, LAST));
    seen
}

#[test]
fn rooms_move_with_what_they_missed() {
    let served = serve("");
    let policies = [
        PoolPolicy::RoundRobin,
        PoolPolicy::LeastLoaded,
        PoolPolicy::Random,
        PoolPolicy::ConsistentHash,
    ];
    for (index, policy) in policies.into_iter().enumerate() {
        for (what, spares) in [(Fault::Reset, 0), (Fault::Stall, 1), (Fault::HalfClose, 0)] {
            // Both endpoints fail, at different times, and again.
            let first = before(&served, vec![cut(2_000, what), cut(9_000, what)]);
            let second = before(&served, vec![cut(5_000, what), cut(3_000, what)]);
            let endpoints = [url(first.address()), url(second.address())];
            let room = format!("chat:pool-{index}-{what:?}");
            let seen = run(async {
                let pool =
                    Pool::connect(&endpoints, options(policy, spares)).expect("good options");
                pool.ready().await.expect("it connects");
                let seen = converse(&pool, &room).await;
                pool.close().await;
                seen
            });
            eprintln!("{policy:?} {what:?}: recovered {} times", seen.recovered);
            seen.assert_all(LAST);
        }
    }
}

#[test]
fn an_endpoint_that_is_gone_leaves_the_pool_and_comes_back() {
    let served = serve("");
    run(async {
        let other = before(&served, Vec::new());
        let endpoints = [url(served.address("ws")), url(other.address())];
        let mut pooled = options(PoolPolicy::RoundRobin, 0);
        // Members go to the endpoint that stands.
        pooled.client.reconnect.max = Duration::from_millis(50);
        // What becomes of them is heard of at once, not with the next check.
        pooled.health_check = Duration::from_secs(3_600);
        let pool = Pool::connect(&endpoints, pooled).expect("good options");
        while pool.healthy() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let rooms: Vec<String> = (0..20)
            .map(|number| format!("chat:both-{number}"))
            .collect();
        let mut heard: Vec<_> = rooms
            .iter()
            .map(|room| {
                pool.subscribe(room, SubscribeOptions::default())
                    .expect("open")
            })
            .collect();
        for subscription in &heard {
            subscription.joined().await.expect("it joins");
        }
        assert!(pool.snapshots().iter().all(|snapshot| snapshot.rooms == 10));
        drop(other);
        let publisher = connect(served.address("ws"), quick());
        for number in 1..=5_u64 {
            for room in &rooms {
                publisher.publish(room, &number).await.expect("published");
            }
        }
        for subscription in &mut heard {
            let mut seen = Seen::default();
            seen.until(subscription, 5).await;
            seen.assert_all(5);
        }
        while pool.healthy() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // All are left with their last subscription, wherever they are.
        drop(heard);
        assert!(pool.snapshots().iter().all(|snapshot| snapshot.rooms <= 20));
        let left = async {
            while pool.snapshots().iter().any(|snapshot| snapshot.rooms > 0) {
                tokio::task::yield_now().await;
            }
        };
        left.await;
    });
}
