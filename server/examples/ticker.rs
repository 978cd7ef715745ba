//! A price ticker: clients join `price:SYMBOL`, or `price:all`, and hear prices, the last ones at
//! once; only the server publishes. Who reads slowly hears the newest price of each symbol.
//!
//! `cargo run -p shardcast --example ticker`, then connect to `ws://127.0.0.1:8000/ws` and say
//! `{"type":"join_room","room":"price:all"}`.

use clap::Parser;
use serde::Serialize;
use shardcast::namespace::{
    Characters, History, NameRules, Namespace, NamespaceError, Namespaces, Newcomers, SlowReader,
    Who,
};
use shardcast::{App, Config, Failure, Handle, Listener};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Parser)]
struct Arguments {
    /// Where clients connect; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Time between two prices of a symbol, in milliseconds.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..))]
    every_ms: u64,
}

/// The namespace `price`: anyone may join, nobody may publish. The server's own code need not ask.
/// A room keeps as many prices as hold the newest of each symbol; a price is a state, so the newest
/// is all that a newcomer and a slow reader need.
fn namespaces() -> Result<Namespaces, NamespaceError> {
    let price = Namespace {
        publish: Who::Nobody,
        presence: Who::Nobody,
        names: NameRules {
            bytes_max: 32,
            characters: Characters::Alphanumeric,
        },
        history: Some(History {
            publications_max: 100,
            idempotency: None,
            last: Newcomers::NewestByKey,
            ..History::default()
        }),
        slow_reader: SlowReader::Conflate,
        ..Namespace::default()
    };
    // Rooms without a prefix, users and everyone fall under the default namespace: closed as well.
    let default = Namespace {
        join: Who::Nobody,
        publish: Who::Nobody,
        presence: Who::Nobody,
        ..Namespace::default()
    };
    Namespaces::new(default, [("price", price)])
}

#[derive(Serialize)]
struct Price {
    symbol: &'static str,
    /// In hundredths: prices are no floating-point numbers.
    cents: u64,
}

/// Emits prices until the server stops. A room without members costs nothing but the call.
async fn tick(handle: Handle, every: Duration) -> Result<(), Failure> {
    let mut prices = [("ACME", 12_050), ("GLOBEX", 980), ("INITECH", 4_200)]
        .map(|(symbol, cents)| Price { symbol, cents });
    let mut clock = tokio::time::interval(every);
    loop {
        clock.tick().await;
        for price in &mut prices {
            // A random walk stands for the market.
            price.cents = (price.cents + fastrand::u64(0..=20))
                .saturating_sub(10)
                .max(1);
            let own = format!("price:{}", price.symbol);
            for room in [own.as_str(), "price:all"] {
                let prices = handle.to(room).conflate(price.symbol);
                prices.emit("price", price).await?;
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let app = App::new().namespaces(namespaces()?);
    let server = app.start(Config {
        listeners: vec![Listener::plain(arguments.listen)],
        ..Config::default()
    })?;
    let every = Duration::from_millis(arguments.every_ms);
    let ticker = tokio::spawn(tick(server.handle(), every));
    let address = server.addresses()[0].clone();
    let served = server.until_signal(Duration::from_secs(5))?;
    println!("ticker ready: ws://{address}/ws");
    served.await;
    // It may wait for the next price, or have ended because the server has.
    ticker.abort();
    Ok(())
}
