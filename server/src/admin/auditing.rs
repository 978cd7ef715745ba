//! Calls in the audit log. Written by the port, and by calls that do several.
//!
//! Invariant: nothing that a call is asked with pushes the rest of it out of its line. What stands
//! there is what was understood, without spaces, and each text and list of it is shortened by
//! itself.

use crate::audit::event::AuditEvent;
use serde::Serialize;
use serde_json::Value;

/// So much of each text stands there, in bytes: all of any name.
const TEXT_BYTES_MAX: usize = 256;
/// So many values of each list.
const ITEMS_MAX: usize = 16;

/// Writes that a call was made, with what it was asked with, and what became of it: a status of
/// HTTP, or the number of an error of the server API of Centrifugo.
pub(crate) fn audit(call: &'static str, body: &str, status: u16) {
    AuditEvent::AdminCalled { call, body, status }.emit();
}

/// What a call was understood to ask for.
pub(crate) fn understood(call: &impl Serialize) -> String {
    serde_json::to_value(call).map_or_else(|_| String::new(), shortened)
}

/// What stands in the body of a call, which is refused where it has a field that is not known. Of
/// what is no JSON, and is refused, too: its beginning.
pub(crate) fn body_of_call(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(value) => shortened(value),
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(TEXT_BYTES_MAX)]).into_owned(),
    }
}

fn shortened(mut value: Value) -> String {
    shorten(&mut value);
    value.to_string()
}

/// A value is no deeper than its parser lets it be.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX)),
        Value::Array(items) => {
            items.truncate(ITEMS_MAX);
            items.iter_mut().for_each(shorten);
        }
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_pushes_out_whom_a_call_is_about() {
        let spaces = " ".repeat(5_000);
        let zeros = "0".repeat(5_000);
        for body in [
            format!("{{{spaces}\"user\":{spaces}\"ann\"}}"),
            format!("{{\"for\":\"{zeros}1h\",\"user\":\"ann\"}}"),
            json!({"addresses": vec!["x"; 5_000], "user": "ann"}).to_string(),
            json!({"deep": [[[[zeros]]]], "user": "ann"}).to_string(),
        ] {
            let said = body_of_call(body.as_bytes());
            assert!(said.contains(r#""user":"ann""#), "{said}");
            assert!(said.len() < 600, "{said}");
        }
    }

    #[test]
    fn what_was_understood_is_written_and_what_was_not_begins() {
        let name = "ü".repeat(127);
        let call = json!({"user": name, "room": null, "code": 4100});
        let said = body_of_call(call.to_string().as_bytes());
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said, call, "a name is no longer than what is written");
        assert_eq!(understood(&call), call.to_string());
        assert_eq!(body_of_call(b""), "");
        assert_eq!(body_of_call(&[b'x'; 5_000]).len(), TEXT_BYTES_MAX);
        assert_eq!(body_of_call(b"{\"user\":\xff"), "{\"user\":\u{fffd}");
    }
}
