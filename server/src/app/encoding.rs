//! Values of an application on their way out: written by serde, in the encoding of a dialect.

use crate::app::failure::Failure;
use serde::Serialize;
use shardcast_protocol::dialect::{Code, DEPTH_MAX, Encoding, Problem, Value};
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;

/// Appends a value: as JSON, or as MessagePack with named fields.
///
/// # Errors
/// The value's own `Serialize` failed, or the encoding cannot say it (JSON: a map whose keys are no strings).
pub(crate) fn write(
    encoding: Encoding,
    out: &mut Vec<u8>,
    value: &impl Serialize,
) -> Result<(), Failure> {
    match encoding {
        Encoding::Json => Ok(serde_json::to_writer(out, value)?),
        Encoding::Pack => Ok(rmp_serde::encode::write_named(out, value)?),
    }
}

/// What [`write`] wrote, for one client. JSON can only be wrong in that it nests too deeply, for which a short one has no room: it is not
/// looked at again. MessagePack can be wrong in any way, by a `Serialize` that announces another number of elements than it writes, and
/// would damage the message around it.
///
/// # Errors
/// `handler_failed`.
pub(crate) fn written(encoding: Encoding, bytes: &[u8]) -> Result<Value<'_>, Problem> {
    match encoding {
        Encoding::Json if bytes.len() < DEEP_BYTES => {
            let text = str::from_utf8(bytes).map_err(|_| damaged())?;
            Ok(Value::Json(Raw::of_serializer(text)))
        }
        Encoding::Json | Encoding::Pack => read(encoding, bytes),
    }
}

/// What nests one deeper than a value in a message may has an opening and a closing bracket for each container.
const DEEP_BYTES: usize = 2 * DEPTH_MAX as usize;

/// What [`write`] wrote, for clients of all dialects. It is read once more: it may be translated, which takes
/// what nests no deeper than what clients send.
///
/// # Errors
/// `handler_failed`.
pub(crate) fn read(encoding: Encoding, bytes: &[u8]) -> Result<Value<'_>, Problem> {
    let value = match encoding {
        Encoding::Json => {
            let text = str::from_utf8(bytes).ok();
            text.and_then(Raw::parse).map(Value::Json)
        }
        Encoding::Pack => Pack::parse(bytes).map(Value::Pack),
    };
    value.ok_or_else(damaged)
}

fn damaged() -> Problem {
    Problem::new(Code::HandlerFailed, "the answer nests too deeply")
}
