//! A consumer that stalls: what its subscription holds is bounded, and the rest is told.

use crate::scene::{connect, quick, run, serve};
use shardcast_client::{BufferOptions, Item, Loss, SubscribeOptions, WhenBufferFull};

/// Messages that nobody takes.
const MESSAGES: u64 = 1_000_000;

#[test]
fn a_million_messages_against_a_stalled_consumer() {
    let served = serve("");
    run(async {
        let (publisher, consumer) = (
            connect(served.address("ws"), quick()),
            connect(served.address("ws"), quick()),
        );
        let options = SubscribeOptions {
            buffer: BufferOptions {
                items: 100,
                bytes: 10_000,
                when_full: WhenBufferFull::DropOldest,
            },
            ..SubscribeOptions::default()
        };
        let mut stalled = consumer.subscribe("flood", options).expect("open");
        stalled.joined().await.expect("it joins");
        publisher.ready().await.expect("it connects");
        let mut sent = std::collections::VecDeque::new();
        for number in 0..MESSAGES {
            if sent.len() >= 500 {
                let oldest: shardcast_client::Pending<_> = sent.pop_front().expect("500");
                oldest.await.expect("published");
            }
            sent.push_back(publisher.publish("flood", &number).without_key().send());
            assert!(stalled.buffered() <= 100);
        }
        for sent in sent {
            sent.await.expect("published");
        }
        while consumer.snapshot().messages_received < MESSAGES + 2 {
            tokio::task::yield_now().await;
        }
        let first = stalled.next().await.expect("a gap").expect("no error");
        let Item::Lost(lost) = first else {
            panic!("{first:?}");
        };
        let Loss::Buffer(missing) = lost.why else {
            panic!("{lost:?}");
        };
        let mut left = 0;
        let mut last = None;
        while stalled.buffered() > 0 {
            let item = stalled.next().await.expect("an item").expect("no error");
            let Item::Message(message) = item else {
                panic!("{item:?}");
            };
            last = Some(message.read::<u64>().expect("a number"));
            left += 1;
        }
        // What it heard first of all, that it is joined, was left out, too.
        assert_eq!(missing + left, MESSAGES + 1);
        assert_eq!(last, Some(MESSAGES - 1));
    });
}
