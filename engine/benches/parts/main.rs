//! What the shard costs without a kernel: its parts by themselves, and a whole shard on a driver
//! that does nothing. `bench/README.md` says how to run it.
//!
//! The parts are private to the engine. They are compiled here a second time from their own files,
//! as `tests/doorbell_loom.rs` does it, so that the engine shows nothing for the sake of its
//! benches and has no feature for them; what they ask of their crate's root (`crate::Ticket`) is
//! imported here. The whole shard is the engine's own, through the modules that the simulation
//! tests use.

#[path = "../../src/connection"]
mod connection {
    #[allow(dead_code, unused_imports)] // Not every part is used whole here, nor are its tests.
    pub(crate) mod paged;
    pub(crate) mod peer {
        pub(crate) use shardcast_engine::Peer;
    }
    #[allow(dead_code, unused_imports)]
    pub(crate) mod wheel;
}
mod confine {
    pub(crate) use shardcast_engine::confine;
}
mod crowd;
mod driver {
    pub(crate) mod boundary {
        pub(crate) use shardcast_engine::StopAccept;
        pub(crate) use shardcast_engine::driver::Millis;
    }
}
mod egress {
    pub(crate) mod tls {
        pub(crate) mod server {
            pub(crate) use shardcast_engine::Tls;
        }
    }
}
#[path = "../../src/events.rs"]
#[allow(dead_code, unused_imports, unreachable_pub)]
mod events;
#[path = "../../src/message"]
mod message {
    #[allow(dead_code, unreachable_pub)]
    pub(crate) mod command;
    #[allow(dead_code)]
    pub(crate) mod delivery;
    #[allow(dead_code)]
    pub(crate) mod doorbell;
    #[allow(dead_code, unused_imports, unreachable_pub)]
    pub(crate) mod lane;
    #[allow(dead_code, unused_imports, unreachable_pub)]
    pub(crate) mod queue;
    #[allow(dead_code)]
    pub(crate) mod request;
}
#[path = "../../../bench/benches/piece/mod.rs"]
mod piece;
#[path = "../../src/query"]
mod query {
    #[allow(dead_code, unused_imports)]
    pub(crate) mod gather;
    /// An answer has the engine's own.
    pub(crate) mod page {
        pub(crate) use shardcast_engine::{Found, FoundConnection, FoundTopic, Query, TopicDetail};
    }
}
mod quiet;
#[path = "../../src/topic"]
mod topic {
    #[allow(dead_code, unused_imports)]
    pub(crate) mod batch;
    #[allow(dead_code, unused_imports, unreachable_pub)]
    pub(crate) mod key;
    #[allow(dead_code, unused_imports)]
    pub(crate) mod member_list;
    #[allow(dead_code, unused_imports)]
    pub(crate) mod skips;
    #[allow(dead_code)]
    pub(crate) mod tally;
    pub(crate) mod delta {
        pub(crate) mod baseless {
            pub(crate) type BaselessMembers =
                std::collections::HashSet<shardcast_engine::Ticket, foldhash::quality::RandomState>;
        }
    }
    pub(crate) mod filter {
        pub(crate) mod filters {
            use foldhash::quality::RandomState;
            use shardcast_engine::Ticket;
            use std::{collections::HashMap, sync::Arc};

            pub(crate) type FilterPlaces = Arc<HashMap<Ticket, u16, RandomState>>;
        }
    }
    pub(crate) mod acks {
        use super::super::driver::boundary::Millis;

        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct AckRule {
            pub(crate) timeout_ms: Millis,
            pub(crate) attempts_max: u32,
        }
    }
    /// Messages about logs bear boxes.
    pub(crate) mod log {
        pub(crate) mod jumps {
            #[derive(Clone, Debug)]
            pub(crate) struct Jumps;
        }
        pub(crate) mod options {
            pub(crate) use shardcast_engine::{LogClass, SlowReader};
        }
        pub(crate) mod step {
            pub(crate) use shardcast_engine::LogStep;
        }
        pub(crate) mod range {
            use shardcast_engine::SlowReader;

