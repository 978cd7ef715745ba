//! The home's part: joins, leaves and lists get their place in a topic's order, and what was
//! ordered goes to the shards with members.

use crate::driver::boundary::Millis;
use crate::events::{Event, EventKind, EventSink};
use crate::message::delivery::{
    Delivery, Joined, JoinedAt, NextParcel, Parcel, SiftedParcel, TracedDelivery,
};
use crate::message::lane::Mailbox;
use crate::message::request::{Join, PublishRequest, ShownMember};
use crate::query::gather::{Outcome, Part, QueryKey};
use crate::topic::acks::AckRule;
use crate::topic::home::{Homes, JoinOutcome};
use crate::topic::key::{TopicKey, TopicName};
use crate::topic::log::jumps::Jumps;
use crate::topic::log::logs::Logs;
use crate::topic::log::options::{KeptFor, LogClass, LogOptions, Newcomers};
use crate::topic::log::range::ReadMode;
use crate::topic::log::topic_log::{Log, Missing};
use crate::topic::presence::presences::Presences;
use crate::types::answer::{Listing, Report};
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::history::{JoinAcks, JoinedLog, Recovery, Since};
use crate::types::room_error::RoomError;
use crate::types::ticket::Address;

/// Members that a list names, over all shards.
pub(crate) const LIST_MEMBERS_MAX: u32 = 1000;

impl Homes {
    /// As home: a connection becomes a member, if the room is not full.
    pub(crate) fn order_join(
        &mut self,
        logs: &mut Logs,
        presences: &mut Presences,
        mailbox: &mut Mailbox,
        events: &mut EventSink,
        now: Millis,
        join: Join,
    ) {
        let outcome = self.join(&join);
        let Join {
            topic,
            who,
            encoding,
            tag,
            log: class,
            since,
            presence,
            acks,
            ..
        } = join;
        let log = class.and_then(|class| {
            let newcomer = LogJoin { who, since, acks };
            logs.join(&topic, class, outcome, newcomer, now)
        });
        if class.is_none()
            && let JoinOutcome::Member { members, .. } = outcome
        {
            logs.count_members(topic.topic(), members, now);
        }
        if let JoinOutcome::Member {
            members,
            counted: true,
        } = outcome
        {
            emit_join(events, &topic, who, members);
            if let Some(shown) = presence {
                let ShownMember { user, presence } = *shown;
                presences.join(&topic, who, user, presence, now);
            }
        }
        let delivery = match outcome {
            JoinOutcome::Member { members, counted } => Delivery::Joined(Joined {
                topic,
                encoding,
                who: who.ticket,
                tag,
                members,
                counted,
                log,
            }),
            JoinOutcome::Full => Delivery::Refused {
                topic,
                encoding,
                who: who.ticket,
                tag,
                error: RoomError::Full,
            },
        };
        mailbox.deliver(who.shard, delivery);
    }

    /// As home: a connection is no member any more, if it was one.
    pub(crate) fn order_leave(
        &mut self,
        logs: &mut Logs,
        events: &mut EventSink,
        now: Millis,
        topic: &TopicKey,
        encoding: EncodingId,
        member: Address,
    ) {
        let Some(members) = self.leave(topic, encoding, member) else {
            return;
        };
        logs.forget_taker(topic.topic(), member, now);
        logs.count_members(topic.topic(), members, now);
        events.emit(EventKind::Left, || Event::Left {
            topic: TopicName::of(topic),
            member,
            members,
        });
        if members == 0 {
            events.emit(EventKind::TopicIdle, || {
                let topic = TopicName::of(topic);
                Event::TopicIdle { topic }
            });
        }
    }

    /// As home: a list has its place in the order, and each shard is asked for its share of those
    /// who are named.
    pub(crate) fn order_list(&self, mailbox: &mut Mailbox, topic: TopicKey, key: QueryKey) {
        let total = self.members(topic.topic());
        let interest = self.interest(topic.topic()).iter();
        let shares = interest.scan(LIST_MEMBERS_MAX, |left, pair| {
            let members = pair.members.min(*left);
            *left -= members;
            (members > 0).then_some((pair, members as u16))
        });
        let parcels = shares.clone().count() as u16;
        if parcels == 0 {
            let part = Part::Listing(Listing::default());
            mailbox.enqueue_outcome(Outcome { key, parcels, part });
        }
        for (pair, members) in shares {
            let list = Delivery::List {
                topic: topic.clone(),
                encoding: pair.encoding,
                key,
                parcels,
                total,
                members,
            };
            mailbox.deliver(pair.shard, list);
        }
    }
}

