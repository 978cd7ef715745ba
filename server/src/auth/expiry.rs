//! What becomes of a connection when its token ends: it is closed, for nobody knows any more who is
//! at its other end. Called by the service.

use crate::audit::event::AuditEvent;
use crate::session::context::Context;
use shardcast_protocol::dialect::Code;

/// Remembers when the token of a connection that opens is over.
pub(crate) fn begin(cx: &mut Context<'_>) {
    let ends_ms = cx.shared.gate.as_ref().and_then(|gate| {
        let claims = cx.identity().claims()?;
        gate.remaining(claims)
    });
    if let Some(remaining) = ends_ms {
        let ends_ms = cx.due_after(remaining);
        cx.session.more().ends_ms = Some(ends_ms);
    }
}

/// Closes a connection whose token is over. True if it is.
pub(crate) fn is_over(cx: &mut Context<'_>) -> bool {
    let now_ms = cx.engine.now_ms();
    let ends_ms = cx.session.some().and_then(|more| more.ends_ms);
    if ends_ms.is_none_or(|ends_ms| now_ms < ends_ms) {
        return false;
    }
    AuditEvent::TokenExpired {
        peer: cx.remote_address(),
        user: cx.user(),
    }
    .emit();
    cx.disconnect(Code::TokenExpired.close_code(), "the token has expired");
    true
}
