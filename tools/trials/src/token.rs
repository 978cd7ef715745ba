//! A token that nobody believes yet: it is a connection's or a room's or none, whatever follows its
//! last point changes nothing but the signature, and no byte outside of its alphabet is passed
//! over.

use shardcast::parsing::token as read;

/// The input is a token as a client brings it.
///
/// # Panics
/// A promise is broken.
pub fn token(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let outcomes = read(text);
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(taken <= 1, "for two purposes");
    if taken == 1 {
        let (signed, _) = text.rsplit_once('.').expect("three parts");
        let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(signed.bytes().all(alphabet), "{text}");
        for signature in ["", "AAAA", "!"] {
            assert_eq!(read(&format!("{signed}.{signature}")), outcomes, "{text}");
        }
        assert!(read(&format!("{text}.")).iter().all(Result::is_err));
    }
}
