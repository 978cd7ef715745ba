//! JSON-RPC 2.0 (jsonrpc.org/specification), read and written.
//!
//! A method is the native `type`. The params of the server's own are an object with the native
//! keys; those of any other are, as a whole, the command's `data`. The result of one of the
//! server's own is the native answer without `type` and `id`. Params that are absent, `null`, `[]`
//! or `{}` are none, for libraries send all four.

use super::command::{Command, ReplyMode};
use super::decoded::{CallError, Decoded, ITEMS_MAX, InvalidRequest, Item, Items, Response};
use super::event::Event;
use super::fields::{Fields, Span, Wrong};
use super::id::{ID_BYTES_MAX, Id};
use super::map::{JsonNotation, Map};
use super::native::{Key, Keys};
use super::replies::Joining;
use super::reply::{Reply, error_details};
use super::request::{Method, Request};
use super::rules::Rules;
use super::value::{Unencodable, Value};
use super::{Code, Problem, refused};
use crate::json::{JsonScanner, Raw, SyntaxError, explain};
use std::borrow::Cow;

pub(super) fn read<'b>(text: &'b str, rules: &Rules) -> Decoded<'b> {
    if JsonScanner::new(text).peek() != Some(b'[') {
        return Decoded::One(member(text, rules.outer()));
    }
    match members(text, rules.outer()) {
        Err(error) => Decoded::One(refused(not_json(text, error, rules.outer()))),
        Ok(Members::None) => {
            Decoded::One(refused(Problem::invalid_request("a batch is not empty")))
        }
        Ok(Members::TooMany) => Decoded::One(refused(Problem::invalid_request(
            "a batch has at most 64 members",
        ))),
        Ok(Members::Some(items)) => Decoded::Many(Items::new(items, Joining::JsonArray)),
    }
}

const _: () = assert!(ITEMS_MAX == 64, "the text above says so");

/// `text` stands inside `outer` containers.
fn not_json(text: &str, error: SyntaxError, outer: u32) -> Problem {
    Problem::new(Code::BadJson, explain(text, error, outer))
}

/// What is in a complete array.
enum Members<'b> {
    None,
    Some(Vec<Result<Item<'b>, InvalidRequest<'b>>>),
    TooMany,
}

/// The elements of a complete array, each read where it is scanned; those of an array that is too
/// long or no JSON are dropped.
fn members(text: &str, outer: u32) -> Result<Members<'_>, SyntaxError> {
    let mut scanner = JsonScanner::new(text);
    let mut items = Vec::new();
    let mut is_too_long = false;
    scanner.expect(b'[')?;
    if !scanner.take(b']') {
        loop {
            is_too_long |= items.len() == ITEMS_MAX;
            if is_too_long {
                // What stands behind has to be JSON all the same.
                scanner.value(outer + 1)?;
            } else {
                let mut object = Fields::NONE;
                object.fill(&mut scanner, outer + 1, Outer::of_name, NO_OBJECT)?;
                items.push(item(&Object(object)));
            }
            if !scanner.take(b',') {
                scanner.expect(b']')?;
                break;
            }
        }
    }
    scanner.finish()?;
    Ok(match items.len() {
        0 => Members::None,
        _ if is_too_long => Members::TooMany,
        _ => Members::Some(items),
    })
}

/// The keys of a request object and of a response object.
#[derive(Clone, Copy)]
enum Outer {
    JsonRpc,
    Method,
    Params,
    Id,
    Result,
    Error,
}

impl Outer {
    const COUNT: usize = 6;

    fn of_name(name: &[u8]) -> Option<usize> {
        let key = match name {
            b"jsonrpc" => Outer::JsonRpc,
            b"method" => Outer::Method,
            b"params" => Outer::Params,
            b"id" => Outer::Id,
            b"result" => Outer::Result,
            b"error" => Outer::Error,
            _ => return None,
        };
        Some(key as usize)
    }
}

/// One object by itself, inside `outer` containers.
fn member<'b>(text: &'b str, outer: u32) -> Result<Item<'b>, InvalidRequest<'b>> {
    let mut object = Object(Fields::NONE);
    match object.0.read_json(text, outer, Outer::of_name, NO_OBJECT) {
        Ok(()) => item(&object),
        Err(error) => refused(not_json(text, error, outer)),
    }
}

