//! The server API of Centrifugo, so that its server libraries work with this server: methods, one
//! by one or several in a request, each with its result or an error with a number.
//!
//! Invariant: a request has at most [`COMMANDS_MAX`] commands, which are done one after the other,
//! and each is replied to. A command that acts has its line in the audit log once it is done.
//! Routes of the admin port lead here, behind its guard.

pub(crate) mod clients;
pub(crate) mod error;
pub(crate) mod info;
pub(crate) mod maps;
pub(crate) mod requests;
pub(crate) mod rooms;

use crate::admin::answers::AnswerRoom;
use crate::admin::auditing;
use crate::session::handle::Handle;
use error::ApiError;
use futures_util::future::BoxFuture;
use info::ServerInfo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shardcast_engine::ShardCounters;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the methods act on.
#[derive(Debug)]
pub(crate) struct CentrifugoApi {
    handle: Handle,
    info: ServerInfo,
    /// Places for requests with several commands.
    pub(crate) batches: Arc<Semaphore>,
}

/// Most commands of one request.
const COMMANDS_MAX: usize = 1_000;
/// Requests with several commands at a time; others wait, with their bodies unread.
const BATCHES_MAX: usize = 4;

/// What a method has come to.
type Done = Result<Value, ApiError>;

/// A method.
pub(crate) struct ApiMethod {
    name: &'static str,
    effect: MethodEffect,
    run: for<'a> fn(&'a CentrifugoApi, &'a [u8]) -> BoxFuture<'a, Done>,
}

/// What a method does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MethodEffect {
    /// Its params have data of messages, which no log has.
    Publishes,
    /// It tells something short.
    Tells,
    /// Its reply may be long.
    Reads,
    /// To clients, or to what channels keep: that stands in the audit log.
    Acts,
}

/// A row of the table.
macro_rules! method {
    ($effect:ident $name:literal, |$api:ident, $params:ident| $run:expr) => {
        ApiMethod {
            name: $name,
            effect: MethodEffect::$effect,
            run: |$api, $params| Box::pin(async move { $run }),
        }
    };
}

/// A row of one that acts, and is audited.
macro_rules! act {
    ($name:literal, $run:path) => {
        ApiMethod {
            name: $name,
            effect: MethodEffect::Acts,
            run: |api, params| {
                let call = concat!("centrifugo ", $name);
                Box::pin(audited(call, params, move |asked| $run(&api.handle, asked)))
            },
        }
    };
}

/// Every method but `batch`.
static METHODS: &[ApiMethod] = &[
    method!(Publishes "publish",
        |api, params| rooms::publish(&api.handle, read(params)?).await),
    method!(Publishes "broadcast",
        |api, params| rooms::broadcast(&api.handle, read(params)?).await),
    method!(Reads "presence",
        |api, params| rooms::presence(&api.handle, read(params)?).await),
    method!(Tells "presence_stats",
        |api, params| rooms::presence_stats(&api.handle, read(params)?).await),
    method!(Reads "history",
        |api, params| rooms::history(&api.handle, read(params)?).await),
    act!("history_remove", rooms::history_remove),
    method!(Publishes "map_publish",
        |api, params| maps::publish(&api.handle, read(params)?).await),
    act!("map_remove", maps::remove),
    method!(Reads "map_read_state",
        |api, params| maps::read_state(&api.handle, read(params)?).await),
    method!(Reads "map_read_stream",
        |api, params| maps::read_stream(&api.handle, read(params)?).await),
    method!(Tells "map_stats",
        |api, params| maps::stats(&api.handle, read(params)?).await),
    act!("map_clear", maps::clear),
    method!(Reads "channels",
        |api, params| rooms::channels(&api.handle, read(params)?).await),
    act!("subscribe", clients::subscribe),
    act!("unsubscribe", clients::unsubscribe),
    act!("disconnect", clients::disconnect),
    act!("refresh", clients::refresh),
    method!(Tells "info",
        |api, _params| Done::Ok(api.info.show(&api.handle.shared.server))),
    method!(Tells "rpc", |_api, _params| Done::Err(ApiError::NOT_AVAILABLE)),
];

impl ApiMethod {
    fn named(name: &str) -> Option<&'static ApiMethod> {
        METHODS.iter().find(|method| method.name == name)
    }

    /// Whether a method does more than to read and to publish.
    pub(crate) fn acts(name: &str) -> bool {
        ApiMethod::named(name).is_some_and(|method| method.effect == MethodEffect::Acts)
    }
}

