//! Maps against the obvious: all that was ever published, gone through from its beginning.

use super::*;
use crate::topic::data::{Data, DataEncoding};
use crate::topic::key::{Topic, TopicKey};
use crate::topic::log::entry::LogEntry;
use crate::topic::log::map_options::MapOptions;
use crate::topic::log::options::LogClass;
use crate::topic::publication::{Publication, PublicationKind};
use crate::types::history::{ReadOrder, Since};
use crate::types::ticket::{Address, Ticket};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const TTL_MS: Millis = 5_000;
const FREE: usize = usize::MAX / 2;

fn content(text: &str) -> Content {
    let publication = Publication {
        topic: None,
        kind: PublicationKind::Event { name: "e" },
        data: Data::Text(text),
        data_encoding: DataEncoding::default(),
    };
    Content::data(&publication, None)
}

fn text_of(content: &Content) -> String {
    let publication = content.publication(None).expect("it is data");
    String::from_utf8_lossy(publication.data.bytes()).into_owned()
}

fn keep(key: &str, change: MapChange) -> Keep {
    Keep {
        class: LogClass::new(0),
        key: None,
        conflate: Some(key.into()),
        change,
        rule: SetRule::default(),
        place: None,
    }
}

/// What was published: its key, and what it says. `None`: that there is nothing any more.
type Said = (String, Option<String>);

/// A map, and all that was ever published to it.
struct MapAndTruth {
    log: Log,
    options: LogOptions,
    said: Vec<Said>,
    /// When each key was published last.
    at: BTreeMap<String, Millis>,
    now: Millis,
}

impl MapAndTruth {
    fn new(options: LogOptions) -> MapAndTruth {
        options.check().expect("it is within its limits");
        let topic = TopicKey::new(Topic::Room("r"));
        MapAndTruth {
            log: Log::new(topic, LogClass::new(0), 7),
            options,
            said: Vec::new(),
            at: BTreeMap::new(),
            now: 0,
        }
    }

    /// The obvious: what the publications up to an offset leave.
    fn truth(&self, upto: u64) -> BTreeMap<String, String> {
        let mut truth = BTreeMap::new();
        for (key, said) in &self.said[..upto as usize] {
            match said {
                Some(said) => truth.insert(key.clone(), said.clone()),
                None => truth.remove(key),
            };
        }
        truth
    }

    fn publish(&mut self, key: &str, said: Option<&str>) -> Result<(), MapRefusal> {
        let change = match said {
            Some(_) => MapChange::Set,
            None => MapChange::Remove,
        };
        self.put(keep(key, change), said)
    }

    fn put(&mut self, keep: Keep, said: Option<&str>) -> Result<(), MapRefusal> {
        let key = keep.conflate.clone().expect("it has a key");
        let content = content(said.unwrap_or(""));
        self.log.admit(&self.options, &keep, &content, FREE)?;
        let (log, options) = (&mut self.log, &self.options);
        log.change_map(options, &keep, &content, (self.now, true));
        let nobody = std::iter::empty();
        let mut entry = LogEntry::new(&content, Topic::Room("r"), self.now, nobody);
        entry.conflate = keep.conflate;
        log.append(entry, options);
        self.said.push((key.to_string(), said.map(Into::into)));
        match said {
            Some(_) => self.at.insert(key.to_string(), self.now),
            None => self.at.remove(&*key),
        };
        self.log.map.check();
        Ok(())
    }

    /// Removes what is over, as a home does.
    fn expire(&mut self) {
        let ttl = self.options.map.and_then(|map| map.key_ttl);
        let due = |at: &Millis| ttl.is_some_and(|ttl| self.now - at >= ttl.as_millis() as Millis);
        let expected: Vec<String> = self
            .at
            .iter()
            .filter(|(_, at)| due(at))
            .map(|it| it.0.clone())
            .collect();
        let mut found = Vec::new();
        while let Some((key, last)) = self.log.next_expired(&self.options, self.now) {
            let key = key.to_string();
            let truth = self.truth(self.said.len() as u64);
            assert_eq!(truth.get(&key), Some(&text_of(last)));
            self.publish(&key, None).expect("the key is there");
            found.push(key);
        }
        found.sort();
        assert_eq!(found, expected);
    }