            #[derive(Debug)]
            pub(crate) struct Range;

            #[derive(Debug)]
            pub(crate) struct Reader;

            #[derive(Clone, Copy, Debug)]
            pub(crate) struct ReadMode;

            impl ReadMode {
                pub(crate) fn of(_: SlowReader) -> Option<ReadMode> {
                    None
                }
            }
        }
    }
    pub(crate) mod presence {
        pub(crate) mod options {
            pub(crate) use shardcast_engine::PresenceClass;
        }
    }
    pub(crate) mod publication {
        pub(crate) use shardcast_engine::{Content, Position};

        /// Nothing is traced here.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct RecordedTrace;
    }
    /// Nobody brings anything to other processes here.
    #[allow(dead_code)]
    pub(crate) mod relay {
        use super::key::TopicKey;
        use super::publication::Content;

        #[derive(Clone, Debug)]
        pub(crate) struct Relay;

        impl Relay {
            pub(crate) fn publish(&self, _: Option<&TopicKey>, _: &Content) {}
        }
    }
    #[allow(dead_code)]
    pub(crate) mod target {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Wants {
            Counts,
            Receipt,
        }
    }
}
#[path = "../../src/types/account.rs"]
#[allow(dead_code, unused_imports)]
mod account;
/// Plain values are the engine's own.
mod types {
    pub(crate) use super::account;
    pub(crate) mod answer {
        pub(crate) use shardcast_engine::{Answer, Listing, Member, Notice, Reply, Report, Tag};
    }
    pub(crate) mod close_reason {
        pub(crate) use shardcast_engine::CloseReason;
    }
    pub(crate) mod encoding {
        pub(crate) use shardcast_engine::EncodingId;
    }
    pub(crate) mod filter {
        pub(crate) use shardcast_engine::Filter;
    }
    pub(crate) mod frame {
        pub(crate) use shardcast_engine::Frame;
    }
    pub(crate) mod history {
        pub(crate) use shardcast_engine::{History, HistoryQuery, JoinAcks, JoinedLog, Since};
    }
    pub(crate) mod presence {
        pub(crate) use shardcast_engine::{
            JoinPresence, MemberElsewhere, PresenceKey, PresencePage, PresenceQuery, PresentThere,
        };
    }
    pub(crate) mod room_error {
        pub(crate) use shardcast_engine::RoomError;
    }
    pub(crate) mod ticket {
        pub(crate) use shardcast_engine::{Address, Ticket};
    }
}

use connection::wheel::Wheel;
use crowd::{Crowd, client_fragments, client_frame};
use divan::{Bencher, black_box};
use message::delivery::{Delivery, Parcel};
use message::lane::{self, LaneCapacity};
use message::request::{PublishRequest, ShardRequest};
use piece::Piece;
use shardcast_engine::driver::Millis;
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::{EncodingId, Frame, Ticket};
use std::process::ExitCode;
use topic::batch::{Batch, Recipients};
use topic::member_list::MemberLists;
use topic::skips::Layout;

/// Names end in a size: bytes of a message, frames, or members.
const PIECES: &[Piece] = &[
    piece("wheel/schedule", 4096, wheel_schedule),
    piece("wheel/step-10000", 512, wheel_step),
    piece("lane/request", 4096, lane_request),
    piece("lane/hop", 4096, lane_hop),
    piece("room/one-frame-1000", 128, || room(1, 1000)),
    piece("room/ten-frames-1000", 128, || room(10, 1000)),
    piece("tick/idle", 1024, tick_idle),
    piece("tick/echo-64", 1024, || tick_echo(64)),
    piece("tick/echo-1000", 512, || tick_echo(1000)),
    piece("tick/echo-64-of-64", 128, tick_echoes),
    piece("tick/broadcast-1000", 64, || tick_broadcast(1, 1000)),
    piece("tick/burst-1000", 64, || tick_broadcast(10, 1000)),
    piece("tick/broadcast-10000", 12, || tick_broadcast(1, 10_000)),
    piece("large/echo-16384", 256, || large_echo(16_384, 16_640)),
    piece("large/echo-61440", 64, || large_echo(61_440, 66_560)),
    piece("large/echo-61440-in-parts", 64, || {
        large_echo(61_440, 16_640)
    }),
    piece("large/echo-1048576", 8, || large_echo(1 << 20, 133_120)),
    piece("large/frame-1048576", 8, || large(1 << 20, 1 << 20)),
    piece("large/frame-4194304", 4, || large(4 << 20, 4 << 20)),
    piece("large/frame-16777216", 2, || large(16 << 20, 16 << 20)),
    piece("large/fragments-1048576", 8, || large(1 << 20, 64 << 10)),
    piece("large/fragments-4194304", 4, || large(4 << 20, 64 << 10)),
    piece("large/fragments-16777216", 2, || large(16 << 20, 64 << 10)),
    piece("large/one-byte-fragments-10000", 8, || large(10_000, 1)),
];

