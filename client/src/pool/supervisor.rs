//! Looks after the members of a pool: hears of their states, and asks them for signs of life.
//!
//! Invariant: a member is used only after it has answered; whatever becomes of one is told to the
//! places at once. One task for each pool, spawned by it.

use super::placing::PoolShared;
use crate::entry::{Resend, Wants};
use crate::pending::Pending;
use crate::publish::Ask;
use crate::state::{NextStatus, State, next_status};
use serde::de::IgnoredAny;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// For the first answer of a member that came.
const FIRST_CHECK: Duration = Duration::from_secs(5);

/// What the supervisor knows of a member.
struct Watched {
    changed: NextStatus,
    /// Asked for a sign of life, and not answered.
    check: Option<Pending<IgnoredAny>>,
    is_up: bool,
}

/// Looks after the members until the pool ends.
pub(super) async fn supervise(shared: Arc<PoolShared>, health_check: Duration) {
    let members = shared.members().iter();
    let mut watched: Vec<Watched> = members
        .map(|member| {
            let mut status = member.status();
            status.mark_changed();
            Watched {
                changed: next_status(status),
                check: None,
                is_up: false,
            }
        })
        .collect();
    let mut ticks = tokio::time::interval(health_check.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut turn = pin!(poll_fn(|cx| {
            let members = watched.iter_mut().enumerate();
            let changed: Vec<usize> = members
                .filter_map(|(at, member)| member.poll(cx, &shared, at).then_some(at))
                .collect();
            match changed.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        }));
        tokio::select! {
            () = &mut turn => {}
            () = shared.ended.notified() => break,
            _ = ticks.tick() => {
                for (at, member) in watched.iter_mut().enumerate() {
                    if member.is_up && member.check.is_none() {
                        member.check = Some(check(&shared, at, health_check));
                    }
                }
            }
        }
    }
    shared.close(None);
}

fn check(shared: &PoolShared, at: usize, patience: Duration) -> Pending<IgnoredAny> {
    let member = shared.members()[at].shared();
    Ask::new(member, "ping", Wants::Life, Resend::No)
        .timeout(patience)
        .send()
}

impl Watched {
    /// Whether something has changed.
    fn poll(&mut self, cx: &mut Context<'_>, shared: &PoolShared, at: usize) -> bool {
        if let Some(checking) = &mut self.check
            && let Poll::Ready(answer) = Pin::new(checking).poll(cx)
        {
            self.check = None;
            match answer {
                Ok(_) if self.is_up => shared.came(at),
                _ => shared.went(at),
            }
            return true;
        }
        let Poll::Ready(mut status) = self.changed.as_mut().poll(cx) else {
            return false;
        };
        let state = status.borrow_and_update().state;
        self.changed = next_status(status);
        let is_up = match state {
            State::Connected | State::Authenticated | State::Recovering => true,
            State::Connecting | State::Draining => false,
            State::Closed => {
                (self.check, self.is_up) = (None, false);
                shared.ended(at);
                return true;
            }
        };
        if is_up != self.is_up {
            self.is_up = is_up;
            match is_up {
                // Used once it has answered.
                true => self.check = Some(check(shared, at, FIRST_CHECK)),
                false => {
                    self.check = None;
                    shared.went(at);
                }
            }
        }
        true
    }
}
