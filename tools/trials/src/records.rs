//! Records of TLS 1.3: where one ends is said once and not taken back, and what one says follows
//! from what was decrypted, whatever stands in it.

use shardcast_protocol::record::{
    HEADER_BYTES, KeyUpdate, RecordContent, RecordReader, record_bytes,
};

/// The input is what a peer sends: the beginning of a record, and then, each behind its length,
/// what records were decrypted to.
///
/// # Panics
/// A promise is broken.
pub fn records(input: &[u8]) {
    boundaries(input);
    let mut reader = RecordReader::new();
    // Of messages of the handshake, since the last was complete; and records without a byte.
    let (mut message, mut empty) = (Vec::new(), 0);
    let mut rest = input;
    while let [high, low, following @ ..] = rest {
        let bytes = usize::from(u16::from_be_bytes([*high, *low])).min(following.len());
        let (inner, following) = following.split_at(bytes);
        rest = following;
        let _ = reader.refuse_plain(inner);
        let Ok(content) = reader.read(inner) else {
            return;
        };
        let end = inner.iter().rposition(|&byte| byte != 0);
        let (kind, stripped) = end
            .map(|end| (inner[end], &inner[..end]))
            .expect("nothing but padding has no type");
        assert!(stripped.len() <= 1 << 14 && inner.len() <= (1 << 14) + 1);
        empty = if stripped.is_empty() { empty + 1 } else { 0 };
        assert!(empty <= RecordReader::EMPTY_RECORDS_MAX);
        match (kind, content) {
            (23, RecordContent::Data(data)) => assert_eq!(data, stripped),
            (22, RecordContent::KeyUpdate(request)) => {
                message.extend_from_slice(stripped);
                assert_eq!(message, request.encode());
                message.clear();
            }
            (22, RecordContent::Nothing) => {
                message.extend_from_slice(stripped);
                // All but what it asks for.
                let header = &KeyUpdate::Requested.encode()[..4];
                assert!(message.len() < 4 || message == header, "{message:?}");
            }
            (21, RecordContent::Closed) => assert!(matches!(stripped, [1 | 2, 0])),
            (21, RecordContent::Nothing) => assert_eq!(stripped, [1, 90]),
            (kind, content) => panic!("{content:?} of type {kind}"),
        }
        assert!(kind == 22 || message.is_empty(), "within a message");
    }
}

fn boundaries(input: &[u8]) {
    let mut said = None;
    for end in 0..=input.len().min(HEADER_BYTES + 3) {
        let outcome = record_bytes(&input[..end]);
        match (said, outcome) {
            (None, Ok(None)) => assert!(end < HEADER_BYTES),
            (None, Ok(Some(bytes))) => {
                assert_eq!(end, HEADER_BYTES);
                assert!((HEADER_BYTES..HEADER_BYTES + (1 << 14) + 2048).contains(&bytes));
                said = Some(outcome);
            }
            (None, Err(_)) => said = Some(outcome),
            (Some(before), after) => assert_eq!(before, after),
        }
    }
}
