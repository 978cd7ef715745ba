//! What of a channel stands in the reply to who enters it: the publications that the client has
//! missed, or the newest. They are read before the connection joins, which then joins where they
//! end: so there is no gap between the reply and what is pushed, and no repeat.
//!
//! Invariant: a client that may not read what a channel keeps is told of no place in it. Used by
//! `requests` and `server_side`.

use crate::namespace::Standing;
use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::kept::KeptPage;
use crate::session::context::Context;
use crate::wire::filtering;
use shardcast_engine::{Filter, History, HistoryQuery, Newcomers, Position, ReadOrder, Since};
use shardcast_protocol::dialect::centrifuge::{Deltas, Recovering};

/// How a channel is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecoveryMode {
    /// The client may not name places in the channel, or it keeps nothing.
    Off,
    /// All that the client has missed.
    Stream,
    /// The same; and newcomers are sent the newest of each key, after the reply.
    StreamByKey,
    /// The newest publication, where it is not what the client has: the channel sends it to
    /// newcomers.
    Cache,
}

impl RecoveryMode {
    /// Of a channel, for the connection at hand, which may join it. It has not asked to read, so
    /// nothing is refused.
    pub(super) fn of(cx: &Context<'_>, room: &ResolvedRoom<'_>) -> RecoveryMode {
        match room.history() {
            Some(history) if room.may_read(cx.identity(), Standing::Member).is_ok() => {
                match history.last {
                    Newcomers::Newest => RecoveryMode::Cache,
                    Newcomers::NewestByKey => RecoveryMode::StreamByKey,
                    Newcomers::Nothing => RecoveryMode::Stream,
                }
            }
            Some(_) | None => RecoveryMode::Off,
        }
    }

    /// What is read before the connection joins, for one that is sent everything, or what passes a
    /// filter.
    pub(super) fn query(self, since: Option<Since>, filter: Option<&Filter>) -> HistoryQuery {
        match (self, since) {
            (RecoveryMode::Cache, _) => HistoryQuery {
                since: None,
                // The newest that passes may be any.
                limit: filter.map_or(1, |_| HistoryQuery::LIMIT_MAX),
                order: ReadOrder::Reverse,
            },
            (_, Some(since)) => HistoryQuery {
                since: Some(since),
                limit: HistoryQuery::LIMIT_MAX,
                order: ReadOrder::Forward,
            },
            (_, None) => HistoryQuery {
                since: None,
                limit: 0,
                order: ReadOrder::Forward,
            },
        }
    }
}

/// To whom a page is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToldPage<'a> {
    pub(super) room: &'a str,
    pub(super) deltas: Deltas,
    /// It is sent what passes.
    pub(super) filter: Option<&'a Filter>,
}

