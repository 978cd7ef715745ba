//! A bot: it answers whoever greets it in a room, and goes on with that whatever happens to its
//! connection.
//!
//! `cargo run -p shardcast-client --example bot -- ws://127.0.0.1:8000/ws chat:lobby`

use shardcast_client::{Client, Item, Options, SubscribeOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shardcast_client::Error> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .unwrap_or_else(|| "ws://127.0.0.1:8000/ws".to_owned());
    let room = arguments.next().unwrap_or_else(|| "chat:lobby".to_owned());
    let client = Client::connect(&address, Options::default())?;
    let mut heard = client.subscribe(&room, SubscribeOptions::default())?;
    while let Some(item) = heard.next().await {
        match item? {
            Item::Joined(joined) => println!("in {room} with {} others", joined.members - 1),
            Item::Message(message) => {
                // What is no text is not for us.
                let Ok(text) = message.read::<String>() else {
                    continue;
                };
                if let Some(name) = text.strip_prefix("hello from ") {
                    client.publish(&room, &format!("welcome, {name}")).await?;
                }
            }
            Item::Lost(lost) => println!("something is missing here: {:?}", lost.why),
            other => println!("{other:?}"),
        }
    }
    Ok(())
}
