//! Trace contexts, as the W3C writes them: which trace a request belongs to.
//!
//! Invariant: a context that exists is well-formed, so it may stand in a header or a message. Used
//! by requests and by delivered messages.

use std::fmt;
use std::str::FromStr;

/// The `traceparent` of W3C Trace Context, version 00.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    text: [u8; TEXT_BYTES],
}

const TEXT_BYTES: usize = 55;

/// Not a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent: 00-32 hexadecimal digits-16 of them-2 of them, neither id zero")]
pub struct BadTraceContext;

/// Whether the spans of a trace are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sampling {
    /// They are.
    Recorded,
    /// They are not, as far as the caller knows.
    Unknown,
}

impl TraceContext {
    /// Of ids that a tracer made.
    ///
    /// # Errors
    /// An id is zero.
    pub fn new(
        trace: u128,
        span: u64,
        sampling: Sampling,
    ) -> Result<TraceContext, BadTraceContext> {
        let flags = match sampling {
            Sampling::Recorded => 1,
            Sampling::Unknown => 0,
        };
        format!("00-{trace:032x}-{span:016x}-{flags:02x}").parse()
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        // It is ASCII by construction.
        str::from_utf8(&self.text).unwrap_or_default()
    }
}

impl FromStr for TraceContext {
    type Err = BadTraceContext;

    fn from_str(text: &str) -> Result<TraceContext, BadTraceContext> {
        let text: [u8; TEXT_BYTES] = text.as_bytes().try_into().map_err(|_| BadTraceContext)?;
        let is_hex = |part: &[u8]| {
            part.iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
        let (trace, span, flags) = (&text[3..35], &text[36..52], &text[53..]);
        let fits = text.starts_with(b"00-")
            && (text[35], text[52]) == (b'-', b'-')
            && [trace, span, flags].into_iter().all(is_hex)
            && !is_zero(trace)
            && !is_zero(span);
        fits.then_some(TraceContext { text }).ok_or(BadTraceContext)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceContext").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{BadTraceContext, Sampling, TraceContext};

    #[test]
    fn only_the_form_of_version_00_is_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parsed: TraceContext = good.parse().expect("the example of the W3C");
        assert_eq!(parsed.to_string(), good);
        let made = TraceContext::new(
            0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            0x00f0_67aa_0ba9_02b7,
            Sampling::Recorded,
        );
        assert_eq!(made, Ok(parsed));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(BadTraceContext), "{bad}");
        }
        assert_eq!(
            TraceContext::new(0, 1, Sampling::Unknown),
            Err(BadTraceContext)
        );
    }
}
