//! A room that another one orders, on a simulated network: who needs its log waits for it, what is
//! published goes out and comes back with its place, and nothing is left of who goes meanwhile.

use super::*;
use crate::application::Accepted;
use crate::driver::sim::world::Read;
use crate::run::handle::Handle;
use crate::topic::data::{Data, DataEncoding};
use crate::topic::joining::JoinOptions;
use crate::topic::keep::GivenPlace;
use crate::topic::key::Topic;
use crate::topic::log::options::{AckOptions, LogClass, LogOptions, LogOrder};
use crate::topic::log::step::LogStep;
use crate::topic::publication::{Content, Position, Publication, PublicationKind};
use crate::topic::sequencer::{Sequencer, SequencerReader, ToSequence, Unsequenced};
use crate::topic::target::{Publish, Target};
use crate::types::answer::{Answer, Repeat, Report, Tag};
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::history::{HistoryQuery, JoinAcks, Loss, ReadOrder, Since};
use crate::types::room_error::RoomError;
use std::time::Duration;

const CLASS: LogClass = LogClass::new(0);
const ROOM: Topic<'static> = Topic::Room("r");

/// `j` joins, `a` joins to acknowledge, `s5` joins with what was missed since 5, `l` leaves, `h`
/// asks for history, anything else is published. Answers are told in words.
struct Scribe;

impl Application for Scribe {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(Accepted::from(()))
    }

    fn message(&mut self, cx: &mut Context<'_>, (): &mut (), message: Message<'_>) {
        let Message::Text(text) = message else { return };
        let since = |offset| Since {
            epoch: Some(7),
            offset,
        };
        let join = |since| JoinOptions {
            log: Some(CLASS),
            since,
            ..JoinOptions::default()
        };
        match text {
            "j" => cx.join_with("r", join(None), Tag(1)).expect("it may"),
            "a" => {
                let acks = JoinAcks::Always;
                let options = JoinOptions { acks, ..join(None) };
                cx.join_with("r", options, Tag(1)).expect("it may");
            }
            "l" => cx.leave("r", Tag(2)).expect("it is in"),
            "h" => {
                let query = HistoryQuery {
                    since: None,
                    limit: 10,
                    order: ReadOrder::Forward,
                };
                cx.history(ROOM, CLASS, query, Tag(3)).expect("it may");
            }
            text => match text.strip_prefix('s') {
                Some(offset) => {
                    let since = since(offset.parse().expect("a number"));
                    cx.join_with("r", join(Some(since)), Tag(1))
                        .expect("it may");
                }
                None => {
                    let publisher = cx.address();
                    let kind = PublicationKind::Message { publisher };
                    let publish = Publish::new(content(kind, text)).keep(CLASS);
                    let publish = publish.receipt(Tag(4));
                    cx.publish(Target::Room("r"), publish).expect("it may");
                }
            },
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, (): &mut (), _: Tag, answer: Answer) {
        let text = match answer {
            Answer::Joined { log, members, .. } => {
                let log = log.expect("it keeps one");
                format!("joined {members} at {:?} {:?}", log.position, log.recovery)
            }
            Answer::Refused { error, .. } => format!("refused {error:?}"),
            Answer::Left { .. } => "left".to_owned(),
            Answer::History(found) => {
                format!(
                    "{} of {:?} {:?}",
                    found.publications.len(),
                    found.position,
                    found.loss
                )
            }
            Answer::Reported(report) => format!("{:?} {:?}", report.position, report.repeat),
            other => panic!("{other:?}"),
        };
        cx.send(Kind::Text, text.as_bytes());
    }

    fn encode(_: EncodingId, said: &Publication<'_>, at: Option<Position>) -> Option<Frame> {
        let Data::Text(text) = said.data else {
            return None;
        };
        let text = format!("{text}@{}", at.map_or(0, |at| at.offset));
        Some(Frame::new(Kind::Text, text.as_bytes()))
    }
}

fn content(kind: PublicationKind<'_>, text: &str) -> Content {
    let publication = Publication {
        topic: Some(ROOM),
        kind,
        data: Data::Text(text),
        data_encoding: DataEncoding::default(),
    };
    Content::data(&publication, None)
}

struct Desk {
    world: Rc<RefCell<World>>,
    shard: Shard<Scribe, SimDriver>,
    handle: Handle,
    sequencer: SequencerReader,
}

impl Desk {
    fn new(waiting_max: usize) -> Desk {
        Desk::of(waiting_max, LogOptions::default())
    }

