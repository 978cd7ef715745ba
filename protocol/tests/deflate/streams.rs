//! Inflating and deflating against zlib's raw streams, and what a stream may cost.

use super::{json, unzlib, zlib, zlib_once};
use shardcast_protocol::deflate::{
    DeflateStream, Deflater, InflateLimits, InflateStream, Inflater, Tally,
};
use shardcast_protocol::reader::ProtocolError;

const LIMITS: InflateLimits = InflateLimits {
    message_bytes_max: 1 << 20,
    ratio_max: InflateLimits::RATIO_MAX_DEFAULT,
};

const SIZES: [usize; 10] = [1, 2, 100, 256, 257, 1024, 5000, 33_000, 70_000, 200_000];

#[test]
fn what_zlib_deflates_is_inflated() {
    let mut inflater = Inflater::default();
    let (mut messages, mut bytes_in, mut bytes_out) = (0, 0, 0);
    for (seed, bytes) in SIZES.into_iter().enumerate() {
        for level in [0, 1, 6, 9] {
            let message = json(bytes, seed as u64);
            let mut compress = flate2::Compress::new(flate2::Compression::new(level), false);
            let payload = zlib(&mut compress, &message);
            let inflated = inflater.inflate(&payload, None, &LIMITS);
            assert_eq!(inflated, Ok(&message[..]), "{bytes} bytes, level {level}");
            messages += 1;
            bytes_in += payload.len() as u64;
            bytes_out += message.len() as u64;
        }
    }
    let tally = Tally {
        messages,
        bytes_in,
        bytes_out,
    };
    assert_eq!(
        (inflater.tally(), inflater.tally()),
        (tally, Tally::default())
    );
}

/// RFC 7692 §7.2.3: the examples, and what they make of "Hello".
/// Clauses 7692-7.2.2-1, 7692-7.2.2-2, 7692-7.2.1-2.
#[test]
fn the_examples_of_the_rfc() {
    let mut inflater = Inflater::default();
    for (payload, message) in [
        (
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &b"Hello"[..],
        ),
        // A stored block.
        (
            &[
                0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
            ],
            b"Hello",
        ),
        // A final block, and the zero byte behind it; without it, too.
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], b"Hello"),
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], b"Hello"),
        // Two blocks.
        (
            &[
                0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
            ],
            b"Hello",
        ),
        // A final block before the end.
        (
            &[
                0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00,
            ],
            b"HelloHello",
        ),
        // The empty message.
        (&[0x00], b""),
    ] {
        assert_eq!(
            inflater.inflate(payload, None, &LIMITS),
            Ok(message),
            "{payload:x?}"
        );
    }
    // With takeover: the second message refers to the first.
    let mut own = InflateStream::default();
    for payload in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
    ] {
        assert_eq!(
            inflater.inflate(payload, Some(&mut own), &LIMITS),
            Ok(&b"Hello"[..])
        );
    }
}

/// Nobody's message can refer to what somebody else's said.
#[test]
fn a_message_sees_nothing_of_the_one_before() {
    let mut inflater = Inflater::default();
    let secret = zlib_once(b"a secret of somebody else, long enough to be worth a reference");
    assert!(inflater.inflate(&secret, None, &LIMITS).is_ok());
    let reference = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let referred = Err(ProtocolError::ReferredBack);
    assert_eq!(inflater.inflate(&reference, None, &LIMITS), referred);
    // And it goes on for the next.
    assert_eq!(
        inflater.inflate(&zlib_once(b"next"), None, &LIMITS),
        Ok(&b"next"[..])
    );
}

