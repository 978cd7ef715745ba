//! The works with our client.

use crate::Outcome;
use crate::work::{CONNECTIONS, Client as Who, Counted, DEPTH, Order, measured};
use shardcast_client::{
    Adaptive, BatchOptions, Client, Item, Options, Proxy, QueueOptions, SubscribeOptions,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn options(who: Who) -> Options {
    Options {
        proxy: Proxy::None,
        queue: QueueOptions {
            in_flight: DEPTH,
            ..QueueOptions::default()
        },
        adaptive: match who {
            Who::Adaptive => Adaptive::On,
            Who::Ours | Who::Tungstenite => Adaptive::Off,
        },
        batch: match who {
            // What it may do at the most.
            Who::Adaptive => BatchOptions {
                delay: Duration::from_millis(1),
                ..BatchOptions::default()
            },
            Who::Ours | Who::Tungstenite => BatchOptions::default(),
        },
        ..Options::default()
    }
}

pub(crate) async fn round_trips(who: Who, address: &str, time: Duration) -> Outcome<Counted> {
    let client = Client::connect(address, options(who))?;
    client.ready().await?;
    let answered = Arc::new(AtomicU64::new(0));
    let callers = (0..DEPTH).map(|_| {
        let (client, answered) = (client.clone(), Arc::clone(&answered));
        tokio::spawn(async move {
            for number in 0.. {
                let order: Order = client.request("echo", &Order::numbered(number)).await?;
                assert_eq!(order.number, number);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), shardcast_client::Error>(())
        })
    });
    let callers: Vec<_> = callers.collect();
    let counted = measured(time, 1, || answered.load(Ordering::Relaxed)).await;
    callers.iter().for_each(|caller| caller.abort());
    counted
}

pub(crate) async fn subscriptions(
    who: Who,
    address: &str,
    time: Duration,
    rooms: usize,
) -> Outcome<Counted> {
    let heard = Arc::new(AtomicU64::new(0));
    let (mut held, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let client = Client::connect(address, options(who))?;
        for room in 0..rooms {
            let heard = Arc::clone(&heard);
            let room = format!("room-{room}");
            let hear = move |item: &Item| {
                if let Item::Message(message) = item
                    && let Ok(order) = message.read::<Order>()
                {
                    heard.fetch_add(u64::from(order.price > 0.0), Ordering::Relaxed);
                }
            };
            held.push(client.subscribe_with(&room, SubscribeOptions::default(), hear)?);
        }
        for subscription in &held {
            subscription.joined().await?;
        }
        clients.push(client);
    }
    measured(time, CONNECTIONS, || heard.load(Ordering::Relaxed)).await
}

pub(crate) async fn idle(who: Who, address: &str, count: usize) -> Outcome<Counted> {
    let mut held = Vec::new();
    for number in 0..count {
        let client = Client::connect(address, options(who))?;
        let room = format!("idle-{}", number % 10);
        let subscription = client.subscribe(&room, SubscribeOptions::default())?;
        subscription.joined().await?;
        held.push((client, subscription));
    }
    let counted = (0, 0, held.len() as u64);
    Box::leak(Box::new(held));
    Ok(counted)
}

/// Publishes to all rooms in turn, at a steady rate.
pub(crate) async fn publish(
    address: &str,
    rooms: usize,
    per_second: usize,
    time: Duration,
) -> Outcome<()> {
    let client = Client::connect(address, options(Who::Ours))?;
    client.ready().await?;
    const TICKS_PER_SECOND: usize = 100;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / TICKS_PER_SECOND as u32);
    let end = tokio::time::Instant::now() + time;
    let mut number = 0;
    while tokio::time::Instant::now() < end {
        ticks.tick().await;
        let publishes: Vec<_> = (0..per_second / TICKS_PER_SECOND)
            .map(|_| {
                number += 1;
                let room = format!("room-{}", number as usize % rooms);
                client
                    .publish(&room, &Order::numbered(number))
                    .without_key()
                    .send()
            })
            .collect();
        for publish in publishes {
            publish.await?;
        }
    }
    Ok(())
}
