//! Close codes and close payloads (RFC 6455 §5.5.1, §7.4), and the errors of peers, each of which
//! has a code: a `CloseCode` that exists may stand on the wire. Called by the frame readers and the
//! writer; the engine picks codes.

use std::fmt;

/// A close code that may stand in a close frame (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1007
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// 1008
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1011
    pub const INTERNAL: CloseCode = CloseCode(1011);
    /// 1012
    pub const RESTART: CloseCode = CloseCode(1012);
    /// 1013
    pub const TRY_LATER: CloseCode = CloseCode(1013);
    /// 4020: another connection of the same user has taken its place. Connecting again would only
    /// take it back.
    pub const REPLACED: CloseCode = CloseCode(4020);
    /// 4021: another connection goes on with its session.
    pub const RESUMED: CloseCode = CloseCode(4021);
    /// 4120: its user has as many connections as a user may have.
    pub const TOO_MANY_CONNECTIONS: CloseCode = CloseCode(4120);

    /// `None` for a code that must not be sent (RFC 6455 §7.4.1, §7.4.2): anything but 1000-1003,
    /// 1007-1014 and 3000-4999. 1012-1014 are of the IANA registry; 1004-1006 and 1015 are
    /// reserved, 1016-2999 unassigned.
    pub const fn new(code: u16) -> Option<CloseCode> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(code)),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a peer broke the protocol; each has its close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProtocolError {
    /// A reserved bit is set and no extension gave it a meaning (RFC 6455 §5.2). Clause 6455-5.2-2.
    #[error("reserved bit set")]
    ReservedBit,
    /// Opcodes 3-7 and 11-15 (RFC 6455 §5.2). Clause 6455-5.2-3.
    #[error("reserved opcode")]
    ReservedOpCode,
    /// A client's frame without a mask (RFC 6455 §5.1). Clause 6455-5.1-2.
    #[error("client frame is not masked")]
    Unmasked,
    /// A server's frame with a mask (RFC 6455 §5.1). Clause 6455-5.1-4.
    #[error("server frame is masked")]
    Masked,
    /// A control frame without FIN (RFC 6455 §5.5). Clause 6455-5.4-1.
    #[error("control frame is fragmented")]
    ControlFragmented,
    /// A control frame of more than 125 bytes (RFC 6455 §5.5). Clause 6455-5.5-1.
    #[error("control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A length in more bytes than it needs (RFC 6455 §5.2). Clause 6455-5.2-5.
    #[error("payload length is not minimal")]
    LengthNotMinimal,
    /// A 64-bit length whose most significant bit is set (RFC 6455 §5.2). Clause 6455-5.2-4.
    #[error("most significant bit of the payload length is set")]
    LengthTopBit,
    /// A continuation with nothing to continue (RFC 6455 §5.4). Clause 6455-5.4-3.
    #[error("continuation without a fragmented message")]
    ContinuationWithoutStart,
    /// A new data frame before the last fragment of the message before (RFC 6455 §5.4).
    /// Clause 6455-5.4-3.
    #[error("new message inside a fragmented one")]
    DataInsideFragmented,
    /// The message is, or will be, longer than `message_bytes_max`. Clause 6455-10.4-1.
    #[error("message too big")]
    MessageTooBig,
    /// A text message that is not UTF-8 (RFC 6455 §5.6, §8.1). Clauses 6455-5.6-1, 6455-8.1-1.
    #[error("text is not UTF-8")]
    TextNotUtf8,
    /// A close payload needs two bytes for its code (RFC 6455 §5.5.1). Clause 6455-5.5.1-1.
    #[error("close payload of one byte")]
    ClosePayloadOfOneByte,
    /// A close code that must not stand in a frame (RFC 6455 §7.4). Clauses 6455-7.4.1-1,
    /// 6455-7.4.1-2, 6455-7.4.1-3.
    #[error("close code must not be sent")]
    CloseCodeForbidden,
    /// A close reason that is not UTF-8 (RFC 6455 §5.5.1, §8.1). Clause 6455-8.1-1.
    #[error("close reason is not UTF-8")]
    CloseReasonNotUtf8,
    /// A compressed message that inflates to more than `message_bytes_max`.
    #[error("compressed message too big")]
    InflatedTooBig,
    /// A compressed message that inflates to more than its size lets expect.
    #[error("message compressed beyond the ratio that is allowed")]
    InflatedTooMuch,
    /// A compressed message that is no DEFLATE stream (RFC 7692 §7.2.2).
    #[error("compressed message is damaged")]
    CompressedDamaged,
    /// A compressed message that refers to an earlier one, though `client_no_context_takeover` was
    /// agreed on (RFC 7692 §7.1.1.2).
    #[error("message refers to an earlier one, against client_no_context_takeover")]
    ReferredBack,
    /// The same from a client that had not offered that, and for which no window is kept: the
    /// budget for such clients is used up.
    #[error(
        "message refers to an earlier one, against client_no_context_takeover, and no window is left (compression.windows)"
    )]
    NoWindowLeft,
}

