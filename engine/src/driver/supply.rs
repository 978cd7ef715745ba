//! How many receive buffers there are, and of which size: few while little is received, all when
//! much is, larger ones while nearly all belongs to large messages. Pure; owned by the buffers of
//! both drivers.

use crate::driver::boundary::Millis;

/// Bytes of one buffer: a 16 KiB message and its header in one piece. 256 × 2 KiB cost 1.47 × at 16
/// KiB messages.
pub(crate) const BUFFER_BYTES: usize = 16_640;
/// Bytes of a large one: a 128 KiB message and its header in one piece.
pub(crate) const LARGE_BUFFER_BYTES: usize = 133_120;

/// Buffers of a ring: at least twice as many as completions are waited for (`patience`).
pub(crate) const BUFFERS: u16 = 128;

/// Offered while no turn takes more than half of them: a ring of quiet connections keeps 16 buffers
/// resident, not 128.
const FEW: u16 = 16;
/// Large ones of a ring: as many bytes as the others are, so a tick takes in no more.
pub(crate) const LARGE_BUFFERS: u16 = 16;
/// How long the supply stays ample after the last busy turn.
const WINDOW_MS: Millis = 1_000;

const _: () = assert!(FEW < BUFFERS && LARGE_BUFFERS < BUFFERS);
const _: () =
    assert!(LARGE_BUFFERS as usize * LARGE_BUFFER_BYTES <= BUFFERS as usize * BUFFER_BYTES);

/// The decision, made anew every turn.
#[derive(Debug, Default)]
pub(crate) struct Supply {
    ample: bool,
    /// Taken since the last turn.
    taken: u16,
    /// The most that a turn of this window took.
    busiest: u16,
    window_end: Millis,
    large: bool,
    large_until: Millis,
}

impl Supply {
    /// The kernel took one.
    pub(crate) fn took(&mut self) {
        self.taken = self.taken.saturating_add(1);
    }

    /// The kernel found none.
    pub(crate) fn ran_out(&mut self) {
        self.taken = BUFFERS;
    }

    /// Large messages are expected, for a window.
    pub(crate) fn expect_large(&mut self, now: Millis) {
        (self.large, self.large_until) = (true, now + WINDOW_MS);
    }

    /// Whether large buffers are offered.
    pub(crate) fn is_large(&self) -> bool {
        self.large
    }

    /// Once per turn. True once a window when the last one was quiet: memory may go.
    pub(crate) fn settle(&mut self, now: Millis) -> bool {
        self.busiest = self.busiest.max(std::mem::take(&mut self.taken));
        self.ample |= self.busiest > FEW / 2;
        self.large &= now < self.large_until;
        if now < self.window_end {
            return false;
        }
        self.ample = std::mem::take(&mut self.busiest) > FEW / 2;
        self.window_end = now + WINDOW_MS;
        !self.ample
    }

    /// How many the kernel should have.
    pub(crate) fn offer(&self) -> u16 {
        match (self.large, self.ample) {
            (true, _) => LARGE_BUFFERS,
            (false, true) => BUFFERS,
            (false, false) => FEW,
        }
    }

    /// When the window at hand ends.
    pub(crate) fn window_end(&self) -> Millis {
        self.window_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of (time, buffers taken) and what they lead to: (memory may go, offer).
    fn check(turns: &[(Millis, u16, (bool, u16))]) {
        let mut supply = Supply::default();
        for &(now, taken, expected) in turns {
            (0..taken).for_each(|_| supply.took());
            let goes = supply.settle(now);
            assert_eq!(
                (goes, supply.offer()),
                expected,
                "at {now} ms, {taken} taken"
            );
        }
    }

    #[test]
    fn offers_all_from_the_busy_turn_to_the_end_of_a_quiet_window() {
        check(&[
            (0, 1, (true, FEW)),
            (1, FEW / 2, (false, FEW)),
            (2, FEW / 2 + 1, (false, BUFFERS)),
            (999, 0, (false, BUFFERS)),
            (1_000, 0, (false, BUFFERS)),
            (1_999, 0, (false, BUFFERS)),
            (2_000, 3, (true, FEW)),
            (9_000, 0, (true, FEW)),
        ]);
    }

    #[test]
    fn offers_large_ones_for_a_window_after_they_were_expected() {
        let mut supply = Supply::default();
        supply.expect_large(5);
        for (now, is_large) in [(5, true), (1_004, true), (1_005, false), (1_006, false)] {
            supply.settle(now);
            let offer = if is_large { LARGE_BUFFERS } else { FEW };
            assert_eq!(
                (supply.is_large(), supply.offer()),
                (is_large, offer),
                "{now}"
            );
        }
    }

    #[test]
    fn offers_all_when_the_kernel_ran_out() {
        let mut supply = Supply::default();
        supply.settle(0);
        supply.ran_out();
        assert!(!supply.settle(1));
        assert_eq!(supply.offer(), BUFFERS);
    }
}
