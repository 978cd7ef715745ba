//! The request phase: what a connection says before it is open becomes an answer or a session.

use super::Shard;
use crate::application::{Accepted, Messages, Refusal};
use crate::connection::Flags;
use crate::driver::Driver;
use crate::{Application, Ticket};
use shardcast_protocol::deflate::Agreement;
use shardcast_protocol::upgrade::{self, UpgradeError, UpgradeLimits};

/// Longest request head (RFC 6455 sets none); more is 431.
pub(super) const HEAD_BYTES_MAX: usize = 8 << 10;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Reads a request head; `None` when it is incomplete.
    pub(super) fn upgrade(&mut self, ticket: Ticket, bytes: &[u8]) -> Option<usize> {
        let connection = self.core.connections.at(ticket.slot);
        let mut scanned = connection.cold.as_ref().map_or(0, |cold| cold.head_scanned);
        let parsed = upgrade::parse(
            bytes,
            &mut scanned,
            &UpgradeLimits {
                head_bytes_max: HEAD_BYTES_MAX,
            },
        );
        match parsed {
            Ok(None) => {
                connection.cold().head_scanned = scanned;
                None
            }
            Ok(Some((request, used))) => {
                self.admit(ticket, &request);
                Some(used)
            }
            Err(error) => {
                self.refuse(ticket, error, bytes);
                Some(bytes.len())
            }
        }
    }

    /// Answers what is no upgrade: a plain request as the application likes, anything else as HTTP asks.
    fn refuse(&mut self, ticket: Ticket, error: UpgradeError, head: &[u8]) {
        let plain = (error == UpgradeError::UpgradeMissing)
            .then(|| upgrade::plain_path(head))
            .flatten();
        let answer =
            plain.and_then(|path| self.shielded(ticket, |application, _| application.plain(path)));
        let answer = answer.unwrap_or_else(|| Refusal {
            status: error.status(),
            reason: error.to_string(),
        });
        self.core
            .counters
            .upgrades_refused
            .add(u64::from(answer.status >= 400));
        self.core.refuse(ticket, answer.status, &answer.reason);
    }

    fn admit(&mut self, ticket: Ticket, request: &upgrade::Request<'_>) {
        if !self.core.admit(ticket) {
            self.core.counters.refused_full.add(1);
            self.core
                .refuse(ticket, 503, "the server is full, try again later");
            return;
        }
        let agreement = match &self.core.compressing {
            Some(compressing) => request.deflate(compressing.takeover()),
            None => Ok(None),
        };
        let Ok(agreement) = agreement.map_err(|error| {
            self.core.counters.upgrades_refused.add(1);
            self.core.refuse(ticket, 400, &error.to_string());
        }) else {
            return;
        };
        let answer = self.shielded(ticket, |application, context| {
            application.connect(context, request)
        });
        let answer = answer.unwrap_or_else(|| {
            Err(Refusal {
                status: 500,
                reason: "handler failed".to_owned(),
            })
        });
        match answer {
            Ok(accepted) => self.open(ticket, request, agreement, accepted),
            Err(refusal) => {
                self.core.counters.upgrades_refused.add(1);
                self.core.refuse(ticket, refusal.status, &refusal.reason);
            }
        }
    }

    fn open(
        &mut self,
        ticket: Ticket,
        request: &upgrade::Request<'_>,
        agreement: Option<Agreement>,
        accepted: Accepted<A::Session>,
    ) {
        // A compressed message cannot be read in pieces: it is not agreed on.
        let agreement = agreement.filter(|_| accepted.messages != Messages::InPieces);
        self.core
            .open(ticket, request.key(), accepted.subprotocol, agreement);
        if accepted.messages == Messages::InPieces {
            let connection = self.core.connections.at(ticket.slot);
            connection.flags.set(Flags::PIECES);
        }
        *self.sessions.reach(ticket.slot) = Some(accepted.session);
        self.call(ticket, None, |application, context, session| {
            application.opened(context, session)
        });
    }
}
