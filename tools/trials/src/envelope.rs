//! The native dialect's envelope: what is taken is text that came, the answers to it are valid JSON with the same id and data, and what is
//! refused is refused with an answer that can be read.

use shardcast_protocol::native::{Envelope, ID_BYTES_MAX, Raw, answer};

/// The input is a client's message, if it is text.
///
/// # Panics
/// A promise is broken.
pub fn envelope(input: &[u8]) {
    let Ok(message) = str::from_utf8(input) else {
        return;
    };
    let mut out = Vec::new();
    match Envelope::parse(message) {
        Ok(envelope) => {
            let (id, data) = (envelope.id, envelope.data);
            assert!(id.is_none_or(|id| id.as_str().len() <= ID_BYTES_MAX));
            for raw in [id, data].into_iter().flatten() {
                assert!(message.contains(raw.as_str()), "{raw:?} did not come");
            }
            if let Some(rooms) = envelope.rooms {
                assert!(rooms.count() > 0);
                assert_eq!(rooms.names().count(), rooms.count());
            }
            answer::pong(&mut out, id, data);
            check(&out, "pong", id, data);
            if let Some(room) = &envelope.room {
                out.clear();
                answer::joined(&mut out, id, room, 1);
                let read = check(&out, "joined", id, None);
                assert_eq!(
                    read.room.as_ref(),
                    Some(room),
                    "a name is written as it was read"
                );
            }
        }
        Err(refused) => {
            assert!(refused.id.is_none_or(|id| message.contains(id.as_str())));
            answer::error(&mut out, refused.id, &refused.problem);
            check(&out, "error", refused.id, None);
        }
    }
}

/// Reads an answer as if it were a request: it has the same keys.
fn check<'b>(
    out: &'b [u8],
    kind: &str,
    id: Option<Raw<'_>>,
    data: Option<Raw<'_>>,
) -> Envelope<'b> {
    let text = str::from_utf8(out).expect("UTF-8");
    let envelope = Envelope::parse(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
    let same = |a: Option<Raw<'_>>, b: Option<Raw<'_>>| {
        a.map(|raw| raw.as_str().to_owned()) == b.map(|raw| raw.as_str().to_owned())
    };
    assert!(
        envelope.kind == kind && same(envelope.id, id) && same(envelope.data, data),
        "{text}"
    );
    envelope
}
