//! Which trace a request belongs to, as W3C Trace Context writes it: `traceparent`.
//!
//! Invariant: neither id is zero. What cannot be read is none: the specification has whoever gets
//! it begin anew (§3.2.2.2). Read by the dialects and from headers, written into messages.

use std::fmt;

/// A trace, the step of it that comes before, and whether its steps are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// Length of what [`TraceParent::text`] writes.
    pub const TEXT_BYTES: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();

    /// §3.2.2.5.1: whoever came before may have recorded its step.
    const SAMPLED: u8 = 1;

    /// A step whose trace is recorded. `None`: an id is zero.
    pub fn recorded(trace: u128, span: u64) -> Option<TraceParent> {
        (trace != 0 && span != 0).then_some(TraceParent {
            trace,
            span,
            flags: TraceParent::SAMPLED,
        })
    }

    /// Reads version 00, and of later versions what they have in common with it (§3.2.4).
    pub fn parse(text: &str) -> Option<TraceParent> {
        let bytes = text.as_bytes();
        let hex = |from: usize, to: usize| {
            let digits = bytes.get(from..to)?;
            let is_hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
            let digits = str::from_utf8(digits.iter().all(is_hex).then_some(digits)?).ok()?;
            u128::from_str_radix(digits, 16).ok()
        };
        let ends_well = match (hex(0, 2)?, bytes.get(TraceParent::TEXT_BYTES)) {
            (0xff, _) => false,
            (_, None) => true,
            (version, Some(next)) => version > 0 && *next == b'-',
        };
        let are_dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        let (trace, span, flags) = (hex(3, 35)?, hex(36, 52)?, hex(53, 55)?);
        (ends_well && are_dashes && trace != 0 && span != 0).then_some(TraceParent {
            trace,
            span: span as u64,
            flags: flags as u8,
        })
    }

    /// The trace.
    pub fn trace(&self) -> u128 {
        self.trace
    }

    /// The step that comes before.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// Whether its steps are recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & TraceParent::SAMPLED != 0
    }

    /// As version 00 writes it, with the one flag that is known.
    pub fn text(&self) -> TraceParentText {
        let flags = self.flags & TraceParent::SAMPLED;
        let mut text = [b'-'; TraceParent::TEXT_BYTES];
        write_hex(&mut text[0..2], 0);
        write_hex(&mut text[3..35], self.trace);
        write_hex(&mut text[36..52], self.span.into());
        write_hex(&mut text[53..55], flags.into());
        TraceParentText(text)
    }
}

fn write_hex(digits: &mut [u8], mut number: u128) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// A `traceparent` as it is written.
#[derive(Clone, Copy, Debug)]
pub struct TraceParentText([u8; TraceParent::TEXT_BYTES]);

impl TraceParentText {
    /// Its text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("digits and dashes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_alike() {
        for (text, written, is_sampled) in [
            (SAMPLED, SAMPLED, true),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
                false,
            ),
            // Of a later version, whose other flags mean nothing here.
            (
                "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more",
                SAMPLED,
                true,
            ),
        ] {
            let read = TraceParent::parse(text).expect("it is one");
            assert_eq!(read.to_string(), written);
            assert_eq!(read.is_sampled(), is_sampled, "{text}");
        }
        let made = TraceParent::recorded(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 1);
        let made = made.expect("no id is zero");
        assert_eq!(TraceParent::parse(made.text().as_str()), Some(made));
        assert_eq!(TraceParent::recorded(0, 1), None);
        assert_eq!(TraceParent::recorded(1, 0), None);
    }

    #[test]
    fn what_is_none_is_not_read() {
        for length in 0..SAMPLED.len() {
            assert_eq!(TraceParent::parse(&SAMPLED[..length]), None, "{length}");
        }
        for text in [
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-+7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031\u{e4}-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }
}