    fn of(waiting_max: usize, options: LogOptions) -> Desk {
        let (way, sequencer) = Sequencer::new(waiting_max, 1_000);
        let config = Config {
            shards: 1,
            logs: vec![LogOptions {
                order: LogOrder::Sequencer,
                ..options
            }],
            sequencer: Some(way),
            ..Config::default()
        };
        config.check().expect("it is possible");
        let faults = Faults {
            slots: 64,
            ..Faults::none()
        };
        let world = World::new(1, faults, Random::new(1), Trace::Silent);
        let mailboxes = lane::mesh(1, LaneCapacity::for_shards(1), 1);
        let handle = Handle::to(&mailboxes);
        let setup = Setup {
            config: &config,
            mailbox: mailboxes.into_iter().next().expect("one shard"),
            token_key: Some(TokenKey::fixed()),
            admission: ProcessCounts::new(config.connections_max),
            counters: Arc::default(),
        };
        let shard = Shard::new(setup, Scribe, World::driver(&world, 0));
        Desk {
            world,
            shard,
            handle,
            sequencer,
        }
    }

    fn tick(&mut self) {
        for _ in 0..6 {
            self.shard.tick();
            self.shard.check_invariants();
        }
    }

    fn connect(&mut self) -> SocketId {
        let client = self.world.borrow_mut().connect(0, 0, Line::Faulty).unwrap();
        let mut request = Vec::new();
        let key = upgrade::encode_key([0; 16]);
        upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
        self.write(client, &request);
        self.heard(client);
        client
    }

