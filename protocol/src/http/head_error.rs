//! Why a request head is refused, each reason with its status. Found while a head arrives and when
//! it is read.

/// Why a head is no request. The connection is closed with the answer: where the next request would
/// begin is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeadError {
    /// 431: no end of the head within `head_bytes_max`.
    #[error("request head is too large")]
    TooLarge,
    /// 431: more than `headers_max` headers.
    #[error("too many request headers")]
    TooManyHeaders,
    /// 414: a request line that does not end within `head_bytes_max`.
    #[error("request target is too long")]
    TargetTooLong,
    /// 400: a line feed without a carriage return before it (RFC 9112 §2.2).
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    /// 400: a carriage return without a line feed after it (RFC 9112 §2.2).
    #[error("a carriage return stands alone")]
    BareReturn,
    /// 400: a header goes on in a second line (RFC 9112 §5.2).
    #[error("a header line is folded")]
    Folded,
    /// 400: not as RFC 9112 writes it.
    #[error("malformed HTTP request")]
    Malformed,
    /// 505: another major version than 1.
    #[error("HTTP version is not 1.0 or 1.1")]
    VersionUnsupported,
    /// 400: neither a path nor an absolute URI, with a fragment (RFC 6455 §3), or with a broken
    /// escape before the query.
    #[error("bad request target")]
    BadTarget,
    /// 400 (RFC 9112 §3.2).
    #[error("Host header is missing")]
    HostMissing,
    /// 400 (RFC 9112 §3.2).
    #[error("Host header is repeated")]
    HostRepeated,
    /// 400 (RFC 9112 §3.2).
    #[error("Host header is not a host")]
    HostInvalid,
    /// 400: not one number (RFC 9112 §6.3; a repeated one may be refused, RFC 9110 §8.6).
    #[error("Content-Length is not one number")]
    LengthInvalid,
    /// 400: `Content-Length` beside `Transfer-Encoding`, a coding other than chunked at the end, or
    /// HTTP/1.0 with codings (RFC 9112 §6.1, §6.3).
    #[error("where the body ends is ambiguous")]
    BodyAmbiguous,
    /// 501: a transfer coding other than chunked (RFC 9112 §6.1).
    #[error("transfer coding is not understood")]
    CodingUnknown,
}

impl HeadError {
    /// 400, 414, 431, 501 or 505.
    pub fn status(self) -> u16 {
        match self {
            HeadError::TooLarge | HeadError::TooManyHeaders => 431,
            HeadError::TargetTooLong => 414,
            HeadError::CodingUnknown => 501,
            HeadError::VersionUnsupported => 505,
            HeadError::BareLineFeed
            | HeadError::BareReturn
            | HeadError::Folded
            | HeadError::Malformed
            | HeadError::BadTarget
            | HeadError::HostMissing
            | HeadError::HostRepeated
            | HeadError::HostInvalid
            | HeadError::LengthInvalid
            | HeadError::BodyAmbiguous => 400,
        }
    }
}
