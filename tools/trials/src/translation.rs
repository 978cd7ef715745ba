//! Published messages said in another dialect: what was said there comes back, and says the same again.

use shardcast_protocol::dialect::{Dialect, translate};

/// The first byte chooses the dialect that the rest is in.
///
/// # Panics
/// A promise is broken.
pub fn translation(input: &[u8]) {
    let [choice, payload @ ..] = input else {
        return;
    };
    let from = Dialect::ALL[usize::from(*choice) % Dialect::ALL.len()];
    for to in Dialect::ALL {
        let Some(said) = translate(from, to, payload) else {
            continue;
        };
        let back = translate(to, from, &said).expect("what was said can be said back");
        let again = translate(from, to, &back).expect("and once more");
        assert_eq!(said, again, "{from:?} {to:?}");
        assert!(
            said.len() <= from.said_bytes_max(to, payload.len()),
            "{from:?} {to:?}"
        );
    }
}
