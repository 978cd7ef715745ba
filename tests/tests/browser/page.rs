//! A page in a browser of its own, driven by the test: it runs the scripts that [`Page::run`]
//! orders, and what they say by `say(…)` comes back through [`Page::said`].
//!
//! Invariant: scripts run, and words arrive, in their order. Page and test talk over a small HTTP
//! server, which lives as long as the test's process.

use super::chromium::Chromium;
use shardcast_patience::wait_until;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) struct Page {
    orders: SyncSender<String>,
    said: Receiver<String>,
    browser: Chromium,
}

impl Page {
    pub(crate) fn open() -> Page {
        Page::open_with(&[])
    }

    /// In a browser with these flags.
    pub(crate) fn open_with(flags: &[&str]) -> Page {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback interface");
        let address = listener.local_addr().expect("just bound");
        let (orders, ordered) = sync_channel(QUEUE_MAX);
        let (says, said) = sync_channel(QUEUE_MAX);
        let ordered = Arc::new(Mutex::new(ordered));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (ordered, says) = (Arc::clone(&ordered), says.clone());
                // A thread each: a browser also connects ahead of time and says nothing. One that
                // hangs up is of no interest.
                thread::spawn(move || drop(answer(&stream, &ordered, &says)));
            }
        });
        Page {
            orders,
            said,
            browser: Chromium::start(&[flags, &[&format!("http://{address}/")]].concat()),
        }
    }

    /// Runs JavaScript, as if it were typed into the page's console.
    pub(crate) fn run(&self, script: &str) {
        let mut order = Some(script.to_owned());
        wait_until("the page takes an order", || {
            match self
                .orders
                .try_send(order.take().expect("it was given back"))
            {
                Ok(()) => true,
                Err(TrySendError::Full(script)) => {
                    order = Some(script);
                    false
                }
                Err(TrySendError::Disconnected(_)) => panic!("the page's server has ended"),
            }
        });
    }

    /// The next thing that a script says.
    pub(crate) fn said(&self) -> String {
        self.said.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            panic!(
                "the page says nothing for {PATIENCE:?}; its browser says:\n{}",
                self.browser.log()
            )
        })
    }
}

/// A page says things within milliseconds, and a browser starts within seconds even on a busy
/// machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Orders or words that wait. One more would hold up the test or the page.
const QUEUE_MAX: usize = 64;

/// Answers one request: the page, its next order (when there is one), or its words.
fn answer(
    stream: &TcpStream,
    ordered: &Mutex<Receiver<String>>,
    says: &SyncSender<String>,
) -> io::Result<()> {
    let (target, body) = read_request(stream)?;
    let (status, kind, text) = match target.as_str() {
        "GET /" => ("200 OK", "text/html", include_str!("page.html").to_owned()),
        "GET /order" => match ordered.lock().expect("no thread panics").recv() {
            Ok(script) => ("200 OK", "text/javascript", script),
            Err(_) => ("204 No Content", "text/javascript", String::new()),
        },
        "POST /said" => {
            // The test may have heard enough.
            let _ = says.send(body);
            ("200 OK", "text/plain", String::new())
        }
        _ => ("404 Not Found", "text/plain", target),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let mut stream = stream;
    stream.write_all((head + &text).as_bytes())
}

/// Method and path, and the body.
fn read_request(stream: &TcpStream) -> io::Result<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line
        .rsplit_once(' ')
        .map_or("", |(target, _)| target)
        .to_owned();
    let mut body_bytes = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? <= "\r\n".len() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            body_bytes = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = String::new();
    reader.take(body_bytes).read_to_string(&mut body)?;
    Ok((target, body))
}