const NO_OBJECT: Wrong = "a request is one object";

/// A request or a response.
fn item<'b>(object: &Object<'b>) -> Result<Item<'b>, InvalidRequest<'b>> {
    let invalid = |id, reply, wrong: Wrong| InvalidRequest {
        id,
        problem: Problem::invalid_request(wrong),
        reply,
    };
    if object.is_response() {
        // An answer that nobody waits for is not answered: the two would never end.
        let response = object.response();
        let response = response.map_err(|wrong| invalid(None, ReplyMode::Never, wrong));
        return response.map(Item::Response);
    }
    // The id first: whatever else is wrong is answered under it.
    let id = (object.id()).map_err(|wrong| invalid(None, ReplyMode::Always, wrong))?;
    let method = (object.method()).map_err(|wrong| invalid(id, ReplyMode::Always, wrong))?;
    // A method without an id is a notification, whatever else is wrong with it: never answered
    // (§4.1).
    let reply = match id {
        Some(_) => ReplyMode::Always,
        None => ReplyMode::Never,
    };
    let call = (object.call(method)).map_err(|wrong| invalid(id, reply, wrong))?;
    let command = call.command(id, reply).map_err(|wrong| InvalidRequest {
        id,
        problem: Problem::new(Code::BadRequest, wrong),
        reply,
    })?;
    Ok(Item::Command(command))
}

struct Object<'b>(Fields<Raw<'b>, { Outer::COUNT }, 0>);

impl<'b> Object<'b> {
    fn get(&self, key: Outer) -> Option<Raw<'b>> {
        self.0.get(key as usize)
    }

    /// The same, where `null` stands for nothing.
    fn some(&self, key: Outer) -> Option<Raw<'b>> {
        self.get(key).filter(|value| value.as_str() != "null")
    }

    /// Whether it is meant as a response.
    fn is_response(&self) -> bool {
        self.get(Outer::Method).is_none()
            && (self.get(Outer::Result).is_some() || self.get(Outer::Error).is_some())
    }

    fn id(&self) -> Result<Option<Id<'b>>, Wrong> {
        match self.get(Outer::Id) {
            None => Ok(None),
            Some(id) if id.as_str().len() > ID_BYTES_MAX => Err("id is longer than 128 bytes"),
            Some(id) => Id::from_json(id)
                .map(Some)
                .ok_or("id must be a string, a number or null"),
        }
    }

    fn check(&self) -> Result<(), Wrong> {
        if let Some(wrong) = self.0.wrong {
            return Err(wrong);
        }
        match self.get(Outer::JsonRpc).and_then(Span::text).as_deref() {
            Some("2.0") => Ok(()),
            _ => Err("jsonrpc must be \"2.0\""),
        }
    }

    fn method(&self) -> Result<Cow<'b, str>, Wrong> {
        self.check()?;
        let method = self.get(Outer::Method).ok_or("method is missing")?;
        method.text().ok_or("method must be a string")
    }

    fn call(&self, method: Cow<'b, str>) -> Result<Call<'b>, Wrong> {
        let params = self.some(Outer::Params);
        if params.is_some_and(|params| !Value::Json(params).is_container()) {
            return Err("params must be an object or an array");
        }
        Ok(Call { method, params })
    }

    /// Of the two outcomes one is present, and the other absent or `null`; JSON-RPC 1.0 and the
    /// libraries that grew from it send both keys.
    fn response(&self) -> Result<Response<'b>, Wrong> {
        self.check()?;
        let id = self.get(Outer::Id).and_then(call_number);
        let error = self.some(Outer::Error);
        // An error that is `null` is none, so without a result beside it the outcome is `null`,
        // too.
        let result = match error {
            Some(_) => self.some(Outer::Result),
            None => self.get(Outer::Result).or(self.get(Outer::Error)),
        };
        Ok(Response {
            id: id.ok_or("the id is none of ours")?,
            outcome: match (result, error) {
                (Some(result), None) => Ok(Value::Json(result)),
                (None, Some(error)) => Err(call_error(error)?),
                (_, _) => return Err("result and error exclude each other"),
            },
        })
    }
}

/// Ids of the server's calls are strings, for clients number their own, and some look an id up
/// among those without a look at `method`.
const CALL_PREFIX: char = 's';

