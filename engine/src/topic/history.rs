//! A home's part in the logs of its topics: what is published is kept, pages are read, and cursors
//! are answered. Each happens at its place in the topic's order.

use crate::driver::boundary::Millis;
use crate::message::delivery::{CaughtUp, Delivery, Progress};
use crate::message::request::{CatchUp, PublishRequest};
use crate::query::gather::{Outcome, Part, QueryKey};
use crate::topic::keep::{GivenPlace, Keep, Placement};
use crate::topic::key::TopicKey;
use crate::topic::log::entry::LogEntry;
use crate::topic::log::options::{KeptFor, LogClass};
use crate::topic::log::range::{Range, ReadMode};
use crate::topic::log::state::MapRefusal;
use crate::topic::order::enqueue_report;
use crate::topic::outlet::Outlet;
use crate::topic::publication::{Content, KeptAt, Position};
use crate::topic::topics::Topics;
use crate::types::answer::{Repeat, Report};
use crate::types::frame::Frame;
use crate::types::history::{History, HistoryQuery, KeptPublication, ReadOrder};
use std::sync::Arc;

impl Placement {
    /// What there is to say of a publication that goes into no log. `None`: it goes into one.
    fn without_log(self) -> Option<Report> {
        match self {
            Placement::Kept | Placement::Waits => None,
            Placement::Passed => Some(Report::default()),
            Placement::Refused => Some(Report {
                dropped: 1,
                ..Report::default()
            }),
        }
    }

    /// What there is to say of one that goes into a log, at this place.
    fn report(self, position: Position, members: u32) -> Report {
        match self {
            Placement::Kept => Report {
                position: Some(position),
                ..Report::default()
            },
            Placement::Waits | Placement::Passed | Placement::Refused => Report {
                queued: u32::from(members == 0),
                ..Report::default()
            },
        }
    }
}

/// Bytes of frames that a cursor is sent at a time: 64 KiB, or half of an outbox if that is less.
const RANGE_BYTES_MAX: usize = 64 << 10;

impl Topics {
    /// Publishes what goes into the topic's log, unless its key is known. What its publisher may
    /// hear at once.
    pub(crate) fn order_kept(
        &mut self,
        outlet: &mut Outlet<'_>,
        publish: &PublishRequest,
        topic: &TopicKey,
        keep: &Keep,
        content: &Content,
    ) -> Report {
        if let Some(place) = &keep.place {
            self.order_placed(outlet, publish, topic, (keep, content), place);
            return Report::default();
        }
        let now = outlet.now;
        let members = self.homes.members(topic.topic());
        let placement = self.logs.placement(topic.topic(), keep.class, members);
        if let Some(known) = placement.without_log() {
            outlet.counters.offline_refused.add(known.dropped.into());
            self.order_in_topic(outlet, publish, topic.topic(), None, known, |_, _| {});
            return known;
        }
        let free_map_bytes = self.logs.free_map_bytes();
        let opened = self.logs.open(topic, keep.class, now, |log, options| {
            let known = keep.key.as_deref().and_then(|key| log.find_key(key));
            if let Some(offset) = known {
                let epoch = log.epoch;
                return Err(Unkept::Known(Position { epoch, offset }));
            }
            let admitted = log.admit(options, keep, content, free_map_bytes);
            let position = log.position();
            admitted.map_err(|refusal| Unkept::Refused(refusal, position))?;
            Ok(log.next_position())
        });
        let position = match opened {
            None => {
                let known = Report::default();
                self.order_in_topic(outlet, publish, topic.topic(), None, known, |_, _| {});
                return known;
            }
            Some(Err(unkept)) => return answer_unkept(outlet, publish, unkept),
            Some(Ok(next)) => next,
        };
        let known = placement.report(position, members);
        outlet.counters.offline_queued.add(known.queued.into());
        let place = KeptAt {
            position,
            ordinal: position.offset,
        };
        self.keep_at(outlet, publish, topic, (keep, content), place, Some(known));
        known
    }

    /// Publishes and keeps what has its place, the log's next. `known`: what a report has to say
    /// whatever the members say; `None`: it is kept, and goes to nobody.
    pub(super) fn keep_at(
        &mut self,
        outlet: &mut Outlet<'_>,
        publish: &PublishRequest,
        topic: &TopicKey,
        (keep, content): (&Keep, &Content),
        place: KeptAt,
        known: Option<Report>,
    ) {
        let now = outlet.now;
        let members = self.homes.members(topic.topic());
        let mut delivered = Vec::new();
        let deliver = |encoding, frame: &Frame| delivered.push((encoding, frame.clone()));
        if let Some(known) = known {
            self.order_in_topic(outlet, publish, topic.topic(), Some(place), known, deliver);
        }
        let delivered = delivered.iter().map(|(encoding, frame)| (*encoding, frame));
        let mut entry = LogEntry::new(content, topic.topic(), now, delivered);
        let entry_bytes = entry.bytes();
        (entry.except, entry.conflate) = (publish.except, keep.conflate.clone());
        entry.key = keep.key.as_deref().map(Arc::from);
        self.logs.get(topic.topic(), now, |log, options| {
            // Keys of what has come with its place are known where it got it.
            match (&keep.place, entry.key.clone()) {
                (Some(place), _) => {
                    entry.at = placed_at(place, now);
                    log.jump_to(place.offset);
                }
                (None, Some(key)) => log.remember_key(key, options, now),
                (None, None) => {}
            }
            log.members = members;
            if options.map.is_some() {
                log.change_map(options, keep, content, (entry.at, publish.except.is_none()));
            }
            log.append(entry, options);
        });
        if self.greed.watches {
            self.count_greed(Some(topic.topic()), entry_bytes);
        }
        self.logs.keep_within_bounds(now);
    }

