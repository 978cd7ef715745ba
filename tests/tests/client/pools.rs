//! Pools over two endpoints, with breakers and adaptation on: members that fail leave, rooms move
//! with what they missed, and a subscriber has seen exactly the room's log, once.

use crate::certificates::{renew, trust_anew, trusting};
use crate::closes::{close_room, guarded, provider};
use crate::faults::{proxied, table};
use crate::scene::{LAST, Seen, connect, converse, quick, run, serve, serve_on, url};
use shardcast_client::{
    Adaptive, Error, ErrorKind, Loss, Options, Pool, PoolOptions, PoolPolicy, State,
    SubscribeOptions, Subscription,
};
use shardcast_tests::proxy::{Fault, Proxy, Script, Way};
use shardcast_tests::{Certificates, Served};
use std::net::SocketAddr;
use std::time::Duration;

const POLICIES: [PoolPolicy; 4] = [
    PoolPolicy::RoundRobin,
    PoolPolicy::LeastLoaded,
    PoolPolicy::Random,
    PoolPolicy::ConsistentHash,
];

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

/// A pool over two addresses of one server: what happens to one connection does not end the rooms
/// of the other.
async fn pool(endpoints: [SocketAddr; 2], options: PoolOptions) -> Pool {
    let pool = Pool::connect(&endpoints.map(url), options).expect("good options");
    pool.ready().await.expect("it connects");
    pool
}

/// A subscriber through a pool hears what a publisher through the same pool says.
async fn hears_itself(pool: &Pool, room: &str) -> Seen {
    let heard = pool.subscribe(room, SubscribeOptions::default());
    let publishes = async {
        for number in 1..=LAST {
            pool.publish(room, &number).await.expect("published");
        }
    };
    converse(heard.expect("open"), publishes).await
}

#[test]
fn a_pool_sees_exactly_the_log_through_each_fault() {
    let served = serve("");
    for (index, (name, scripts)) in table().into_iter().enumerate() {
        // Both endpoints fail, one after the other.
        let (first, mut later) = (proxied(&served, &scripts), scripts.clone());
        later.insert(0, Script::default());
        let second = proxied(&served, &later);
        let room = format!("chat:pooled-{index}");
        let seen = run(async {
            let endpoints = [first.address(), second.address()];
            let pool = pool(endpoints, options(POLICIES[index % 4], index % 2)).await;
            let seen = hears_itself(&pool, &room).await;
            pool.close().await;
            seen
        });
        eprintln!("{name}: recovered {} times", seen.recovered);
        seen.assert_all(LAST);
    }
}

#[test]
fn a_pool_obeys_close_codes_of_every_class() {
    let served = serve("");
    let other = before(&served, Vec::new());
    run(async {
        let endpoints = [served.address("ws"), other.address()];
        let mut pooled = options(PoolPolicy::LeastLoaded, 0);
        // So many closes in a row are no reason to rest here.
        pooled.client.breaker.failures = 100;
        let pool = pool(endpoints, pooled).await;
        let publisher = connect(served.address("ws"), quick());
        for code in [
            1000, 1008, 1009, 1011, 1012, 1013, 3000, 4100, 4105, 4199, 4200, 4999,
        ] {
            let room = format!("chat:pool-close-{code}");
            let mut heard = pool
                .subscribe(&room, SubscribeOptions::default())
                .expect("open");
            heard.joined().await.expect("it joins");
            let mut seen = Seen::default();
            publisher.publish(&room, &1_u64).await.expect("published");
            seen.until(&mut heard, 1).await;
            close_room(&served, &room, code);
            publisher.publish(&room, &2_u64).await.expect("published");
            publisher.publish(&room, &3_u64).await.expect("published");
            seen.until(&mut heard, 3).await;
            seen.assert_all(3);
            assert_eq!(seen.recovered, 1, "{code}");
        }
        pool.close().await;
    });
}