impl<'a> ToldPage<'a> {
    /// Somebody who is sent everything as it is.
    pub(super) fn plain(room: &'a str) -> ToldPage<'a> {
        ToldPage {
            room,
            deltas: Deltas::Off,
            filter: None,
        }
    }

    /// Leaves in a page what it is sent of it.
    fn sift(&self, mode: RecoveryMode, history: &mut History) {
        if let Some(filter) = self.filter {
            filtering::retain(filter, self.room, history);
            if mode == RecoveryMode::Cache {
                history.publications.truncate(1);
            }
        }
    }
}

/// What was found of a channel, and where the connection goes on from.
#[derive(Debug)]
pub(super) struct FoundPage {
    /// As many publications as are told.
    history: History,
    pub(super) recovering: Recovering,
    /// What the reply names: each publication that it brings moves the client on from here.
    from: u64,
    /// The last that it brings.
    upto: Position,
    /// The connection joins as a newcomer.
    is_new: bool,
}

impl FoundPage {
    /// Of a page of a channel that was asked for so, to be told in that form. It brings at most so
    /// many bytes, which become fewer by what it brings.
    pub(super) fn new(
        cx: &Context<'_>,
        told: ToldPage<'_>,
        (mode, since): (RecoveryMode, Option<Since>),
        mut history: History,
        bytes_left: &mut usize,
    ) -> FoundPage {
        let newest = history.position;
        let read_upto = history.publications.last().map(|last| last.offset);
        told.sift(mode, &mut history);
        let is_newest = |since: Since| {
            since.offset == newest.offset && since.epoch.is_none_or(|epoch| epoch == newest.epoch)
        };
        let recovering = match (mode, since) {
            (_, None) => Recovering::No,
            (RecoveryMode::Cache, Some(since)) if is_newest(since) => {
                history.publications.clear();
                Recovering::Recovered
            }
            (RecoveryMode::Cache, Some(_)) if !history.publications.is_empty() => {
                Recovering::Recovered
            }
            (RecoveryMode::Stream | RecoveryMode::StreamByKey, Some(_))
                if history.loss.is_none() =>
            {
                Recovering::Recovered
            }
            (_, Some(_)) => Recovering::Lost,
        };
        if recovering == Recovering::Lost {
            history.publications.clear();
        }
        let shown = fitting(cx, told, &history, bytes_left);
        let last = match shown == history.publications.len() {
            // What did not pass need not be looked at again.
            true if told.filter.is_some() => read_upto,
            _ => shown
                .checked_sub(1)
                .map(|last| history.publications[last].offset),
        };
        // What does not fit is pushed.
        let (from, upto) = match (mode, since) {
            (RecoveryMode::Cache, _) if shown == 0 && !history.publications.is_empty() => {
                let before = history.publications[0].offset.saturating_sub(1);
                (before, before)
            }
            (RecoveryMode::Stream | RecoveryMode::StreamByKey, Some(since))
                if recovering == Recovering::Recovered =>
            {
                (since.offset, last.unwrap_or(since.offset))
            }
            _ => (newest.offset, newest.offset),
        };
        history.publications.truncate(shown);
        let upto = Position {
            offset: upto,
            ..newest
        };
        FoundPage {
            history,
            recovering,
            from,
            upto,
            is_new: mode == RecoveryMode::StreamByKey && since.is_none(),
        }
    }

    /// Where the connection joins; `None`: wherever the channel is.
    pub(super) fn since(&self) -> Option<Since> {
        (!self.is_new).then_some(Since {
            epoch: Some(self.upto.epoch),
            offset: self.upto.offset,
        })
    }

    /// Its publications.
    pub(super) fn kept<'f>(&'f self, room: &'f str) -> KeptPage<'f> {
        KeptPage::of(room, &self.history)
    }

    /// The place that the reply names.
    pub(super) fn position(&self) -> Position {
        Position {
            offset: self.from,
            ..self.upto
        }
    }
}

/// JSON in a string has so many bytes for each of its own: quotation marks, backslashes and line
/// feeds are escaped.
const WHOLE_GROWTH_MAX: usize = 2;
/// What marks a delta, and the string's own quotation marks.
const DELTA_BYTES: usize = r#","delta":true"""#.len();

/// How many of the publications the reply brings.
fn fitting(
    cx: &Context<'_>,
    told: ToldPage<'_>,
    history: &History,
    bytes_left: &mut usize,
) -> usize {
    let encoding = cx.dialect().encoding();
    let kept = KeptPage::of(told.room, history);
    // What cannot be told has no size, and ends what is brought.
    let messages = kept.messages();
    let mut shown = 0;
    for (message, kept) in messages.iter().zip(&history.publications) {
        let bytes = match told.deltas {
            Deltas::Off => message.bytes_max(encoding),
            Deltas::Fossil => WHOLE_GROWTH_MAX * message.bytes_max(encoding) + DELTA_BYTES,
        };
        if message.offset != kept.offset || bytes > *bytes_left {
            break;
        }
        *bytes_left -= bytes;
        shown += 1;
    }
    shown
}
