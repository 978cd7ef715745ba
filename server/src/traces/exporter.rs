//! The thread that sends steps of traces to a collector, in batches, over one connection that is
//! kept.
//!
//! Invariant: it holds one batch of at most [`BATCH_MAX`] steps; what comes meanwhile waits in the
//! sink, and is dropped there once as many wait as may. A batch is tried [`ATTEMPTS_MAX`] times,
//! within `tracing.timeout` each, and lost then. Every step is counted once. [`LAST`] after it was
//! told to stop it ends, whatever is under way. Started by `serve`.

use crate::session::debugging::Debugging;
use crate::traces::counts::{ExportOutcome, SpanOutcome, TraceCounts};
use crate::traces::options::TracingOptions;
use crate::traces::otlp::{self, ClockPair, ExportResponse, Resource};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use prost::Message;
use shardcast_engine::{TraceReader, TraceSpan};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The thread.
#[derive(Debug)]
pub(crate) struct Exporter {
    stops: watch::Sender<Option<Instant>>,
    thread: JoinHandle<()>,
}

/// Steps in one request.
const BATCH_MAX: usize = 512;
/// Fewer are sent once they have waited for so long.
const LINGER: Duration = Duration::from_secs(1);
/// How often the sink is looked at: shards wake nobody.
const LOOK: Duration = Duration::from_millis(100);
/// How often one batch is sent.
const ATTEMPTS_MAX: u32 = 4;
/// Before the second attempt; then twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest that a collector may have a batch wait.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long the last steps may take to be sent when the server stops.
const LAST: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A collector that does not take what it is sent is complained of so often.
const COMPLAINT_EACH: Duration = Duration::from_secs(60);

impl Exporter {
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(
        options: TracingOptions,
        reader: TraceReader,
        counts: TraceCounts,
        debugging: Arc<Debugging>,
    ) -> io::Result<Exporter> {
        let (stops, stopped) = watch::channel(None);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let sending = Sending::new(options, reader, counts, debugging, stopped);
        let thread = std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                runtime.block_on(sending.run());
                // A name that is looked up keeps nobody waiting.
                runtime.shutdown_background();
            })?;
        Ok(Exporter { stops, thread })
    }

    /// No further step comes: what waits is sent, for [`LAST`] at most.
    pub(crate) fn finish(self) {
        self.stops.send_replace(Some(Instant::now() + LAST));
        if self.thread.join().is_err() {
            tracing::error!("the thread that sends traces has panicked");
        }
    }
}

/// What the thread has.
struct Sending {
    options: Arc<TracingOptions>,
    resource: Resource,
    reader: TraceReader,
    counts: TraceCounts,
    debugging: Arc<Debugging>,
    /// Until when what waits is sent, once nothing more comes.
    stopped: watch::Receiver<Option<Instant>>,
    kept: Option<SendRequest<Full<Bytes>>>,
    /// Steps of the batch that is being sent.
    under_way: u64,
    /// As far as it is counted.
    dropped: u64,
    complained: Option<Instant>,
}

/// Why a batch is not where it should be.
enum NotTaken {
    /// Trying again may help, perhaps after so long.
    Failed(String, Option<Duration>),
    /// It does not.
    Refused(String),
}

impl Sending {
    fn new(
        options: TracingOptions,
        reader: TraceReader,
        counts: TraceCounts,
        debugging: Arc<Debugging>,
        stopped: watch::Receiver<Option<Instant>>,
    ) -> Sending {
        let instance = format!("{:016x}", fastrand::u64(..));
        Sending {
            resource: Resource::new(&options.service_name, &instance),
            options: Arc::new(options),
            reader,
            counts,
            debugging,
            stopped,
            kept: None,
            under_way: 0,
            dropped: 0,
            complained: None,
        }
    }

    async fn run(mut self) {
        let over = over(self.stopped.clone());
        tokio::select! {
            () = self.send_all() => {}
            () = over => {}
        }
        self.give_up();
    }

    /// Sends what comes, until the server stops and nothing is left.
    async fn send_all(&mut self) {
        loop {
            let batch = self.collect().await;
            if batch.is_empty() {
                return;
            }
            self.under_way = batch.len() as u64;
            self.send(batch).await;
            self.under_way = 0;
            self.count_dropped();
        }
    }