/// Who joins a topic that keeps a log.
struct LogJoin {
    who: Address,
    since: Option<Box<Since>>,
    acks: JoinAcks,
}

impl Logs {
    /// What a join finds in the topic's log. `None`: there is none, or the join was refused.
    fn join(
        &mut self,
        topic: &TopicKey,
        class: LogClass,
        outcome: JoinOutcome,
        newcomer: LogJoin,
        now: Millis,
    ) -> Option<Box<JoinedAt>> {
        let JoinOutcome::Member { members, counted } = outcome else {
            return None;
        };
        if self.is_for_absent(class) {
            self.count_members(topic.topic(), members, now);
            let waits = self.get(topic.topic(), now, |log, options| {
                (counted && !log.is_taken()).then(|| {
                    log.takers.begin(newcomer.who, log.untaken() - 1);
                    Box::new(join_log(log, options, Some(None)))
                })
            });
            return waits.flatten();
        }
        let joined = self.open(topic, class, now, |log, options| {
            log.members = members;
            if !log.is_ready {
                return None;
            }
            let since = counted.then_some(newcomer.since.as_deref());
            let mut joined = join_log(log, options, since);
            // Whoever was a member already acknowledges as before.
            let acks = options.acks;
            let acks = acks.filter(|_| counted && newcomer.acks == JoinAcks::Always);
            joined.acks = acks.map(AckRule::of);
            if joined.acks.is_some() {
                // It acknowledges nothing of what it has.
                let acked = joined.cursor.map_or(joined.ordinal, |(next, _)| next - 1);
                joined.jumps = log.jumps().needed_from(acked);
            }
            Some(Box::new(joined))
        });
        joined.flatten()
    }
}

/// What a join finds in the topic's log. `newcomer`: where it knows the topic up to; `None`: the
/// connection was a member already.
fn join_log(log: &Log, options: &LogOptions, newcomer: Option<Option<&Since>>) -> JoinedAt {
    let (recovery, cursor) = match newcomer {
        Some(Some(since)) => match log.missing(*since) {
            Missing::Nothing => (Some(Recovery::Recovered), None),
            Missing::From(next) => (Some(Recovery::Recovered), Some((next, ReadMode::All))),
            Missing::Lost(loss) => (Some(Recovery::Lost(loss)), None),
        },
        Some(None) if options.kept_for == KeptFor::Absent => {
            (None, Some((log.untaken(), ReadMode::All)))
        }
        Some(None) if log.is_empty() => (None, None),
        Some(None) => match options.newcomers {
            Newcomers::Nothing => (None, None),
            Newcomers::Newest => (None, Some((log.next_ordinal() - 1, ReadMode::All))),
            Newcomers::NewestByKey => {
                let until = log.next_ordinal();
                (None, Some((log.first(), ReadMode::NewestByKey { until })))
            }
        },
        None => (None, None),
    };
    JoinedAt {
        answer: JoinedLog {
            position: log.position(),
            recovery,
        },
        ordinal: log.next_ordinal() - 1,
        jumps: Jumps::default(),
        slow_reader: options.slow_reader,
        cursor,
        acks: None,
    }
}

fn emit_join(events: &mut EventSink, topic: &TopicKey, member: Address, members: u32) {
    if members == 1 {
        events.emit(EventKind::TopicActive, || {
            let topic = TopicName::of(topic);
            Event::TopicActive { topic }
        });
    }
    events.emit(EventKind::Joined, || Event::Joined {
        topic: TopicName::of(topic),
        member,
        members,
    });
}

