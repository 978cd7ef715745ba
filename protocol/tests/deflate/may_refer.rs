//! Clients that were answered `client_no_context_takeover` and had not offered it: those that go on
//! with their window all the same are read, those that comply cost nothing for long, and what is
//! kept has a bound.

use super::{json, zlib, zlib_once};
use shardcast_protocol::deflate::{InflateLimits, InflateStream, Inflater};
use shardcast_protocol::reader::ProtocolError;

const LIMITS: InflateLimits = InflateLimits {
    message_bytes_max: 1 << 20,
    ratio_max: InflateLimits::RATIO_MAX_DEFAULT,
};
const ROOM: usize = 64 << 10;
/// What is kept of a client that refers back, in bytes.
const WINDOW: usize = 48_000;

/// A server's side of one connection, and the client's compressor.
struct Pair {
    inflater: Inflater,
    stream: InflateStream,
    client: flate2::Compress,
}

impl Pair {
    fn new(level: u32, room: usize) -> Pair {
        let mut stream = InflateStream::may_refer();
        stream.set_room(room);
        Pair {
            inflater: Inflater::default(),
            stream,
            client: flate2::Compress::new(flate2::Compression::new(level), false),
        }
    }

    /// Says a message, and is understood or not.
    fn say(&mut self, message: &[u8]) -> Result<(), ProtocolError> {
        let payload = if message.is_empty() {
            // RFC 7692 §7.2.3.6: zlib writes nothing for a second flush in a row.
            vec![0]
        } else {
            zlib(&mut self.client, message)
        };
        self.receive(&payload, message)
    }

    fn receive(&mut self, payload: &[u8], message: &[u8]) -> Result<(), ProtocolError> {
        let own = Some(&mut self.stream);
        let inflated = self.inflater.inflate(payload, own, &LIMITS)?;
        assert!(inflated == message, "{} bytes", message.len());
        Ok(())
    }

    fn check(&self, taken: std::ops::RangeInclusive<usize>, is_over: bool) {
        let bytes = self.stream.taken_bytes();
        assert!(taken.contains(&bytes), "{bytes}");
        assert_eq!(self.stream.is_over(), is_over);
    }
}

/// Messages of every size, and words that have little in common at first.
#[test]
fn who_goes_on_with_its_window_is_read() {
    for level in [1, 2, 6, 9] {
        let mut pair = Pair::new(level, ROOM);
        assert!(pair.stream.is_new());
        for bytes in [300, 300, 5_000, 1, 0, 70_000, 300, 33_000, 200, 200_000, 64] {
            assert_eq!(
                pair.say(&json(bytes, 1)),
                Ok(()),
                "level {level}, {bytes} bytes"
            );
        }
        pair.check(WINDOW..=WINDOW, false);
        let mut pair = Pair::new(level, ROOM);
        for word in ["hi", "ok", "", "so?", "what now", "nothing", "nothing much"] {
            assert_eq!(pair.say(word.as_bytes()), Ok(()), "level {level}, {word}");
        }
        pair.check(WINDOW..=WINDOW, false);
        // The first message is larger than the window, and the second refers to its end.
        let mut pair = Pair::new(level, ROOM);
        let large = json(70_000, 2);
        assert_eq!(pair.say(&large), Ok(()));
        pair.check(32 << 10..=32 << 10, false);
        assert_eq!(pair.say(&large[60_000..]), Ok(()));
        pair.check(WINDOW..=WINDOW, false);
    }
}

/// The second message begins as the first did and does not refer to it: nothing is kept any more.
#[test]
fn who_obeys_is_forgotten() {
    let mut pair = Pair::new(6, ROOM);
    for (bytes, is_over) in [(300, false), (400, true)] {
        let message = json(bytes, 3);
        assert_eq!(pair.receive(&zlib_once(&message), &message), Ok(()));
        pair.check(if is_over { 0..=0 } else { 300..=512 }, is_over);
    }
    // Messages that begin like no other: after 64 KiB.
    let mut pair = Pair::new(6, ROOM);
    let mut random = fastrand::Rng::with_seed(4);
    let mut heard = 0;
    while !pair.stream.is_over() {
        let message = format!("{:08x}{}", random.u32(..), "so it goes, ".repeat(80));
        assert_eq!(
            pair.receive(&zlib_once(message.as_bytes()), message.as_bytes()),
            Ok(())
        );
        heard += message.len();
        assert!(pair.stream.taken_bytes() <= 32 << 10);
    }
    assert!((64 << 10..68 << 10).contains(&heard), "{heard}");
}

