//! Questions that all shards answer together.
//!
//! Invariant: a question has its answer, or the server stops. A shard that begins anew gives up
//! what it was asked, and so do the others, whose answers may lack its part; then it is asked
//! again, which each such shard can make happen once. Asked by walks, lists and the bridge.

use crate::session::retry::{Queue, place_in};
use crate::session::shared::Shared;
use shardcast_engine::{Answer, Query, QueryError, Refused};
use tokio::sync::oneshot;

/// Asks all shards. On any async runtime.
///
/// # Errors
/// The server stops.
pub(crate) async fn ask(shared: &Shared, query: Query) -> Result<Answer, Refused> {
    loop {
        let (sender, answer) = oneshot::channel();
        let reply = Box::new(move |answer: Answer| {
            let _nobody_waits = sender.send(answer);
        });
        let asked = shared.engine().map_err(QueryError::from);
        match asked.and_then(|engine| engine.query(query.clone(), reply)) {
            Ok(()) => {
                if let Ok(answer) = answer.await {
                    return Ok(answer);
                }
            }
            Err(QueryError::Refused(Refused::Busy)) => place_in(shared, Queue::Any).await,
            Err(_) => return Err(Refused::Stopped),
        }
    }
}
