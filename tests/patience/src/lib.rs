//! Waits of tests: each ends when its event comes, or with a panic that names what never came. And
//! what tests leave out for want of a tool.
//!
//! Invariant: no function here waits longer than its deadline, and no process outlives its
//! [`Program`], whether the test passes or panics. Used by the tests of every package.

#![forbid(unsafe_code)]

mod left_out;
mod program;

pub use left_out::{NOTHING_LEFT_OUT, leave_out, say_left_out};
pub use program::{Ended, Program};

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails. What is tested takes milliseconds; a busy
/// machine may take seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at something that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Looks again and again until `reached`.
///
/// # Panics
/// It is not reached within [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, reached: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, reached);
}

/// The same with a deadline of the test's own.
///
/// # Panics
/// It is not reached within `patience`.
#[track_caller]
pub fn wait_within(patience: Duration, what: &str, reached: impl FnMut() -> bool) {
    assert!(
        is_reached_within(patience, reached),
        "not within {patience:?}: {what}"
    );
}

/// The same for a caller that says itself what is missing.
#[must_use]
pub fn is_reached_within(patience: Duration, mut reached: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !reached() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
    true
}

/// Runs what may block for ever on a thread of its own, and waits for its result.
///
/// # Panics
/// `blocking` does not return within [`PATIENCE`] (its thread is left behind), or panics.
#[track_caller]
pub fn patiently<T: Send + 'static>(
    what: &str,
    blocking: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, result) = sync_channel(1);
    std::thread::spawn(move || done.send(blocking()));
    match result.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("not within {PATIENCE:?}: {what}"),
        Err(RecvTimeoutError::Disconnected) => panic!("a panic, see above: {what}"),
    }
}
