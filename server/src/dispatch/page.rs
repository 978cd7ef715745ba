//! How much of a page one answer brings. Used by the answers that bring pages.

/// How many items of these sizes in bytes one answer brings: as many as its client may be sent at
/// once, and one at least, so that whoever asks on comes to the end.
pub(crate) fn fitting(sizes: impl IntoIterator<Item = usize>, bytes_max: usize) -> usize {
    let mut left = Some(bytes_max);
    let fits = |(index, size): &(usize, usize)| {
        left = left.and_then(|left| left.checked_sub(*size));
        left.is_some() || *index == 0
    };
    sizes.into_iter().enumerate().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_brings_what_fits_and_never_nothing() {
        for (sizes, bytes_max, want) in [
            (&[] as &[usize], 100, 0),
            (&[10; 5], 100, 5),
            (&[10; 5], 30, 3),
            (&[10; 5], 29, 2),
            (&[10; 5], 1, 1),
            (&[10], 0, 1),
            // What is too large by itself comes alone.
            (&[50, 1], 30, 1),
            (&[1, 50, 1], 30, 1),
        ] {
            let sizes = sizes.iter().copied();
            assert_eq!(fitting(sizes, bytes_max), want);
        }
    }
}
