//! Rooms that are maps, on a simulated network: a key that is over is removed at a moment that is
//! the same in every run, members hear of it in the room's order, and a delta builds on its own
//! key.

use super::*;
use crate::application::Accepted;
use crate::driver::sim::world::Read;
use crate::topic::data::{Data, DataEncoding};
use crate::topic::joining::JoinOptions;
use crate::topic::key::Topic;
use crate::topic::log::map_options::MapOptions;
use crate::topic::log::options::{LogClass, LogOptions};
use crate::topic::publication::{Content, Position, Publication, PublicationKind};
use crate::topic::target::{Publish, Target};
use crate::types::answer::{Answer, Tag};
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::history::{HistoryQuery, JoinDeltas, ReadOrder};
use std::time::Duration;

const CLASS: LogClass = LogClass::new(0);
const ROOM: Topic<'static> = Topic::Room("r");
const STEP_MS: Millis = 50;
/// Ten seconds.
const STEPS_MAX: usize = 200;

/// `j` joins, `d` joins for deltas, `m` asks what the map holds, `+k=text` sets a key, `-k` removes
/// it, `hk` holds it and `rk` does so no longer. The data of a publication is what it does, in
/// those words. Answers are told in words.
struct Keeper;

impl Application for Keeper {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(Accepted::from(()))
    }

    fn message(&mut self, cx: &mut Context<'_>, (): &mut (), message: Message<'_>) {
        let Message::Text(text) = message else { return };
        let join = |deltas| JoinOptions {
            log: Some(CLASS),
            deltas,
            ..JoinOptions::default()
        };
        match text.split_at(1) {
            ("j", _) => cx
                .join_with("r", join(JoinDeltas::Never), Tag(1))
                .expect("it may"),
            ("d", _) => cx
                .join_with("r", join(JoinDeltas::Wanted), Tag(1))
                .expect("it may"),
            ("m", _) => {
                let query = HistoryQuery {
                    since: None,
                    limit: 10,
                    order: ReadOrder::Map,
                };
                cx.history(ROOM, CLASS, query, Tag(3)).expect("it may");
            }
            ("h", key) => {
                let publish = Publish::new(content(&format!("+{key}=here"))).keep(CLASS);
                let publish = publish.conflate(key).holds(cx.address());
                let target = Target::Room("r");
                cx.publish(target, publish.receipt(Tag(4))).expect("it may");
            }
            ("r", key) => {
                let publish = Publish::new(content(&format!("-{key}"))).keep(CLASS);
                let publish = publish.conflate(key).releases(cx.address());
                let target = Target::Room("r");
                cx.publish(target, publish.receipt(Tag(4))).expect("it may");
            }
            (change, rest) => {
                let key = rest.split('=').next().expect("a key");
                let publish = Publish::new(content(text)).keep(CLASS).conflate(key);
                let publish = match change {
                    "-" => publish.removes(),
                    _ => publish,
                };
                let target = Target::Room("r");
                cx.publish(target, publish.receipt(Tag(4))).expect("it may");
            }
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, (): &mut (), _: Tag, answer: Answer) {
        let text = match answer {
            Answer::Joined { .. } => "joined".to_owned(),
            Answer::History(found) => {
                let held = found.publications.iter().map(|kept| {
                    let publication = kept.publication(Some(ROOM)).expect("it is data");
                    format!("{}@{}", text_of(&publication), kept.offset)
                });
                let held: Vec<String> = held.collect();
                format!("{held:?} at {}", found.position.offset)
            }
            Answer::Reported(report) => {
                let offset = report.position.map_or(0, |position| position.offset);
                format!("{:?} {offset}", report.repeat)
            }
            other => panic!("{other:?}"),
        };
        cx.send(Kind::Text, text.as_bytes());
    }

    fn encode(_: EncodingId, said: &Publication<'_>, at: Option<Position>) -> Option<Frame> {
        Some(frame(&format!("{}@{}", text_of(said), at?.offset)))
    }

    fn encode_delta(
        _: EncodingId,
        base: Option<&Publication<'_>>,
        said: &Publication<'_>,
        at: Option<Position>,
    ) -> Option<Frame> {
        let base = base.map_or("whole".to_owned(), text_of);
        Some(frame(&format!(
            "{}@{} of {base}",
            text_of(said),
            at?.offset
        )))
    }

    fn removal(last: &Publication<'_>) -> Option<Content> {
        let text = text_of(last);
        let key = text[1..].split('=').next().expect("a key");
        Some(content(&format!("-{key}")))
    }
}

fn frame(text: &str) -> Frame {
    Frame::new(Kind::Text, text.as_bytes())
}

fn text_of(publication: &Publication<'_>) -> String {
    String::from_utf8_lossy(publication.data.bytes()).into_owned()
}

fn content(text: &str) -> Content {
    let publication = Publication {
        topic: Some(ROOM),
        kind: PublicationKind::Event { name: "e" },
        data: Data::Text(text),
        data_encoding: DataEncoding::default(),
    };
    Content::data(&publication, None)
}

struct Table {
    trial: Trial<Keeper>,
}

impl Table {
    fn new(map: MapOptions) -> Table {
        let config = Config {
            shards: 1,
            logs: vec![LogOptions {
                publications_max: 3,
                map: Some(map),
                ..LogOptions::default()
            }],
            ..Config::default()
        };
        config.check().expect("it is possible");
        let faults = Faults {
            slots: 64,
            ..Faults::none()
        };
        let trial = Trial::of(&config, faults, Keeper);
        Table { trial }
    }