/// Waits until so many members are used.
async fn used(pool: &Pool, members: usize) {
    while pool.healthy() != members {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What a subscription ends with.
async fn end_of(heard: &mut Subscription) -> Error {
    loop {
        match heard.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error,
            None => panic!("it ends for a reason"),
        }
    }
}

/// One member after the other is closed for good, while much is under way.
async fn close_for_good(served: &Served, pool: &Pool, code: u16) {
    let room = format!("chat:pool-end-{code}");
    let mut heard = pool
        .subscribe(&room, SubscribeOptions::default())
        .expect("open");
    heard.joined().await.expect("it joins");
    let mut seen = Seen::default();
    let sent: Vec<_> = (1..=LAST)
        .map(|number| pool.publish(&room, &number).send())
        .collect();
    seen.until(&mut heard, 1).await;
    close_room(served, &room, code);
    for sent in sent {
        sent.await.expect("published by the other");
    }
    seen.until(&mut heard, LAST).await;
    seen.assert_all(LAST);
    assert_eq!(seen.recovered, 1, "{code}");
    used(pool, 1).await;
    // The end of the last is the end of the pool.
    close_room(served, &room, code);
    assert_eq!(end_of(&mut heard).await.close_code(), Some(code));
    assert!(heard.next().await.is_none());
    let members = pool.members().iter();
    assert!(
        members
            .clone()
            .all(|member| member.state() == State::Closed)
    );
    let refused = pool.publish(&room, &1).await.expect_err("it has ended");
    assert_eq!(refused.close_code(), Some(code));
    assert_eq!(
        pool.ready().await.expect_err("it has ended").close_code(),
        Some(code)
    );
    let closed = pool.subscribe(&room, SubscribeOptions::default());
    assert_eq!(closed.expect_err("it has ended").kind(), ErrorKind::Closed);
}

#[test]
fn a_pool_goes_on_while_one_of_its_members_is_not_closed_for_good() {
    let served = serve("");
    for code in [4000, 4003, 4004, 4020, 4021, 4099] {
        let other = before(&served, Vec::new());
        run(async {
            let endpoints = [served.address("ws"), other.address()];
            // Whoever has the room publishes to it, so that its order is known.
            let pool = pool(endpoints, options(PoolPolicy::ConsistentHash, 0)).await;
            used(&pool, 2).await;
            close_for_good(&served, &pool, code).await;
            pool.close().await;
        });
    }
}

#[test]
fn a_pool_that_drains_answers_what_waits() {
    let served = serve("");
    run(async {
        let other = before(&served, Vec::new());
        let endpoints = [served.address("ws"), other.address()];
        let pool = pool(endpoints, options(PoolPolicy::RoundRobin, 0)).await;
        used(&pool, 2).await;
        let sent: Vec<_> = (1..=LAST)
            .map(|number| pool.publish("chat:drained", &number).send())
            .collect();
        pool.drain(Duration::from_secs(30)).await;
        for sent in sent {
            sent.await.expect("published before the end");
        }
        let members = pool.members().iter();
        assert!(
            members
                .clone()
                .all(|member| member.state() == State::Closed)
        );
        let refused = pool.publish("chat:drained", &1).await;
        assert_eq!(refused.expect_err("it has ended").kind(), ErrorKind::Closed);
        pool.ready().await.expect_err("it has ended");
        let publisher = connect(served.address("ws"), quick());
        let history = publisher
            .history::<u64>("chat:drained")
            .with("limit", &1_000);
        let kept = history.await.expect("it keeps history").messages;
        assert_eq!(kept.len() as u64, LAST);
    });
}

#[test]
fn a_pool_follows_a_server_that_changes_its_certificate() {
    let (old, new) = (Certificates::make(), Certificates::make());
    let served = serve(&old.toml());
    let other = Proxy::before(served.address("wss"), |_| Script::default());
    run(async {
        let endpoints = [served.address("wss"), other.address()];
        let urls = endpoints.map(|at| format!("wss://localhost:{}/ws", at.port()));
        let mut pooled = options(PoolPolicy::RoundRobin, 0);
        pooled.client.tls = trusting(&old, None).tls;
        let pool = Pool::connect(&urls, pooled).expect("good options");
        used(&pool, 2).await;
        let publisher = connect(served.address("ws"), quick());
        let room = "chat:pool-renewed";
        let mut heard = pool
            .subscribe(room, SubscribeOptions::default())
            .expect("open");
        heard.joined().await.expect("it joins");
        let mut seen = Seen::default();
        publisher.publish(room, &1_u64).await.expect("published");
        seen.until(&mut heard, 1).await;
        renew(&served, &old, &new);
        // A connection that stands stands: the room goes to the other one.
        close_room(&served, room, 1012);
        publisher.publish(room, &2_u64).await.expect("published");
        seen.until(&mut heard, 2).await;
        assert_eq!((pool.healthy(), seen.recovered), (1, 1));
        // Then there is none that anybody vouches for.
        close_room(&served, room, 1012);
        publisher.publish(room, &3_u64).await.expect("published");
        for member in pool.members() {
            let mut status = member.status();
            let untrusted = status.wait_for(|status| status.attempt >= 3).await;
            let error = untrusted.expect("it lives").error.clone();
            assert_eq!(error.expect("it failed").kind(), ErrorKind::Connect);
        }
        assert_eq!(pool.healthy(), 0);
        trust_anew(&old, &new);
        publisher.publish(room, &4_u64).await.expect("published");
        seen.until(&mut heard, 4).await;
        seen.assert_all(4);
        used(&pool, 2).await;
        pool.close().await;
    });
}

#[test]
fn a_pool_goes_on_with_a_server_that_starts_anew() {
    let served = serve("");
    let address = served.address("ws");
    run(async {
        let pool = pool([address; 2], options(PoolPolicy::RoundRobin, 0)).await;
        let mut heard = pool
            .subscribe("chat:anew", SubscribeOptions::default())
            .expect("open");
        heard.joined().await.expect("it joins");
        let mut seen = Seen::default();
        for number in 1..=10_u64 {
            pool.publish("chat:anew", &number).await.expect("published");
        }
        seen.until(&mut heard, 10).await;
        served.terminate();
        let (code, log) = served.end();
        assert_eq!(code, Some(0), "{log}");
        let served = serve_on(address.port(), "");
        let publisher = connect(address, quick());
        let mut number = 10;
        // The new server forgets what it says while nobody is there to hear it.
        while seen.lost.is_empty() {
            number += 1;
            publisher
                .publish("chat:anew", &number)
                .await
                .expect("published");
            let soon = Duration::from_millis(100);
            _ = tokio::time::timeout(soon, seen.until(&mut heard, number)).await;
        }
        publisher
            .publish("chat:anew", &(number + 1))
            .await
            .expect("published");
        seen.until(&mut heard, number + 1).await;
        assert_eq!(seen.lost, [Loss::EpochChanged]);
        assert!(seen.numbers.is_sorted_by(|one, next| one < next));
        pool.close().await;
        drop(served);
    });
}

#[test]
fn a_pool_outlives_its_tokens() {
    // The server takes no token by message, so no refresh helps, and each token expires.
    let (served, _secret) = guarded(r#"["header"]"#);
    run(async {
        let mut pooled = options(PoolPolicy::RoundRobin, 0);
        let (token, _) = provider(1);
        pooled.client.token = Some(token);
        pooled.client.breaker.failures = 100;
        let pool = pool([served.address("ws"); 2], pooled).await;
        let publisher = Options {
            token: Some(provider(600).0),
            ..quick()
        };
        let publisher = connect(served.address("ws"), publisher);
        let mut heard = pool
            .subscribe("chat:expiry", SubscribeOptions::default())
            .expect("open");
        heard.joined().await.expect("it joins");
        let mut seen = Seen::default();
        for number in 1.. {
            publisher
                .publish("chat:expiry", &number)
                .await
                .expect("published");
            seen.until(&mut heard, number).await;
            if seen.recovered >= 2 {
                seen.assert_all(number);
                break;
            }
        }
        pool.close().await;
    });
}

#[test]
fn rooms_move_with_what_they_missed() {
    let served = serve("");
    for (index, policy) in POLICIES.into_iter().enumerate() {
        for (what, spares) in [(Fault::Reset, 0), (Fault::Stall, 1), (Fault::HalfClose, 0)] {
            // Both endpoints fail, at different times, and again.
            let first = before(&served, vec![cut(2_000, what), cut(9_000, what)]);
            let second = before(&served, vec![cut(5_000, what), cut(3_000, what)]);
            let endpoints = [first.address(), second.address()];
            let room = format!("chat:pool-{index}-{what:?}");
            let seen = run(async {
                let pool = pool(endpoints, options(policy, spares)).await;
                let seen = hears_itself(&pool, &room).await;
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
        used(&pool, 2).await;
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
        used(&pool, 2).await;
        assert!(pool.unsubscribe(heard[0].id()));
        assert!(!pool.unsubscribe(heard[0].id()), "it is gone");
        while let Some(item) = heard[0].next().await {
            item.expect("what was there before the end");
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
