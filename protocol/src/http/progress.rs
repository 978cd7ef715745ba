//! How far an unfinished head was looked at: each byte once, in whatever pieces it comes. A byte
//! that decides against the head refuses it at once, not at the deadline.

use super::head_error::HeadError;

/// Bounds of a request head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Largest head in bytes, terminator included; more is 431, or 414 if the request line alone is
    /// more.
    pub head_bytes_max: usize,
    /// Most header lines; more is 431.
    pub headers_max: usize,
}

/// Where the last look at a head stopped. The next one goes on there; a new head starts with
/// `Progress::default()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes looked at.
    looked: usize,
    /// Where the line begins in which the look stopped.
    line: usize,
    /// Lines that ended, the request line included.
    lines: usize,
}

/// A line's ending, which is all of an empty line.
const CRLF_BYTES: usize = 2;

impl Progress {
    /// Length of the head at the start of `bytes`, terminator included, or `None` while it has not
    /// ended.
    pub(super) fn find_end(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HeadError> {
        let window = &bytes[..bytes.len().min(limits.head_bytes_max)];
        while let Some(&byte) = window.get(self.looked) {
            let after_return = self.looked > 0 && window[self.looked - 1] == b'\r';
            match byte {
                b'\n' if after_return => {
                    if self.end_line(limits)? {
                        return Ok(Some(self.looked));
                    }
                    continue;
                }
                // A parser that takes it for a line's end may see another end of the head than the
                // proxy in front of us did (RFC 9112 §2.2).
                b'\n' => return Err(HeadError::BareLineFeed),
                _ if after_return => return Err(HeadError::BareReturn),
                b'\r' | b'\t' | b' '..=b'~' | 0x80.. => self.looked += 1,
                0..b' ' | 0x7f => return Err(HeadError::Malformed),
            }
        }
        match (window.len() == limits.head_bytes_max, self.lines) {
            (true, 0) => Err(self.long_line(window)),
            (true, _) => Err(HeadError::TooLarge),
            (false, _) => Ok(None),
        }
    }

    /// A line ended with the byte that comes next: was it the head's last?
    fn end_line(&mut self, limits: &HeadLimits) -> Result<bool, HeadError> {
        self.looked += 1;
        let bytes = self.looked - self.line;
        let first = std::mem::replace(&mut self.line, self.looked) == 0;
        match (bytes, self.lines) {
            // One empty line before a request is forgiven (RFC 9112 §2.2).
            (CRLF_BYTES, 0) if first => return Ok(false),
            (CRLF_BYTES, 0) => return Err(HeadError::Malformed),
            (CRLF_BYTES, _) => return Ok(true),
            (_, lines) if lines > limits.headers_max => return Err(HeadError::TooManyHeaders),
            _ => self.lines += 1,
        }
        Ok(false)
    }

    /// A first line that fills the head: too long a target, if it is a request at all.
    fn long_line(&self, window: &[u8]) -> HeadError {
        let mut words = window[self.line..].splitn(2, |&byte| byte == b' ');
        match (words.next(), words.next()) {
            (Some(method), Some(_)) if crate::head::is_token(method) => HeadError::TargetTooLong,
            _ => HeadError::Malformed,
        }
    }
}
