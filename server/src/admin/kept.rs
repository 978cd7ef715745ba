//! Bans and revocations in a file, so that they outlive a restart.
//!
//! Invariant: the file is always complete: it is written anew beside its place, and renamed once it
//! is on the disk. What an operator was answered 200 for is in it; a ban that followed from
//! refusals is within a second. A file that cannot be read keeps the server from starting, for
//! nobody knows whom it would let in. One thread writes; the admin port asks it to.

use crate::access::bans::{Banishment, Bans};
use crate::auth::revocations::{NotRevoked, Revocation, Revocations};
use crate::auth::rules::unix_now;
use crate::bounded::read_file;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Who and what is refused, for all shards.
#[derive(Clone, Debug)]
pub(crate) struct Refusing {
    pub(crate) bans: Arc<Bans>,
    /// `None`: the server takes no tokens.
    pub(crate) revocations: Option<Arc<Revocations>>,
}

/// The way to the thread that keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Keeper(SyncSender<oneshot::Sender<io::Result<()>>>);

/// What keeps the server from starting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    /// The file cannot be read or written.
    #[error("admin.state_file = {0:?}: {1}")]
    Io(PathBuf, String),
    /// It is not what this server writes.
    #[error(
        "admin.state_file = {0:?}: {1}; mend it, or move it away and give up the bans and revocations in it"
    )]
    Content(PathBuf, String),
}

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    bans: Vec<KeptBan>,
    revocations: Vec<KeptRevocation>,
}

/// Times are in seconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptBan {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    until: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRevocation {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
    until: u64,
}

impl Refusing {
    /// Counts changes.
    fn changes(&self) -> (u64, u64) {
        let revocations = self.revocations.as_ref();
        let revoked = revocations.map_or(0, |revocations| revocations.changes());
        (self.bans.changes(), revoked)
    }

    /// Takes in what the file has, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(crate) fn read(&self, path: &Path) -> Result<(), NotKept> {
        if !path.exists() {
            return Ok(());
        }
        let content = |why: String| NotKept::Content(path.to_owned(), why);
        let bytes = read_file(path, Keeper::FILE_BYTES_MAX);
        let bytes = bytes.map_err(|error| NotKept::Io(path.to_owned(), error.to_string()))?;
        let kept = serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
        self.restore(kept).map_err(content)
    }

    /// Takes in what a file has kept.
    fn restore(&self, kept: KeptFile) -> Result<(), String> {
        let now = unix_now();
        for ban in kept.bans {
            let whom = ban.whom().ok_or("a ban has a user or a network")?;
            let left = Duration::from_secs(ban.until.saturating_sub(now));
            if !left.is_zero() {
                let placed = self.bans.ban(whom, Instant::now(), left);
                placed.map_err(|error| error.to_string())?;
            }
        }
        for kept in kept.revocations {
            let until = kept.until;
            let revocation = kept
                .revocation()
                .ok_or("a revocation has a token, a user or issued_before")?;
            if let Some(revocations) = self.revocations.as_ref().filter(|_| until > now) {
                let restored = revocations.restore(revocation, until, now);
                restored.map_err(|error: NotRevoked| error.to_string())?;
            }
        }
        Ok(())
    }

    fn kept(&self) -> KeptFile {
        let now = unix_now();
        let bans = self.bans.list(Instant::now());
        let bans = bans
            .into_iter()
            .map(|(whom, left)| KeptBan::new(&whom, now + left.as_secs().max(1)));
        let revocations = self.revocations.as_ref().map(|them| them.list(now));
        let revocations = revocations.into_iter().flatten();
        let revocations = revocations.map(|(revoked, until)| KeptRevocation::new(revoked, until));
        KeptFile {
            bans: bans.collect(),
            revocations: revocations.collect(),
        }
    }
}

impl KeptBan {
    fn new(whom: &Banishment, until: u64) -> KeptBan {
        let text = Some(whom.text());
        let (user, address) = match whom {
            Banishment::User(_) => (text, None),
            Banishment::Network(_) => (None, text),
        };
        KeptBan {
            user,
            address,
            until,
        }
    }

