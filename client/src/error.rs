//! What goes wrong, in one type: a code for programs, whether the same call may succeed later, and
//! whether it may have taken effect.
//!
//! Invariant: every operation of this crate that fails does so with an [`Error`]; its codes are
//! those of the server and of the client for browsers. Used by every other file.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whatever is behind an error of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Who found that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server answered with an error; its code is one of docs/errors.md.
    Refused,
    /// The connection went before the answer came, and the request may not be sent twice.
    ConnectionLost,
    /// No answer in time.
    Timeout,
    /// As many requests wait as may, or this one was dropped for a newer one.
    QueueFull,
    /// Nobody took what a subscription received, and its policy is to fail.
    BufferFull,
    /// The message would be larger than the server takes.
    TooLarge,
    /// The client was closed, by `close` or by the server with a code that ends it.
    Closed,
    /// The server closed it because another connection of the same user took its place.
    Replaced,
    /// The provider of tokens failed.
    NoToken,
    /// An address or an option that is none.
    BadOption,
    /// A connection could not be made.
    Connect,
    /// The user's data cannot be written, or an answer is not what was expected.
    Data,
    /// A handler of the user panicked.
    HandlerPanicked,
}

impl ErrorKind {
    fn code(self) -> &'static str {
        match self {
            ErrorKind::Refused => "refused",
            ErrorKind::ConnectionLost => "connection_lost",
            ErrorKind::Timeout => "timeout",
            ErrorKind::QueueFull => "queue_full",
            ErrorKind::BufferFull => "buffer_full",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Closed => "closed",
            ErrorKind::Replaced => "replaced",
            ErrorKind::NoToken => "no_token",
            ErrorKind::BadOption => "bad_option",
            ErrorKind::Connect => "connect",
            ErrorKind::Data => "bad_request",
            ErrorKind::HandlerPanicked => "handler_threw",
        }
    }

    fn is_retryable(self) -> bool {
        matches!(
            self,
            ErrorKind::ConnectionLost
                | ErrorKind::Timeout
                | ErrorKind::QueueFull
                | ErrorKind::NoToken
                | ErrorKind::Connect
        )
    }
}

/// Whether a request that failed may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It had none.
    None,
    /// Nobody knows.
    Unknown,
}

/// Why an operation failed.
#[derive(Clone)]
pub struct Error(Box<Parts>);

#[derive(Clone)]
struct Parts {
    kind: ErrorKind,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    retryable: bool,
    effect: Effect,
    retry_after: Option<Duration>,
    field: Option<String>,
    close_code: Option<u16>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Parts {
            kind,
            code: Cow::Borrowed(kind.code()),
            message: message.into(),
            retryable: kind.is_retryable(),
            effect: Effect::None,
            retry_after: None,
            field: None,
            close_code: None,
            source: None,
        }))
    }

    /// Of another kind's cause.
    pub(crate) fn caused(kind: ErrorKind, source: impl Into<BoxError>) -> Error {
        let source: Arc<dyn std::error::Error + Send + Sync> = Arc::from(source.into());
        let mut error = Error::new(kind, source.to_string());
        error.0.source = Some(source);
        error
    }

    /// The server's answer.
    pub(crate) fn refused(code: String, message: String) -> Error {
        // Of these the server itself cannot say.
        let unknown = code == "timeout" || code == "handler_failed";
        let mut error = Error::new(ErrorKind::Refused, message);
        error.0.code = Cow::Owned(code);
        error.with_effect(if unknown {
            Effect::Unknown
        } else {
            Effect::None
        })
    }

    /// A close code that ends the client (docs/errors.md).
    pub(crate) fn closed_by(close_code: u16, reason: &str) -> Error {
        let kind = match close_code {
            4020 => ErrorKind::Replaced,
            _ => ErrorKind::Closed,
        };
        let message = match reason {
            "" => format!("the server closed with {close_code}"),
            reason => reason.to_owned(),
        };
        let mut error = Error::new(kind, message);
        let named = usize::from(close_code).checked_sub(4000);
        if let Some(code) = named.and_then(|index| TERMINAL.get(index)) {
            error.0.code = Cow::Borrowed(code);
        }
        error.0.close_code = Some(close_code);
        error
    }

    pub(crate) fn closed() -> Error {
        Error::new(ErrorKind::Closed, "the client is closed")
    }

    pub(crate) fn with_effect(mut self, effect: Effect) -> Error {
        self.0.effect = effect;
        self
    }

    pub(crate) fn with_retry(mut self, retryable: bool, after: Option<Duration>) -> Error {
        self.0.retryable = retryable;
        self.0.retry_after = after;
        self
    }

    pub(crate) fn with_field(mut self, field: Option<String>) -> Error {
        self.0.field = field;
        self
    }

    pub(crate) fn with_code(mut self, code: &'static str) -> Error {
        self.0.code = Cow::Borrowed(code);
        self
    }

    /// Who found it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// For programs: the server's code, or one of the client's own.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// For people; its wording may change.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// When, if the server said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the request may have taken effect although it failed.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// Which field of the data is at fault, as `data.price`.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// The close code, where a connection ended for it.
    pub fn close_code(&self) -> Option<u16> {
        self.0.close_code
    }
}

/// Codes of the close codes from 4000 on, in order (docs/errors.md).
const TERMINAL: [&str; 10] = [
    "bad_json",
    "bad_request",
    "unknown_type",
    "unauthorized",
    "forbidden",
    "not_joined",
    "too_large",
    "room_limit",
    "unknown_namespace",
    "invalid_data",
];

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            kind,
            code,
            message,
            retryable,
            effect,
            retry_after,
            field,
            close_code,
            source,
        } = &*self.0;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("code", code)
            .field("message", message)
            .field("retryable", retryable)
            .field("effect", effect)
            .field("retry_after", retry_after)
            .field("field", field)
            .field("close_code", close_code)
            .field("source", source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}
