//! Connects that a server refuses while it works for others: so many a second, by the clock, from
//! the load generator's core. Part of a run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the project's promise speaks of.
pub const CONNECTS_PER_SECOND: u32 = 2_000;
/// Of those that a storm is meant to make, what it must have made to be one.
pub const SHARE_MIN: f64 = 0.95;
/// Connects are under way side by side: each waits for its answer.
const THREADS: u32 = 8;
/// What an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Ends when dropped.
#[derive(Debug)]
pub(crate) struct Connects {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    begun: Instant,
    threads: Vec<JoinHandle<()>>,
}

impl Connects {
    /// Begins.
    pub(crate) fn start(server: SocketAddr, header: &'static str) -> Connects {
        let is_over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let threads = (0..THREADS).map(|_| {
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            thread::spawn(move || {
                let pause = Duration::from_secs(1) * THREADS / CONNECTS_PER_SECOND;
                let mut at = Instant::now();
                while !is_over.load(Ordering::Relaxed) {
                    // Who is refused comes again, whatever it was told.
                    let was_answered = connect(server, header).is_ok_and(|bytes| bytes > 0);
                    answered.fetch_add(u64::from(was_answered), Ordering::Relaxed);
                    at += pause;
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                }
            })
        });
        Connects {
            begun: Instant::now(),
            threads: threads.collect(),
            is_over,
            answered,
        }
    }

    /// Answers a second so far.
    pub(crate) fn per_s(&self) -> f64 {
        let answered = self.answered.load(Ordering::Relaxed);
        answered as f64 / self.begun.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl Drop for Connects {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

fn connect(server: SocketAddr, header: &str) -> std::io::Result<usize> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    write!(
        socket,
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n\r\n"
    )?;
    socket.read_to_end(&mut Vec::new())
}
