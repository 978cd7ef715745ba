//! The codec against tungstenite over damaged streams, in both roles and cut at every byte. Where
//! the two differ, the difference has a name here; one without a name fails, and so does a name
//! that nothing needs any more.

use crate::stream::{Seen, read, read_at_once};
use crate::tungstenite_agrees::{LIMIT, Verdict, ours, stream, theirs};
use fastrand::Rng;
use shardcast_protocol::reader::{ProtocolError, Role};

const SEEDS: u64 = 4_000;
/// Of a stream that is cut everywhere: the cost grows with the square.
const CUT_BYTES_MAX: usize = 200;

/// Where we deliberately say something else than tungstenite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// RFC 6455 §5.2 wants the shortest length, and tungstenite takes any; so a control frame of
    /// few bytes may say so in many.
    AnyLength,
    /// RFC 6455 §5.2 wants the top bit of a length to be 0: 1002. tungstenite finds the frame too
    /// big.
    TopBit,
    /// 1014 is registered with IANA. tungstenite does not know it.
    CloseCode1014,
    /// What a header breaks we say without the payload that it announces. tungstenite waits for it.
    AtTheHeader,
    /// A frame that breaks two rules may be told either: that it is too big, or the other.
    TooBigAndMore,
    /// Of a close frame we judge the code first (1002), tungstenite the reason (1007).
    CodeBeforeReason,
}

const DIFFERENCES: [Difference; 6] = [
    Difference::AnyLength,
    Difference::TopBit,
    Difference::CloseCode1014,
    Difference::AtTheHeader,
    Difference::TooBigAndMore,
    Difference::CodeBeforeReason,
];

/// `Ok(None)`: both say the same. `Err`: a difference without a name.
fn difference(
    complete: &[Seen],
    ours: &Verdict,
    theirs: &Verdict,
) -> Result<Option<Difference>, ()> {
    if ours == theirs {
        return Ok(None);
    }
    let is_beginning = theirs.0.starts_with(&ours.0);
    let is_same = ours.0 == theirs.0;
    match (complete.last(), ours.1, theirs.1) {
        (
            Some(Seen::Broken(ProtocolError::LengthNotMinimal | ProtocolError::ControlTooLong)),
            ..,
        ) if is_beginning => Ok(Some(Difference::AnyLength)),
        (Some(Seen::Broken(ProtocolError::LengthTopBit)), ..) if is_same => {
            Ok(Some(Difference::TopBit))
        }
        (Some(Seen::Close(Some(1014), _)), None, _) if ours.0.starts_with(&theirs.0) => {
            Ok(Some(Difference::CloseCode1014))
        }
        (_, Some(_), None) if is_same => Ok(Some(Difference::AtTheHeader)),
        (Some(Seen::Broken(ProtocolError::CloseCodeForbidden)), _, Some(1007)) if is_same => {
            Ok(Some(Difference::CodeBeforeReason))
        }
        (_, Some(1009), Some(1002 | 1007)) | (_, Some(1002 | 1007), Some(1009)) if is_same => {
            Ok(Some(Difference::TooBigAndMore))
        }
        _ => Err(()),
    }
}

/// Changes bits and bytes, drops, doubles and cuts.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..bytes.len());
        match rng.u8(..8) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, bytes[at]),
            2 => bytes[at] = rng.u8(..),
            3 => bytes[at] = [0x7e, 0x7f, 0xfe, 0xff, 0x88, 0x80][rng.usize(..6)],
            4 => bytes.truncate(at + 1),
            _ => bytes[at] ^= 1 << rng.u8(..8),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
}

#[test]
fn damaged_streams_mean_the_same_but_for_differences_with_a_name() {
    let mut met = Vec::new();
    let mut agreed = 0;
    for role in [Role::Server, Role::Client] {
        for seed in 0..SEEDS {
            let rng = &mut Rng::with_seed(seed);
            let mut bytes = stream(rng, role);
            damage(rng, &mut bytes);
            let complete = read_at_once(role, LIMIT, &bytes);
            let (we, they) = (ours(complete.clone()), theirs(role, &bytes));
            match difference(&complete, &we, &they) {
                Ok(None) => agreed += 1,
                Ok(Some(known)) if met.contains(&known) => {}
                Ok(Some(known)) => met.push(known),
                Err(()) => panic!("seed {seed}, {role:?}: {we:?} and {they:?}"),
            }
            if bytes.len() <= CUT_BYTES_MAX {
                for cut in 0..=bytes.len() {
                    let pieces = [&bytes[..cut], &bytes[cut..]];
                    let seen = read(role, LIMIT, pieces);
                    assert_eq!(seen, complete, "seed {seed}, {role:?}, cut at {cut}");
                }
            }
        }
    }
    assert!(agreed > SEEDS, "{agreed} of {} agreed", 2 * SEEDS);
    // These two are too rare for the seeds: built by hand.
    for (role, mask, key) in [(Role::Server, 0x80, &[0; 4][..]), (Role::Client, 0, &[])] {
        let close = [&[0x88, mask | 2][..], key, &1014u16.to_be_bytes()].concat();
        let top = [&[0x82, mask | 127, 0x80][..], &[0; 7], key].concat();
        for bytes in [close, top] {
            let complete = read_at_once(role, LIMIT, &bytes);
            let verdicts = (ours(complete.clone()), theirs(role, &bytes));
            met.extend(
                difference(&complete, &verdicts.0, &verdicts.1).expect("a named difference"),
            );
        }
    }
    for named in DIFFERENCES {
        assert!(met.contains(&named), "{named:?} is no difference any more");
    }
}
