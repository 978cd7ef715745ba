//! Where requests meet the limits: what is too much becomes an answer, a pause or an end. Called by
//! the service for every message, and by dispatch for joins and publishes.

use crate::limits::limiter::{Excess, slot_of};
use crate::limits::rules::OnExceed;
use crate::limits::tally::{LimitName, LimitOutcome};
use crate::session::context::Context;
use shardcast_engine::{Refusal, Target, Topic};
use shardcast_protocol::dialect::{Code, Problem, Request};

/// A client joins so many rooms.
pub(crate) fn join(cx: &mut Context<'_>, rooms: usize) -> Result<(), Problem> {
    let (slot, now_ms) = (slot_of(&cx.engine), cx.engine.now_ms());
    let Some(limiter) = &mut cx.state.limiter else {
        return Ok(());
    };
    let excess = limiter.joins(slot, now_ms, rooms as u64);
    apply(cx, excess)
}

/// A client publishes so many bytes to each of these.
pub(crate) fn publish<'t>(
    cx: &mut Context<'_>,
    targets: impl Iterator<Item = Target<'t>>,
    bytes: usize,
) -> Result<(), Problem> {
    let (slot, now_ms) = (slot_of(&cx.engine), cx.engine.now_ms());
    let Some(limiter) = &mut cx.state.limiter else {
        return Ok(());
    };
    if !limiter.limits_publishes(slot) {
        return Ok(());
    }
    let (mut here, mut excess) = (0, None);
    for target in targets {
        let members = match target {
            Target::Room(room) => {
                let of_room = limiter.publishes(slot, now_ms, room, bytes as u64);
                excess = excess.or(of_room);
                cx.engine.members_here(Topic::Room(room))
            }
            Target::User(user) => cx.engine.members_here(Topic::User(user)),
            Target::Everyone => cx.engine.connections_here(),
        };
        here += members as u64;
    }
    let excess = excess.or_else(|| limiter.fans_out(slot, now_ms, here));
    apply(cx, excess)
}

/// A client makes one more request.
pub(crate) fn in_flight(cx: &mut Context<'_>, request: &Request<'_>) -> Result<(), Problem> {
    let slot = slot_of(&cx.engine);
    let Some(limiter) = &mut cx.state.limiter else {
        return Ok(());
    };
    if matches!(request, Request::Leave(_)) {
        return Ok(());
    }
    let under_way = cx
        .session
        .some()
        .map_or(0, |more| more.requests_under_way());
    match limiter.is_busy(slot, under_way) {
        None => Ok(()),
        Some(excess) if limiter.on_exceed(slot) == OnExceed::Delay => {
            refuse(cx, excess, LimitOutcome::Refused)
        }
        excess => apply(cx, excess),
    }
}

/// A client sends a message with so many requests and bytes.
pub(crate) fn message(cx: &mut Context<'_>, requests: usize, bytes: usize) -> Result<(), Problem> {
    let (slot, now_ms) = (slot_of(&cx.engine), cx.engine.now_ms());
    let Some(limiter) = &mut cx.state.limiter else {
        return Ok(());
    };
    let excess = limiter.says(slot, now_ms, requests as u64, bytes as u64);
    apply(cx, excess)
}

/// What becomes of what is too much.
fn apply(cx: &mut Context<'_>, excess: Option<Excess>) -> Result<(), Problem> {
    let Some(excess) = excess else { return Ok(()) };
    let slot = slot_of(&cx.engine);
    let Some(limiter) = &mut cx.state.limiter else {
        return Ok(());
    };
    match limiter.on_exceed(slot) {
        _ if limiter.is_dry_run() => {
            limiter.tally().count(excess.limit, LimitOutcome::DryRun);
            Ok(())
        }
        OnExceed::Refuse => refuse(cx, excess, LimitOutcome::Refused),
        OnExceed::Delay => {
            limiter.tally().count(excess.limit, LimitOutcome::Delayed);
            let until = cx.engine.now_ms() + excess.retry_after_ms();
            cx.engine.pause_until(until);
            Ok(())
        }
        OnExceed::Disconnect => {
            let text = text_of(excess.limit);
            let refused = refuse(cx, excess, LimitOutcome::Disconnected);
            cx.disconnect(Code::RateLimited.close_code(), &text);
            refused
        }
    }
}

fn refuse(cx: &mut Context<'_>, excess: Excess, outcome: LimitOutcome) -> Result<(), Problem> {
    if let Some(limiter) = &cx.state.limiter {
        let dry = limiter.is_dry_run();
        let outcome = if dry { LimitOutcome::DryRun } else { outcome };
        limiter.tally().count(excess.limit, outcome);
        if dry {
            return Ok(());
        }
    }
    Err(excess.into())
}

impl From<Excess> for Problem {
    fn from(excess: Excess) -> Problem {
        let retry_after_ms = u32::try_from(excess.retry_after_ms()).unwrap_or(u32::MAX);
        Problem::rate_limited(text_of(excess.limit), retry_after_ms)
    }
}

impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Refusal {
        let seconds = excess.retry_after_ms().div_ceil(1_000).to_string();
        let refusal = Refusal::new(429, text_of(excess.limit));
        refusal
            .with_header("Retry-After", &seconds)
            .unwrap_or_else(Refusal::from)
    }
}

fn text_of(limit: LimitName) -> String {
    format!("more than {} allows", limit.as_str())
}
