//! What was said, in SQLite: one thread owns the database, and handlers ask it through a bounded
//! queue.
//!
//! Invariant: whoever is answered `Ok` finds the message in the file, whatever happens to the
//! process afterwards.

use rusqlite::{Connection, params};
use serde::Serialize;
use shardcast::{Code, Problem};
use std::path::Path;
use tokio::sync::{mpsc, oneshot};

/// A message as it is kept, and as clients hear it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Said {
    /// Counts upwards over all rooms.
    pub(crate) id: i64,
    pub(crate) room: String,
    pub(crate) user: String,
    pub(crate) text: String,
}

/// The way to the thread. Clones lead to the same one; it ends with the last of them.
#[derive(Clone)]
pub(crate) struct Store(mpsc::Sender<Job>);

/// Work for the thread. Runs there, and sends its own answer.
type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Jobs that wait. One more is refused at once: a disk that cannot follow must not fill the memory.
const JOBS_MAX: usize = 1024;

impl Store {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Store> {
        let database = Connection::open(path)?;
        database.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS said (
                 id INTEGER PRIMARY KEY, room TEXT NOT NULL, user TEXT NOT NULL, text TEXT NOT NULL);
             CREATE INDEX IF NOT EXISTS said_in ON said (room, id);",
        )?;
        let (jobs, mut waiting) = mpsc::channel::<Job>(JOBS_MAX);
        std::thread::spawn(move || {
            while let Some(job) = waiting.blocking_recv() {
                job(&database);
            }
        });
        Ok(Store(jobs))
    }

    /// Keeps a message: it comes back with its number.
    pub(crate) async fn keep(
        &self,
        room: String,
        user: String,
        text: String,
    ) -> Result<Said, Problem> {
        self.ask(move |database| {
            let mut insert = database
                .prepare_cached("INSERT INTO said (room, user, text) VALUES (?1, ?2, ?3)")?;
            let id = insert.insert(params![room, user, text])?;
            Ok(Said {
                id,
                room,
                user,
                text,
            })
        })
        .await
    }

    /// The last messages of a room, the oldest first.
    pub(crate) async fn last(&self, room: String, count: u32) -> Result<Vec<Said>, Problem> {
        self.ask(move |database| {
            let mut query = database.prepare_cached(
                "SELECT id, user, text FROM said WHERE room = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let found = query.query_map(params![room, count], |row| {
                Ok(Said {
                    id: row.get(0)?,
                    room: room.clone(),
                    user: row.get(1)?,
                    text: row.get(2)?,
                })
            })?;
            let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
            found.reverse();
            Ok(found)
        })
        .await
    }

    /// Has the thread do something, and waits for it without holding a thread of the runtime.
    async fn ask<R: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Problem> {
        let (asker, answer) = oneshot::channel();
        let job: Job = Box::new(move |database| {
            // Nobody waits any more when the client has gone: then its message is kept all the
            // same.
            let _ = asker.send(job(database));
        });
        let unavailable = |_| Problem::new(Code::Unavailable, "messages cannot be kept now");
        self.0.try_send(job).map_err(|_| unavailable(()))?;
        let answer = answer.await.map_err(|_| unavailable(()))?;
        answer.map_err(|error| {
            eprintln!("the database: {error}");
            unavailable(())
        })
    }
}
