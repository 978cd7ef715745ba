//! Logs through ends, crashes and damage of their file.

use super::*;
use shardcast_engine::{
    Address, Content, Data, DataEncoding, Publication, PublicationKind, Ticket,
};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file of its own, which goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary directory");
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("logs.redb")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

fn room() -> TopicName {
    TopicName::Room("chat:a".into())
}

fn text_of(offset: u64) -> String {
    format!("\"message {offset}\"")
}

fn left(first: u64) -> LogLeft {
    LogLeft { first, taken: 0 }
}

fn kept(topic: TopicName, epoch: u64, offset: u64, first: u64) -> LogRecord {
    let publisher = Address {
        shard: 0,
        ticket: Ticket {
            slot: 1,
            generation: 2,
        },
    };
    let publication = Publication {
        topic: None,
        kind: PublicationKind::Message { publisher },
        data: Data::Text(&text_of(offset)),
        data_encoding: DataEncoding(0),
    };
    let content = Content::data(&publication, None);
    LogRecord::Kept {
        topic,
        epoch,
        publication: StoredPublication::new(offset, content, 0, None, None),
        left: left(first),
    }
}

/// The publications of one epoch, from an offset on, with nothing trimmed.
fn all(epoch: u64, offsets: std::ops::RangeInclusive<u64>) -> Vec<LogRecord> {
    let first = *offsets.start();
    offsets
        .map(|offset| kept(room(), epoch, offset, first))
        .collect()
}

#[track_caller]
fn open(scratch: &Scratch) -> (StoreFile, Vec<FoundLog>) {
    let (file, found) = StoreFile::open(&scratch.file(), 1_000).expect("it can be opened");
    (file, found.logs)
}

/// The offsets of a log; each has its text.
#[track_caller]
fn offsets(log: &FoundLog) -> Vec<u64> {
    let publications = log.publications.iter();
    let offsets = publications.map(|stored| {
        let said = stored.kept.publication(None).expect("data was stored");
        assert_eq!(said.data, Data::Text(&text_of(stored.kept.offset)));
        stored.kept.offset
    });
    offsets.collect()
}

#[test]
fn a_log_goes_on_after_an_end() {
    let scratch = Scratch::new();
    let (mut file, found) = open(&scratch);
    assert!(found.is_empty());
    file.write(&all(7, 1..=5), 1_000, Ending::NotYet).unwrap();
    let trimmed = LogRecord::Trimmed {
        topic: room(),
        left: LogLeft { first: 3, taken: 2 },
    };
    file.write(&[trimmed], 1_000, Ending::Clean).unwrap();
    drop(file);
    let (mut file, found) = open(&scratch);
    let [log] = &*found else {
        panic!("one log: {found:?}");
    };
    assert_eq!(offsets(log), [3, 4, 5]);
    assert_eq!((log.row.epoch, log.row.next, log.row.left.taken), (7, 6, 2));
    assert!(log.row.former.is_empty());
    // It goes on, and this time nobody says goodbye.
    file.write(&all(7, 6..=7), 1_000, Ending::NotYet).unwrap();
    drop(file);
    let (_, found) = open(&scratch);
    let row = &found[0].row;
    assert_eq!(offsets(&found[0]), [6, 7], "what the last record left");
    assert_ne!(row.epoch, 7);
    let last = Position {
        epoch: 7,
        offset: 7,
    };
    assert_eq!((row.next, &*row.former), (8, &[last][..]));
}

/// Every crash gives another epoch; the newest of them are known.
#[test]
fn former_epochs_are_bounded() {
    let scratch = Scratch::new();
    let (mut file, _) = open(&scratch);
    file.write(&all(7, 1..=1), 0, Ending::NotYet).unwrap();
    let mut epochs = vec![7];
    for _ in 0..Journal::FORMER_MAX + 3 {
        drop(file);
        let (opened, found) = open(&scratch);
        let former: Vec<u64> = found[0].row.former.iter().map(|it| it.epoch).collect();
        let known = epochs.len().saturating_sub(Journal::FORMER_MAX);
        assert_eq!(former, epochs[known..]);
        epochs.push(found[0].row.epoch);
        file = opened;
    }
}

#[test]
fn a_hole_and_another_epoch_begin_a_log_anew() {
    let scratch = Scratch::new();
    let (mut file, _) = open(&scratch);
    file.write(&all(7, 1..=5), 0, Ending::NotYet).unwrap();
    file.write(&all(7, 9..=10), 0, Ending::Clean).unwrap();
    drop(file);
    let (mut file, found) = open(&scratch);
    assert_eq!((offsets(&found[0]), found[0].row.epoch), (vec![9, 10], 7));
    file.write(&all(8, 1..=2), 0, Ending::Clean).unwrap();
    drop(file);
    let (mut file, found) = open(&scratch);
    assert_eq!((offsets(&found[0]), found[0].row.epoch), (vec![1, 2], 8));
    let user = TopicName::User("chat:a".into());
    let records = [
        LogRecord::Gone { topic: room() },
        kept(user.clone(), 9, 4, 4),
        // Nobody knows this one.
        LogRecord::Gone {
            topic: TopicName::Room("other".into()),
        },
    ];
    file.write(&records, 0, Ending::Clean).unwrap();
    drop(file);
    let (_, found) = open(&scratch);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0].topic, offsets(&found[0])), (&user, vec![4]));
}

#[test]
fn one_process_at_a_time() {
    let scratch = Scratch::new();
    let _file = open(&scratch);
    let second = StoreFile::open(&scratch.file(), 0);
    assert!(matches!(second, Err(FileError::InUse)), "{second:?}");
}

/// A file is cut, overwritten, or was never one: it opens as some whole log, or is said to be
/// damaged, and nothing panics.
#[test]
fn damage_is_told() {
    let scratch = Scratch::new();
    let (mut file, _) = open(&scratch);
    for group in 0..5 {
        let records = all(7, group * 20 + 1..=group * 20 + 20);
        file.write(&records, 0, Ending::Clean).unwrap();
    }
    drop(file);
    let whole = fs::read(scratch.file()).expect("it is there");
    let mut random = fastrand::Rng::with_seed(11);
    let mut spoilt: Vec<Vec<u8>> = vec![
        b"not a database".to_vec(),
        vec![0; 1 << 20],
        whole[..whole.len() / 2].to_vec(),
        whole[..100].to_vec(),
    ];
    for _ in 0..40 {
        let mut bytes = whole.clone();
        let at = random.usize(0..bytes.len());
        let len = random.usize(1..4_096).min(bytes.len() - at);
        random.fill(&mut bytes[at..at + len]);
        spoilt.push(bytes);
    }
    let (mut damaged, mut opened) = (0, 0);
    for bytes in &spoilt {
        fs::write(scratch.file(), bytes).unwrap();
        match StoreFile::open(&scratch.file(), 0) {
            Ok((_, found)) => {
                opened += 1;
                for log in &found.logs {
                    let offsets = offsets(log);
                    assert!(offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]));
                }
            }
            Err(FileError::Damaged(_)) => damaged += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(damaged >= 4, "{damaged} damaged, {opened} opened");
}

/// It holds what clients say, as the audit log and dead letters do.
#[test]
fn the_file_is_read_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    drop(StoreFile::open(&scratch.file(), 0).expect("it is made"));
    let found = fs::metadata(scratch.file()).expect("a file");
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
}
