//! Tokens that are asked for while a connection stands: the connection's own before it expires, and
//! those of rooms.

use super::Core;
use crate::encoding::Body;
use crate::entry::Purpose;
use crate::error::Error;
use crate::refreshing::{Refreshing, TokenJob};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long before its end a token is asked for again after a failure.
const REFRESH_RETRY: Duration = Duration::from_secs(2);

impl Core {
    /// A token that is to be asked for while the connection stands.
    pub(crate) fn next_token_job(&mut self, now: Instant) -> Option<TokenJob> {
        if let Refreshing::Wanted { at, until } = self.refreshing
            && at <= now
        {
            self.refreshing = Refreshing::UnderWay { until };
            return Some(TokenJob::Refresh);
        }
        let (room, asked) = self.rooms.next_token()?;
        Some(TokenJob::Room(room, asked))
    }

    pub(crate) fn room_token(
        &mut self,
        now: Instant,
        room: Arc<str>,
        token: Result<String, Error>,
    ) {
        let random = self.random();
        self.rooms.token(now, room, token, random);
    }

    pub(crate) fn refresh_token(&mut self, now: Instant, token: Result<String, Error>) {
        if !matches!(self.refreshing, Refreshing::UnderWay { .. }) {
            return;
        }
        match token {
            Err(_) => self.refresh_failed(now),
            Ok(token) => {
                let mut body = Body::new(self.options.encoding, "refresh");
                body.text("token", &token);
                let timeout = self.options.request_timeout;
                self.requests.control(body, Purpose::Refresh, now, timeout);
            }
        }
    }

    pub(super) fn refresh_failed(&mut self, now: Instant) {
        let (Refreshing::UnderWay { until } | Refreshing::Wanted { until, .. }) = self.refreshing
        else {
            return;
        };
        let at = now + REFRESH_RETRY;
        self.refreshing = match at < until {
            true => Refreshing::Wanted { at, until },
            false => Refreshing::No,
        };
    }
}
