//! SIGINT and SIGTERM: the first ends the run in good order, a second ends the program at once.
//! Called by `main` and `conduct`.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether we were asked to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches from now on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn watch() -> Result<Interrupt, String> {
        let interrupt = Interrupt::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset and sets it, the second finds it
            // set.
            flag::register_conditional_default(signal, Arc::clone(&interrupt.0))
                .and_then(|_| flag::register(signal, Arc::clone(&interrupt.0)))
                .map_err(|error| format!("watching for signals: {error}"))?;
        }
        Ok(interrupt)
    }

    /// Whether one came.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