    fn page(&self, since: Option<Since>, limit: u32) -> History {
        self.log.read_map(&HistoryQuery {
            since,
            limit,
            order: ReadOrder::Map,
        })
    }
}

/// Somebody who reads the map by pages, and then what was published behind the first.
#[derive(Default)]
struct MapReader {
    first: Option<u64>,
    after: u64,
    map: BTreeMap<String, String>,
}

impl MapReader {
    /// Reads a page; whether that was the last.
    fn read(&mut self, of: &MapAndTruth, limit: u32) -> bool {
        let since = Since {
            epoch: self.first.map(|_| of.log.epoch),
            offset: self.after,
        };
        let page = of.page(Some(since), limit);
        assert_eq!(page.loss, None);
        assert!(page.publications.len() <= limit as usize);
        let first = *self.first.get_or_insert(page.position.offset);
        for kept in page.publications {
            assert!(kept.offset > self.after, "pages are in order");
            self.after = kept.offset;
            if kept.offset > first {
                // It comes with what was published since.
                return true;
            }
            let (key, said) = &of.said[kept.offset as usize - 1];
            let read = text_of(&kept.into_content());
            assert_eq!(Some(&read), said.as_ref());
            assert_eq!(self.map.insert(key.clone(), read), None, "read twice");
        }
        !page.more
    }

    /// Takes in what was published since the first page, if the log has all of it.
    fn catch_up(&mut self, of: &MapAndTruth) -> bool {
        let first = self.first.expect("a page was read");
        if of.log.first() > first + 1 {
            return false;
        }
        for (key, said) in &of.said[first as usize..] {
            match said {
                Some(said) => self.map.insert(key.clone(), said.clone()),
                None => self.map.remove(key),
            };
        }
        true
    }
}

/// Whatever is published while somebody reads, pages and what follows the first of them come to the
/// same map as all that was ever published.
#[test]
fn pages_and_what_follows_are_the_map() {
    let (mut complete, mut lost) = (0, 0);
    for seed in 0..200 {
        let mut random = Rng::with_seed(seed);
        let mut map = MapAndTruth::new(LogOptions {
            publications_max: [4, 30, 1_000][random.usize(..3)],
            map: Some(MapOptions {
                key_ttl: random.bool().then(|| Duration::from_millis(TTL_MS)),
                ..MapOptions::default()
            }),
            ..LogOptions::default()
        });
        let keys = random.usize(1..12);
        let (limit, mut reader) = (random.u32(1..5), MapReader::default());
        for number in 0..200 {
            let key = format!("k{}", random.usize(..keys));
            let held = map.truth(map.said.len() as u64);
            match random.usize(..4) {
                0 => {
                    let removed = map.publish(&key, None);
                    let expected = held.get(&key).map(|_| ()).ok_or(MapRefusal::NoKey);
                    assert_eq!(removed, expected);
                }
                _ => map.publish(&key, Some(&format!("{number}"))).expect("room"),
            }
            map.now += random.u64(..400) as Millis;
            map.expire();
            if random.usize(..3) == 0 && reader.read(&map, limit) {
                let reader = std::mem::take(&mut reader);
                let first = reader.first.expect("it has read");
                // What it has read is what did not change since.
                for (key, said) in &reader.map {
                    assert_eq!(map.truth(first).get(key), Some(said));
                }
                let mut reader = reader;
                match reader.catch_up(&map) {
                    true => {
                        assert_eq!(reader.map, map.truth(map.said.len() as u64), "seed {seed}");
                        complete += 1;
                    }
                    false => lost += 1,
                }
            }
        }
        let all = map.page(None, HistoryQuery::LIMIT_MAX);
        let truth = map.truth(map.said.len() as u64);
        assert_eq!((all.publications.len(), all.more), (truth.len(), false));
        assert_eq!(all.keys as usize, truth.len());
    }
    assert!(complete > 1_000 && lost > 100, "{complete} {lost}");
}