    fn write(&mut self, client: SocketId, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            let written = self.world.borrow_mut().write(client, left);
            left = &left[written.expect("it is there")..];
            self.tick();
        }
    }

    /// A client says something; what it hears at once.
    fn say(&mut self, client: SocketId, text: &str) -> Vec<String> {
        self.write(client, &client_frame(OpCode::Text, text.as_bytes()));
        self.tick();
        self.heard(client)
    }

    /// What a client has heard since the last time, of short messages.
    fn heard(&self, client: SocketId) -> Vec<String> {
        let mut bytes = Vec::new();
        while let Read::Bytes(more) = self.world.borrow_mut().read(client, 1 << 20) {
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

    fn step(&mut self, step: LogStep) {
        self.handle.step_log(ROOM, step).expect("it has room");
        self.tick();
    }

    fn place(&mut self, offset: u64, text: &str) {
        self.place_behind(offset - 1, offset, text);
    }

    fn place_behind(&mut self, previous: u64, offset: u64, text: &str) {
        let place = GivenPlace {
            epoch: 7,
            offset,
            previous,
            age: Duration::ZERO,
        };
        self.place_at(place, text);
    }

    fn place_at(&mut self, place: GivenPlace, text: &str) {
        let kind = PublicationKind::Elsewhere { from: "b" };
        let publish = Publish::new(content(kind, text)).keep(CLASS);
        let placed = self
            .handle
            .publish_sequenced(Target::Room("r"), publish, place);
        placed.expect("it has room");
        self.tick();
    }

    /// The log that somebody needs, and how far the home's own is.
    fn wanted(&self) -> Option<Position> {
        match self.sequencer.try_recv() {
            Some(ToSequence::Log { topic, class, has }) => {
                assert_eq!((topic.topic(), class), (ROOM, CLASS));
                has
            }
            other => panic!("{other:?}"),
        }
    }

    fn publication(&self) -> Unsequenced {
        match self.sequencer.try_recv() {
            Some(ToSequence::Publication(publication)) => publication,
            other => panic!("{other:?}"),
        }
    }

    fn load(&mut self) {
        self.step(LogStep::Begin { epoch: 7, next: 3 });
        self.place(3, "three");
        self.place(4, "four");
        self.step(LogStep::Ready);
    }
}

const NOTHING: [String; 0] = [];

fn at(offset: u64) -> String {
    format!("Position {{ epoch: 7, offset: {offset} }}")
}

#[test]
fn whoever_needs_the_log_waits_for_it_and_it_is_asked_for_once() {
    let mut desk = Desk::new(9);
    let (a, b, c) = (desk.connect(), desk.connect(), desk.connect());
    assert_eq!(desk.say(a, "j"), NOTHING);
    assert_eq!(desk.say(b, "s3"), NOTHING);
    assert_eq!(desk.say(c, "h"), NOTHING);
    assert_eq!(desk.wanted(), None);
    assert!(desk.sequencer.try_recv().is_none(), "once for all");
    desk.load();
    assert_eq!(desk.heard(a), [format!("joined 1 at {} None", at(4))]);
    let recovered = format!("joined 2 at {} Some(Recovered)", at(4));
    assert_eq!(desk.heard(b), [recovered, "four@4".to_owned()]);
    assert_eq!(desk.heard(c), [format!("2 of {} None", at(4))]);
    // From here on it is there.
    let c_joined = desk.say(c, "j");
    assert_eq!(c_joined, [format!("joined 3 at {} None", at(4))]);
    // Whoever is ahead of this node waits until it is there, too, and hears nothing twice.
    let d = desk.connect();
    assert_eq!(desk.say(d, "s6"), NOTHING);
    assert_eq!(
        desk.wanted(),
        Some(Position {
            epoch: 7,
            offset: 4
        })
    );
    for (offset, text) in [(5, "five"), (6, "six"), (7, "seven")] {
        desk.place(offset, text);
    }
    assert_eq!(desk.heard(a), ["five@5", "six@6", "seven@7"]);
    desk.step(LogStep::Ready);
    let recovered = format!("joined 4 at {} Some(Recovered)", at(7));
    assert_eq!(desk.heard(d), [recovered, "seven@7".to_owned()]);
}

#[test]
fn what_is_published_goes_out_and_is_delivered_in_its_place() {
    let mut desk = Desk::new(9);
    let (a, b) = (desk.connect(), desk.connect());
    desk.say(a, "j");
    desk.say(b, "j");
    desk.wanted();
    desk.load();
    for client in [a, b] {
        desk.heard(client);
    }
    assert_eq!(desk.say(a, "five"), NOTHING, "it has no place yet");
    let publication = desk.publication();
    let said = publication.publication().expect("it is data");
    assert_eq!(said.data, Data::Text("five"));
    let publisher = publication.publisher.expect("it waits");
    let report = Report {
        position: Some(Position {
            epoch: 7,
            offset: 5,
        }),
        ..Report::default()
    };
    desk.handle
        .answer_publisher(publisher, report)
        .expect("room");
    desk.tick();
    assert_eq!(desk.heard(a), [format!("Some({}) First", at(5))]);
    desk.place(5, "five");
    // Twice, out of its turn, of another epoch: none of these.
    desk.place(5, "five");
    desk.place(7, "seven");
    assert_eq!(
        desk.wanted(),
        Some(Position {
            epoch: 7,
            offset: 5
        })
    );
    desk.place(6, "six");
    for client in [a, b] {
        assert_eq!(desk.heard(client), ["five@5", "six@6"]);
    }
    // Nobody takes it, so its publisher hears that.
    let mut full = Desk::new(1);
    let c = full.connect();
    assert_eq!(full.say(c, "one"), NOTHING);
    assert_eq!(
        full.say(c, "two"),
        [format!("None {:?}", Repeat::Unavailable)]
    );
}

#[test]
fn a_log_that_nobody_can_say_is_refused_and_nothing_is_left_of_who_went() {
    let mut desk = Desk::new(9);
    let (a, b, c) = (desk.connect(), desk.connect(), desk.connect());
    desk.say(a, "j");
    // It leaves behind its join, and the other one is gone.
    assert_eq!(desk.say(a, "l"), NOTHING);
    desk.say(b, "j");
    desk.world.borrow_mut().reset(b);
    desk.tick();
    desk.say(c, "h");
    desk.wanted();
    desk.step(LogStep::Refuse);
    let refused = format!("refused {:?}", RoomError::Unavailable);
    assert_eq!(desk.heard(a), [refused, "left".to_owned()]);
    let nothing = "Position { epoch: 0, offset: 0 }";
    let unavailable = format!("0 of {nothing} Some({:?})", Loss::Unavailable);
    assert_eq!(desk.heard(c), [unavailable]);
    // The same with a log.
    let d = desk.connect();
    desk.say(a, "j");
    desk.say(a, "l");
    desk.say(d, "j");
    desk.world.borrow_mut().reset(d);
    desk.tick();
    desk.wanted();
    desk.load();
    let joined = format!("joined 1 at {} None", at(4));
    assert_eq!(desk.heard(a), [joined, "left".to_owned()]);
    desk.place(5, "five");
    assert_eq!(desk.heard(a), NOTHING);
    assert_eq!(desk.say(c, "j"), [format!("joined 1 at {} None", at(5))]);
    // A log that ends while somebody is there is looked at again, and goes with the last.
    desk.step(LogStep::End);
    assert_eq!(
        desk.wanted(),
        Some(Position {
            epoch: 7,
            offset: 5
        })
    );
    desk.step(LogStep::Begin { epoch: 9, next: 1 });
    assert_eq!(
        desk.wanted(),
        Some(Position {
            epoch: 7,
            offset: 5
        })
    );
    assert_eq!(desk.say(c, "l"), ["left"]);
    desk.step(LogStep::End);
    assert_eq!(desk.say(c, "j"), NOTHING);
    assert_eq!(desk.wanted(), None);
}

/// Others take places of the same sequence: a publication follows what it names, however far from
/// it.
#[test]
fn offsets_that_skip_are_no_gaps() {
    let mut desk = Desk::new(9);
    let (a, b, c) = (desk.connect(), desk.connect(), desk.connect());
    desk.say(a, "j");
    desk.wanted();
    desk.step(LogStep::Begin { epoch: 7, next: 3 });
    desk.place_behind(2, 5, "five");
    desk.place_behind(5, 9, "nine");
    desk.step(LogStep::Ready);
    assert_eq!(desk.heard(a), [format!("joined 1 at {} None", at(9))]);
    // Positions at messages, and between them.
    let recovered = format!("joined 2 at {} Some(Recovered)", at(9));
    let (five, nine) = ("five@5".to_owned(), "nine@9".to_owned());
    for (since, missed) in [
        ("s2", vec![five.clone(), nine.clone()]),
        ("s4", vec![five, nine.clone()]),
        ("s5", vec![nine.clone()]),
        ("s8", vec![nine]),
        ("s9", vec![]),
    ] {
        let heard = desk.say(b, since);
        assert_eq!(heard[0], recovered, "{since}");
        assert_eq!(heard[1..], missed, "{since}");
        desk.say(b, "l");
    }
    let lost = format!("joined 2 at {} Some(Lost(TrimmedBySize))", at(9));
    assert_eq!(desk.say(b, "s1"), [lost]);
    assert_eq!(desk.say(c, "h"), [format!("2 of {} None", at(9))]);
    desk.place_behind(9, 20, "twenty");
    // What does not name the newest is missing something, or is of another time.
    let newest = Position {
        epoch: 7,
        offset: 20,
    };
    for previous in [21, 9, 0] {
        desk.place_behind(previous, 30, "thirty");
        assert_eq!(desk.wanted(), Some(newest), "{previous}");
    }
    desk.place_behind(5, 9, "nine");
    desk.place_behind(20, 30, "thirty");
    for client in [a, b] {
        assert_eq!(desk.heard(client), ["twenty@20", "thirty@30"]);
    }
    assert!(desk.sequencer.try_recv().is_none());
}

/// A publication is kept for as long as it has had its place, wherever it was in that time.
#[test]
fn what_got_its_place_long_ago_is_kept_for_so_much_less() {
    let mut desk = Desk::new(9);
    let a = desk.connect();
    assert_eq!(desk.say(a, "j"), NOTHING);
    desk.wanted();
    desk.step(LogStep::Begin { epoch: 7, next: 3 });
    let ttl = LogOptions::default().ttl;
    let second = Duration::from_secs(1);
    for (offset, age) in [(3, ttl), (4, ttl - second), (5, Duration::ZERO)] {
        let place = GivenPlace {
            epoch: 7,
            offset,
            previous: offset - 1,
            age,
        };
        desk.place_at(place, "it");
    }
    desk.step(LogStep::Ready);
    desk.heard(a);
    assert_eq!(desk.say(a, "h"), [format!("2 of {} None", at(5))]);
    let later = desk.world.borrow().now() + 1_000;
    desk.world.borrow_mut().advance_to(later);
    assert_eq!(desk.say(a, "h"), [format!("1 of {} None", at(5))]);
}

/// Whoever orders a room may begin its log anew while it has members: what those had not
/// acknowledged of the old one keeps nobody busy.
#[test]
fn a_log_that_begins_anew_has_nobody_late() {
    let acks = AckOptions {
        timeout: Duration::from_millis(100),
        attempts_max: 1,
    };
    let mut desk = Desk::of(
        9,
        LogOptions {
            acks: Some(acks),
            ..LogOptions::default()
        },
    );
    let (a, b) = (desk.connect(), desk.connect());
    desk.say(a, "a");
    desk.wanted();
    desk.load();
    desk.heard(a);
    desk.place(5, "five");
    assert_eq!(desk.heard(a), ["five@5"]);
    desk.step(LogStep::Halt);
    desk.step(LogStep::Begin { epoch: 8, next: 1 });
    desk.step(LogStep::Ready);
    let anew = "Position { epoch: 8, offset: 0 }";
    assert_eq!(desk.say(b, "a"), [format!("joined 2 at {anew} None")]);
    let later = desk.world.borrow().now() + 1_000;
    desk.world.borrow_mut().advance_to(later);
    desk.tick();
    assert_eq!((desk.heard(a), desk.heard(b)), (vec![], vec![]));
}