/// What is stored could not refer to anything: it shows nothing, however alike it begins.
#[test]
fn stored_messages_prove_nothing() {
    let mut pair = Pair::new(6, ROOM);
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..200 {
        let mut message = b"header, the same".to_vec();
        message.extend(std::iter::repeat_with(|| random.u8(..)).take(1000));
        assert_eq!(pair.say(&message), Ok(()));
        pair.check(1..=32 << 10, false);
    }
    let message = b"header, the same, and something that is worth a reference, the same";
    assert_eq!(pair.say(message), Ok(()));
    assert_eq!(pair.say(message), Ok(()));
    pair.check(WINDOW..=WINDOW, false);
}

#[test]
fn without_room_the_reason_is_told() {
    let message = json(300, 6);
    // Nothing is kept; the past is, but not the window.
    for room in [0, 511, 512, WINDOW - 1] {
        let mut pair = Pair::new(6, room);
        assert_eq!(pair.say(&message), Ok(()), "{room}");
        assert!(pair.stream.taken_bytes() <= room);
        let refused = Err(ProtocolError::NoWindowLeft);
        assert_eq!(pair.say(&message), refused, "{room}");
    }
    assert_eq!(Pair::new(6, WINDOW).say(&message), Ok(()));
    let mut pair = Pair::new(6, WINDOW);
    assert_eq!((pair.say(&message), pair.say(&message)), (Ok(()), Ok(())));
    assert_eq!(ProtocolError::NoWindowLeft.close_code().get(), 1007);

    // Room comes back: what is kept from then on can be referred to, what was not kept cannot.
    for (said_last, expected) in [
        (json(300, 8), Ok(())),
        (json(300, 7), Err(ProtocolError::NoWindowLeft)),
    ] {
        let mut pair = Pair::new(6, 0);
        // One letter each, then noise: they share nothing.
        let mut random = fastrand::Rng::with_seed(9);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(128..))
            .take(900)
            .collect();
        assert_eq!(pair.say(&json(300, 7)), Ok(()));
        assert_eq!(pair.say(&noise), Ok(()));
        pair.stream.set_room(ROOM);
        // A client that flushes fully (zlib's Z_FULL_FLUSH) begins anew.
        pair.client.reset();
        let next = json(300, 8);
        assert_eq!(pair.say(&next), Ok(()));
        let mut both = flate2::Compress::new(flate2::Compression::new(6), false);
        for before in [&json(300, 7), &noise, &next] {
            zlib(&mut both, before);
        }
        pair.client = both;
        assert_eq!(pair.say(&said_last), expected);
    }
}

/// Who offered it, and who was believed, must keep to it.
#[test]
fn who_must_not_refer_back_is_told_so() {
    let mut inflater = Inflater::default();
    let mut client = flate2::Compress::new(flate2::Compression::new(6), false);
    let message = json(300, 1);
    let (first, second) = (zlib(&mut client, &message), zlib(&mut client, &message));
    assert_eq!(inflater.inflate(&first, None, &LIMITS), Ok(&message[..]));
    // Whatever it was compared with is forgotten.
    for _ in 0..2 {
        let referred = Err(ProtocolError::ReferredBack);
        assert_eq!(inflater.inflate(&second, None, &LIMITS), referred);
    }
    for end in 0..second.len() {
        let cut = inflater.inflate(&second[..end], None, &LIMITS);
        assert!(cut.is_err(), "{end}");
    }
    assert_eq!(ProtocolError::ReferredBack.close_code().get(), 1007);
    for error in [ProtocolError::ReferredBack, ProtocolError::NoWindowLeft] {
        assert!(
            error.to_string().len() <= 123,
            "a close frame has room for it"
        );
    }
}

/// What is damaged or too large is so with a past, too; and nothing is read twice.
#[test]
fn damage_and_bombs_stay_what_they_are() {
    for (payload, error) in [
        (&[0x07][..], ProtocolError::CompressedDamaged),
        (&[0xff; 64], ProtocolError::CompressedDamaged),
        (
            &zlib_once(&vec![b'0'; 8 << 20]),
            ProtocolError::InflatedTooBig,
        ),
    ] {
        let mut pair = Pair::new(6, ROOM);
        assert_eq!(pair.say(&json(3000, 1)), Ok(()));
        let limits = InflateLimits {
            ratio_max: 1032,
            ..LIMITS
        };
        let own = Some(&mut pair.stream);
        assert_eq!(pair.inflater.inflate(payload, own, &limits), Err(error));
    }
}