    /// Answers with a page of a topic's log.
    pub(crate) fn read_history(
        &mut self,
        outlet: &mut Outlet<'_>,
        topic: &TopicKey,
        class: LogClass,
        key: QueryKey,
        query: &HistoryQuery,
    ) {
        let now = outlet.now;
        let page = self.logs.open(topic, class, now, |log, options| {
            if query.order == ReadOrder::Map && options.map.is_some() {
                return Box::new(log.read_map(query));
            }
            let (entries, loss) = log.select(query);
            let mut bytes = 0;
            let entries = entries.take_while(|(_, entry)| {
                let is_first = bytes == 0;
                bytes += entry.bytes();
                is_first || bytes <= HistoryQuery::BYTES_MAX
            });
            let publications = entries.map(|(offset, entry)| {
                let content = entry.content().clone();
                KeptPublication::new(offset, content)
            });
            Box::new(History {
                position: log.position(),
                publications: publications.collect(),
                loss,
                more: false,
                keys: 0,
            })
        });
        let part = Part::History(page);
        let parcels = 1;
        outlet.mail.enqueue_outcome(Outcome { key, parcels, part });
    }

    /// Forgets what a topic's log keeps; answers with where the log is, and what it keeps then.
    pub(crate) fn clear_history(
        &mut self,
        outlet: &mut Outlet<'_>,
        topic: &TopicKey,
        key: QueryKey,
    ) {
        let cleared = self.logs.get(topic.topic(), outlet.now, |log, _| {
            log.clear();
            Box::new(History {
                position: log.position(),
                publications: Vec::new(),
                loss: None,
                more: false,
                keys: 0,
            })
        });
        let (part, parcels) = (Part::History(cleared), 1);
        outlet.mail.enqueue_outcome(Outcome { key, parcels, part });
    }

    /// Answers a cursor with what comes next.
    pub(crate) fn answer_cursor(&mut self, outlet: &mut Outlet<'_>, ask: CatchUp) {
        let CatchUp {
            topic,
            epoch,
            reader,
            filter,
        } = ask;
        let now = outlet.now;
        let bytes_max = RANGE_BYTES_MAX.min(self.limits.outbox_bytes_max / 2);
        let name = topic.topic();
        let encoder = &mut outlet.encoder;
        let read = self.logs.get(name, now, |log, options| {
            // A log that was made anew has nothing that the reader knows of.
            if log.epoch != epoch || !log.is_ready {
                return None;
            }
            let is_for_absent = options.kept_for == KeptFor::Absent;
            // What it was sent before it asked has gone to the kernel.
            if is_for_absent {
                log.take_until(reader.who, reader.next - 1);
            }
            let range = log.read(&reader, now, bytes_max, &mut |entry, offset| {
                let position = Position { epoch, offset };
                if let Some(filter) = &filter
                    && !encoder.passes(filter, entry, name)
                {
                    return None;
                }
                let encoding = reader.encoding.of_frames();
                match reader.reading {
                    ReadMode::Again { .. } => encoder.share_again(entry, encoding, name, position),
                    ReadMode::All
                    | ReadMode::NewestByKey { .. }
                    | ReadMode::Conflated
                    | ReadMode::Newest
                    | ReadMode::Nothing => encoder.share_entry(entry, encoding, name, position),
                }
            });
            let is_all = range.next == log.next_ordinal();
            let progress = match is_all && (!is_for_absent || range.spans.is_empty()) {
                true => Progress::UpToDate,
                false => Progress::More,
            };
            if is_for_absent && progress == Progress::UpToDate {
                log.take_until(reader.who, range.next - 1);
                log.retain_takers(|taker| taker != reader.who);
            }
            Some((range, progress))
        });
        let nothing = || (Range::nothing(reader.next), Progress::UpToDate);
        let (range, progress) = read.flatten().unwrap_or_else(nothing);
        let caught_up = CaughtUp {
            encoding: reader.encoding,
            who: reader.who.ticket,
            asked: reader.next,
            range,
            progress,
            topic,
        };
        outlet
            .mail
            .deliver(reader.who.shard, Delivery::CaughtUp(Box::new(caught_up)));
    }
}

/// When a publication got its place.
fn placed_at(place: &GivenPlace, now: Millis) -> Millis {
    // Before the shard began, it may be: times are compared as they wrap around.
    now.wrapping_sub(place.age.as_millis() as Millis)
}

/// Why a publication is not published.
enum Unkept {
    /// Another one with its key was before, at this place.
    Known(Position),
    /// The map takes nothing of it; the log is here.
    Refused(MapRefusal, Position),
}

fn answer_unkept(outlet: &mut Outlet<'_>, publish: &PublishRequest, unkept: Unkept) -> Report {
    let (repeat, position) = match unkept {
        Unkept::Known(known) => {
            outlet.counters.publishes_repeated.add(1);
            (Repeat::Duplicate, known)
        }
        Unkept::Refused(MapRefusal::Full, position) => {
            outlet.counters.map_refused.add(1);
            (Repeat::MapFull, position)
        }
        Unkept::Refused(MapRefusal::NoKey, position) => (Repeat::NoKey, position),
        Unkept::Refused(MapRefusal::KeyExists, position) => (Repeat::KeyExists, position),
        Unkept::Refused(MapRefusal::Outdated, position) => (Repeat::Outdated, position),
    };
    let report = Report {
        position: Some(position),
        repeat,
        ..Report::default()
    };
    if let Some(key) = publish.report {
        enqueue_report(outlet.mail, key, 1, report);
    }
    report
}
