//! A copy of a session as the broker has it: the log of a room that no client can name, under the
//! digest of the session's secret. Its newest entry says what the session is, or that it is over.
//!
//! Invariant: whoever goes on with a session appends that it is over, under a key that stands for
//! this waiting of it: the broker takes that key once, so of all nodes that try one succeeds. What
//! an entry says is checked, for a broker is open to whoever has its password.
//!
//! The data of an entry: its version, 0 or 1 (over, or what follows), the session's generation in
//! four bytes (big-endian), and the session as the store writes it, with the time that it waits.

use crate::broker::adapter::{Append, Broker, BrokerError, KeptInLog, ReadLog};
use crate::broker::envelope::{Body, Envelope, MessageId, Recipient};
use crate::session::copies::CopiedSession;
use crate::session::shelf::ShelvedSession;
use crate::session::token::SecretDigest;
use crate::store::session;
use shardcast_engine::{Data, DataEncoding};
use std::sync::Arc;
use std::time::Duration;

const VERSION: u8 = 1;
const IS_OVER: u8 = 0;
const IS_HERE: u8 = 1;

/// Who appends.
#[derive(Clone, Copy, Debug)]
pub(super) struct CopyAuthor<'a> {
    pub(super) node: &'a str,
    pub(super) run: u64,
}

/// How long copies are kept, and how often they are made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyTerms {
    pub(super) keep: KeptInLog,
    /// Of a session that does not change.
    pub(super) refresh_ms: u64,
}

impl CopyTerms {
    /// A session that does not change is not copied more often.
    const REFRESH_MIN: Duration = Duration::from_secs(300);

