//! Close codes and close payloads (RFC 6455 §5.5.1, §7.4): a `CloseCode` that exists may stand on the wire.
//! Called by the frame reader and writer; the engine picks codes.

use std::fmt;

use crate::reader::ProtocolError;

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

    /// `None` for a code that must not be sent (RFC 6455 §7.4.1, §7.4.2): anything but 1000-1003, 1007-1014 and
    /// 3000-4999. 1012-1014 are of the IANA registry; 1004-1006 and 1015 are reserved, 1016-2999 unassigned.
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

/// What a close frame said. `code` is `None` for an empty payload (status 1005).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'b> {
    /// The peer's code.
    pub code: Option<CloseCode>,
    /// UTF-8, at most 123 bytes.
    pub reason: &'b str,
}

impl<'b> CloseFrame<'b> {
    /// Reads an unmasked close payload: nothing, or two bytes of code and a reason (RFC 6455 §5.5.1).
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
        let said = |code, reason| {
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
            (b"\x03\xe8", said(1000, "")),
            (b"\x0f\xa0bye \xc3\xa9", said(4000, "bye é")),
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
