//! Calls in the audit log. Written by the port, and by calls that do several.

use crate::audit::event::AuditEvent;
use axum::http::StatusCode;

/// So much of a body stands there.
const BYTES_MAX: usize = 4 << 10;

/// Writes that a call was made, with this body, and what became of it.
pub(crate) fn audit(call: &'static str, body: &[u8], status: StatusCode) {
    AuditEvent::AdminCalled {
        call,
        body: &String::from_utf8_lossy(&body[..body.len().min(BYTES_MAX)]),
        status: status.as_u16(),
    }
    .emit();
}