    fn tick(&mut self) {
        for _ in 0..6 {
            self.trial.shard.tick();
            self.trial.shard.check_invariants();
        }
    }

    fn connect(&mut self) -> SocketId {
        let client = self.trial.connect();
        self.tick();
        self.heard(client);
        client
    }

    fn say(&mut self, client: SocketId, text: &str) -> Vec<String> {
        self.trial
            .write(client, &client_frame(OpCode::Text, text.as_bytes()));
        self.tick();
        self.heard(client)
    }

    /// What a client has heard since the last time, of short messages.
    fn heard(&self, client: SocketId) -> Vec<String> {
        let mut bytes = Vec::new();
        while let Read::Bytes(more) = self.trial.world.borrow_mut().read(client, 1 << 20) {
            bytes.extend(more);
        }
        let (mut rest, mut heard) = (&bytes[..], Vec::new());
        while let [0x81, len, more @ ..] = rest {
            let (text, more) = more.split_at((*len).into());
            heard.push(String::from_utf8_lossy(text).into_owned());
            rest = more;
        }
        heard
    }

    /// Until so many keys have been removed because their time was over.
    fn expire(&mut self, keys: u64) -> Millis {
        for _ in 0..STEPS_MAX {
            if self.trial.counters.map_keys_expired.get() == keys {
                self.tick();
                return self.trial.world.borrow().now();
            }
            let now = self.trial.world.borrow().now();
            self.trial.world.borrow_mut().advance_to(now + STEP_MS);
            self.trial.shard.tick();
            self.trial.shard.check_invariants();
        }
        panic!("it never came to that: {:?}", self.trial.counters);
    }
}

#[test]
fn a_key_that_is_over_is_removed_in_the_order_of_its_room() {
    let run = || {
        let mut table = Table::new(MapOptions {
            key_ttl: Some(Duration::from_secs(2)),
            ..MapOptions::default()
        });
        let (member, other) = (table.connect(), table.connect());
        assert_eq!(table.say(member, "j"), ["joined"]);
        for (number, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let offset = number + 1;
            let told = table.say(other, &format!("+{key}=1"));
            assert_eq!(told, [format!("First {offset}")]);
        }
        // The log keeps three, the map all four.
        let all = r#"["+a=1@1", "+b=1@2", "+c=1@3", "+d=1@4"] at 4"#;
        assert_eq!(table.say(other, "m"), [all]);
        assert_eq!(table.say(other, "-b"), ["First 5"]);
        assert_eq!(table.say(other, "-b"), ["NoKey 5"]);
        let at = table.expire(3);
        assert_eq!(table.say(other, "m"), ["[] at 8"]);
        let expected = [
            "+a=1@1", "+b=1@2", "+c=1@3", "+d=1@4", "-b@5", "-a@6", "-c@7", "-d@8",
        ];
        assert_eq!(table.heard(member), expected);
        at
    };
    assert_eq!(run(), run());
}

#[test]
fn a_full_map_takes_what_it_holds_and_no_more() {
    let mut table = Table::new(MapOptions {
        keys_max: 2,
        ..MapOptions::default()
    });
    let one = table.connect();
    for (said, told) in [
        ("+a=1", "First 1"),
        ("+b=1", "First 2"),
        ("+c=1", "MapFull 2"),
        ("+a=2", "First 3"),
        ("-b", "First 4"),
        ("+c=1", "First 5"),
        ("m", r#"["+a=2@3", "+c=1@5"] at 5"#),
    ] {
        assert_eq!(table.say(one, said), [told], "{said}");
    }
    assert_eq!(table.trial.counters.map_refused.get(), 1);
}

/// Whoever is sent deltas builds on what it has of the same key.
#[test]
fn a_delta_builds_on_its_own_key() {
    let mut table = Table::new(MapOptions::default());
    let (member, other) = (table.connect(), table.connect());
    table.say(other, "+a=1");
    assert_eq!(table.say(member, "d"), ["joined"]);
    for said in ["+b=1", "+a=2", "+b=2", "-a", "+a=3", "+a=4"] {
        table.say(other, said);
    }
    let expected = [
        // It has just come.
        "+b=1@2 of whole",
        "+a=2@3 of +a=1",
        "+b=2@4 of +b=1",
        "-a@5 of whole",
        "+a=3@6 of whole",
        "+a=4@7 of +a=3",
    ];
    assert_eq!(table.heard(member), expected);
}

/// Members hear of a key when the first holds it, and when the last does no longer.
#[test]
fn a_key_goes_with_its_last_holder() {
    let mut table = Table::new(MapOptions {
        key_ttl: Some(Duration::from_secs(1)),
        keys_max: 1,
        ..MapOptions::default()
    });
    let (member, one, other) = (table.connect(), table.connect(), table.connect());
    assert_eq!(table.say(member, "j"), ["joined"]);
    for (who, said, told) in [
        (one, "ra", "NoKey 0"),
        (one, "ha", "First 1"),
        (one, "ha", "KeyExists 1"),
        (other, "ha", "KeyExists 1"),
        (other, "hb", "MapFull 1"),
        (one, "ra", "NoKey 1"),
        (one, "ra", "NoKey 1"),
        (other, "m", r#"["+a=here@1"] at 1"#),
        (other, "ra", "First 2"),
        (other, "ra", "NoKey 2"),
        (one, "+a=set", "First 3"),
        (one, "ra", "NoKey 3"),
    ] {
        assert_eq!(table.say(who, said), [told], "{said}");
    }
    table.expire(1);
    let expected = ["+a=here@1", "-a@2", "+a=set@3", "-a@4"];
    assert_eq!(table.heard(member), expected);
}