const fn piece(name: &'static str, times: u32, set_up: fn() -> Box<dyn FnMut()>) -> Piece {
    Piece {
        name,
        times,
        set_up,
    }
}

#[divan::bench(args = PIECES)]
fn parts(bencher: Bencher<'_, '_>, piece: &Piece) {
    piece::time(bencher, piece);
}

fn main() -> ExitCode {
    piece::run(PIECES)
}

const SLOTS: u32 = 10_000;
/// Deadlines of 10,000 connections lie within one heartbeat, in milliseconds.
const HEARTBEAT_MS: Millis = 25_000;

fn full_wheel() -> Wheel {
    let mut wheel = Wheel::new();
    for slot in 0..SLOTS {
        let at = Millis::from(slot) * HEARTBEAT_MS / Millis::from(SLOTS);
        wheel.schedule(slot, at);
    }
    wheel
}

/// A connection's deadline is put off.
fn wheel_schedule() -> Box<dyn FnMut()> {
    let (mut wheel, mut slot) = (full_wheel(), 0);
    Box::new(move || {
        // A prime step, so that neighbours in time are none in memory.
        slot = (slot + 7919) % SLOTS;
        wheel.schedule(black_box(slot), HEARTBEAT_MS);
    })
}

/// 64 ms pass: the deadlines that have come are met and set again, one heartbeat on.
fn wheel_step() -> Box<dyn FnMut()> {
    const STEP_MS: Millis = 64;
    let (mut wheel, mut now, mut fired) = (full_wheel(), 0, Vec::new());
    Box::new(move || {
        now += STEP_MS;
        wheel.expire(now, &mut fired);
        for slot in fired.drain(..) {
            wheel.schedule(slot, now + HEARTBEAT_MS);
        }
        black_box(wheel.next_expiry());
    })
}

fn publish(frame: &Frame) -> PublishRequest {
    PublishRequest {
        topic: None,
        content: frame.clone().into(),
        except: None,
        report: None,
    }
}

/// A publish crosses from one shard to its home.
fn lane_request() -> Box<dyn FnMut()> {
    let mut mailboxes = lane::mesh(2, LaneCapacity::for_shards(2), 1);
    let frame = Frame::new(Kind::Binary, b"frame");
    Box::new(move || {
        mailboxes[0].request(1, ShardRequest::Publish(publish(&frame)));
        mailboxes[0].rings(|shard| assert_eq!(black_box(shard), 2));
        let arrived = mailboxes[1].next_request();
        assert!(black_box(arrived).is_some());
    })
}

