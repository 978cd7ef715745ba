//! What a backend is told without being asked: who has left, which rooms have their first member or
//! none any more. Whatever waits goes in one event, in order, and the next event goes when that one
//! is answered: however many connections end at once, the backend hears of them at its own pace.
//!
//! Invariant: no more than `queue` notices wait and none is sent while another one is under way.
//! Each ends as delivered, as a dead letter, or counted as lost. Nobody waits for them.

use crate::gateway::calls::{Backoff, Gateway};
use crate::gateway::counts::{GatewayCounts, NoticeOutcome};
use crate::gateway::dead_letters::DeadLetters;
use crate::gateway::options::EventKind;
use crate::gateway::wire::{GatewayEvent, Notice};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// The way in for notices. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    sender: mpsc::Sender<Notice>,
    ending: mpsc::Sender<SyncSender<()>>,
    stops: Arc<watch::Sender<bool>>,
    counts: GatewayCounts,
}

/// How long a backend that does not answer is tried with the same notices; from then on, until it
/// answers, each event is tried once.
const PATIENCE: Duration = Duration::from_secs(30);

impl Notices {
    /// Delivers what comes, on this runtime.
    pub(crate) fn start(gateway: Arc<Gateway>, runtime: &tokio::runtime::Handle) -> Notices {
        let (sender, waiting) = mpsc::channel(gateway.options.queue.max(1));
        let (ending, end) = mpsc::channel(1);
        let counts = gateway.counts.clone();
        let (stops, stopping) = watch::channel(false);
        let delivery = Delivery {
            dead: gateway.options.dead_letters.clone().map(DeadLetters::new),
            gateway,
            failing_since: None,
            stopping,
        };
        runtime.spawn(delivery.run(waiting, end));
        Notices {
            sender,
            ending,
            stops: Arc::new(stops),
            counts,
        }
    }

    /// Adds a notice, or counts it as lost if too many wait.
    pub(crate) fn push(&self, notice: Notice) {
        match self.sender.try_send(notice) {
            Ok(()) => drop(self.counts.notices_waiting.inc()),
            Err(_) => self.lose(1),
        }
    }

    /// So many were never there to be sent.
    pub(crate) fn lose(&self, count: u64) {
        self.counts.noticed(NoticeOutcome::Lost, count);
    }

    /// The server stops: each event is tried once more, and what is not taken is a dead letter.
    /// Waits until that is so for all that have come, or `within` is over.
    pub(crate) fn finish(&self, within: Duration) {
        self.stops.send_replace(true);
        let (done, is_done) = sync_channel(1);
        if self.ending.try_send(done).is_ok() {
            // What is late is lost with the process.
            let _in_time = is_done.recv_timeout(within);
        }
    }
}

/// One event after the other.
struct Delivery {
    gateway: Arc<Gateway>,
    /// `None`: what cannot be delivered is lost.
    dead: Option<DeadLetters>,
    /// `None`: the backend has answered the last event.
    failing_since: Option<Instant>,
    stopping: watch::Receiver<bool>,
}

impl Delivery {
    async fn run(
        mut self,
        mut waiting: mpsc::Receiver<Notice>,
        mut end: mpsc::Receiver<SyncSender<()>>,
    ) {
        let batch = self.gateway.options.batch;
        let mut some = Vec::new();
        loop {
            tokio::select! {
                biased;
                count = waiting.recv_many(&mut some, batch) => match count {
                    0 => return,
                    _ => self.deliver(std::mem::take(&mut some)).await,
                },
                Some(done) = end.recv() => {
                    // Nothing has waited a moment ago.
                    let _ = done.send(());
                }
            }
        }
    }

    /// Sends notices until they are answered, or given up.
    async fn deliver(&mut self, notices: Vec<Notice>) {
        let count = notices.len() as u64;
        let counts = &self.gateway.counts;
        counts.notices_waiting.dec_by(notices.len() as i64);
        let event = GatewayEvent {
            notices,
            ..self.gateway.event("notices")
        };
        let mut again = Backoff::new();
        let outcome = loop {
            // Any of them stands for all: they may be sent again.
            let asked = self.gateway.ask(EventKind::Leave, event.clone());
            let asked = tokio::time::timeout(self.gateway.options.timeout, asked).await;
            match asked {
                Ok(Ok(answer)) => {
                    self.failing_since = None;
                    match answer.reject {
                        None => break NoticeOutcome::Delivered,
                        Some(reject) => {
                            tracing::warn!(code = reject.code, "the backend refuses notices");
                            break self.bury(&event).await;
                        }
                    }
                }
                Ok(Err(_)) | Err(_) => {
                    let since = *self.failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= PATIENCE || self.stops() {
                        break self.bury(&event).await;
                    }
                }
            }
            let stops = self.stopping.wait_for(|stops| *stops);
            // An error of it is the end of all who could stop it.
            drop(tokio::time::timeout(again.next(), stops).await);
        };
        self.gateway.counts.noticed(outcome, count);
    }

    /// Whether the server stops, or has.
    fn stops(&self) -> bool {
        self.stopping.has_changed().is_err() || *self.stopping.borrow()
    }

    /// Keeps what is not delivered, if there is a file for it.
    async fn bury(&self, event: &GatewayEvent) -> NoticeOutcome {
        match &self.dead {
            Some(dead) if dead.append(event).await => NoticeOutcome::Dead,
            Some(_) | None => NoticeOutcome::Lost,
        }
    }
}
