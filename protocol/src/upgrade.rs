//! The opening handshake (RFC 6455 §4, RFC 9112), server side.

/// Bounds of a request head.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeLimits {
    /// Largest head in bytes, terminator included; more is 431.
    pub head_bytes_max: usize,
}

/// A request that may be upgraded: every rule of RFC 6455 §4.2.1 holds.
#[derive(Debug)]
pub struct Request<'b> {
    /// Request target as sent, query included.
    target: &'b str,
    key: &'b str,
    headers: Vec<(&'b str, &'b [u8])>,
}

impl<'b> Request<'b> {
    /// The path, without the query.
    pub fn path(&self) -> &'b str { self.target.split('?').next().unwrap_or("") }
    /// What follows `?`, if anything.
    pub fn query(&self) -> Option<&'b str> { self.target.split_once('?').map(|(_, q)| q) }
    /// First header of that name (case-insensitive).
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }
    /// Subprotocols offered, in the client's order (all Sec-WebSocket-Protocol headers).
    pub fn subprotocols(&self) -> impl Iterator<Item = &'b str> + '_ { std::iter::empty() }
    /// `Sec-WebSocket-Key`.
    pub fn key(&self) -> &'b str { self.key }
}

/// Why a request is not upgraded; each has its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// Placeholder, replaced by one variant per rule.
    Malformed,
}

impl UpgradeError {
    /// 400, 405, 426, 431 …
    pub fn status(self) -> u16 { todo!() }
}

/// Looks for a whole request head at the start of `bytes`: `Ok(None)` asks for more bytes.
/// With it comes how many bytes the head took; what follows is already WebSocket data.
///
/// `scanned` remembers how far earlier calls looked for the end of the head (start with 0), so that a head arriving byte by byte costs linear work.
///
/// # Errors
/// The request is refused: answer with [`write_refusal`] and close.
pub fn parse<'b>(
    _bytes: &'b [u8],
    _scanned: &mut usize,
    _limits: &UpgradeLimits,
) -> Result<Option<(Request<'b>, usize)>, UpgradeError> {
    todo!()
}

/// Appends the 101 answer.
pub fn write_accept(_out: &mut Vec<u8>, _key: &str, _subprotocol: Option<&str>) { todo!() }
/// Appends a complete refusal (`Connection: close`, short text body; 426 carries `Sec-WebSocket-Version: 13`).
pub fn write_refusal(_out: &mut Vec<u8>, _status: u16, _reason: &str) { todo!() }