/// A publish from a member on one shard to one on the other, whose home is the other: the request,
/// and the delivery back.
fn lane_hop() -> Box<dyn FnMut()> {
    let mut mailboxes = lane::mesh(2, LaneCapacity::for_shards(2), 1);
    let frame = Frame::new(Kind::Binary, b"frame");
    Box::new(move || {
        mailboxes[0].request(1, ShardRequest::Publish(publish(&frame)));
        mailboxes[0].rings(|shard| assert_eq!(black_box(shard), 2));
        let Some(ShardRequest::Publish(publish)) = mailboxes[1].next_request() else {
            panic!("what was posted arrives");
        };
        let frame = publish.content.into_frame(EncodingId::FIRST);
        let parcel = Parcel {
            ordinal: 0,
            topic: publish.topic,
            encoding: EncodingId::FIRST,
            frame: frame.expect("it is ready"),
            except: None,
            report: None,
            parcels: 1,
        };
        mailboxes[1].deliver(0, Delivery::Message(parcel));
        mailboxes[1].rings(|shard| assert_eq!(black_box(shard), 2));
        let arrived = mailboxes[0].next_delivery();
        assert!(black_box(arrived).is_some());
    })
}

/// A tick's frames for one room: collected, closed, and appended for each member.
fn room(frames: usize, members: u32) -> Box<dyn FnMut()> {
    let frame = Frame::new(Kind::Binary, &[7; 64]);
    let member = |slot| Ticket {
        slot,
        generation: 1,
    };
    let members: Vec<Ticket> = (0..members).map(member).collect();
    let (mut batch, mut member_lists) = (Batch::default(), MemberLists::default());
    Box::new(move || {
        for _ in 0..frames {
            batch.push(&frame, None);
        }
        let members = member_lists.gather(members.iter().copied());
        let mut fan_out = std::mem::take(&mut batch).close(Recipients::Topic(0), members, None);
        while let Some(member) = fan_out.members.next(&member_lists) {
            fan_out.spans(member, Layout::Plain, |start, end| {
                black_box((member, start, end));
            });
        }
        member_lists.pack(std::iter::empty());
    })
}

/// Nothing happened: what it costs to look.
fn tick_idle() -> Box<dyn FnMut()> {
    let mut crowd = Crowd::new(64);
    Box::new(move || crowd.settle(0))
}

/// One message comes and goes back.
fn tick_echo(bytes: usize) -> Box<dyn FnMut()> {
    let (mut crowd, said) = (Crowd::new(64), client_frame(&vec![7; bytes]));
    Box::new(move || {
        crowd.arrive(0, &said);
        crowd.settle(1);
    })
}

/// 64 connections say 64 bytes each in the same moment.
fn tick_echoes() -> Box<dyn FnMut()> {
    let (mut crowd, said) = (Crowd::new(64), client_frame(&[7; 64]));
    Box::new(move || {
        (0..64).for_each(|slot| crowd.arrive(slot, &said));
        crowd.settle(64);
    })
}

/// One member publishes so many messages at once: each member is sent all of them together.
fn tick_broadcast(messages: usize, members: u32) -> Box<dyn FnMut()> {
    let said = client_frame(&[b'P'; 64]).repeat(messages);
    let mut crowd = Crowd::new(members);
    Box::new(move || {
        crowd.arrive(0, &said);
        crowd.settle(u64::from(members));
    })
}

/// One message of so many bytes comes, in receives of so many, and goes back.
fn large_echo(bytes: usize, receive_bytes: usize) -> Box<dyn FnMut()> {
    let (mut crowd, said) = (Crowd::spokesman(), client_frame(&vec![7; bytes]));
    Box::new(move || {
        let mut receives = said.chunks(receive_bytes).peekable();
        while let Some(receive) = receives.next() {
            crowd.arrive(0, receive);
            crowd.settle(u64::from(receives.peek().is_none()));
        }
    })
}

/// One message of so many bytes, in one frame or in fragments, arrives in receives as the driver
/// gives them. Twice as long should take twice as much: a cost per byte that grows with the size is
/// quadratic work.
fn large(bytes: usize, fragment_bytes: usize) -> Box<dyn FnMut()> {
    const RECEIVE_BYTES: usize = 16_640;
    let (mut crowd, said) = (
        Crowd::spokesman(),
        client_fragments(&vec![b'D'; bytes], fragment_bytes),
    );
    Box::new(move || {
        for receive in said.chunks(RECEIVE_BYTES) {
            crowd.arrive(0, receive);
            crowd.settle(0);
        }
    })
}
