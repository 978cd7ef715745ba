//! Our client and tokio-tungstenite with serde_json on the same work, in turns, each in a process
//! of its own: CPU time per message and memory per connection.
//!
//! `cargo run --release -p shardcast-bench-client -- --server target/release/shardcast`
#![forbid(unsafe_code)]

mod other;
mod ours;
mod server;
mod usage;
mod work;

use clap::{Args, Parser, Subcommand};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use usage::resident_bytes;
use work::{Client, Figure, IDLE, ROOMS, Work};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What may go wrong: everything is told.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Compares our client with tokio-tungstenite and serde_json")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compared: Compared,
}

#[derive(Args)]
struct Compared {
    /// The server's program.
    #[arg(long, default_value = "target/release/shardcast")]
    server: String,
    /// Turns; the medians are compared.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only this work.
    #[arg(long)]
    work: Option<Work>,
    /// A tenth of everything, to see that it runs.
    #[arg(long)]
    tiny: bool,
}

#[derive(Subcommand)]
enum Command {
    /// One client at one work, which prints a line of JSON.
    Run {
        #[arg(long)]
        client: Client,
        #[arg(long)]
        work: Work,
        #[arg(long)]
        address: String,
        #[arg(long)]
        seconds: u64,
        #[arg(long)]
        scale: usize,
    },
    /// Publishes to all rooms, at a steady rate.
    Publish {
        #[arg(long)]
        address: String,
        #[arg(long)]
        rooms: usize,
        #[arg(long)]
        per_second: usize,
        #[arg(long)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            match arguments.command {
                None => compare(&arguments.compared).await,
                Some(Command::Run {
                    client,
                    work,
                    address,
                    seconds,
                    scale,
                }) => {
                    let time = Duration::from_secs(seconds);
                    let figure = run(work, client, &address, time, scale).await?;
                    println!("{}", serde_json::to_string(&figure)?);
                    Ok(ExitCode::SUCCESS)
                }
                Some(Command::Publish {
                    address,
                    rooms,
                    per_second,
                    seconds,
                }) => {
                    let time = Duration::from_secs(seconds);
                    ours::publish(&address, rooms, per_second, time).await?;
                    Ok(ExitCode::SUCCESS)
                }
            }
        })
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

/// Every work with every client in turns; fails where a goal is missed.
async fn compare(compared: &Compared) -> Outcome<ExitCode> {
    let server = server::Served::start(&compared.server).await?;
    let scale = if compared.tiny { 10 } else { 1 };
    let mut missed = false;
    println!("| work | ours | adaptive | tokio-tungstenite, serde_json | ratio | goal |");
    println!("|---|---|---|---|---|---|");
    for work in Work::ALL {
        if compared.work.is_some_and(|only| only != work) {
            continue;
        }
        let mut figures: [Vec<f64>; 3] = Default::default();
        for _ in 0..compared.rounds {
            for (client, figures) in Client::ALL.into_iter().zip(&mut figures) {
                let figure: Figure = server
                    .measure(client, work, compared.seconds, scale)
                    .await?;
                figures.push(figure.value(work));
            }
        }
        let [ours, adaptive, other] = figures.map(median);
        let ratio = ours / other;
        let (goal, unit) = (work.goal(), work.unit());
        println!(
            "| {} | {ours:.2} {unit} | {adaptive:.2} | {other:.2} | {ratio:.2} | ≤ {goal} |",
            work.name()
        );
        // Adaptation is never worse by more than a twentieth.
        missed |= ratio > goal || adaptive > 1.05 * ours;
    }
    Ok(match missed && !compared.tiny {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// One client does one work in this process. What `idle` holds stays until its end.
async fn run(
    work: Work,
    client: Client,
    address: &str,
    time: Duration,
    scale: usize,
) -> Outcome<Figure> {
    let (idle, rooms) = (IDLE / scale, ROOMS / scale);
    let before = resident_bytes()?;
    let (messages, cpu_ns, connections) = match (work, client) {
        (Work::RoundTrip, Client::Tungstenite) => other::round_trips(address, time).await?,
        (Work::RoundTrip, client) => ours::round_trips(client, address, time).await?,
        (Work::Subscriptions, Client::Tungstenite) => {
            other::subscriptions(address, time, rooms).await?
        }
        (Work::Subscriptions, client) => ours::subscriptions(client, address, time, rooms).await?,
        (Work::Idle, Client::Tungstenite) => other::idle(address, idle).await?,
        (Work::Idle, client) => ours::idle(client, address, idle).await?,
    };
    Ok(Figure {
        messages,
        cpu_ns,
        bytes: resident_bytes()?.saturating_sub(before),
        connections,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
