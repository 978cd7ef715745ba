//! The offers of permessage-deflate: an answer is one that a client may be held to, more headers do
//! not change it, and a header that is no list is refused wherever it stands.

use shardcast_protocol::deflate::{Agreement, Takeover, negotiate, offer, read_answer};

/// The input is the values of `Sec-WebSocket-Extensions` headers, one a line.
///
/// # Panics
/// A promise is broken.
pub fn extensions(input: &[u8]) {
    let headers = || input.split(|byte| *byte == b'\n');
    for takeover in [Takeover::Never, Takeover::Allowed] {
        let agreed = negotiate(headers(), takeover);
        if let Ok(Some(agreement)) = agreed {
            let answer = agreement.to_string();
            assert!(
                answer.is_ascii() && !answer.contains("client_max_window_bits"),
                "{answer}"
            );
            let read = read_answer([answer.as_bytes()], takeover);
            let expected = Agreement {
                // What a client offers it knows by itself.
                client_offered_no_takeover: takeover == Takeover::Never,
                ..agreement
            };
            assert_eq!(read, Ok(Some(expected)), "{answer}");
            assert!((8..=15).contains(&agreement.server_window_bits()));
            assert!(takeover == Takeover::Allowed || agreement.server_takeover == Takeover::Never);
        }
        // The first acceptable offer counts: whatever is offered behind it, and however the lines
        // are joined, is the same.
        let more = headers().chain([offer(takeover).as_bytes()]);
        match agreed {
            Ok(None) => assert!(matches!(negotiate(more, takeover), Ok(Some(_)))),
            agreed => assert_eq!(negotiate(more, takeover), agreed),
        }
        if agreed.is_ok() {
            let joined = headers().collect::<Vec<_>>().join(&b","[..]);
            assert_eq!(negotiate([&joined[..]], takeover), agreed, "joined");
        }
        let _ = read_answer(headers(), takeover);
    }
}
