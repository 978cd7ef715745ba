//! The control plane: one thread of its own, away from the shards, for the admin port and for
//! signals. `serve` starts it.

use crate::admin::port;
use crate::admin::state::AdminState;
use crate::audit::limited::Sums;
use crate::reload::Reload;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A running control plane. It ends with the process.
pub(crate) struct Control {
    address: SocketAddr,
    stop: Receiver<Stop>,
}

/// Somebody asked the server to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

impl Stop {
    /// What a shell reports of a program that the signal ended: 128 and its number.
    fn exit_code(self) -> i32 {
        match self {
            Stop::Terminate => 143,
            Stop::Interrupt => 130,
        }
    }
}

impl Control {
    /// Takes over the signals and answers on the admin port from here on.
    ///
    /// # Errors
    /// The kernel gives no thread, no event queue or no signal.
    pub(crate) fn start(
        listener: TcpListener,
        state: Arc<AdminState>,
        reload: Reload,
        sums: Sums,
    ) -> io::Result<Control> {
        // Sockets are polled often, so that requests are answered while many others connect.
        let runtime = Builder::new_current_thread()
            .event_interval(8)
            .enable_all()
            .build()?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let (signals, listener) = {
            let _reactor = runtime.enter();
            (
                Signals::install()?,
                tokio::net::TcpListener::from_std(listener)?,
            )
        };
        let (asked, stop) = sync_channel(1);
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                runtime.spawn(sums.tell());
                turn(&runtime, listener, signals, &state, reload, &asked);
            })?;
        Ok(Control { address, stop })
    }

    /// Where the admin port listens.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Blocks until somebody asks for a stop; `/ready` has turned 503 by then. `None`: the control
    /// plane itself has failed, or the engine is not `alive` any more, which is asked once a
    /// second.
    pub(crate) fn wait(&self, alive: impl Fn() -> bool) -> Option<Stop> {
        loop {
            match self.stop.recv_timeout(Duration::from_secs(1)) {
                Ok(stop) => return Some(stop),
                Err(RecvTimeoutError::Timeout) if alive() => {}
                Err(_) => return None,
            }
        }
    }
}

/// The first signal asks for a drain, the second one ends the process at once; SIGHUP only reads
/// files.
fn turn(
    runtime: &Runtime,
    listener: tokio::net::TcpListener,
    mut signals: Signals,
    state: &Arc<AdminState>,
    mut reload: Reload,
    asked: &SyncSender<Stop>,
) {
    runtime.block_on(async {
        tokio::spawn(port::accept(listener, Arc::clone(state)));
        let first = signals.stop(|| reload.run(state)).await;
        state.drain();
        if asked.send(first).is_ok() {
            let second = signals.stop(|| reload.run(state)).await;
            tracing::warn!(signal = ?second, "a second signal: no more waiting");
            std::process::exit(second.exit_code());
        }
    });
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Must be called inside a runtime.
    fn install() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal that asks for a stop; every SIGHUP before it is answered by `reload`.
    async fn stop(&mut self, mut reload: impl FnMut()) -> Stop {
        poll_fn(|cx| {
            while self.hang_up.poll_recv(cx).is_ready() {
                reload();
            }
            if self.terminate.poll_recv(cx).is_ready() {
                Poll::Ready(Stop::Terminate)
            } else if self.interrupt.poll_recv(cx).is_ready() {
                Poll::Ready(Stop::Interrupt)
            } else {
                Poll::Pending
            }
        })
        .await
    }
}
