//! What a test leaves out because this machine lacks it: said past libtest, which hides what
//! passing tests print, and an error where everything has to be there.
//!
//! Invariant: a line on standard error that begins with `left out: ` for each; `.ci/run` counts
//! them. Used by the tests that drive other people's servers.

use std::io::Write;

/// The environment variable that makes it an error to leave something out. `.ci/run` sets it.
pub const NOTHING_LEFT_OUT: &str = "NOTHING_LEFT_OUT";

/// Says that a test leaves something out for want of something else.
///
/// # Panics
/// [`NOTHING_LEFT_OUT`] is set, or standard error is closed.
#[track_caller]
pub fn leave_out(what: &str) {
    assert!(
        std::env::var_os(NOTHING_LEFT_OUT).is_none(),
        "{what}, and {NOTHING_LEFT_OUT} is set: it has to be here"
    );
    say_left_out(what);
}

/// The same for what need not be there even then, such as a server that takes longer to build than
/// all tests take.
///
/// # Panics
/// Standard error is closed.
pub fn say_left_out(what: &str) {
    writeln!(std::io::stderr(), "left out: {what}").expect("standard error");
}
