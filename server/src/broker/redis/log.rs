//! Logs of ordered rooms in Redis: a stream of entries for each, beside its epoch and its newest
//! offset.
//!
//! Invariant: what changes a log is one script, which the server runs as one step. Used by the
//! adapter.

use crate::broker::adapter::{Append, Appended, BrokerError, LogEntry, LogPage, ReadLog};
use crate::broker::envelope::Envelope;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, RedisResult, Script};
use std::sync::Arc;
use std::time::Duration;

/// The logs of one prefix.
#[derive(Debug)]
pub(super) struct RedisLog {
    prefix: Box<str>,
    append: Script,
    open: Script,
}

/// Numbers an entry, keeps it and publishes it. Keys: the log, its epoch and newest offset, the
/// idempotency key. Arguments: the envelope before and behind its place, the channel, an epoch for
/// a new log, entries and milliseconds that are kept, milliseconds of the epoch, and of the key.
///
/// Numbers of Lua are exact up to 2^53, and so are epochs and offsets here.
const APPEND: &str = r"
local known = redis.call('HMGET', KEYS[2], 'epoch', 'newest')
local epoch, newest = known[1], tonumber(known[2])
if not epoch then
  epoch, newest = ARGV[4], 0
  redis.call('DEL', KEYS[1])
end
if ARGV[8] ~= '0' then
  local before = redis.call('GET', KEYS[3])
  if before then
    local at, offset = string.match(before, '^(%d+):(%d+)$')
    if at == epoch then return {epoch, offset, '1'} end
  end
end
local offset = newest + 1
local place = struct.pack('>I8I8I8', tonumber(epoch), offset, newest)
local payload = ARGV[1] .. place .. ARGV[2]
local written = string.format('%.0f', offset)
local now = redis.call('TIME')
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], written .. '-0',
  't', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)), 'p', payload)
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('HSET', KEYS[2], 'epoch', epoch, 'newest', written)
redis.call('PEXPIRE', KEYS[2], ARGV[7])
if ARGV[8] ~= '0' then
  redis.call('SET', KEYS[3], epoch .. ':' .. written, 'PX', ARGV[8])
end
redis.call('PUBLISH', ARGV[3], payload)
return {epoch, written, '0'}
";

/// A page of a log, which is made if there is none, or if its epoch is over. Keys: the log, its
/// epoch and newest offset. Arguments: an epoch for a new log, the one that is over or nothing,
/// milliseconds that an empty log stays, the offset behind which entries are wanted, and how many.
const OPEN: &str = r"
local known = redis.call('HMGET', KEYS[2], 'epoch', 'newest')
local epoch, newest = known[1], known[2]
if not epoch or epoch == ARGV[2] then
  redis.call('DEL', KEYS[1])
  epoch, newest = ARGV[1], '0'
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'newest', newest)
end
if newest == '0' then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
return {epoch, newest,
  redis.call('XRANGE', KEYS[1], '(' .. ARGV[4] .. '-0', '+', 'COUNT', ARGV[5]),
  redis.call('TIME')}
";

/// How long a log stays that has nothing yet, and is not opened again.
const EMPTY_TTL: Duration = Duration::from_secs(300);

impl RedisLog {
    pub(super) fn new(prefix: &str) -> RedisLog {
        RedisLog {
            prefix: prefix.into(),
            append: Script::new(APPEND),
            open: Script::new(OPEN),
        }
    }

    /// The keys of a room's log.
    fn keys(&self, room: &str) -> [String; 2] {
        let prefix = &self.prefix;
        ["log", "place"].map(|what| format!("{prefix}:{what}:{room}"))
    }

    /// Where an idempotency key of a room is. The length tells where the room ends: neither may be
    /// taken for part of the other, nor for a log.
    fn repeat(&self, room: &str, key: &str) -> String {
        format!("{}:key:{}:{room}:{key}", self.prefix, room.len())
    }

    /// Appends all of these in order. The server is shown the script each time, so it never knows
    /// it only for some of them.
    ///
    /// # Errors
    /// One is no envelope.
    pub(super) fn append_all(
        &self,
        batch: &[Append],
        channel: impl Fn(&Arc<str>) -> String,
    ) -> Result<Pipeline, BrokerError> {
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("SCRIPT").arg("LOAD").arg(APPEND).ignore();
        for append in batch {
            let (head, tail) = match append.payload.len() >= Envelope::PLACE.end {
                true => (&append.payload[..1], &append.payload[Envelope::PLACE.end..]),
                false => return Err(BrokerError::Refused("it is no envelope".into())),
            };
            let [log, place] = self.keys(&append.room);
            let (key, window) = match &append.key {
                Some((key, window)) => {
                    let key = self.repeat(&append.room, key);
                    (key, window.as_millis().max(1))
                }
                None => (log.clone(), 0),
            };
            let command = pipeline.cmd("EVALSHA").arg(self.append.get_hash()).arg(3);
            command
                .arg(log)
                .arg(place)
                .arg(key)
                .arg([head, &[1]].concat())
                .arg(tail)
                .arg(channel(&append.room))
                .arg(fastrand::u64(1..1 << 52).to_string())
                .arg(append.keep.entries_max)
                .arg(millis(append.keep.ttl))
                .arg(millis(append.keep.epoch_ttl))
                .arg(window.to_string());
        }
        Ok(pipeline)
    }

