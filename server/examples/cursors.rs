//! Collaborative cursors: who has a document open sees where the others point.
//!
//! `cargo run -p shardcast --example cursors`, then connect to `ws://127.0.0.1:8000/ws?user=ann`
//! and say `{"type":"document.open","id":1,"data":{"document":"plan"}}` and
//! `{"type":"cursor.move","data":{"line":3,"column":7}}`.

use clap::Parser;
use garde::Validate;
use serde::{Deserialize, Serialize};
use shardcast::{
    App, Code, Config, Connect, Context, Failure, Handlers, Identity, Listener, Problem, Refusal,
    RegisterError, Valid,
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

#[derive(Deserialize, Validate)]
struct Open {
    #[garde(ascii, length(bytes, min = 1, max = 64))]
    document: String,
}

/// Lines and columns count from 1, as people do.
#[derive(Deserialize, Validate)]
struct Move {
    #[garde(range(min = 1, max = 1_000_000))]
    line: u32,
    #[garde(range(min = 1, max = 10_000))]
    column: u32,
}

/// The room of the document that a connection has open: its metadata. A hook that runs after the
/// connection is gone finds no room in `rooms()` any more, so what it needs then is remembered
/// here.
struct Document {
    room: String,
}

#[derive(Serialize)]
struct Cursor<'c> {
    cursor: &'c str,
    user: Option<&'c str>,
    line: u32,
    column: u32,
}

/// A cursor that comes or goes. It is named by its connection: one user may have the document open
/// twice.
#[derive(Serialize)]
struct Presence<'c> {
    cursor: &'c str,
    user: Option<&'c str>,
}

fn handlers(handlers: &Handlers) -> Result<(), RegisterError> {
    handlers.on("document.open", open)?;
    handlers.on("document.close", |cx, (): ()| {
        let document = cx.take_metadata::<Document>().ok_or(nothing_open())?;
        cx.leave(&document.room)?;
        tell_others(cx, "cursor.left", &document.room)
    })?;
    handlers.on("cursor.move", move_to)?;
    Ok(())
}

/// Opens a document instead of the one that was open.
fn open(cx: &mut Context<'_>, Valid(asked): Valid<Open>) -> Result<(), Failure> {
    let room = format!("document:{}", asked.document);
    let before = cx.metadata::<Document>().map(|open| open.room.clone());
    if before.as_ref() == Some(&room) {
        return Ok(());
    }
    cx.join(&room)?;
    tell_others(cx, "cursor.joined", &room)?;
    cx.set_metadata(Document { room });
    match before {
        Some(before) => {
            cx.leave(&before)?;
            tell_others(cx, "cursor.left", &before)
        }
        None => Ok(()),
    }
}

/// Runs on the shard, between two messages: a move is read, checked, written once, and on its way
/// within microseconds.
fn move_to(cx: &mut Context<'_>, Valid(to): Valid<Move>) -> Result<(), Failure> {
    let document = cx.metadata::<Document>().ok_or(nothing_open())?;
    let room = document.room.clone();
    let user = cx.user().map(str::to_owned);
    let moved = Cursor {
        cursor: &cx.connection().to_string(),
        user: user.as_deref(),
        line: to.line,
        column: to.column,
    };
    cx.to(&room).except_sender().emit("cursor.moved", &moved)
}

fn tell_others(cx: &mut Context<'_>, event: &str, room: &str) -> Result<(), Failure> {
    let user = cx.user().map(str::to_owned);
    let presence = Presence {
        cursor: &cx.connection().to_string(),
        user: user.as_deref(),
    };
    cx.to(room).except_sender().emit(event, &presence)
}

fn nothing_open() -> Problem {
    Problem::new(Code::NotJoined, "open a document first")
}

/// A DEMONSTRATION, NOT AUTHENTICATION: whoever says `?user=ann` is ann. A real hook checks a
/// signed token here.
fn identify(client: &Connect<'_>) -> Result<Identity, Refusal> {
    match client.parameter("user") {
        Some(user) => Ok(Identity::user(user)?),
        None => Ok(Identity::nobody()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let app = App::new()
        .on_connect(identify)
        .on_disconnect(|cx, _reason| {
            if let Some(document) = cx.take_metadata::<Document>() {
                // It fails when the event cannot be written, which is nothing that this client
                // could hear of.
                let _ = tell_others(cx, "cursor.left", &document.room);
            }
        });
    handlers(&app.handlers())?;
    let server = app.start(Config {
        listeners: vec![Listener::plain(arguments.listen)],
        ..Config::default()
    })?;
    let address = server.addresses()[0].clone();
    let served = server.until_signal(Duration::from_secs(5))?;
    println!("cursors ready: ws://{address}/ws");
    served.await;
    Ok(())
}
