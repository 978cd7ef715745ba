//! What kind of client it is: how it opens, what it asks for, how it ends. Drawn from the seed.

use super::application::{ROOM_NAMELESS, ROOM_TOO_LONG};
use super::words::{Ask, Audience, Options};
use shardcast_engine::driver::sim::Random;

/// One client's character.
#[derive(Clone, Debug)]
pub(crate) struct Temper {
    pub(crate) opening: Opening,
    pub(crate) ending: Ending,
    /// Stays until everything is quiet, and ends then.
    pub(crate) stays: bool,
    /// Asks before it ends.
    pub(crate) asks: usize,
    /// Unanswered asks at once.
    pub(crate) window: usize,
    pub(crate) padding_bytes_max: usize,
    /// How often it stops reading, per mille of its asks.
    pub(crate) stall_permille: usize,
    /// What it asks for three times out of four.
    pub(crate) habit: Option<Habit>,
    /// Splits messages into fragments, with pings between them.
    pub(crate) fragments: bool,
    /// Asks written before the network sees the first, at most.
    pub(crate) burst: usize,
    /// Asks for what ends connections, its own or others'.
    pub(crate) hostile: bool,
    /// Leaves out its close frame when the server closes.
    pub(crate) rude: bool,
}

/// A one-sided interest, so that some ticks see much of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Joins, mostly the same room again.
    Join,
    /// Sends to a few, in turns.
    Send,
    Echo,
    Publish,
}

/// Users that there are. Every client may be any.
pub(crate) const USERS: usize = 3;

/// Rooms without the witness.
pub(crate) const FLEETING_ROOMS: usize = 3;

pub(crate) const HABITS: [Habit; 4] = [Habit::Join, Habit::Send, Habit::Echo, Habit::Publish];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Proper,
    /// Sends a part of its request and waits.
    Partial,
    /// Sends what is no request.
    Garbage,
    /// Asks for a path that the application refuses.
    Refused,
    /// Asks for a path at which the application panics.
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Handshake,
    HalfClose,
    /// Closes its socket with a clean end.
    Leave,
    Reset,
    /// Is not heard of again; no packet says so.
    Vanish,
    /// Breaks the protocol.
    Garbage,
    /// Sends a part of a frame and nothing more.
    Unfinished,
    /// Sends a fragment of a message, and another one that is not the last.
    Fragment,
}

impl Temper {
    /// The witness joins every room first and stays to the end: what it hears is the order.
    pub(crate) fn witness() -> Temper {
        Temper {
            opening: Opening::Proper,
            ending: Ending::Handshake,
            stays: true,
            asks: 0,
            window: usize::MAX,
            padding_bytes_max: 0,
            stall_permille: 0,
            fragments: false,
            habit: None,
            burst: 1,
            hostile: false,
            rude: false,
        }
    }

    /// Joins the first room, more or less, and stays.
    pub(crate) fn listener() -> Temper {
        Temper {
            asks: 2,
            window: 2,
            habit: Some(Habit::Join),
            ..Temper::witness()
        }
    }

    /// Another thread of the server, no client: it never connects.
    pub(crate) fn outside() -> Temper {
        Temper {
            stays: false,
            ..Temper::witness()
        }
    }

    /// Comes when all others are gone, asks a little and goes.
    pub(crate) fn straggler() -> Temper {
        Temper {
            stays: false,
            asks: 5,
            window: 1,
            ..Temper::witness()
        }
    }

    pub(crate) fn draw(random: &mut Random, fashion: Option<Habit>) -> Temper {
        let opening = match random.below(12) {
            0 => Opening::Partial,
            1 => Opening::Garbage,
            2 => random.pick(&[Opening::Refused, Opening::Panic]),
            _ => Opening::Proper,
        };
        let ending = random.pick(&[
            Ending::Handshake,
            Ending::Handshake,
            Ending::HalfClose,
            Ending::Leave,
            Ending::Reset,
            Ending::Vanish,
            Ending::Garbage,
            Ending::Unfinished,
            Ending::Fragment,
        ]);
        let temper = Temper {
            opening,
            ending,
            stays: random.chance(500),
            asks: random.pick(&[0, 3, 20, 60, 200]),
            window: random.pick(&[1, 4, 32, 500]),
            padding_bytes_max: random.pick(&[0, 30, 300, 3000]),
            stall_permille: random.pick(&[0, 0, 20, 200]),
            fragments: random.chance(300),
            habit: random.chance(500).then(|| random.pick(&HABITS)),
            burst: random.pick(&[1, 16, 200]),
            hostile: random.chance(200),
            rude: random.chance(100),
        };
        match fashion {
            None => temper,
            Some(_) => Temper {
                habit: fashion,
                asks: 400,
                burst: 400,
                window: 1000,
                ..temper
            },
        }
    }

    /// The next thing to ask for.
    pub(crate) fn ask(&self, random: &mut Random, rooms: usize, clients: usize) -> Ask {
        // Beyond the rooms that the witness is in, some that come and go with their members.
        let room = match random.chance(150) {
            true => rooms + random.below(FLEETING_ROOMS),
            false => random.below(rooms),
        };
        let options = Options {
            except: random.chance(300),
            report: random.chance(300),
        };
        if self.hostile && random.chance(60) {
            // Client 0 is the witness.
            return match random.below(4) {
                0 if clients > 1 => Ask::Disconnect(random.between(1, clients - 1)),
                1 => Ask::Close,
                2 => Ask::Join(random.pick(&[ROOM_TOO_LONG, ROOM_NAMELESS])),
                _ => Ask::Panic,
            };
        }
        if let Some(habit) = self.habit
            && random.chance(750)
        {
            return match habit {
                Habit::Join => Ask::Join(0),
                Habit::Send => Ask::Send(random.below(clients.min(3))),
                Habit::Echo => Ask::Echo,
                Habit::Publish => Ask::Publish(Audience::Room(0), options),
            };
        }
        match random.below(100) {
            0..13 => Ask::Join(room),
            13..19 => Ask::JoinLimited(room, random.below(5) as u32),
            19..27 => Ask::Leave(room),
            27..30 => {
                let user = random.below(USERS);
                Ask::Identify(random.chance(800).then_some(user))
            }
            30..35 => Ask::Publish(Audience::Everyone, options),
            35..50 => Ask::Echo,
            50..53 => Ask::Send(random.below(clients)),
            53..58 => Ask::List(topic(random, room)),
            58..63 => Ask::Publish(Audience::User(random.below(USERS)), options),
            _ => Ask::Publish(Audience::Room(room), options),
        }
    }
}

fn topic(random: &mut Random, room: usize) -> Audience {
    match random.chance(300) {
        true => Audience::User(random.below(USERS)),
        false => Audience::Room(room),
    }
}
