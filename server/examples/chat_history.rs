//! A chat whose rooms remember: newcomers read what was said, and who loses the connection hears
//! what it missed when it comes back.
//!
//! `cargo run -p shardcast --example chat_history`, then connect to
//! `ws://127.0.0.1:8000/ws?user=ann`, say `{"type":"join_room","id":1,"room":"chat:lobby"}` and
//! `{"type":"chat.say","id":2,"data":{"room":"chat:lobby","text":"Hello","key":"ann-1"}}`. When the
//! connection breaks, connect again and join with `"since"`: the epoch of `joined`, and the offset
//! of the last message.

use clap::Parser;
use garde::Validate;
use serde::{Deserialize, Serialize};
use shardcast::namespace::{History, Namespace, NamespaceError, Namespaces, SlowReader, Who};
use shardcast::{
    App, Background, Config, Connect, Failure, Handlers, HistoryQuery, Identity, Listener, Options,
    ReadOrder, Refusal, RegisterError, Valid,
};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Parser)]
struct Arguments {
    /// Where clients connect; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
}

/// Rooms `chat:…` keep the last 200 messages for a day. Everything is said by way of a handler,
/// which knows who says it; a phone that reads slowly goes on where it is.
fn namespaces() -> Result<Namespaces, NamespaceError> {
    let chat = Namespace {
        join: Who::Users,
        publish: Who::Nobody,
        history: Some(History {
            publications_max: 200,
            ttl: Duration::from_secs(86_400),
            ..History::default()
        }),
        slow_reader: SlowReader::CatchUp,
        ..Namespace::default()
    };
    let default = Namespace {
        join: Who::Nobody,
        publish: Who::Nobody,
        ..Namespace::default()
    };
    Namespaces::new(default, [("chat", chat)])
}

#[derive(Deserialize, Validate)]
struct Say {
    #[garde(skip)]
    room: String,
    #[garde(length(chars, min = 1, max = 2000))]
    text: String,
    /// The client's own number of the message: who got no answer says it again.
    #[garde(length(bytes, min = 1, max = 64))]
    key: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Said {
    user: String,
    text: String,
}

/// Where a message stands in its room.
#[derive(Serialize)]
struct Placed {
    offset: u64,
}

#[derive(Deserialize, Validate)]
struct Recent {
    #[garde(skip)]
    room: String,
    #[garde(range(min = 1, max = 100))]
    last: u32,
}

fn handlers(all: &Handlers) -> Result<(), RegisterError> {
    let chat = all.group("chat.").with(Options::new().auth());
    chat.on_async("say", say)?;
    chat.on_async("recent", recent)?;
    Ok(())
}

async fn say(cx: Background, Valid(say): Valid<Say>) -> Result<Placed, Failure> {
    let user = cx.user().unwrap_or_default().to_owned();
    // Keys are the room's: one user's message must not stand for another's.
    let key = format!("{user}/{}", say.key);
    let said = Said {
        user,
        text: say.text,
    };
    let published = cx.to(&say.room).key(&key).publish("said", &said).await?;
    let offset = published.position.map_or(0, |position| position.offset);
    Ok(Placed { offset })
}

/// The last messages, the newest first, for a client that shows a room.
async fn recent(cx: Background, Valid(asked): Valid<Recent>) -> Result<Vec<Said>, Failure> {
    let query = HistoryQuery {
        since: None,
        limit: asked.last,
        order: ReadOrder::Reverse,
    };
    let history = cx.history(&asked.room, query).await?;
    let said = history.messages().map(|message| message.data.get());
    Ok(said.collect::<Result<_, _>>()?)
}

/// A DEMONSTRATION, NOT AUTHENTICATION: whoever says `?user=ann` is ann. A real hook checks a
/// signed token here.
fn identify(client: &Connect<'_>) -> Result<Identity, Refusal> {
    match client.parameter("user") {
        Some(name) => Ok(Identity::user(name)?),
        None => Ok(Identity::nobody()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let app = App::new()
        .namespaces(namespaces()?)
        .on_connect(identify)
        .on_missed(|cx, room, missed| {
            let room = room.name();
            eprintln!("{} missed {} of {room}", cx.connection(), missed.count);
        });
    handlers(&app.handlers())?;
    let server = app.start(Config {
        listeners: vec![Listener::plain(arguments.listen)],
        ..Config::default()
    })?;
    let address = server.addresses()[0].clone();
    let served = server.until_signal(Duration::from_secs(5))?;
    println!("chat_history ready: ws://{address}/ws");
    served.await;
    Ok(())
}
