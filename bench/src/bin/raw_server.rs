//! The raw protocol on the engine's embedding API, for measuring engines side by side: `S`
//! subscribes to the one topic, `P` publishes the rest to every subscriber, anything else is
//! echoed. `shardcast-bench compare` starts it.
#![forbid(unsafe_code)]

use clap::Parser;
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Admission, Application, Compression, Config, Context, DriverChoice, Frame, Identity,
    JoinOptions, Listener, LogClass, LogOptions, Message, Pinning, Publish, Tag, Target, Tls,
    TlsOptions,
};
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOPIC: &str = "topic";
/// Messages of the largest size that may wait for one client. The other servers: 16.
const OUTBOX_MESSAGES: usize = 4;
/// Clients that may send a shard a message of the largest size at once.
const UPLOADS: usize = 2_048;

#[derive(Parser)]
#[command(about = "The raw protocol on Shardcast's engine")]
struct ServerArguments {
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Number of shards.
    #[arg(long, value_name = "N", default_value_t = 1)]
    shards: usize,
    /// Shard n runs on the n-th of these cores; unpinned without it.
    #[arg(long, value_name = "CPU,…", value_delimiter = ',')]
    pin: Vec<usize>,
    /// What it runs on.
    #[arg(long, value_name = "auto|uring|portable", default_value = "auto")]
    driver: DriverChoice,
    /// Clients come by TLS; PEM files with the certificate chain and with its key.
    #[arg(long, num_args = 2, value_names = ["CERTIFICATE", "KEY"])]
    tls: Vec<PathBuf>,
    /// Answers offers of permessage-deflate.
    #[arg(long)]
    compress: bool,
    /// Keeps so many publications of the topic in its log; 0: none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep: u32,
    /// Largest message, in bytes: as large as the other servers of the comparison take it.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = message_bytes)]
    max_message: usize,
}

/// A size that a listener may be given.
fn message_bytes(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|error| format!("{error}"))?;
    match Listener::MESSAGE_BYTES.contains(&bytes) {
        true => Ok(bytes),
        false => Err("125 B to 64 MiB".to_owned()),
    }
}

impl ServerArguments {
    fn config(self) -> Result<Config, Box<dyn Error>> {
        let pinning = match self.pin[..] {
            [] => Pinning::None,
            _ => Pinning::Cores(self.pin),
        };
        let listener = match &self.tls[..] {
            [certificate, key] => {
                let identity = Identity::from_pem(&fs::read(certificate)?, &fs::read(key)?)?;
                Listener::secure(self.listen, Tls::new(TlsOptions::new(identity))?)
            }
            _ => Listener::plain(self.listen),
        };
        let defaults = Config::default();
        Ok(Config {
            listeners: vec![Listener {
                message_bytes_max: self.max_message,
                ..listener
            }],
            outbox_bytes_max: defaults
                .outbox_bytes_max
                .max(OUTBOX_MESSAGES * self.max_message),
            reassembly_bytes_max: UPLOADS * self.max_message.max(64 << 10) * self.shards,
            shards: self.shards,
            pinning,
            driver: self.driver,
            compression: self.compress.then(Compression::default),
            logs: (self.keep > 0)
                .then(|| LogOptions {
                    publications_max: self.keep,
                    ..LogOptions::default()
                })
                .into_iter()
                .collect(),
            ..defaults
        })
    }
}

struct Raw {
    log: Option<LogClass>,
}

impl Application for Raw {
    type Session = ();

    fn connect(&mut self, _cx: &mut Context<'_>, _request: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _session: &mut (), message: Message<'_>) {
        match message {
            // Neither can be refused: one room with a fine name, no report. The answer to a join is
            // not part of the protocol.
            Message::Binary([b'S', ..]) => {
                let options = JoinOptions {
                    log: self.log,
                    ..JoinOptions::default()
                };
                _ = cx.join_with(TOPIC, options, Tag(0));
            }
            Message::Binary([b'P', payload @ ..]) => {
                let publish = Publish::new(Frame::new(Kind::Binary, payload));
                let publish = match self.log {
                    Some(class) => publish.keep(class),
                    None => publish,
                };
                _ = cx.publish(Target::Room(TOPIC), publish);
            }
            _ => cx.send(message.kind(), message.bytes()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = ServerArguments::parse();
    let log = (arguments.keep > 0).then(|| LogClass::new(0));
    let running = shardcast_engine::start(arguments.config()?, move |_| Raw { log })?;
    println!("raw-server listens on {}", running.addresses()[0]);
    // Until a signal ends the process.
    loop {
        std::thread::park();
    }
}