#[test]
fn a_message_that_is_cut_is_damaged() {
    let message = json(2000, 7);
    let payload = zlib_once(&message);
    let mut inflater = Inflater::default();
    for end in 0..payload.len() {
        let inflated = inflater.inflate(&payload[..end], None, &LIMITS);
        // A cut may fall on the end of a block only by chance; it never gives the message.
        assert_ne!(inflated, Ok(&message[..]), "cut at {end}");
    }
    for (payload, why) in [
        (&[][..], "nothing at all"),
        (&[0x07], "block type 3"),
        (
            &[0x00, 0x05, 0x00, 0x00, 0x00],
            "a stored block whose length is not confirmed",
        ),
        (&[0xff; 64], "noise"),
    ] {
        let inflated = inflater.inflate(payload, None, &LIMITS);
        assert_eq!(inflated, Err(ProtocolError::CompressedDamaged), "{why}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let mut inflater = Inflater::default();
    let zeros = |bytes: usize| zlib_once(&vec![b'0'; bytes]);
    let limits = |message_bytes_max, ratio_max| InflateLimits {
        message_bytes_max,
        ratio_max,
    };
    let (big, much) = (
        ProtocolError::InflatedTooBig,
        ProtocolError::InflatedTooMuch,
    );
    for (bytes, limits, error) in [
        (1000, limits(1000, 200), None),
        (1001, limits(1000, 200), Some(big)),
        (8 << 20, limits(1000, 200), Some(big)),
        (64 << 10, limits(64 << 10, 200), None),
        ((64 << 10) + 1, limits(64 << 10, 200), Some(big)),
        // Without a judgement of its ratio, but not one byte more.
        (64 << 10, limits(1 << 20, 10), None),
        ((64 << 10) + 1, limits(1 << 20, 10), Some(much)),
        (8 << 20, limits(8 << 20, 200), Some(much)),
        (8 << 20, limits(8 << 20, 1032), None),
    ] {
        let inflated = inflater
            .inflate(&zeros(bytes), None, &limits)
            .map(<[u8]>::len);
        assert_eq!(
            inflated,
            error.map_or(Ok(bytes), Err),
            "{bytes} bytes, {limits:?}"
        );
    }
    assert_eq!(
        [big, much].map(|error| error.close_code().get()),
        [1009, 1009]
    );
    assert_eq!(ProtocolError::CompressedDamaged.close_code().get(), 1007);
}

/// Empty blocks cost time in proportion to their bytes and make no output.
#[test]
fn a_message_of_empty_blocks_is_empty() {
    let mut inflater = Inflater::default();
    let mut stored = [0, 0, 0, 0xff, 0xff].repeat(10_000);
    stored.push(0);
    let finals = [0x03, 0x00].repeat(10_000);
    for payload in [stored, finals] {
        assert_eq!(inflater.inflate(&payload, None, &LIMITS), Ok(&b""[..]));
    }
}

#[test]
fn noise_never_panics() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut inflater = Inflater::default();
    for round in 0..20_000 {
        let mut payload = if round % 2 == 0 {
            zlib_once(&json(random.usize(1..400), round))
        } else {
            let bytes = random.usize(..64);
            std::iter::repeat_with(|| random.u8(..))
                .take(bytes)
                .collect()
        };
        if let Some(at) = payload
            .len()
            .checked_sub(1)
            .map(|last| random.usize(..=last))
        {
            payload[at] ^= 1 << random.u8(..8);
        }
        let mut own = (round % 3 == 0).then(InflateStream::default);
        let _ = inflater.inflate(&payload, own.as_mut(), &LIMITS);
    }
}

/// A peer with no larger window inflates it: one that starts afresh with each message, and one that
/// does not, since no message ends its stream. Clauses 7692-7.2.1-1, 7692-7.1.1.1-3,
/// 7692-7.1.2.1-3.
#[test]
fn zlib_inflates_what_is_deflated() {
    let mut deflater = Deflater::default();
    let mut inflater = Inflater::default();
    for window_bits in 8..=15 {
        let fresh = || flate2::Decompress::new_with_window_bits(false, window_bits.max(9));
        let mut keeper = fresh();
        for (seed, bytes) in SIZES.into_iter().enumerate() {
            let message = json(bytes, seed as u64);
            let Some(payload) = deflater.deflate(&message, window_bits) else {
                let possible = bytes >= 256 && (bytes <= 256 || window_bits > 8);
                assert!(!possible, "{bytes} bytes in {window_bits} bits stay plain");
                continue;
            };
            assert!(payload.len() < message.len());
            for peer in [&mut fresh(), &mut keeper] {
                let inflated = unzlib(peer, payload);
                assert!(inflated == message, "{bytes} bytes, {window_bits} bits");
            }
            assert_eq!(inflater.inflate(payload, None, &LIMITS), Ok(&message[..]));
        }
    }
}

/// Messages of every shape that compressors choose blocks by: fixed and own codes, stored pieces,
/// more repetitions than fit into one block. One peer inflates all of them with one stream.
#[test]
fn no_message_ends_the_stream() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut deflater = Deflater::default();
    let mut keeper = flate2::Decompress::new(false);
    let mut compressed = 0;
    let mut check = |message: &[u8], what: &str| {
        let Some(payload) = deflater.deflate(message, 15) else {
            return;
        };
        compressed += 1;
        assert!(payload.len() < message.len(), "{what}");
        assert!(unzlib(&mut keeper, payload) == message, "{what}");
    };
    for round in 0..20_000 {
        let (alphabet, bytes) = (random.usize(1..=60), random.usize(3..=900));
        let (repeats, longest) = (random.usize(1..20), random.usize(4..300));
        let mut message = Vec::new();
        while message.len() < bytes {
            if message.is_empty() || random.usize(..repeats) == 0 {
                message.push(b'0' + random.usize(..alphabet) as u8);
            } else {
                let back = random.usize(1..=message.len());
                for _ in 0..random.usize(3..longest) {
                    message.push(message[message.len() - back]);
                }
            }
        }
        check(&message, &format!("round {round}"));
    }
    // Numbers of three digits: a repetition every four bytes.
    let mut numbers = String::new();
    while numbers.len() < 300_000 {
        numbers += &format!("{},", random.u32(100..1000));
    }
    let mut noise = vec![0; 300_000];
    random.fill(&mut noise);
    for bytes in [
        1_000, 32_768, 32_769, 40_000, 65_535, 65_536, 65_537, 131_072, 300_000,
    ] {
        check(
            &numbers.as_bytes()[..bytes],
            &format!("{bytes} bytes of numbers"),
        );
        check(&vec![b'z'; bytes], &format!("{bytes} bytes of one letter"));
        let half = [&noise[..bytes / 2], &numbers.as_bytes()[..bytes / 2]].concat();
        check(&half, &format!("{bytes} bytes, half of them noise"));
    }
    assert!(compressed > 19_000, "{compressed}");
}

