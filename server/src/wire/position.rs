//! Places in what rooms keep, between the engine's types and the words of clients.
//!
//! Invariant: an epoch has one text, of at most [`EPOCH_BYTES_MAX`] bytes, and a text that is none
//! of an epoch matches no log. Used by the dispatch and by the service.

use shardcast_engine::{Loss, MissedReason, Position, Recovery, Repeat, Since};
use shardcast_protocol::dialect::{self, LogPosition, LossReason};
use std::fmt;

/// Which order of a room it is, as clients name it: 1 to 13 of `0-9a-z`. Clients compare epochs,
/// and learn nothing else from them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochText {
    bytes: [u8; EPOCH_BYTES_MAX],
    start: usize,
}

/// 2^64 in base 36.
const EPOCH_BYTES_MAX: usize = 13;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

impl EpochText {
    pub(crate) fn new(epoch: u64) -> EpochText {
        let (mut bytes, mut start, mut rest) = ([0; EPOCH_BYTES_MAX], EPOCH_BYTES_MAX, epoch);
        loop {
            start -= 1;
            bytes[start] = DIGITS[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                return EpochText { bytes, start };
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[self.start..]).expect("digits are ASCII")
    }

    /// A place of this order.
    pub(crate) fn at(&self, offset: u64) -> LogPosition<'_> {
        LogPosition {
            epoch: self.as_str(),
            offset,
        }
    }
}

impl fmt::Debug for EpochText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The epoch of a text that [`EpochText`] has written.
fn epoch_of(text: &str) -> Option<u64> {
    let is_ours = (1..=EPOCH_BYTES_MAX).contains(&text.len());
    let epoch = u64::from_str_radix(text, 36).ok().filter(|_| is_ours)?;
    // One text per epoch: no leading zeros, no signs, no capitals.
    (EpochText::new(epoch).as_str() == text).then_some(epoch)
}

/// What a client has had, as the engine takes it.
pub(crate) fn since_of(since: &dialect::Since<'_>) -> Since {
    let epoch = match &*since.epoch {
        "" => None,
        text => Some(epoch_of(text).unwrap_or(NO_EPOCH)),
    };
    Since {
        epoch,
        offset: since.offset,
    }
}

/// No log has this epoch.
const NO_EPOCH: u64 = 0;

/// The text of a position's epoch.
pub(crate) fn epoch_text(position: Position) -> EpochText {
    EpochText::new(position.epoch)
}

/// Why what was asked for is not there.
pub(crate) fn loss_reason(loss: Loss) -> LossReason {
    match loss {
        Loss::EpochChanged => LossReason::EpochChanged,
        Loss::TrimmedBySize => LossReason::TrimmedBySize,
        Loss::TrimmedByAge => LossReason::TrimmedByAge,
        // Whoever asks is told that it is unavailable, and no reason.
        Loss::Limit | Loss::Unavailable => LossReason::Limit,
    }
}

/// Why a reader misses something.
pub(crate) fn missed_reason(reason: MissedReason) -> LossReason {
    match reason {
        MissedReason::Dropped => LossReason::Dropped,
        MissedReason::Conflated => LossReason::Conflated,
        MissedReason::TrimmedBySize => LossReason::TrimmedBySize,
        MissedReason::TrimmedByAge => LossReason::TrimmedByAge,
        MissedReason::Unacknowledged => LossReason::Unacknowledged,
    }
}

/// What became of a wish to have what was missed.
pub(crate) fn recovery_of(recovery: Recovery) -> dialect::Recovery {
    match recovery {
        Recovery::Recovered => dialect::Recovery::Recovered,
        Recovery::Lost(loss) => dialect::Recovery::Lost(loss_reason(loss)),
    }
}

/// Whether a publish was one.
pub(crate) fn repeat_of(repeat: Repeat) -> dialect::Repeat {
    match repeat {
        Repeat::First
        | Repeat::Unavailable
        | Repeat::MapFull
        | Repeat::NoKey
        | Repeat::KeyExists
        | Repeat::Outdated => dialect::Repeat::First,
        Repeat::Duplicate => dialect::Repeat::Duplicate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    #[test]
    fn an_epoch_has_one_text() {
        for (epoch, text) in [
            (0, "0"),
            (1, "1"),
            (35, "z"),
            (36, "10"),
            (723, "k3"),
            (u64::MAX, "3w5e11264sgsf"),
        ] {
            assert_eq!(EpochText::new(epoch).as_str(), text);
            assert_eq!(epoch_of(text), Some(epoch));
        }
        for text in [
            "",
            "00",
            "0k3",
            "K3",
            "+1",
            "-1",
            " k3",
            "k3 ",
            "k_3",
            "é",
            "3w5e11264sgsg",
            "zzzzzzzzzzzzz",
            "10000000000000",
        ] {
            assert_eq!(epoch_of(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_text_that_is_no_epoch_matches_none_and_an_empty_one_matches_all() {
        let since = |epoch: &'static str| {
            let epoch = Cow::Borrowed(epoch);
            since_of(&dialect::Since { epoch, offset: 7 })
        };
        assert_eq!((since("").epoch, since("").offset), (None, 7));
        assert_eq!(since("k3").epoch, Some(723));
        for text in ["K3", "nonsense of a client", "0"] {
            assert_eq!(since(text).epoch, Some(NO_EPOCH), "{text:?}");
        }
    }
}
