//! The control plane: one thread of its own, away from the shards, for the admin port and for
//! signals. `serve` starts it.

use crate::admin::api::cluster;
use crate::admin::lifecycle::{Ask, Reloaded, Stage, Unchanged};
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
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

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
    /// `POST /api/drain`.
    Asked,
}

impl Control {
    /// Takes over the signals and answers on the admin port from here on.
    ///
    /// # Errors
    /// The kernel gives no thread, no event queue or no signal.
    pub(crate) fn start(
        listener: TcpListener,
        state: Arc<AdminState>,
        (reload, asks): (Reload, mpsc::Receiver<Ask>),
        sums: Sums,
        hops: impl Future<Output = ()> + Send + 'static,
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
                runtime.spawn(hops);
                runtime.block_on(async {
                    tokio::spawn(port::accept(listener, Arc::clone(&state)));
                    tokio::spawn(cluster::follow(Arc::clone(&state)));
                    steer(signals, asks, &state, reload, &asked).await;
                });
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

/// The first signal or call asks for a drain, and a second signal ends the process at once; SIGHUP
/// and its call read the configuration again. Ends with the process.
async fn steer(
    mut signals: Signals,
    mut asks: mpsc::Receiver<Ask>,
    state: &Arc<AdminState>,
    mut reload: Reload,
    asked: &SyncSender<Stop>,
) {
    let mut is_stopping = false;
    loop {
        let event = tokio::select! {
            signal = signals.next() => signal,
            Some(ask) = asks.recv() => match ask {
                Ask::Drain => Event::Stop(Stop::Asked),
                Ask::Reload(reply) => Event::Reload(Some(reply)),
            },
        };
        match event {
            Event::Reload(reply) => {
                let outcome = reload.run(state);
                // Whoever asked may have gone.
                let _told = reply.map(|reply| reply.send(outcome));
            }
            Event::Stop(Stop::Asked) if is_stopping => {}
            Event::Stop(signal @ (Stop::Terminate | Stop::Interrupt)) if is_stopping => {
                tracing::warn!(?signal, "a second signal: no more waiting");
                std::process::exit(signal.exit_code());
            }
            Event::Stop(stop) => {
                state.lifecycle().reach(Stage::LameDuck);
                is_stopping = true;
                // The receiver lives as long as the process serves.
                let _sent = asked.send(stop);
            }
        }
    }
}

/// What the control plane is asked for.
enum Event {
    Stop(Stop),
    /// With whoever waits for the outcome.
    Reload(Option<oneshot::Sender<Result<Reloaded, Unchanged>>>),
}

impl Stop {
    /// What a shell reports of a program that the signal ended: 128 and its number.
    fn exit_code(self) -> i32 {
        match self {
            Stop::Terminate | Stop::Asked => 143,
            Stop::Interrupt => 130,
        }
    }
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

    async fn next(&mut self) -> Event {
        poll_fn(|cx| {
            if self.hang_up.poll_recv(cx).is_ready() {
                Poll::Ready(Event::Reload(None))
            } else if self.terminate.poll_recv(cx).is_ready() {
                Poll::Ready(Event::Stop(Stop::Terminate))
            } else if self.interrupt.poll_recv(cx).is_ready() {
                Poll::Ready(Event::Stop(Stop::Interrupt))
            } else {
                Poll::Pending
            }
        })
        .await
    }
}
