//! Values of an application on their way out: written by serde, in the encoding of a dialect.

use crate::app::failure::Failure;
use serde::Serialize;
use shardcast_protocol::dialect::{Code, Encoding, Problem, Value};
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

/// What [`write`] wrote. It is read once more: whatever the `Serialize` of others wrote must not damage the message around it.
pub(crate) fn read(encoding: Encoding, bytes: &[u8]) -> Result<Value<'_>, Problem> {
    let value = match encoding {
        Encoding::Json => {
            let text = str::from_utf8(bytes).ok();
            text.and_then(Raw::parse).map(Value::Json)
        }
        Encoding::Pack => Pack::parse(bytes).map(Value::Pack),
    };
    value.ok_or_else(|| Problem::new(Code::HandlerFailed, "the answer nests too deeply"))
}