#[test]
fn a_map_is_as_large_as_it_may_be() {
    let entry = |key: &str, text: &str| KeyedEntry::bytes_of(key, &content(text));
    let bytes_max = entry("a", &"x".repeat(400)) + entry("b", &"y".repeat(300));
    let mut map = MapAndTruth::new(LogOptions {
        map: Some(MapOptions {
            keys_max: 2,
            bytes_max,
            key_ttl: None,
        }),
        ..LogOptions::default()
    });
    let full = Err(MapRefusal::Full);
    let (of_400, of_300, of_301) = ("x".repeat(400), "y".repeat(300), "y".repeat(301));
    assert_eq!(map.publish("a", Some(&of_400)), Ok(()));
    assert_eq!(map.publish("b", Some(&of_301)), full, "a byte too many");
    assert_eq!(map.publish("b", Some(&of_300)), Ok(()));
    assert_eq!(map.publish("b", Some(&of_301)), full);
    assert_eq!(map.publish("c", Some("")), full, "a key too many");
    assert_eq!(map.publish("c", None), Err(MapRefusal::NoKey));
    assert_eq!(map.publish("a", Some("")), Ok(()), "in its own place");
    assert_eq!(map.publish("b", Some(&of_301)), Ok(()));
    assert_eq!(map.publish("a", None), Ok(()));
    assert_eq!(map.publish("c", Some("")), Ok(()));
    let offsets: Vec<u64> = map
        .page(None, 9)
        .publications
        .iter()
        .map(|kept| kept.offset)
        .collect();
    assert_eq!(offsets, [4, 6]);
    assert_eq!(map.publish("b", None), Ok(()));
    assert_eq!(map.publish("c", None), Ok(()));
    assert!(map.log.map.is_empty() && map.log.map.bytes() == 0);
    // All maps together have no room.
    let set = keep("a", MapChange::Set);
    let mut admit = |free| map.log.admit(&map.options, &set, &content(""), free);
    assert_eq!(
        (admit(entry("a", "")), admit(entry("a", "") - 1)),
        (Ok(()), full)
    );
}

/// Pages are of one epoch, and of so many bytes.
#[test]
fn a_page_ends_where_it_must() {
    let mut map = MapAndTruth::new(LogOptions {
        publications_max: 1,
        map: Some(MapOptions::default()),
        ..LogOptions::default()
    });
    let large = "x".repeat(HistoryQuery::BYTES_MAX / 2);
    for key in ["a", "b", "c"] {
        map.publish(key, Some(&large)).expect("room");
    }
    let since = |epoch, offset| Some(Since { epoch, offset });
    let read = |since, limit| {
        let page = map.page(since, limit);
        let offsets: Vec<u64> = page.publications.iter().map(|kept| kept.offset).collect();
        (offsets, page.more, page.loss)
    };
    assert_eq!(read(None, 9), (vec![1], true, None));
    assert_eq!(read(since(Some(7), 1), 9), (vec![2], true, None));
    assert_eq!(read(since(None, 2), 9), (vec![3], false, None));
    assert_eq!(read(since(Some(7), 3), 9), (vec![], false, None));
    assert_eq!(read(since(Some(7), u64::MAX), 9), (vec![], false, None));
    assert_eq!(read(None, 0), (vec![], true, None));
    let lost = (vec![], false, Some(Loss::EpochChanged));
    assert_eq!(read(since(Some(8), 1), 9), lost);
}

/// The next publication of a key builds on what all members were sent of it.
#[test]
fn a_base_is_what_all_were_sent() {
    let mut map = MapAndTruth::new(LogOptions {
        map: Some(MapOptions::default()),
        ..LogOptions::default()
    });
    let base = |map: &MapAndTruth| map.log.base_of("a").map(text_of);
    assert_eq!(base(&map), None);
    map.publish("a", Some("1")).expect("room");
    assert_eq!(base(&map).as_deref(), Some("1"));
    let left_out = (map.now, false);
    let (log, options) = (&mut map.log, &map.options);
    log.change_map(options, &keep("a", MapChange::Set), &content("2"), left_out);
    assert_eq!(base(&map), None, "somebody was left out");
}

