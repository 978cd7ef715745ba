//! Answers every message on any path with the same message, for conformance suites and as the
//! smallest embedder:
//! `cargo run --release -p shardcast-engine --example echo -- --listen 127.0.0.1:9001`.
#![forbid(unsafe_code)]

use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Admission, Application, Compression, Config, Context, ListenSource, Message, StartError,
};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
Answers every WebSocket message on any path with the same message.

usage: echo --listen ADDRESS [--max-message BYTES] [--compress] [--handshake-timeout 5s] [--frame-timeout 5s] [--shards N] [--driver D]

  --listen ADDRESS        where clients connect, such as 127.0.0.1:9001
  --max-message BYTES     longest message, 65536 without it
  --compress              agrees to permessage-deflate (RFC 7692)
  --handshake-timeout D   to complete a request, in s or ms, 5s without it
  --frame-timeout D       to complete a frame, in s or ms, 30s without it
  --shards N              threads, one per core without it
  --driver D              auto, uring (io_uring) or portable (epoll); auto without it
  --help                  this text";
/// What an outbox holds beside one message of the largest size: its header and control frames.
const OUTBOX_SPARE_BYTES: usize = 64 << 10;

struct Echo;

impl Application for Echo {
    type Session = ();

    fn connect(&mut self, _cx: &mut Context<'_>, _request: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _session: &mut (), message: Message<'_>) {
        cx.send(message.kind(), message.bytes());
    }
}

fn main() -> ExitCode {
    if std::env::args().any(|flag| flag == "--help" || flag == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let problem = match config(std::env::args().skip(1)) {
        Ok(config) => serve(config).to_string(),
        Err(problem) => format!("{problem}\n{USAGE}"),
    };
    eprintln!("echo: {problem}");
    ExitCode::FAILURE
}

/// Until a signal ends the process; returns only if it cannot start.
fn serve(config: Config) -> StartError {
    let running = match shardcast_engine::start(config, |_| Echo) {
        Ok(running) => running,
        Err(error) => return error,
    };
    println!("echo listens on {}", running.addresses()[0]);
    loop {
        std::thread::park();
    }
}

fn config(mut arguments: impl Iterator<Item = String>) -> Result<Config, String> {
    let mut config = Config::default();
    let mut listen = None;
    while let Some(flag) = arguments.next() {
        if flag == "--compress" {
            config.compression = Some(Compression::default());
            continue;
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("{flag} needs a value"))?;
        let wrong = |what: &str| format!("{flag} {value}: not {what}");
        match flag.as_str() {
            "--listen" => listen = Some(value.parse().map_err(|_| wrong("an address"))?),
            "--max-message" => {
                config.listeners[0].message_bytes_max =
                    value.parse().map_err(|_| wrong("a number of bytes"))?;
            }
            "--handshake-timeout" => {
                config.handshake_timeout = duration(&value).ok_or_else(|| wrong("a duration"))?;
            }
            "--frame-timeout" => {
                config.frame_timeout = duration(&value).ok_or_else(|| wrong("a duration"))?;
            }
            "--driver" => {
                config.driver = value
                    .parse()
                    .map_err(|_| wrong("auto, uring or portable"))?;
            }
            "--shards" => config.shards = value.parse().map_err(|_| wrong("a number of shards"))?,
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    let listen = listen.ok_or("--listen is required")?;
    config.listeners[0].source = ListenSource::Bind(listen);
    let outbox_bytes_min = config
        .message_bytes_max()
        .saturating_add(OUTBOX_SPARE_BYTES);
    config.outbox_bytes_max = config.outbox_bytes_max.max(outbox_bytes_min);
    Ok(config)
}

/// `5s` or `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number = number.parse().ok()?;
    match unit {
        "s" => Some(Duration::from_secs(number)),
        "ms" => Some(Duration::from_millis(number)),
        _ => None,
    }
}
