//! What another node says by way of a broker: it is read without more memory than it has bytes, and
//! what was read is what is written again.

use shardcast::broker::Envelope;

/// The input is an envelope as a broker brings it.
///
/// # Panics
/// A promise is broken.
pub fn cluster_envelope(input: &[u8]) {
    let Ok(envelope) = Envelope::read(input) else {
        return;
    };
    let mut written = envelope
        .write()
        .expect("what was read has lengths that fit");
    if envelope.place.is_none() {
        // Bytes of a place that is none mean nothing.
        written[Envelope::PLACE].copy_from_slice(&input[Envelope::PLACE]);
    }
    assert_eq!(written, input);
}
