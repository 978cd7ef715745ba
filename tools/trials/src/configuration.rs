//! A configuration file: what is taken is written out as a file that says the same, and what is not
//! is told in at least one problem.

use shardcast::parsing::configuration as check;

/// The input is a file.
///
/// # Panics
/// A promise is broken.
pub fn configuration(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    match check(text) {
        Ok(checked) => {
            let again = check(checked.page());
            assert_eq!(again.as_ref(), Ok(&checked), "{}", checked.page());
        }
        Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
    }
}