#[test]
fn what_does_not_compress_stays_plain() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut deflater = Deflater::default();
    for bytes in [0, 1, 2, 3, 64, 1024, 100_000] {
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(bytes)
            .collect();
        for window_bits in [9, 15] {
            assert_eq!(deflater.deflate(&noise, window_bits), None, "{bytes}");
        }
    }
}

/// Clauses 7692-7.2.1-1, 7692-7.2.1-2.
#[test]
fn a_stream_of_messages_refers_back() {
    for window_bits in 9..=15 {
        let mut stream = DeflateStream::new(window_bits).unwrap();
        let mut peer = flate2::Decompress::new_with_window_bits(false, window_bits);
        let (mut inflater, mut own) = (Inflater::default(), InflateStream::default());
        let mut random = fastrand::Rng::with_seed(u64::from(window_bits));
        for (round, bytes) in [0, 0, 300, 300, 5000, 1, 0, 70_000, 300]
            .into_iter()
            .enumerate()
        {
            let mut message = json(bytes, 1);
            if round == 4 {
                message = std::iter::repeat_with(|| random.u8(..))
                    .take(bytes)
                    .collect();
            }
            let mut payload = Vec::new();
            stream.deflate(&message, &mut payload);
            assert_eq!(unzlib(&mut peer, &payload), message, "message {round}");
            let inflated = inflater.inflate(&payload, Some(&mut own), &LIMITS);
            assert_eq!(inflated, Ok(&message[..]), "message {round}");
            // zlib looks 2^bits - 262 bytes back.
            let repeats = round == 3 && window_bits > 9;
            assert!(
                !repeats || payload.len() < 20,
                "a repetition is a reference"
            );
        }
    }
    assert!(DeflateStream::new(8).is_none());
}