/// A key is set only as its publication says.
#[test]
fn a_key_is_set_by_its_rule() {
    let mut map = MapAndTruth::new(LogOptions {
        map: Some(MapOptions::default()),
        ..LogOptions::default()
    });
    let rule = |only, version| SetRule { only, version };
    for (key, only, version, expected) in [
        ("a", SetOnly::Known, 0, Err(MapRefusal::NoKey)),
        ("a", SetOnly::New, 7, Ok(())),
        ("a", SetOnly::New, 8, Err(MapRefusal::KeyExists)),
        ("a", SetOnly::New, 7, Err(MapRefusal::Outdated)),
        ("a", SetOnly::Any, 6, Err(MapRefusal::Outdated)),
        ("a", SetOnly::Known, 7, Err(MapRefusal::Outdated)),
        ("a", SetOnly::Known, 8, Ok(())),
        ("b", SetOnly::Any, 1, Ok(())),
        ("a", SetOnly::Any, u64::MAX, Ok(())),
        // What has no version counts, and whatever follows it.
        ("a", SetOnly::Any, 0, Ok(())),
        ("a", SetOnly::Any, 1, Ok(())),
    ] {
        let keep = Keep {
            rule: rule(only, version),
            ..keep(key, MapChange::Set)
        };
        assert_eq!(
            map.put(keep, Some("")),
            expected,
            "{key} {only:?} {version}"
        );
    }
    // The version goes with its key.
    assert_eq!(map.publish("a", None), Ok(()));
    let keep = Keep {
        rule: rule(SetOnly::Any, 1),
        ..keep("a", MapChange::Set)
    };
    assert_eq!(map.put(keep, Some("")), Ok(()));
}

/// Against the obvious: a set of holders for each key.
#[test]
fn a_key_is_there_as_long_as_somebody_holds_it() {
    let (mut told, mut silent) = (0, 0);
    for seed in 0..100 {
        let mut random = Rng::with_seed(seed);
        let mut map = MapAndTruth::new(LogOptions {
            map: Some(MapOptions {
                // It is over at once, if it may be.
                key_ttl: Some(Duration::from_secs(1)),
                ..MapOptions::default()
            }),
            ..LogOptions::default()
        });
        let mut truth: BTreeMap<String, BTreeSet<Address>> = BTreeMap::new();
        for _ in 0..200 {
            let key = format!("k{}", random.usize(..3));
            let slot = random.u32(..4);
            let holder = Address {
                shard: 1,
                ticket: Ticket {
                    slot,
                    generation: 1,
                },
            };
            let before = truth.contains_key(&key);
            let (change, said) = match random.bool() {
                true => {
                    truth.entry(key.clone()).or_default().insert(holder);
                    (MapChange::Hold(holder), Some("here"))
                }
                false => {
                    let held = truth.get_mut(&key);
                    let is_last = held.is_some_and(|held| held.remove(&holder) && held.is_empty());
                    if is_last {
                        truth.remove(&key);
                    }
                    (MapChange::Release(holder), None)
                }
            };
            let expected = match (change, before == truth.contains_key(&key)) {
                (_, false) => Ok(()),
                (MapChange::Hold(_), true) => Err(MapRefusal::KeyExists),
                (_, true) => Err(MapRefusal::NoKey),
            };
            assert_eq!(map.put(keep(&key, change), said), expected, "seed {seed}");
            match expected {
                Ok(()) => told += 1,
                Err(_) => silent += 1,
            }
            map.log.map.check();
            map.now += TTL_MS;
            assert!(map.log.next_expired(&map.options, map.now).is_none());
        }
        let held = map.truth(map.said.len() as u64);
        assert!(held.keys().eq(truth.keys()), "seed {seed}");
    }
    assert!(told > 1_000 && silent > 1_000, "{told} {silent}");
}
