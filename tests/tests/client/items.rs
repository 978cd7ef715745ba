//! What a subscription hears besides messages of its room: who comes and goes, what is for its user
//! or for everyone, and what the server left out.

use crate::closes::{close, guarded, provider};
use crate::scene::{connect, quick, run, serve};
use serde_json::json;
use shardcast_client::{
    BufferOptions, Item, Message, Options, PresenceEvent, SubscribeOptions, Subscription, Target,
};
use shardcast_tests::proxy::{Fault, Proxy, Script, Way};

fn shown(name: &str) -> SubscribeOptions {
    let options = SubscribeOptions::default();
    options.presence(&json!({"name": name})).expect("JSON")
}

async fn item(subscription: &mut Subscription) -> Item {
    let item = subscription.next().await.expect("it goes on");
    item.expect("no error")
}

/// The next that is told of another member.
async fn presence(subscription: &mut Subscription) -> PresenceEvent {
    loop {
        if let Item::Presence(event) = item(subscription).await {
            return *event;
        }
    }
}

#[test]
fn others_are_heard_of_with_what_they_show() {
    let served = serve("");
    run(async {
        let [ann, bob] = [(), ()].map(|()| connect(served.address("ws"), quick()));
        let mut hears = ann.subscribe("team:a", shown("ann")).expect("open");
        hears.joined().await.expect("it joins");
        let came = bob.subscribe("team:a", shown("bob")).expect("open");
        came.joined().await.expect("it joins");
        let event = presence(&mut hears).await;
        assert_eq!((&*event.event, &event.user), ("join", &None));
        assert_eq!(event.connection.as_deref(), bob.connection().as_deref());
        assert_eq!(event.data, Some(json!({"name": "bob"})));
        let page = ann.presence("team:a").await.expect("open");
        assert_eq!((page.total, page.members.len()), (2, 2));
        // It shows the same when it comes back.
        let before = bob.connection();
        close(&served, &bob, 1012);
        let event = presence(&mut hears).await;
        assert_eq!(&*event.event, "leave");
        assert_eq!(event.connection.as_deref(), before.as_deref());
        let event = presence(&mut hears).await;
        assert_eq!(&*event.event, "join");
        assert_eq!(event.data, Some(json!({"name": "bob"})));
        drop(came);
        assert_eq!(&*presence(&mut hears).await.event, "leave");
    });
}

#[test]
fn what_is_for_a_user_or_for_everyone_is_heard_apart_from_rooms() {
    let (served, _secret) = guarded(r#"["header"]"#);
    run(async {
        let signed = || Options {
            token: Some(provider(600).0),
            ..quick()
        };
        let [ann, other] = [(), ()].map(|()| connect(served.address("ws"), signed()));
        ann.ready().await.expect("it connects");
        other.ready().await.expect("it connects");
        let direct = ann.subscribe_direct(SubscribeOptions::default());
        let mut direct = direct.expect("open");
        let mut room = ann
            .subscribe("chat:a", SubscribeOptions::default())
            .expect("open");
        room.joined().await.expect("it joins");
        for (number, target) in [
            (1, Target::User("ann")),
            (2, Target::User("nobody")),
            (3, Target::Everyone),
            (4, Target::Room("chat:a")),
        ] {
            other.publish(target, &number).await.expect("published");
        }
        let read = |item: Item| match item {
            Item::Message(message) => {
                assert_eq!(message.from(), other.connection().as_deref());
                (message.room().map(str::to_owned), number(&message))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(read(item(&mut direct).await), (None, 1));
        assert_eq!(read(item(&mut direct).await), (None, 3));
        assert!(matches!(item(&mut room).await, Item::Joined(_)));
        let last = read(item(&mut room).await);
        assert_eq!(last, (Some("chat:a".to_owned()), 4));
        assert_eq!((direct.buffered(), room.buffered()), (0, 0));
    });
}

fn number(message: &Message) -> u64 {
    message.read().expect("a number")
}

/// 16 MiB: more than all socket buffers on the way hold.
const MESSAGES: u64 = 512;
const MESSAGE_BYTES: usize = 32 << 10;

#[test]
fn what_the_server_left_out_is_counted_in_its_place() {
    let served = serve("[namespaces.brisk]\nhistory = 10\nslow_reader = \"catch_up\"\n");
    // Nothing comes for a while, and nobody pings so soon.
    let proxy = Proxy::before(served.address("ws"), |_| Script {
        down: Way {
            fault: Some((8_000, Fault::Stall)),
            piece_bytes: 4 << 10,
            socket_bytes: Some(16 << 10),
            ..Way::default()
        },
        ..Script::default()
    });
    run(async {
        let patient = Options {
            heartbeat: None,
            ..quick()
        };
        let reader = connect(proxy.address(), patient);
        let publisher = connect(served.address("ws"), quick());
        let options = SubscribeOptions {
            buffer: BufferOptions {
                bytes: 64 << 20,
                ..BufferOptions::default()
            },
            ..SubscribeOptions::default()
        };
        let mut heard = reader.subscribe("brisk:a", options).expect("open");
        heard.joined().await.expect("it joins");
        for number in 1..=MESSAGES {
            let data = format!("{number:0>MESSAGE_BYTES$}");
            let receipt = publisher.publish("brisk:a", &data).await;
            assert_eq!(receipt.expect("published").offset, Some(number));
        }
        proxy.resume(0);
        let (mut next, mut gaps) = (1, 0);
        while next <= MESSAGES {
            match item(&mut heard).await {
                Item::Message(message) => {
                    assert_eq!(message.offset(), Some(next));
                    next += 1;
                }
                Item::Missed(missed) => {
                    assert_eq!(&*missed.reason, "trimmed_by_size");
                    (next, gaps) = (next + missed.count, gaps + 1);
                }
                Item::Joined(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(gaps > 0, "it was never behind");
        assert_eq!(reader.snapshot().disconnects, 0);
    });
}
