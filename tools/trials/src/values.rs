//! What must hold for a value, whichever dialect it came by. Called by the bodies of the dialects.

use shardcast_protocol::dialect::{
    ControlPolicy, Join, JoinSince, KEY_BYTES_MAX, PRESENCE_BYTES_MAX, PublishTarget, Request,
    Rooms, Value,
};
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;

/// A value is a part of the message that it came in.
pub(crate) fn place(message: &[u8], value: Value<'_>) {
    let value = value.as_bytes().as_ptr_range();
    let message = message.as_ptr_range();
    assert!(message.start <= value.start && value.end <= message.end);
}

/// Its translations are valid, bounded, and say the same when they are translated back; without its
/// control characters it has none.
pub(crate) fn check_value(value: Value<'_>) {
    let bytes = value.as_bytes().len();
    let (mut json, mut pack) = (Vec::new(), Vec::new());
    value.write_json(&mut json);
    let text = str::from_utf8(&json).expect("JSON is text");
    assert!(text.len() <= Value::JSON_GROWTH_MAX * bytes, "{text}");
    let in_json = Value::Json(Raw::parse(text).expect(text));
    in_json.write_pack(&mut pack);
    assert!(
        pack.len() <= Value::PACK_GROWTH_MAX * (text.len() + 1),
        "{text}"
    );
    let packed = Value::Pack(Pack::parse(&pack).expect("what is written is valid"));
    // From here on the two say the same of each other.
    let (mut again, mut packed_again) = (Vec::new(), Vec::new());
    packed.write_json(&mut again);
    let text = str::from_utf8(&again).expect("JSON is text");
    Value::Json(Raw::parse(text).expect(text)).write_pack(&mut packed_again);
    assert_eq!(pack, packed_again, "{text}");
    let stripped = ControlPolicy::Strip
        .apply(value)
        .expect("nothing is refused");
    let rejected = ControlPolicy::Reject.apply(value);
    assert_eq!(stripped.is_some(), rejected.is_err());
    if let Some(stripped) = &stripped {
        let stripped = stripped.as_value();
        assert!(stripped.as_bytes().len() < bytes);
        assert_eq!(ControlPolicy::Reject.apply(stripped), Ok(None));
        let valid = match stripped {
            Value::Json(raw) => Raw::parse(raw.as_str()).is_some(),
            Value::Pack(pack) => Pack::parse(pack.as_bytes()).is_some(),
            Value::Bytes(_) => panic!("bytes have no control characters"),
        };
        assert!(valid, "{stripped:?}");
    }
}

/// A request that is about rooms names at least one.
pub(crate) fn check_rooms(request: &Request<'_>) {
    let rooms = match request {
        Request::Join(Join {
            rooms,
            since,
            presence,
            token,
        }) => {
            assert!(token.is_none() || matches!(rooms, Rooms::One(_)));
            let shown = presence.as_deref().map(|shown| shown.as_bytes().len());
            assert!(shown.is_none_or(|bytes| bytes <= PRESENCE_BYTES_MAX));
            if let Some(since) = since.as_deref() {
                match (rooms, since) {
                    (Rooms::One(_), JoinSince::Room(_)) => {}
                    // All that was taken can be read again.
                    (Rooms::Many(_), JoinSince::Rooms(since)) => drop(since.rooms().count()),
                    (_, _) => panic!("{request:?}"),
                }
            }
            rooms
        }
        Request::Leave(rooms) => rooms,
        Request::Broadcast(publish) | Request::Publish(publish) => {
            if let Some(keys) = &publish.keys {
                let lens = [&keys.idempotency, &keys.conflation]
                    .map(|key| key.as_ref().map(|key| key.len()));
                assert!(lens.iter().any(Option::is_some));
                let fits = |len: &usize| (1..=KEY_BYTES_MAX).contains(len);
                // The key of a change of a map is the server's to check, like a room's name.
                assert!(keys.change.is_some() || lens.iter().flatten().all(fits));
            }
            match &publish.target {
                PublishTarget::Rooms(rooms) => rooms,
                PublishTarget::User(_) | PublishTarget::Everyone => {
                    assert!(publish.keys.is_none());
                    return;
                }
            }
        }
        Request::Ping
        | Request::Echo
        | Request::Rooms
        | Request::Status
        | Request::Centrifuge(_)
        | Request::Presence(_)
        | Request::History(_)
        | Request::Auth(_)
        | Request::Refresh(_)
        | Request::Resume(_)
        | Request::Ack(_)
        | Request::Call { .. } => return,
    };
    if let Rooms::Many(list) = rooms {
        assert!(list.count() > 0);
        assert_eq!(list.names().count(), list.count());
    }
}
