//! A bridge: it carries a room of one server to another, each message once, also when it is started
//! again or either connection breaks.
//!
//! `cargo run -p shardcast-client --example bridge -- FROM TO chat:lobby [POSITION-FILE]`, where
//! the addresses are `ws://host:port/ws`, and the room keeps history on both sides.

use shardcast_client::{Client, Item, Options, Position, SubscribeOptions};
use std::error::Error;
use std::path::Path;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, room, rest @ ..] = &arguments[..] else {
        return Err("FROM TO ROOM [POSITION-FILE]".into());
    };
    let file = rest
        .first()
        .map_or_else(|| Path::new("position.json"), Path::new);
    let (source, target) = (
        Client::connect(from, Options::default())?,
        Client::connect(to, Options::default())?,
    );
    let since = std::fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let options = SubscribeOptions {
        since,
        ..SubscribeOptions::default()
    };
    let mut heard = source.subscribe(room, options)?;
    let mut epoch = None;
    while let Some(item) = heard.next().await {
        match item? {
            Item::Message(message) => {
                let data: serde_json::Value = message.read()?;
                let publish = target.publish(room, &data);
                let Some(offset) = message.offset() else {
                    publish.await?;
                    continue;
                };
                let current = heard.position().map(|position| position.epoch);
                let named = epoch.clone().or(current).unwrap_or_default();
                // A bridge that is started again publishes under the same key: that is none.
                publish.key(&format!("bridge-{named}-{offset}")).await?;
                let position = Position {
                    epoch: named,
                    offset,
                };
                std::fs::write(file, serde_json::to_vec(&position)?)?;
            }
            Item::Joined(joined) => epoch = joined.position.map(|position| position.epoch),
            Item::Lost(lost) => {
                eprintln!("something is missing here: {:?}", lost.why);
                epoch = None;
            }
            _ => {}
        }
    }
    Ok(())
}