    /// The next steps: as many as one request has, or those of the last second. None only once the
    /// server stops.
    async fn collect(&mut self) -> Vec<TraceSpan> {
        let mut batch = Vec::new();
        let mut since = Instant::now();
        loop {
            while batch.len() < BATCH_MAX
                && let Some(span) = self.reader.try_recv()
            {
                // What is only debugged goes to nobody.
                if !self.debugging.take_step(&span) {
                    batch.push(span);
                }
            }
            self.count_dropped();
            let is_due = !batch.is_empty() && since.elapsed() >= LINGER;
            if batch.len() == BATCH_MAX || is_due || self.stopped.borrow().is_some() {
                return batch;
            }
            if batch.is_empty() {
                since = Instant::now();
            }
            self.rest(LOOK).await;
        }
    }

    /// Waits, or until the server stops.
    async fn rest(&mut self, time: Duration) {
        if self.stopped.borrow().is_none() {
            let stops = self.stopped.wait_for(Option::is_some);
            let _ended = tokio::time::timeout(time, stops).await.is_ok();
        } else {
            tokio::time::sleep(time).await;
        }
    }

    async fn send(&mut self, batch: Vec<TraceSpan>) {
        let count = batch.len() as u64;
        let body = Bytes::from(otlp::request(&self.resource, batch, ClockPair::now()));
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS_MAX {
            let tried = tokio::time::timeout(self.options.timeout, self.post(&body)).await;
            let late = || NotTaken::Failed("it did not answer in time".to_owned(), None);
            let (why, wait) = match tried.unwrap_or_else(|_| Err(late())) {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.counts.exported(ExportOutcome::Taken);
                    self.counts.spans(SpanOutcome::Sent, count - rejected);
                    return self.counts.spans(SpanOutcome::Rejected, rejected);
                }
                Err(NotTaken::Refused(why)) => {
                    self.counts.exported(ExportOutcome::Refused);
                    self.complain(&why);
                    return self.counts.spans(SpanOutcome::Rejected, count);
                }
                Err(NotTaken::Failed(why, wait)) => (why, wait),
            };
            self.kept = None;
            self.counts.exported(ExportOutcome::Failed);
            self.complain(&why);
            // Never the same for all servers.
            let wait = wait.unwrap_or_else(|| pause.mul_f64(0.5 + fastrand::f64() / 2.0));
            let wait = wait.min(PAUSE_MAX);
            let until = *self.stopped.borrow();
            if attempt == ATTEMPTS_MAX || until.is_some_and(|until| Instant::now() + wait > until) {
                break;
            }
            self.rest(wait).await;
            pause *= 2;
        }
        self.counts.spans(SpanOutcome::Lost, count);
    }

    /// Sends a batch once. How many steps of it the collector cannot use.
    async fn post(&mut self, body: &Bytes) -> Result<u64, NotTaken> {
        let mut sender = match self.kept.take().filter(SendRequest::is_ready) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let answer = sender.send_request(self.request(body)).await;
        let answer = answer.map_err(|error| NotTaken::Failed(error.to_string(), None))?;
        let (status, retry_after) = (answer.status(), retry_after(answer.headers()));
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|error| {
            NotTaken::Failed(format!("its answer was cut, or is too long: {error}"), None)
        })?;
        if sender.ready().await.is_ok() {
            self.kept = Some(sender);
        }
        let why = format!("it answers {status}");
        match status {
            // What OTLP has tried again.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(NotTaken::Failed(why, retry_after)),
            status if status.is_success() => {
                let answer = ExportResponse::decode(body.to_bytes()).unwrap_or_default();
                let partial = answer.partial_success.unwrap_or_default();
                if partial.rejected_spans > 0 {
                    self.complain(&partial.error_message);
                }
                Ok(u64::try_from(partial.rejected_spans).unwrap_or(0))
            }
            _ => Err(NotTaken::Refused(why)),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, NotTaken> {
        let failed = |error: String| NotTaken::Failed(error, None);
        let stream = self.options.endpoint.connect().await;
        let stream = stream.map_err(|error| failed(error.to_string()))?;
        let made = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| failed(error.to_string()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the collector of traces has ended");
            }
        });
        Ok(sender)
    }

    fn request(&self, body: &Bytes) -> Request<Full<Bytes>> {
        let endpoint = &self.options.endpoint;
        let mut request = Request::post(endpoint.path())
            .header(header::HOST, endpoint.authority())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::USER_AGENT, USER_AGENT);
        for (name, value) in &self.options.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(body.clone()))
            .expect("parts of a URL that was read, and headers that were checked")
    }

    /// What the collector has not taken by now is lost.
    fn give_up(&mut self) {
        self.count_dropped();
        self.counts.spans(SpanOutcome::Lost, self.under_way);
        while let Some(span) = self.reader.try_recv() {
            if !self.debugging.take_step(&span) {
                self.counts.spans(SpanOutcome::Lost, 1);
            }
        }
    }

    fn count_dropped(&mut self) {
        let dropped = self.reader.dropped();
        let more = dropped - self.dropped;
        self.dropped = dropped;
        self.counts.spans(SpanOutcome::Dropped, more);
    }

    fn complain(&mut self, why: &str) {
        let is_due = self
            .complained
            .is_none_or(|then| then.elapsed() >= COMPLAINT_EACH);
        if is_due {
            self.complained = Some(Instant::now());
            tracing::warn!(%why, "the collector of traces does not take what it is sent");
        }
    }
}

