//! Bans and revocations that another node has not heard, for it was not there when they were said:
//! it asks one that was, which tells all that are in force.
//!
//! Invariant: what is told goes to the one node that has asked, so a ban that was lifted elsewhere
//! meanwhile does not come back there. How much longer each lasts is told, not until when, so
//! clocks need not agree. Called for other nodes.

use crate::access::bans::Banishment;
use crate::admin::api::AdminApi;
use crate::admin::api::ending::{BanCall, RevokeCall};
use crate::admin::problem::AdminProblem;
use crate::auth::rules::unix_now;
use crate::broker::view::{IsBehind, NodeCall, NodeNews};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Which node asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AskedForRefusals {
    by: u64,
}

/// Some of what is in force.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RefusalsPage {
    bans: Vec<BanCall>,
    revocations: Vec<RevokeCall>,
    is_last: bool,
}

/// Bans of a page, and revocations: with the longest names they fit what a node may say at once.
const PAGE_MAX: usize = 64;

impl AdminApi {
    /// Tells the node that has asked.
    pub(crate) async fn tell_refusals(&self, asked: &AskedForRefusals) -> Result<(), AdminProblem> {
        let Some(view) = &self.cluster else {
            return Ok(());
        };
        for page in self.refusals() {
            let body = serde_json::to_value(&page);
            let call = NodeCall {
                call: NodeCall::REFUSED.to_owned(),
                body: body.map_err(|error| AdminProblem::bad_request(error.to_string()))?,
                to: Some(asked.by),
            };
            if !view.tell_in_turn(NodeNews::Call(call)).await {
                break;
            }
        }
        Ok(())
    }

    /// All that are in force, in pages, the last of which says so.
    fn refusals(&self) -> Vec<RefusalsPage> {
        let bans = self.bans.list(Instant::now()).into_iter();
        let mut bans = bans.map(|(whom, left)| match &whom {
            Banishment::User(_) => BanCall::told(Some(whom.text()), None, left),
            Banishment::Network(_) => BanCall::told(None, Some(whom.text()), left),
        });
        let now = unix_now();
        let mut revocations = self
            .handle
            .revoked(now)
            .into_iter()
            .map(|(revoked, until)| {
                let left = Duration::from_secs(until.saturating_sub(now));
                RevokeCall::told(&revoked, left)
            });
        let mut pages = Vec::new();
        loop {
            let mut page = RefusalsPage {
                bans: bans.by_ref().take(PAGE_MAX).collect(),
                revocations: revocations.by_ref().take(PAGE_MAX).collect(),
                is_last: false,
            };
            page.is_last = page.bans.len() < PAGE_MAX && page.revocations.len() < PAGE_MAX;
            let is_last = page.is_last;
            pages.push(page);
            if is_last {
                return pages;
            }
        }
    }

    /// Keeps out whom another node keeps out, and closes the connections that they have here.
    pub(crate) async fn refuse_as_told(&self, page: RefusalsPage) -> Result<(), AdminProblem> {
        for ban in &page.bans {
            warn_of(self.put_ban(ban).err());
        }
        for revocation in &page.revocations {
            warn_of(self.put_revocation(revocation).await.err());
        }
        if page.is_last
            && let Some(view) = &self.cluster
        {
            view.set_behind(IsBehind::No);
        }
        if page.bans.is_empty() && page.revocations.is_empty() {
            return Ok(());
        }
        // Nobody stays because the disk takes nothing.
        for ban in &page.bans {
            warn_of(self.end_banned(ban).await.err());
        }
        self.keep().await
    }
}

/// One that cannot be placed does not keep the others out.
fn warn_of(problem: Option<AdminProblem>) {
    if let Some(problem) = problem {
        tracing::warn!(
            ?problem,
            "a ban or revocation of another node does not hold here"
        );
    }
}
