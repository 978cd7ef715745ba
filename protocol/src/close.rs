//! Close codes and close payloads (RFC 6455 §5.5.1, §7.4).

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

    /// `None` for a code that must not be sent (RFC 6455 §7.4.1, §7.4.2).
    pub fn new(_code: u16) -> Option<CloseCode> { todo!() }
    /// The number on the wire.
    pub const fn get(self) -> u16 { self.0 }
}

/// What a close frame said. `code` is `None` for an empty payload (status 1005).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'b> {
    /// The peer's code.
    pub code: Option<CloseCode>,
    /// UTF-8, at most 123 bytes.
    pub reason: &'b str,
}