    /// Where sessions outlive their connections by so much. A copy that nobody makes anew is there
    /// for that time at least, from the end of its node on.
    pub(super) fn new(resume: Duration) -> CopyTerms {
        let refresh = resume.max(Self::REFRESH_MIN);
        // A copy may be late by a quarter of the time in which it is due.
        let ttl = refresh + refresh / 4 + resume;
        CopyTerms {
            keep: KeptInLog {
                entries_max: 1,
                ttl,
                epoch_ttl: ttl,
            },
            refresh_ms: u64::try_from(refresh.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// What the broker has of a session.
#[derive(Debug, PartialEq)]
pub(super) enum CopyFound {
    /// It never had any, or has it no more.
    Nothing,
    /// It was taken, or has ended.
    Over,
    /// It waits, or its connection is there; the node that has said so.
    Here(CopiedSession, Box<str>),
}

/// The room whose log it is: no client's, for theirs have no control characters.
fn room_of(digest: &SecretDigest) -> Arc<str> {
    format!("\u{1}session:{digest}").into()
}

/// What the session is now.
pub(super) fn here(
    author: CopyAuthor<'_>,
    terms: &CopyTerms,
    session: &ShelvedSession,
    generation: u32,
) -> Option<Append> {
    let mut data = vec![VERSION, IS_HERE];
    data.extend(generation.to_be_bytes());
    data.extend(session::write(session, 0));
    append(author, terms, &session.digest, &data)
}

/// It is over.
pub(super) fn over(
    author: CopyAuthor<'_>,
    terms: &CopyTerms,
    digest: &SecretDigest,
) -> Option<Append> {
    let mut data = vec![VERSION, IS_OVER];
    data.extend([0; 4]);
    append(author, terms, digest, &data)
}

fn append(
    author: CopyAuthor<'_>,
    terms: &CopyTerms,
    digest: &SecretDigest,
    data: &[u8],
) -> Option<Append> {
    let room = room_of(digest);
    let envelope = Envelope {
        place: None,
        id: MessageId {
            run: author.run,
            number: 0,
        },
        recipient: Recipient::Room(&room),
        body: Body::State { node: author.node },
        key: "",
        conflate: "",
        data: Data::Binary(data),
        encoding: DataEncoding::default(),
    };
    let payload = envelope.write()?.into();
    Some(Append {
        room,
        payload,
        key: None,
        keep: terms.keep,
    })
}

/// What the broker has of the session of this secret.
///
/// # Errors
/// It cannot be asked.
pub(super) async fn find(
    broker: &impl Broker,
    terms: &CopyTerms,
    digest: &SecretDigest,
) -> Result<CopyFound, BrokerError> {
    /// Entries of a page; a broker may keep a few more than the newest.
    const PAGE: u32 = 1_000;
    /// Looks at one log.
    const PAGES_MAX: usize = 4;
    let (mut after, mut newest) = (0, None);
    for _ in 0..PAGES_MAX {
        let page = broker.read(ReadLog {
            room: room_of(digest),
            keep: terms.keep,
            after,
            limit: PAGE,
        });
        let page = page.await?;
        if let Some(entry) = page.entries.last() {
            after = entry.place.offset;
            newest = Some(entry.payload.clone());
        }
        if !page.has_more {
            break;
        }
    }
    Ok(match newest {
        None => CopyFound::Nothing,
        // What cannot be read is nobody's to go on with.
        Some(payload) => read(&payload, digest).unwrap_or(CopyFound::Over),
    })
}

fn read(payload: &[u8], digest: &SecretDigest) -> Option<CopyFound> {
    let envelope = Envelope::read(payload).ok()?;
    let (Body::State { node }, Data::Binary(data)) = (envelope.body, envelope.data) else {
        return None;
    };
    let (head, session) = data.split_first_chunk::<6>()?;
    let [VERSION, IS_HERE, generation @ ..] = head else {
        return None;
    };
    let session = session::read(*digest, session, 0).ok()??;
    let copied = CopiedSession {
        session: Box::new(session),
        generation: u32::from_be_bytes(*generation),
    };
    Some(CopyFound::Here(copied, node.into()))
}

/// Whether it was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyClaim {
    /// It is this node's now.
    Granted,
    /// Somebody else was first.
    Denied,
}

/// Takes the session in this waiting of it, before anybody else does.
///
/// # Errors
/// Whether it was taken is not known.
pub(super) async fn claim(
    broker: &impl Broker,
    author: CopyAuthor<'_>,
    terms: &CopyTerms,
    digest: &SecretDigest,
    generation: u32,
) -> Result<CopyClaim, BrokerError> {
    let Some(append) = over(author, terms, digest) else {
        return Err(BrokerError::TooLarge);
    };
    let key = format!("taken-{generation}").into();
    let append = Append {
        key: Some((key, terms.keep.ttl)),
        ..append
    };
    let appended = broker.append(append).await?;
    Ok(match appended.is_duplicate {
        true => CopyClaim::Denied,
        false => CopyClaim::Granted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::inbox::Inbox;
    use crate::broker::model::{Model, ModelBroker, ModelFault, ModelLogs};
    use crate::session::identity::Identity;
    use crate::session::origin::NeededProof;
    use crate::session::record::KeptRoom;
    use futures_util::FutureExt;
    use shardcast_engine::{Address, OwnedData, Ticket};
    use shardcast_seeds::{Printing, Seeds, Tally};

    const SEEDS: Seeds = Seeds {
        again: "cargo test -p shardcast --lib broker::copying::copy",
        count: 2_000,
        happenings: &[
            "granted",
            "denied",
            "over",
            "lost",
            "saved",
            "came back",
            "ended",
            "cut",
        ],
        least: 200,
    };

    const AUTHOR: CopyAuthor<'static> = CopyAuthor { node: "a", run: 7 };

    fn terms() -> CopyTerms {
        CopyTerms::new(Duration::from_secs(60))
    }

    fn session(mood: u64) -> ShelvedSession {
        let shown = OwnedData::new(Data::Text(&mood.to_string()), DataEncoding(0));
        let ticket = Ticket {
            slot: 7,
            generation: 9,
        };
        ShelvedSession {
            connection: Address { shard: 3, ticket },
            digest: SecretDigest([5; SecretDigest::BYTES]),
            proof: NeededProof::Secret,
            identity: Identity::user("ann").expect("a name").in_roles(["x"]),
            rooms: vec![KeptRoom {
                room: "chat:a".into(),
                shown: Some(shown),
            }],
            remaining: Duration::from_secs(60),
        }
    }

    fn node(model: &Model) -> ModelBroker {
        let (inbox, _unread) = Inbox::new(9, 1_000);
        model.node(inbox)
    }

    fn at_once<T>(asked: impl Future<Output = T>) -> T {
        asked.now_or_never().expect("the model answers at once")
    }

    #[test]
    fn a_copy_is_what_was_copied_until_it_is_taken() {
        let (model, terms) = (Model::default(), terms());
        let broker = node(&model);
        let digest = session(0).digest;
        let found = || at_once(find(&broker, &terms, &digest));
        assert_eq!(found(), Ok(CopyFound::Nothing));
        for (mood, generation) in [(1, 0), (2, 3)] {
            let append = here(AUTHOR, &terms, &session(mood), generation).expect("it is short");
            at_once(broker.append(append)).expect("connected");
            let session = Box::new(session(mood));
            let copied = CopiedSession {
                session,
                generation,
            };
            assert_eq!(found(), Ok(CopyFound::Here(copied, "a".into())));
        }
        let claim = || at_once(claim(&broker, AUTHOR, &terms, &digest, 3));
        assert_eq!(claim(), Ok(CopyClaim::Granted));
        assert_eq!(claim(), Ok(CopyClaim::Denied));
        assert_eq!(found(), Ok(CopyFound::Over));
    }

    #[test]
    fn what_is_no_copy_is_nobodys_session() {
        let (model, terms) = (Model::default(), terms());
        let broker = node(&model);
        let digest = session(0).digest;
        let good = here(AUTHOR, &terms, &session(0), 0).expect("it is short");
        for cut in 1..20 {
            let payload = good.payload.slice(..good.payload.len() - cut);
            let append = Append {
                payload,
                ..good.clone()
            };
            at_once(broker.append(append)).expect("connected");
            let found = at_once(find(&broker, &terms, &digest));
            assert_eq!(found, Ok(CopyFound::Over), "{cut} bytes less");
        }
    }

    #[test]
    fn a_copy_outlives_its_node_by_what_a_session_waits() {
        for resume in [1, 60, 300, 86_400].map(Duration::from_secs) {
            let terms = CopyTerms::new(resume);
            let refresh = Duration::from_millis(terms.refresh_ms);
            assert!(terms.keep.ttl >= refresh + resume);
            assert!(refresh >= resume.max(CopyTerms::REFRESH_MIN));
        }
    }

    /// One who has the session; nobody else may have it at the same time.
    #[derive(Default)]
    struct SimSession {
        holders: u32,
        /// As often as it has waited again.
        generation: u32,
    }

    /// A node goes on with the session if it can, and may find that its client has gone.
    fn take(broker: &ModelBroker, sim: &mut SimSession, tally: &mut Tally, stale: Option<u32>) {
        let (terms, digest) = (terms(), session(0).digest);
        let generation = match (at_once(find(broker, &terms, &digest)), stale) {
            (Err(_), _) => {
                *tally.entry("lost").or_default() += 1;
                return;
            }
            // What it read before others took it.
            (_, Some(generation)) => generation,
            (Ok(CopyFound::Here(copied, _)), None) => copied.generation,
            (Ok(_), None) => {
                *tally.entry("over").or_default() += 1;
                return;
            }
        };
        match at_once(claim(broker, AUTHOR, &terms, &digest, generation)) {
            Ok(CopyClaim::Granted) => {
                sim.holders += 1;
                assert_eq!(generation, sim.generation, "an old waiting was granted");
                *tally.entry("granted").or_default() += 1;
            }
            Ok(CopyClaim::Denied) => *tally.entry("denied").or_default() += 1,
            Err(_) => *tally.entry("lost").or_default() += 1,
        }
    }

    fn save(broker: &ModelBroker, generation: u32, mood: u64) -> bool {
        let append = here(AUTHOR, &terms(), &session(mood), generation).expect("it is short");
        at_once(broker.append(append)).is_ok()
    }

    fn schedule(seed: u64, _printing: Printing) -> Tally {
        let mut random = fastrand::Rng::with_seed(seed);
        let (model, mut tally) = (Model::default(), Tally::new());
        if random.bool() {
            model.keep_logs(ModelLogs::OfStream);
        }
        let nodes = [node(&model), node(&model), node(&model)];
        let mut sim = SimSession::default();
        for step in 0..60 {
            let at = random.usize(..nodes.len());
            match random.u8(..20) {
                // The node that had it copies it again, for it has not heard that it is gone.
                0..=5 => {
                    let generation = sim.generation.saturating_sub(random.u32(..2));
                    let is_saved = save(&nodes[0], generation, step);
                    *tally.entry("saved").or_default() += u64::from(is_saved);
                }
                6..=12 => take(&nodes[at], &mut sim, &mut tally, None),
                13..=14 => {
                    let stale = random.u32(..=sim.generation);
                    take(&nodes[at], &mut sim, &mut tally, Some(stale));
                }
                // Whoever has it finds that its client has gone: it waits again.
                15..=16 if sim.holders == 1 && save(&nodes[at], sim.generation + 1, step) => {
                    sim.generation += 1;
                    sim.holders = 0;
                    *tally.entry("came back").or_default() += 1;
                }
                17 => {
                    let over = over(AUTHOR, &terms(), &session(0).digest).expect("short");
                    let is_over = at_once(nodes[0].append(over)).is_ok();
                    *tally.entry("ended").or_default() += u64::from(is_over);
                }
                18 => {
                    model.fail(at, ModelFault::Cut);
                    *tally.entry("cut").or_default() += 1;
                }
                19 => (0..nodes.len()).for_each(|node| model.fail(node, ModelFault::Mend)),
                _ => {}
            }
            assert!(sim.holders <= 1, "seed {seed}: two have it");
        }
        tally
    }

    /// Whatever nodes read before others have taken a session, and whatever the one that had it
    /// copies afterwards, nobody gets it twice in one waiting.
    #[test]
    fn of_all_who_want_a_session_one_gets_it() {
        SEEDS.run(schedule);
    }
}