/// The number of a call of ours.
fn call_number(id: Raw<'_>) -> Option<u64> {
    let text = id.text()?;
    let digits = text.strip_prefix(CALL_PREFIX)?;
    let is_ours = !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| is_ours)
}

fn call_error(error: Raw<'_>) -> Result<CallError<'_>, Wrong> {
    const WRONG: Wrong = "error must be an object with code and message";
    let key_of = |name: &[u8]| match name {
        b"code" => Some(0),
        b"message" => Some(1),
        b"data" => Some(2),
        _ => None,
    };
    let mut fields = Fields::<Raw<'_>, 3, 0>::NONE;
    let read = fields.read_json(error.as_str(), 0, key_of, WRONG);
    read.map_err(|_| WRONG)?;
    if let Some(wrong) = fields.wrong {
        return Err(wrong);
    }
    let code = fields.get(0).and_then(|code| code.as_str().parse().ok());
    Ok(CallError {
        code: code.ok_or(WRONG)?,
        message: fields.get(1).and_then(Span::text).ok_or(WRONG)?,
        data: fields.get(2).map(Value::Json),
    })
}

/// A valid request object, its params not looked into yet.
struct Call<'b> {
    method: Cow<'b, str>,
    params: Option<Raw<'b>>,
}

impl<'b> Call<'b> {
    fn command(self, id: Option<Id<'b>>, reply: ReplyMode) -> Result<Command<'b>, Wrong> {
        const WRONG: Wrong = "params must be an object";
        let Some(method) = Method::from_name(&self.method) else {
            return Ok(Command {
                id,
                reply,
                request: Request::Call { name: self.method },
                room: None,
                data: self.params.map(Value::Json),
                trace: None,
            });
        };
        let params = match self.params {
            Some(params) if !is_empty(params) => params.as_str(),
            Some(_) | None => "{}",
        };
        // `type` and `id` mean nothing here.
        let key_of = |name: &[u8]| Key::of_name(name).filter(|key| *key > Key::Id as usize);
        let mut keys = Keys::NONE;
        let read = keys.read_json(params, 0, key_of, WRONG);
        read.map_err(|_| WRONG)?;
        match keys.wrong {
            Some(wrong) => Err(wrong),
            None => keys.method(method, id, reply),
        }
    }
}

/// `[]` or `{}`.
fn is_empty(container: Raw<'_>) -> bool {
    let inner = &container.as_str()[1..];
    inner.trim_ascii_start().len() == 1
}

const _: () = assert!((Key::Type as usize) < Key::Id as usize && Key::Id as usize == 1);

/// Appends a response object. An error without an id is about a message whose id is not known:
/// `null` (§5).
pub(super) fn write_reply(out: &mut Vec<u8>, id: Option<Id<'_>>, reply: &Reply<'_>) {
    let mut map = open(out);
    match reply {
        Reply::Result(value) => map.value_or_null("result", *value),
        Reply::Error(problem) => map.map("error", |map| write_error(map, problem)),
        reply => map.map("result", |map| reply.body(map)),
    }
    match id {
        Some(id) => map.id(Some(id)),
        None => map.null("id"),
    }
    map.close();
}

fn write_error(map: &mut Map<'_, JsonNotation>, problem: &Problem) {
    map.signed("code", problem.json_rpc().into());
    map.string("message", &problem.message);
    map.map("data", |map| {
        map.string("code", problem.code.as_str());
        error_details(map, problem);
    });
}

/// Appends a notification, or a call.
pub(super) fn write_event(out: &mut Vec<u8>, event: &Event<'_>) -> Result<(), Unencodable> {
    let mut map = open(out);
    match (*event, event.kind()) {
        (Event::Call { id, method, params }, _) => {
            map.string("method", method);
            if params.is_some_and(|params| !params.is_container()) {
                return Err(Unencodable::Params);
            }
            map.some_value("params", params);
            map.string("id", &format!("{CALL_PREFIX}{id}"));
        }
        (_, Some(kind)) => {
            map.string("method", kind);
            map.map("params", |map| event.body(map))?;
        }
        (_, None) => return Err(Unencodable::Message),
    }
    map.close();
    Ok(())
}

fn open(out: &mut Vec<u8>) -> Map<'_, JsonNotation> {
    let mut map = Map::open(out);
    map.string("jsonrpc", "2.0");
    map
}