    fn whom(&self) -> Option<Banishment> {
        match (&self.user, &self.address) {
            (Some(user), None) => Some(Banishment::of_user(user)),
            (None, Some(address)) => Banishment::of_network(address).ok(),
            _ => None,
        }
    }
}

impl KeptRevocation {
    fn new(revocation: Revocation, until: u64) -> KeptRevocation {
        let (token, user, issued_before) = match revocation {
            Revocation::Token(id) => (Some(id.into()), None, None),
            Revocation::User {
                name,
                issued_before,
            } => (None, Some(name.into()), Some(issued_before)),
            Revocation::Everybody { issued_before } => (None, None, Some(issued_before)),
        };
        KeptRevocation {
            token,
            user,
            issued_before,
            until,
        }
    }

    fn revocation(self) -> Option<Revocation> {
        match (self.token, self.user, self.issued_before) {
            (Some(id), None, None) => Some(Revocation::Token(id.into())),
            (None, Some(name), Some(issued_before)) => Some(Revocation::User {
                name: name.into(),
                issued_before,
            }),
            (None, None, Some(issued_before)) => Some(Revocation::Everybody { issued_before }),
            _ => None,
        }
    }
}

impl Keeper {
    /// Longest file: all bans and all revocations with the longest names.
    const FILE_BYTES_MAX: u64 = 64 << 20;
    /// Operators that wait for the disk. One more hears at once that what it asked for is in force
    /// and not kept.
    const WAITING_MAX: usize = 64;
    /// How often the thread looks for bans that nobody told it of.
    const EVERY: Duration = Duration::from_secs(1);

    /// Takes in what the file has, and keeps it up to date from then on.
    ///
    /// # Errors
    /// The file cannot be read or written, or is none.
    pub(crate) fn start(path: PathBuf, refusing: Refusing) -> Result<Keeper, NotKept> {
        let io = |error: &dyn ToString| NotKept::Io(path.clone(), error.to_string());
        refusing.read(&path)?;
        let seen = refusing.changes();
        write(&path, &refusing.kept()).map_err(|error| io(&error))?;
        let (sender, asked) = sync_channel(Keeper::WAITING_MAX);
        let name = "state file".to_owned();
        let thread = thread::Builder::new().name(name);
        let place = path.clone();
        thread
            .spawn(move || keep(&place, &refusing, &asked, seen))
            .map_err(|error| io(&error))?;
        Ok(Keeper(sender))
    }

    /// What is in force now is on the disk afterwards.
    ///
    /// # Errors
    /// It is not, and is in force as long as the process lives.
    pub(crate) async fn save(&self) -> io::Result<()> {
        let (done, outcome) = oneshot::channel();
        let full = || io::Error::other("too many calls wait for the disk");
        self.0.try_send(done).map_err(|_| full())?;
        outcome.await.unwrap_or_else(|_| Err(full()))
    }
}

