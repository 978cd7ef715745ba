//! Nothing a peer sends panics, and whatever it sends, the answer keeps its promises.

use fastrand::Rng;
use shardcast_protocol::close::CloseFrame;
use shardcast_protocol::frame::HEADER_BYTES_MAX;
use shardcast_protocol::http::{self, HeadLimits, Headers, Progress};
use shardcast_protocol::reader::{self, FrameEvent, ReadLimits, Role, Step};
use shardcast_protocol::upgrade;

const STREAMS: u64 = 100_000;

fn noise(rng: &mut Rng, len_max: usize) -> Vec<u8> {
    let len = rng.usize(0..=len_max);
    (0..len).map(|_| rng.u8(..)).collect()
}

/// Mostly what looks like frames, with any bits in them, any payload, and now and then a length
/// that is not there.
fn frames(rng: &mut Rng, role: Role) -> Vec<u8> {
    const FIRSTS: [u8; 10] = [0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0x80];
    let mask_bit = if role == Role::Server { 0x80 } else { 0 };
    let mut bytes = Vec::new();
    for _ in 0..rng.usize(1..20) {
        let noise = noise(rng, 30);
        if rng.u8(..) < 30 {
            bytes.extend(noise);
        } else {
            let first = if rng.u8(..) < 5 {
                rng.u8(..)
            } else {
                FIRSTS[rng.usize(..FIRSTS.len())]
            };
            let mask_bytes = if role == Role::Server { 4 } else { 0 };
            bytes.extend([first, mask_bit | noise.len() as u8]);
            bytes.extend(vec![rng.u8(..); mask_bytes]);
            bytes.extend(noise);
        }
    }
    bytes
}

#[test]
fn frames_of_noise() {
    let mut events = 0;
    for seed in 0..STREAMS {
        let rng = &mut Rng::with_seed(seed);
        let role = if rng.bool() {
            Role::Server
        } else {
            Role::Client
        };
        let limits = ReadLimits {
            message_bytes_max: rng.usize(0..300),
        };
        let mut bytes = frames(rng, role);
        let mut rest = &mut bytes[..];
        let mut assembly = None;
        while let Ok(step) = reader::next(rest, &mut assembly, role, &limits) {
            let used = match step {
                Step::Incomplete { need } => {
                    let need_max = HEADER_BYTES_MAX + limits.message_bytes_max.max(125);
                    assert!(need > rest.len() && need <= need_max, "seed {seed}: {need}");
                    break;
                }
                Step::Event {
                    event: FrameEvent::Assembled,
                    used,
                } => {
                    let (_, message) = assembly.take().expect("an assembled message").finish();
                    assert!(message.len() <= limits.message_bytes_max, "seed {seed}");
                    used
                }
                Step::Event { event: _, used } => used,
            };
            assert!((2..=rest.len()).contains(&used), "seed {seed}: {used}");
            assert!(
                assembly
                    .as_ref()
                    .is_none_or(|assembly| assembly.len() <= limits.message_bytes_max)
            );
            rest = &mut rest[used..];
            events += 1;
        }
    }
    assert!(
        events > STREAMS / 2,
        "{events} events: the noise never gets past a header"
    );
}

#[test]
fn close_payloads_of_noise() {
    for seed in 0..STREAMS {
        let payload = noise(&mut Rng::with_seed(seed), 125);
        if let Ok(close) = CloseFrame::parse(&payload) {
            assert_eq!(
                close.reason.len(),
                payload.len().saturating_sub(2),
                "seed {seed}"
            );
        }
    }
}

/// Changes a few bytes: drops, doubles, replaces, cuts.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    const SPECIAL: &[u8] = b"\r\n:, \t\0\x7f\xff?#/=";
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..bytes.len());
        match rng.u8(..5) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, bytes[at]),
            2 => bytes[at] = SPECIAL[rng.usize(..SPECIAL.len())],
            3 => bytes.insert(at, SPECIAL[rng.usize(..SPECIAL.len())]),
            _ => bytes[at] = rng.u8(..),
        }
    }
}

#[test]
fn handshakes_of_noise() {
    let key = upgrade::encode_key([7; 16]);
    let (mut request, mut response) = (Vec::new(), Vec::new());
    let offered = [("Sec-WebSocket-Protocol", "a, b"), ("Content-Length", "0")];
    upgrade::write_request(&mut request, "localhost", "/ws?a=b", &key, &offered);
    upgrade::write_accept(&mut response, &key, Some("a"), None, &Headers::new());
    let limits = HeadLimits {
        head_bytes_max: 1000,
        headers_max: 64,
    };
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..STREAMS {
        let rng = &mut Rng::with_seed(seed);
        let mut bytes = request.clone();
        damage(rng, &mut bytes);
        match http::parse(&bytes, &mut Progress::default(), &limits) {
            Ok(Some((request, used))) => {
                assert!(
                    used <= bytes.len() && bytes[..used].ends_with(b"\r\n\r\n"),
                    "seed {seed}"
                );
                assert!(request.path().starts_with('/'), "seed {seed}");
                assert!(
                    request
                        .subprotocols()
                        .all(|name| !name.is_empty() && !name.contains([',', ' ', '\r', '\n']))
                );
                match upgrade::check(&request) {
                    Ok(key) => {
                        accepted += 1;
                        assert_eq!(key.len(), 24);
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(matches!(error.status(), 400 | 405 | 426), "seed {seed}");
                    }
                }
            }
            Ok(None) => {}
            Err(error) => {
                refused += 1;
                assert!(
                    matches!(error.status(), 400 | 414 | 431 | 501 | 505),
                    "seed {seed}"
                );
            }
        }
        let mut bytes = response.clone();
        damage(rng, &mut bytes);
        if let Ok(Some(used)) = upgrade::parse_response(&bytes, &key) {
            assert!(bytes[..used].ends_with(b"\r\n\r\n"), "seed {seed}");
        }
        let _ = http::parse(&noise(rng, 200), &mut Progress::default(), &limits);
    }
    assert!(
        accepted > STREAMS / 20 && refused > STREAMS / 20,
        "{accepted} accepted, {refused} refused"
    );
}
