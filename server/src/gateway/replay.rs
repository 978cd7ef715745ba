//! `shardcast replay-dead-letters`: a gateway of its own sends once more what the backend did not
//! take. A server may run meanwhile.

use crate::gateway::calls::Gateway;
use crate::gateway::dead_letters::{DeadLetters, Replayed};
use crate::gateway::options::GatewayOptions;
use crate::gateway::orders::Orders;
use std::sync::Arc;

/// What came of it in a sentence, and whether nothing is left.
///
/// # Errors
/// Why nothing was done.
pub(crate) fn replay(options: Option<GatewayOptions>) -> Result<(String, bool), String> {
    let options = options.ok_or("gateway: there is neither a url nor a socket")?;
    let file = options.dead_letters.clone();
    let file = file.ok_or("gateway.dead_letters: there is no file")?;
    let shown = file.path.display().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let gateway = Gateway::start(options, Arc::new(Orders::new()), runtime.handle(), None);
    let replayed = runtime.block_on(DeadLetters::new(file).replay(&gateway));
    let Replayed {
        delivered,
        left,
        unreadable,
    } = replayed.map_err(|error| format!("{shown}: {error}"))?;
    let page = format!("delivered {delivered}, left {left}, unreadable {unreadable}\n");
    Ok((page, left == 0))
}
