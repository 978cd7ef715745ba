//! The server API of Centrifugo, so that its server libraries work with this server: methods, one
//! by one or several in a request, each with its result or an error with a number.
//!
//! Invariant: a request has at most [`COMMANDS_MAX`] commands, which are done one after the other,
//! and each is replied to. Routes of the admin port lead here, behind its guard.

pub(crate) mod clients;
pub(crate) mod error;
pub(crate) mod info;
pub(crate) mod maps;
pub(crate) mod requests;
pub(crate) mod rooms;

use crate::admin::answers::AnswerRoom;
use crate::session::handle::Handle;
use error::ApiError;
use info::ServerInfo;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use shardcast_engine::ShardCounters;
use std::sync::Arc;

/// What the methods act on.
#[derive(Debug)]
pub(crate) struct CentrifugoApi {
    handle: Handle,
    info: ServerInfo,
}

/// Most commands of one request.
const COMMANDS_MAX: usize = 1_000;

/// What a method has come to.
type Done = Result<Value, ApiError>;

/// Several commands: each an object with one key, its method.
#[derive(Deserialize)]
struct CommandBatch<'r> {
    #[serde(borrow)]
    commands: Vec<std::collections::HashMap<String, &'r RawValue>>,
}

/// A command on a line of its own, as older libraries write it.
#[derive(Deserialize)]
struct Line<'r> {
    method: String,
    #[serde(borrow)]
    params: Option<&'r RawValue>,
}

impl CentrifugoApi {
    pub(crate) fn new(handle: Handle, counters: Vec<Arc<ShardCounters>>) -> CentrifugoApi {
        CentrifugoApi {
            handle,
            info: ServerInfo::new(counters),
        }
    }

    /// The answer to a request for one method, or for `batch`. `None`: there is no such method.
    pub(crate) async fn call(&self, method: &str, body: &[u8]) -> Option<Value> {
        if method == "batch" {
            return Some(match self.batch(body).await {
                Ok(replies) => json!({ "replies": replies }),
                Err(error) => json!({ "error": error }),
            });
        }
        let done = self.run(method, body).await;
        if matches!(&done, Err(error) if *error == ApiError::METHOD_NOT_FOUND) {
            return None;
        }
        Some(replied(done))
    }

    /// The answer to commands on a line each, in their order.
    pub(crate) async fn lines(&self, body: &[u8]) -> String {
        let lines = body.split(|byte| *byte == b'\n');
        let lines = lines
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty());
        let (mut replies, mut room) = (Vec::new(), AnswerRoom::new());
        for (count, line) in lines.enumerate() {
            let done = match serde_json::from_slice::<Line<'_>>(line) {
                _ if count == COMMANDS_MAX => Err(ApiError::bad_request(TOO_MANY)),
                Ok(line) if room.is_full() && reads(&line.method) => {
                    Err(ApiError::bad_request(FULL))
                }
                Ok(line) => {
                    let params = line.params.map_or("{}", RawValue::get);
                    self.run(&line.method, params.as_bytes()).await
                }
                Err(error) => Err(ApiError::bad_request(error.to_string())),
            };
            let reply = replied(done).to_string();
            room.take(reply.len());
            replies.push(reply);
            if count == COMMANDS_MAX {
                break;
            }
        }
        replies.join("\n")
    }

    async fn batch(&self, body: &[u8]) -> Result<Vec<Value>, ApiError> {
        let batch: CommandBatch<'_> = read(body)?;
        if batch.commands.len() > COMMANDS_MAX {
            return Err(ApiError::bad_request(TOO_MANY));
        }
        let mut replies = Vec::with_capacity(batch.commands.len());
        let mut room = AnswerRoom::new();
        for command in batch.commands {
            let mut methods = command.into_iter();
            let (Some((method, params)), None) = (methods.next(), methods.next()) else {
                return Err(ApiError::bad_request("a command has one method"));
            };
            let done = match room.is_full() && reads(&method) {
                true => Err(ApiError::bad_request(FULL)),
                false => self.run(&method, params.get().as_bytes()).await,
            };
            room.take(done.as_ref().map_or(0, |result| result.to_string().len()));
            let reply = match done {
                Ok(result) => Map::from_iter([(method, result)]),
                Err(error) => Map::from_iter([("error".to_owned(), json!(error))]),
            };
            replies.push(Value::Object(reply));
        }
        Ok(replies)
    }

    async fn run(&self, method: &str, body: &[u8]) -> Done {
        let body = match body.trim_ascii() {
            b"" => b"{}",
            body => body,
        };
        let handle = &self.handle;
        match method {
            "publish" => rooms::publish(handle, read(body)?).await,
            "broadcast" => rooms::broadcast(handle, read(body)?).await,
            "presence" => rooms::presence(handle, read(body)?).await,
            "presence_stats" => rooms::presence_stats(handle, read(body)?).await,
            "history" => rooms::history(handle, read(body)?).await,
            "history_remove" => rooms::history_remove(handle, read(body)?).await,
            "map_publish" => maps::publish(handle, read(body)?).await,
            "map_remove" => maps::remove(handle, read(body)?).await,
            "map_read_state" => maps::read_state(handle, read(body)?).await,
            "map_read_stream" => maps::read_stream(handle, read(body)?).await,
            "map_stats" => maps::stats(handle, read(body)?).await,
            "map_clear" => maps::clear(handle, read(body)?).await,
            "channels" => rooms::channels(handle, read(body)?).await,
            "subscribe" => clients::subscribe(handle, read(body)?).await,
            "unsubscribe" => clients::unsubscribe(handle, read(body)?).await,
            "disconnect" => clients::disconnect(handle, read(body)?).await,
            "refresh" => clients::refresh(handle, read(body)?).await,
            "info" => Ok(self.info.show(&self.handle.shared.server)),
            "rpc" => Err(ApiError::NOT_AVAILABLE),
            _ => Err(ApiError::METHOD_NOT_FOUND),
        }
    }
}

const FULL: &str = "the replies before it have 16 MiB: ask for it in another batch";

/// Whether a method's reply may be long.
fn reads(method: &str) -> bool {
    matches!(method, "presence" | "history" | "channels")
}

const TOO_MANY: &str = "more than 1000 commands in a request";

fn read<'r, T: Deserialize<'r>>(body: &'r [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn replied(done: Done) -> Value {
    match done {
        Ok(result) => json!({ "result": result }),
        Err(error) => json!({ "error": error }),
    }
}
