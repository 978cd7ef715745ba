//! How long a connection is who it is. Kept by the session; who makes it and acts on it is
//! `auth::expiry`.

/// The times of one connection, by the engine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// The client has until then to say who it is.
    Awaited { until_ms: u64 },
    /// Who it is ends.
    Proved(ProvedTimes),
}

/// When who a connection is ends, and what is done about it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProvedTimes {
    pub(crate) until_ms: u64,
    pub(crate) given_by: GivenBy,
    pub(crate) telling: ExpiryTelling,
    pub(crate) asking: ExpiryAsking,
}

/// Who has said when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenBy {
    /// The token that said who the connection is.
    Token,
    /// The application.
    Application,
}

/// Whether the client is told of the end before it comes: once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpiryTelling {
    /// It is not, or not yet.
    Off,
    At(u64),
    Done,
}

/// Whether the application is asked about the end before it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpiryAsking {
    /// It is not, or not any more.
    Off,
    At(u64),
    /// It has not answered.
    UnderWay,
}

impl Validity {
    /// When something is to be done; `None`: not before an answer.
    pub(crate) fn due_ms(self) -> Option<u64> {
        match self {
            Validity::Awaited { until_ms } => Some(until_ms),
            Validity::Proved(times) => times.due_ms(),
        }
    }
}

impl ProvedTimes {
    /// Whether the end has come. Of what the application has given it waits for what the
    /// application says of it; a token's end does not.
    pub(crate) fn is_over(self, now_ms: u64) -> bool {
        self.until_ms <= now_ms && !self.waits()
    }

    fn waits(self) -> bool {
        self.given_by == GivenBy::Application && self.asking == ExpiryAsking::UnderWay
    }

    fn due_ms(self) -> Option<u64> {
        let told = match self.telling {
            ExpiryTelling::At(tell_ms) => Some(tell_ms),
            ExpiryTelling::Off | ExpiryTelling::Done => None,
        };
        let asked = match self.asking {
            ExpiryAsking::At(ask_ms) => Some(ask_ms),
            ExpiryAsking::Off | ExpiryAsking::UnderWay => None,
        };
        let end = (!self.waits()).then_some(self.until_ms);
        told.into_iter().chain(asked).chain(end).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_the_application_gave_waits_for_its_answer() {
        let of = |given_by, asking| ProvedTimes {
            until_ms: 10,
            given_by,
            telling: ExpiryTelling::Off,
            asking,
        };
        for (given_by, asking, due_ms, is_over) in [
            (GivenBy::Token, ExpiryAsking::Off, Some(10), true),
            (GivenBy::Token, ExpiryAsking::At(7), Some(7), true),
            (GivenBy::Token, ExpiryAsking::UnderWay, Some(10), true),
            (GivenBy::Application, ExpiryAsking::Off, Some(10), true),
            (GivenBy::Application, ExpiryAsking::UnderWay, None, false),
        ] {
            let times = of(given_by, asking);
            assert_eq!(Validity::Proved(times).due_ms(), due_ms, "{times:?}");
            assert_eq!(times.is_over(10), is_over, "{times:?}");
            assert!(!times.is_over(9), "{times:?}");
        }
    }
}
