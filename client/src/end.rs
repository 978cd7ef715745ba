//! Why a connection ended, or was not made: the word of the server, of the network, or of this
//! client.
//!
//! Used by what connects, the driver, the core and the link.

use crate::error::{Error, ErrorKind};
use std::time::Duration;

/// Why a connection ended, or was not made.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// A close code; 1006 where there was none.
    pub(crate) code: u16,
    pub(crate) reason: String,
    /// Of HTTP, where the upgrade was refused.
    pub(crate) http_status: Option<u16>,
    /// When the server is to be asked again.
    pub(crate) retry_after: Option<Duration>,
    /// Of what connects.
    pub(crate) error: Option<Error>,
}

impl End {
    /// There was no close frame.
    pub(crate) const ABNORMAL: u16 = 1006;

    pub(crate) fn abnormal(error: Option<Error>) -> End {
        End {
            code: End::ABNORMAL,
            reason: String::new(),
            http_status: None,
            retry_after: None,
            error,
        }
    }

    pub(crate) fn closed(code: u16, reason: &str) -> End {
        End {
            code,
            reason: reason.to_owned(),
            ..End::abnormal(None)
        }
    }

    /// What whoever waits for the connection hears.
    pub(crate) fn into_error(self) -> Error {
        match self.error {
            Some(error) => error,
            None if self.code == End::ABNORMAL => {
                Error::new(ErrorKind::ConnectionLost, "the connection broke")
            }
            None => Error::closed_by(self.code, &self.reason).with_retry(true, None),
        }
    }
}