    /// What the server has answered to so many appends.
    pub(super) fn appended(
        count: usize,
        answers: Vec<RedisResult<(u64, u64, u8)>>,
    ) -> Vec<Result<Appended, BrokerError>> {
        let appended = |(epoch, offset, repeat)| Appended {
            epoch,
            offset,
            is_duplicate: repeat == 1,
        };
        let refused = |error: RedisError| BrokerError::Refused(error.to_string().into());
        let answers = answers.into_iter();
        let mut all: Vec<_> = answers
            .map(|answer| answer.map(appended).map_err(refused))
            .collect();
        all.resize(count, Err(BrokerError::Lost));
        all
    }

    pub(super) async fn open(
        &self,
        connection: &mut MultiplexedConnection,
        read: &ReadLog,
        over: Option<u64>,
    ) -> Result<LogPage, RedisError> {
        let [log, place] = self.keys(&read.room);
        let mut script = self.open.key(log);
        let script = script
            .key(place)
            .arg(fastrand::u64(1..1 << 52).to_string())
            .arg(over.map(|epoch| epoch.to_string()).unwrap_or_default())
            .arg(millis(read.keep.epoch_ttl.min(EMPTY_TTL)))
            .arg(read.after.to_string())
            .arg(read.limit);
        let (epoch, newest, entries, now): (u64, u64, Vec<StreamEntry>, RedisTime) =
            script.invoke_async(connection).await?;
        Ok(page_of(epoch, newest, entries, now))
    }

    pub(super) async fn read(
        &self,
        connection: &mut MultiplexedConnection,
        read: &ReadLog,
    ) -> Result<LogPage, RedisError> {
        let [log, place] = self.keys(&read.room);
        let mut pipeline = redis::pipe();
        pipeline
            .atomic()
            .cmd("HMGET")
            .arg(place)
            .arg("epoch")
            .arg("newest");
        let from = format!("({}-0", read.after);
        let range = pipeline.cmd("XRANGE").arg(log).arg(from).arg("+");
        range.arg("COUNT").arg(read.limit);
        pipeline.cmd("TIME");
        let (known, entries, now): (Known, Vec<StreamEntry>, RedisTime) =
            pipeline.query_async(connection).await?;
        let (Some(epoch), Some(newest)) = known else {
            return Ok(LogPage::default());
        };
        Ok(page_of(epoch, newest, entries, now))
    }
}

/// A log's epoch and its newest offset.
type Known = (Option<u64>, Option<u64>);
/// Id, and names and values of fields in turns.
type StreamEntry = (String, Vec<Vec<u8>>);
/// Seconds since 1970, and microseconds, by the server's clock.
type RedisTime = (u64, u64);

fn page_of(epoch: u64, newest: u64, entries: Vec<StreamEntry>, now: RedisTime) -> LogPage {
    let (seconds, micros) = now;
    let now_ms = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
    let entries = entries.into_iter();
    let entries: Vec<LogEntry> = entries
        .filter_map(|(_, fields)| entry_of(fields, now_ms))
        .collect();
    let (first, last) = (entries.first(), entries.last());
    LogPage {
        epoch,
        newest,
        behind: first.map_or(newest, |first| first.place.previous),
        has_more: last.is_some_and(|last| last.place.offset < newest),
        entries,
    }
}

/// The entry in the fields `t`, when it was appended, in milliseconds since 1970, and `p`.
fn entry_of(fields: Vec<Vec<u8>>, now_ms: u64) -> Option<LogEntry> {
    let [_, at, _, payload]: [Vec<u8>; 4] = fields.try_into().ok()?;
    let place = Envelope::read(&payload).ok()?.place?;
    let at_ms = std::str::from_utf8(&at).ok().and_then(|at| at.parse().ok());
    Some(LogEntry {
        place,
        payload: payload.into(),
        age: Duration::from_millis(now_ms.saturating_sub(at_ms.unwrap_or(now_ms))),
    })
}

fn millis(time: Duration) -> String {
    time.as_millis().max(1).to_string()
}