/// Writes whenever somebody asks, and when something has changed that nobody told of. Ends with the
/// last keeper.
fn keep(
    path: &Path,
    refusing: &Refusing,
    asked: &Receiver<oneshot::Sender<io::Result<()>>>,
    mut seen: (u64, u64),
) {
    let mut is_told = false;
    loop {
        let mut waiting = match asked.recv_timeout(Keeper::EVERY) {
            Ok(done) => vec![done],
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        waiting.extend(asked.try_iter());
        let changes = refusing.changes();
        let written = match changes == seen {
            true => Ok(()),
            false => write(path, &refusing.kept()),
        };
        match &written {
            Ok(()) => (seen, is_told) = (changes, false),
            Err(error) if !is_told => {
                let path = path.display();
                tracing::error!(%path, %error, "bans and revocations are not kept");
                is_told = true;
            }
            Err(_) => {}
        }
        for done in waiting {
            let outcome = match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            let _nobody_waits = done.send(outcome);
        }
    }
}

/// Replaces the file, which its owner alone reads.
fn write(path: &Path, kept: &KeptFile) -> io::Result<()> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut options = OpenOptions::new();
    let options = options.create(true).write(true).truncate(true).mode(0o600);
    let mut file = options.open(&beside)?;
    file.write_all(&serde_json::to_vec(kept)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The name, too, is on the disk (rename(2)).
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// A file of one test, which goes when it ends.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let name = format!("shardcast-kept-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).expect("a temporary folder");
            Place(folder.join("state"))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _nobody_minds = self.0.parent().map(fs::remove_dir_all);
        }
    }

    fn refusing() -> Refusing {
        Refusing {
            bans: Arc::default(),
            revocations: Some(Arc::default()),
        }
    }

    #[test]
    fn what_was_in_force_is_again() {
        let place = Place::new("again");
        let before = refusing();
        let keeper = Keeper::start(place.0.clone(), before.clone()).expect("a file");
        let network = Banishment::of_network("192.0.2.0/24").expect("a network");
        let now = Instant::now();
        for (whom, time) in [
            (network, HOUR),
            (Banishment::of_user("ann"), HOUR),
            (Banishment::of_user("over"), Duration::ZERO),
        ] {
            before.bans.ban(whom, now, time).expect("a place");
        }
        let revocations = before.revocations.as_ref().expect("tokens");
        for revocation in [
            Revocation::Token("t".into()),
            Revocation::User {
                name: "bob".into(),
                issued_before: 7,
            },
            Revocation::Everybody { issued_before: 3 },
        ] {
            revocations.revoke(revocation, HOUR).expect("a place");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let saved = runtime.expect("a runtime").block_on(keeper.save());
        saved.expect("a disk");
        let after = refusing();
        Keeper::start(place.0.clone(), after.clone()).expect("the file");
        let mut banned: Vec<String> = after
            .bans
            .list(now)
            .iter()
            .map(|ban| ban.0.text())
            .collect();
        banned.sort();
        assert_eq!(banned, ["192.0.2.0/24", "ann"]);
        let mut kept = revocations.list(0);
        let mut again = after.revocations.as_ref().expect("tokens").list(0);
        for list in [&mut kept, &mut again] {
            list.sort_by_key(|(revocation, _)| format!("{revocation:?}"));
        }
        assert_eq!(kept, again);
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&place.0).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_ban_that_nobody_told_of_is_kept_within_a_second() {
        let place = Place::new("untold");
        let refusing = refusing();
        let _keeper = Keeper::start(place.0.clone(), refusing.clone()).expect("a file");
        let ann = Banishment::of_user("ann");
        refusing
            .bans
            .ban(ann, Instant::now(), HOUR)
            .expect("a place");
        shardcast_patience::wait_until("it is kept", || {
            fs::read_to_string(&place.0).is_ok_and(|text| text.contains("ann"))
        });
    }

    #[test]
    fn what_is_no_such_file_is_not_started_with() {
        let place = Place::new("faults");
        for text in [
            "",
            "{",
            "[]",
            "{\"bans\":[]}",
            "{\"bans\":[{\"until\":1}],\"revocations\":[]}",
            "{\"bans\":[{\"address\":\"x\",\"until\":99999999999}],\"revocations\":[]}",
            "{\"bans\":[],\"revocations\":[{\"until\":99999999999}]}",
            "{\"bans\":[],\"revocations\":[],\"more\":1}",
        ] {
            fs::write(&place.0, text).expect("a temporary file");
            let refused = Keeper::start(place.0.clone(), refusing()).expect_err(text);
            assert!(matches!(refused, NotKept::Content(..)), "{refused}");
            assert_eq!(fs::read_to_string(&place.0).expect("the file"), text);
        }
        let nowhere = place.0.join("nowhere");
        let refused = Keeper::start(nowhere, refusing()).expect_err("no folder");
        assert!(matches!(refused, NotKept::Io(..)), "{refused}");
    }
}