impl ProtocolError {
    /// The code to close with (RFC 6455 §7.4.1).
    pub fn close_code(self) -> CloseCode {
        match self {
            ProtocolError::ReservedBit
            | ProtocolError::ReservedOpCode
            | ProtocolError::Unmasked
            | ProtocolError::Masked
            | ProtocolError::ControlFragmented
            | ProtocolError::ControlTooLong
            | ProtocolError::LengthNotMinimal
            | ProtocolError::LengthTopBit
            | ProtocolError::ContinuationWithoutStart
            | ProtocolError::DataInsideFragmented
            | ProtocolError::ClosePayloadOfOneByte
            | ProtocolError::CloseCodeForbidden => CloseCode::PROTOCOL_ERROR,
            ProtocolError::TextNotUtf8
            | ProtocolError::CloseReasonNotUtf8
            | ProtocolError::CompressedDamaged
            | ProtocolError::ReferredBack
            | ProtocolError::NoWindowLeft => CloseCode::INVALID_PAYLOAD,
            ProtocolError::MessageTooBig
            | ProtocolError::InflatedTooBig
            | ProtocolError::InflatedTooMuch => CloseCode::TOO_BIG,
        }
    }
}

/// The content of a close frame. `code` is `None` for an empty payload (status 1005).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'b> {
    /// The peer's code.
    pub code: Option<CloseCode>,
    /// UTF-8, at most 123 bytes.
    pub reason: &'b str,
}

impl<'b> CloseFrame<'b> {
    /// Reads an unmasked close payload: nothing, or two bytes of code and a reason (RFC 6455
    /// §5.5.1).
    ///
    /// # Errors
    /// The payload is one byte, its code must not be sent, or its reason is not UTF-8.
    pub fn parse(payload: &'b [u8]) -> Result<CloseFrame<'b>, ProtocolError> {
        let (code, reason) = match payload {
            [] => {
                return Ok(CloseFrame {
                    code: None,
                    reason: "",
                });
            }
            [_] => return Err(ProtocolError::ClosePayloadOfOneByte),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::new(code).ok_or(ProtocolError::CloseCodeForbidden)?;
        let reason = str::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
        Ok(CloseFrame {
            code: Some(code),
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_sorted_into_sendable_or_not() {
        let sendable: Vec<u16> = (0..=u16::MAX)
            .filter(|&code| CloseCode::new(code).is_some())
            .collect();
        let expected: Vec<u16> = (1000..=1003)
            .chain(1007..=1014)
            .chain(3000..=4999)
            .collect();
        assert_eq!(sendable, expected);
        assert!(
            sendable
                .iter()
                .all(|&code| CloseCode::new(code).map(CloseCode::get) == Some(code))
        );
    }

    #[test]
    fn payloads_are_parsed_or_refused() {
        let close = |code, reason| {
            Ok(CloseFrame {
                code: CloseCode::new(code),
                reason,
            })
        };
        let table: &[(&[u8], Result<CloseFrame<'_>, ProtocolError>)] = &[
            (
                b"",
                Ok(CloseFrame {
                    code: None,
                    reason: "",
                }),
            ),
            (b"\x03\xe8", close(1000, "")),
            (b"\x0f\xa0bye \xc3\xa9", close(4000, "bye é")),
            (b"\x03", Err(ProtocolError::ClosePayloadOfOneByte)),
            (b"\x00\x00", Err(ProtocolError::CloseCodeForbidden)),
            (b"\x03\xe7", Err(ProtocolError::CloseCodeForbidden)),
            (b"\x03\xed", Err(ProtocolError::CloseCodeForbidden)),
            (b"\x03\xee", Err(ProtocolError::CloseCodeForbidden)),
            (b"\x03\xf7", Err(ProtocolError::CloseCodeForbidden)),
            (b"\x13\x88", Err(ProtocolError::CloseCodeForbidden)),
            (b"\x03\xe8\xff", Err(ProtocolError::CloseReasonNotUtf8)),
            (b"\x03\xe8\xe2\x82", Err(ProtocolError::CloseReasonNotUtf8)),
        ];
        for (payload, expected) in table {
            assert_eq!(CloseFrame::parse(payload), *expected, "{payload:?}");
        }
    }
}