/// Ends once the server has stopped and the time for the last steps is over.
async fn over(mut stopped: watch::Receiver<Option<Instant>>) {
    let until = match stopped.wait_for(Option::is_some).await {
        Ok(until) => *until,
        // Nobody can tell any more.
        Err(_) => None,
    };
    if let Some(until) = until {
        tokio::time::sleep_until(until).await;
    }
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3).
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?;
    let seconds: u64 = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

const USER_AGENT: &str = concat!("shardcast/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::fetch::{FetchUrl, PlainHttp};
    use crate::traces::options::{Callers, Sampling};
    use shardcast_engine::{SpanKind, TraceSink};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// What a collector does with a request.
    #[derive(Clone, Copy)]
    enum Does {
        Nothing,
        /// It asks for a pause that is longer than the last steps may take.
        AskForTime,
    }

    async fn collect(mut stream: TcpStream, does: Does) {
        let mut request = [0; 4096];
        while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
            let answer = b"HTTP/1.1 503 Later\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n";
            let sent = match does {
                Does::Nothing => Ok(()),
                Does::AskForTime => stream.write_all(answer).await,
            };
            sent.expect("the server reads");
        }
    }

    fn options(port: u16) -> TracingOptions {
        let url = format!("http://127.0.0.1:{port}/v1/traces");
        let sampling = Sampling {
            ratio: 1.0,
            callers: Callers::Followed,
        };
        TracingOptions {
            endpoint: FetchUrl::with(&url, None, PlainHttp::ThisHost).expect("a URL"),
            sampling,
            service_name: "test".to_owned(),
            headers: Vec::new(),
            timeout: Duration::from_secs(60),
            queue: 8,
        }
    }

    fn tell(sink: &TraceSink) {
        let now = std::time::Instant::now();
        sink.tell(TraceSpan {
            trace: 1,
            id: 1,
            parent: None,
            name: "publish",
            kind: SpanKind::Server,
            begin: now,
            end: now,
            failure: None,
            attributes: Vec::new(),
        });
    }

    /// How long a stop takes in the midst of a batch, while more wait; and how many requests have
    /// failed, and how many steps are lost. Time jumps to the next deadline whenever nothing else
    /// can happen.
    fn stop(does: Does) -> (Duration, u64, u64) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("it listens").port();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(collect(stream, does));
                }
            });
            let (sink, reader) = TraceSink::new(8);
            let (stops, stopped) = watch::channel(None);
            let counts = TraceCounts::new();
            let debugging = Arc::new(Debugging::new());
            let sending = Sending::new(options(port), reader, counts.clone(), debugging, stopped);
            let sending = tokio::spawn(sending.run());
            tell(&sink);
            // The first step is on its way by now.
            tokio::time::sleep(2 * LINGER).await;
            tell(&sink);
            let begun = Instant::now();
            stops.send_replace(Some(begun + LAST));
            sending.await.expect("it ends");
            let took = begun.elapsed();
            (took, counts.failed(), counts.lost())
        })
    }

    #[test]
    fn a_stop_waits_for_a_collector_as_long_as_it_says_and_no_longer() {
        // The timer's own resolution.
        let (took, failed, lost) = stop(Does::Nothing);
        assert_eq!((took.as_secs(), failed, lost), (LAST.as_secs(), 0, 2));
        // Each batch is tried again, and for the pause that is asked for there is no time.
        let (took, failed, lost) = stop(Does::AskForTime);
        assert_eq!((took.as_secs(), failed, lost), (0, 3, 2));
    }
}
