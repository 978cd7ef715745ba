//! A home's part in the logs of its topics: what is published is kept, pages are read, and cursors
//! are answered. Each happens at its place in the topic's order.

use crate::message::delivery::{CaughtUp, Delivery, Progress};
use crate::message::request::{CatchUp, PublishRequest};
use crate::query::gather::{Outcome, Part, QueryKey};
use crate::topic::keep::Keep;
use crate::topic::key::TopicKey;
use crate::topic::log::entry::LogEntry;
use crate::topic::log::options::LogClass;
use crate::topic::log::range::Range;
use crate::topic::order::enqueue_report;
use crate::topic::outlet::Outlet;
use crate::topic::publication::{Content, Position};
use crate::topic::topics::Topics;
use crate::types::answer::{Repeat, Report};
use crate::types::history::{History, HistoryQuery, KeptPublication};

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
        let now = outlet.now;
        let opened = self.logs.open(topic, keep.class, now, |log, _| {
            let known = keep.key.as_deref().and_then(|key| log.find_key(key));
            known.map_or(Ok(log.next_position()), |offset| {
                let epoch = log.epoch;
                Err(Position { epoch, offset })
            })
        });
        let position = match opened {
            None => {
                self.order_in_topic(outlet, publish, topic.topic(), None, |_, _| {});
                return Report::default();
            }
            Some(Err(known)) => return answer_duplicate(outlet, publish, known),
            Some(Ok(next)) => next,
        };
        let mut delivered = Vec::new();
        self.order_in_topic(
            outlet,
            publish,
            topic.topic(),
            Some(position),
            |encoding, frame| {
                delivered.push((encoding, frame.clone()));
            },
        );
        let delivered = delivered.iter().map(|(encoding, frame)| (*encoding, frame));
        let mut entry = LogEntry::new(content, topic.topic(), now, delivered);
        let entry_bytes = entry.bytes();
        (entry.except, entry.conflate) = (publish.except, keep.conflate.clone());
        let members = self.homes.members(topic.topic());
        self.logs.get(topic.topic(), now, |log, options| {
            if let Some(key) = &keep.key {
                log.remember_key(key.clone(), options, now);
            }
            log.members = members;
            log.append(entry, options);
        });
        if self.greed.watches {
            self.count_greed(Some(topic.topic()), entry_bytes);
        }
        self.logs.keep_within_bounds(now);
        Report {
            position: Some(position),
            ..Report::default()
        }
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
        let page = self.logs.open(topic, class, now, |log, _| {
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
            })
        });
        let part = Part::History(page);
        let parcels = 1;
        outlet.mail.enqueue_outcome(Outcome { key, parcels, part });
    }

    /// Answers a cursor with what comes next.
    pub(crate) fn answer_cursor(&mut self, outlet: &mut Outlet<'_>, ask: CatchUp) {
        let CatchUp {
            topic,
            epoch,
            reader,
        } = ask;
        let now = outlet.now;
        let bytes_max = RANGE_BYTES_MAX.min(self.limits.outbox_bytes_max / 2);
        let name = topic.topic();
        let encoder = &mut outlet.encoder;
        let read = self.logs.get(name, now, |log, _| {
            // A log that was made anew has nothing that the reader knows of.
            if log.epoch != epoch {
                return None;
            }
            let range = log.read(&reader, now, bytes_max, &mut |entry, offset| {
                let position = Position { epoch, offset };
                encoder.share_entry(entry, reader.encoding, name, position)
            });
            let progress = match range.next < log.next_position().offset {
                true => Progress::More,
                false => Progress::UpToDate,
            };
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

/// Another publication with its key was published before.
fn answer_duplicate(outlet: &mut Outlet<'_>, publish: &PublishRequest, known: Position) -> Report {
    outlet.counters.publishes_repeated.add(1);
    let report = Report {
        position: Some(known),
        repeat: Repeat::Duplicate,
        ..Report::default()
    };
    if let Some(key) = publish.report {
        enqueue_report(outlet.mail, key, 1, report);
    }
    report
}