/// What members of one encoding are sent of a publish.
#[derive(Clone, Copy)]
pub(crate) enum Sent<'f> {
    /// This, whatever came before it.
    Alone(&'f Frame),
    /// All of it, or what it changes of the one before it, if there is something shorter to say.
    Next(&'f Frame, Option<&'f Frame>),
    /// This, to those whose filters it passes.
    Sifted(&'f Frame),
}

/// One parcel for each of these, a shard and an encoding with what it is sent. A report hears from
/// each, and from here what is known already: members whose encoding has no frame of it, and
/// whether it waits for members to come.
pub(crate) fn send_out<'a>(
    mail: &mut Mailbox,
    publish: &PublishRequest,
    ordinal: u64,
    known: Report,
    to: impl Iterator<Item = (u16, EncodingId, Sent<'a>)> + Clone,
) {
    let mut parcels = to.clone().count() as u16;
    let more = parcels == 0 || known != Report::default();
    if let Some(key) = publish.report.filter(|_| more) {
        // One part more than there are parcels; without any, the report is complete.
        parcels += 1;
        enqueue_report(mail, key, parcels, known);
    }
    deliver_all(mail, publish, ordinal, parcels, to);
}

/// `parcels`: parts that the report is made of, if there is one. `ordinal`: as [`Parcel::ordinal`].
pub(crate) fn deliver_all<'a>(
    mail: &mut Mailbox,
    publish: &PublishRequest,
    ordinal: u64,
    parcels: u16,
    to: impl Iterator<Item = (u16, EncodingId, Sent<'a>)>,
) {
    let step = publish.content.recorded();
    for (shard, encoding, sent) in to {
        let (Sent::Alone(frame) | Sent::Next(frame, _) | Sent::Sifted(frame)) = sent;
        let parcel = Parcel {
            topic: publish.topic.clone(),
            encoding,
            frame: frame.clone(),
            ordinal,
            except: publish.except_on(shard),
            report: publish.report,
            parcels,
        };
        let delivery = match sent {
            Sent::Alone(_) => Delivery::Message(parcel),
            Sent::Next(_, delta) => {
                let delta = delta.cloned();
                Delivery::Next(Box::new(NextParcel { parcel, delta }))
            }
            Sent::Sifted(_) => {
                let content = publish.content.as_published().clone();
                Delivery::Sifted(Box::new(SiftedParcel { parcel, content }))
            }
        };
        mail.deliver(shard, TracedDelivery::with(delivery, step));
    }
}

pub(crate) fn enqueue_report(mail: &mut Mailbox, key: QueryKey, parcels: u16, report: Report) {
    let part = Part::Report(report);
    mail.enqueue_outcome(Outcome { key, parcels, part });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::topic::data::{Data, DataEncoding};
    use crate::topic::key::Topic;
    use crate::topic::log::entry::LogEntry;
    use crate::topic::log::options::{AckOptions, LogOrder};
    use crate::topic::publication::{Content, Publication, PublicationKind};
    use crate::types::ticket::Ticket;

    const CLASS: LogClass = LogClass::new(0);

    /// A room of a busy sequence: each of its publications is ten places behind the one before.
    fn logs(topic: &TopicKey, publications: u64) -> Logs {
        let options = LogOptions {
            acks: Some(AckOptions::default()),
            order: LogOrder::Sequencer,
            ..LogOptions::default()
        };
        let config = Config {
            logs: vec![options],
            ..Config::default()
        };
        let mut logs = Logs::new(&config, 1, 0);
        let publication = Publication {
            topic: None,
            kind: PublicationKind::Event { name: "e" },
            data: Data::Text("text"),
            data_encoding: DataEncoding::default(),
        };
        let content = Content::data(&publication, None);
        logs.open(topic, CLASS, 0, |log, options| {
            for number in 1..=publications {
                log.jump_to(10 * number);
                let entry = LogEntry::new(&content, topic.topic(), 0, std::iter::empty());
                log.append(entry, options);
            }
            log.is_ready = true;
        });
        logs
    }

    #[test]
    fn who_joins_is_told_of_the_jumps_that_it_needs() {
        let topic = TopicKey::new(Topic::Room("r"));
        let mut logs = logs(&topic, 50);
        for (counted, acks, since, expected) in [
            (true, JoinAcks::Always, None, (true, 1)),
            (true, JoinAcks::Always, Some(450), (true, 6)),
            (true, JoinAcks::Always, Some(500), (true, 1)),
            (true, JoinAcks::Always, Some(0), (true, 51)),
            (true, JoinAcks::Never, Some(450), (false, 0)),
            // It was a member before, and asks for itself.
            (false, JoinAcks::Always, Some(450), (false, 0)),
        ] {
            let (slot, generation) = (1, 1);
            let ticket = Ticket { slot, generation };
            let since = since.map(|offset| {
                let epoch = None;
                Box::new(Since { epoch, offset })
            });
            let newcomer = LogJoin {
                who: Address { shard: 0, ticket },
                since,
                acks,
            };
            let outcome = JoinOutcome::Member {
                members: 1,
                counted,
            };
            let joined = logs.join(&topic, CLASS, outcome, newcomer, 0);
            let joined = joined.expect("it is kept");
            let told = (joined.acks.is_some(), joined.jumps.len());
            assert_eq!(told, expected, "{counted} {acks:?}");
        }
    }
}