/// Does what a method acts, and writes down that it was asked to, and what came of it.
async fn audited<P, F>(call: &'static str, params: &[u8], act: impl FnOnce(P) -> F) -> Done
where
    P: DeserializeOwned + Serialize,
    F: Future<Output = Done>,
{
    let asked = match read::<P>(params) {
        Ok(asked) => asked,
        Err(error) => {
            auditing::audit(call, &auditing::body_of_call(params), error.number());
            return Err(error);
        }
    };
    let said = auditing::understood(&asked);
    let done = act(asked).await;
    auditing::audit(
        call,
        &said,
        done.as_ref().map_or_else(ApiError::number, |_| 200),
    );
    done
}

/// Several commands: each an object with one key, its method.
#[derive(Deserialize)]
struct CommandBatch<'r> {
    #[serde(borrow)]
    commands: Vec<HashMap<String, &'r RawValue>>,
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
            batches: Arc::new(Semaphore::new(BATCHES_MAX)),
        }
    }

    /// The answer to a request for one method. `None`: there is no such method.
    pub(crate) async fn call(&self, method: &str, params: &[u8]) -> Option<String> {
        let done = self.run(method, params).await;
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
                Ok(line) => {
                    let params = line.params.map_or("{}", RawValue::get);
                    self.run_within(&room, &line.method, params).await
                }
                Err(error) => Err(ApiError::bad_request(error.to_string())),
            };
            let reply = replied(done);
            room.take(reply.len());
            replies.push(reply);
            if count == COMMANDS_MAX {
                break;
            }
        }
        replies.join("\n")
    }

    /// The answer to a batch.
    pub(crate) async fn batch(&self, body: &[u8]) -> String {
        match self.replies(body).await {
            Ok(replies) => format!("{{\"replies\":[{}]}}", replies.join(",")),
            Err(error) => json!({ "error": error }).to_string(),
        }
    }

    async fn replies(&self, body: &[u8]) -> Result<Vec<String>, ApiError> {
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
            let done = self.run_within(&room, &method, params.get()).await;
            // As text it is as long as the room counts.
            let reply = match done {
                Ok(result) => json!({ method: result }),
                Err(error) => json!({ "error": error }),
            };
            let reply = reply.to_string();
            room.take(reply.len());
            replies.push(reply);
        }
        Ok(replies)
    }

    /// One of several commands, unless it reads and there is no room for that.
    async fn run_within(&self, room: &AnswerRoom, name: &str, params: &str) -> Done {
        let method = ApiMethod::named(name).map(|method| method.effect);
        match (room.is_full(), method) {
            (true, Some(MethodEffect::Reads)) => Err(ApiError::bad_request(FULL)),
            _ => self.run(name, params.as_bytes()).await,
        }
    }

    async fn run(&self, name: &str, params: &[u8]) -> Done {
        let method = ApiMethod::named(name).ok_or(ApiError::METHOD_NOT_FOUND)?;
        let params = match params.trim_ascii() {
            b"" => b"{}",
            params => params,
        };
        (method.run)(self, params).await
    }
}

const FULL: &str = "the replies before it have 16 MiB: ask for it in another batch";

const TOO_MANY: &str = "more than 1000 commands in a request";

fn read<'r, T: Deserialize<'r>>(body: &'r [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn replied(done: Done) -> String {
    let reply = match done {
        Ok(result) => json!({ "result": result }),
        Err(error) => json!({ "error": error }),
    };
    reply.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_method_does_stands_in_its_one_row() {
        use MethodEffect::{Acts, Publishes, Reads, Tells};
        let mut rows: Vec<_> = METHODS.iter().map(|it| (it.name, it.effect)).collect();
        rows.sort_unstable_by_key(|row| row.0);
        let expected = [
            ("broadcast", Publishes),
            ("channels", Reads),
            ("disconnect", Acts),
            ("history", Reads),
            ("history_remove", Acts),
            ("info", Tells),
            ("map_clear", Acts),
            ("map_publish", Publishes),
            ("map_read_state", Reads),
            ("map_read_stream", Reads),
            ("map_remove", Acts),
            ("map_stats", Tells),
            ("presence", Reads),
            ("presence_stats", Tells),
            ("publish", Publishes),
            ("refresh", Acts),
            ("rpc", Tells),
            ("subscribe", Acts),
            ("unsubscribe", Acts),
        ];
        assert_eq!(rows, expected);
        assert!(ApiMethod::acts("map_clear") && !ApiMethod::acts("history"));
        assert!(!ApiMethod::acts("batch") && !ApiMethod::acts("none"));
    }
}
