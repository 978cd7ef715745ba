//! A chat service: rooms, typing events, moderation, and messages that are kept in SQLite.
//!
//! `cargo run -p shardcast --example chat_service -- --moderator root`, then connect to
//! `ws://127.0.0.1:8000/ws?user=ann` and say `{"type":"join_room","room":"lobby"}` and
//! `{"type":"chat.say","id":1,"data":{"room":"lobby","text":"Hello"}}`.

mod store;

use clap::Parser;
use garde::Validate;
use serde::Deserialize;
use shardcast::namespace::{Namespace, Namespaces, Who};
use shardcast::{
    App, Background, CloseCode, Code, Config, Connect, Context, Failure, Flow, Handlers, Identity,
    Listener, Options, Problem, Refusal, RegisterError, Valid,
};
use std::collections::HashSet;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use store::{Said, Store};

#[derive(Parser)]
struct Arguments {
    /// Where clients connect; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// The file of the messages.
    #[arg(long, default_value = "chat.sqlite")]
    database: PathBuf,
    /// A user who moderates. May be given several times.
    #[arg(long)]
    moderator: Vec<String>,
}

#[derive(Deserialize, Validate)]
struct Say {
    #[garde(skip)]
    room: String,
    #[garde(length(chars, min = 1, max = 2000))]
    text: String,
}

#[derive(Deserialize, Validate)]
struct History {
    #[garde(skip)]
    room: String,
    #[garde(range(min = 1, max = 100))]
    last: u32,
}

#[derive(Deserialize)]
struct InRoom {
    room: String,
}

#[derive(Deserialize, Validate)]
struct Someone {
    #[garde(length(bytes, min = 1, max = Identity::USER_BYTES_MAX))]
    user: String,
}

/// Who may not speak, until the process ends. Read for every message that somebody says, on every
/// shard, and hardly ever written.
#[derive(Clone, Default)]
struct Muted(Arc<RwLock<HashSet<String>>>);

impl Muted {
    /// One more is refused.
    const USERS_MAX: usize = 10_000;

    fn has(&self, user: &str) -> bool {
        self.0.read().is_ok_and(|muted| muted.contains(user))
    }

    fn add(&self, user: String) -> Result<(), Problem> {
        let full = || Problem::new(Code::Unavailable, "too many users are muted");
        let mut muted = self.0.write().map_err(|_| full())?;
        if muted.len() >= Muted::USERS_MAX {
            return Err(full());
        }
        muted.insert(user);
        Ok(())
    }
}

fn handlers(all: &Handlers, store: &Store) -> Result<(), RegisterError> {
    let muted = Muted::default();
    // Before every handler that these patterns fit, the server's own `broadcast` and `publish`
    // included.
    for pattern in ["broadcast", "publish", "chat.*"] {
        let muted = muted.clone();
        all.before(pattern, move |cx, _| match cx.user() {
            Some(user) if muted.has(user) => {
                Err(Problem::new(Code::Forbidden, "a moderator has muted you").into())
            }
            _ => Ok(Flow::Continue),
        })?;
    }

    // Types `chat.…`, for users only: others are answered `unauthorized`.
    let chat = all.group("chat.").with(Options::new().auth());
    chat.on("typing", typing)?;
    let (to_keep, kept) = (store.clone(), store.clone());
    chat.on_async("say", move |cx, say| say_it(to_keep.clone(), cx, say))?;
    chat.on_async("history", move |cx, asked| history(kept.clone(), cx, asked))?;

    // Other users are answered `forbidden`.
    let moderation = chat.with(Options::new().roles(["moderator"]));
    moderation.on("mute", move |cx, Valid(someone): Valid<Someone>| {
        muted.add(someone.user.clone())?;
        cx.to_user(&someone.user).emit("chat.muted", &())
    })?;
    moderation.on_async("kick", kick)?;
    Ok(())
}

/// On the shard: nothing here waits.
fn typing(cx: &mut Context<'_>, InRoom { room }: InRoom) -> Result<(), Failure> {
    if !cx.is_in(&room) {
        return Err(not_here().into());
    }
    let user = cx.user().map(str::to_owned);
    cx.to(&room).except_sender().emit("chat.typing", &user)
}

/// In the background: the database may take its time, and the shard serves others meanwhile. First
/// kept, then said, so that nobody hears what is lost afterwards. Two messages said at once may be
/// heard in another order than they are kept: `id` has the last word.
async fn say_it(store: Store, cx: Background, Valid(say): Valid<Say>) -> Result<Said, Failure> {
    require_member(&cx, &say.room).await?;
    let user = cx.user().unwrap_or_default().to_owned();
    let said = store.keep(say.room, user, say.text).await?;
    cx.to(&said.room).emit("chat.said", &said).await?;
    Ok(said)
}

async fn history(
    store: Store,
    cx: Background,
    Valid(asked): Valid<History>,
) -> Result<Vec<Said>, Failure> {
    require_member(&cx, &asked.room).await?;
    Ok(store.last(asked.room, asked.last).await?)
}

/// Closes all connections of a user, on whichever shards they are; says how many.
async fn kick(cx: Background, Valid(someone): Valid<Someone>) -> Result<usize, Failure> {
    let (handle, user) = (cx.handle(), &someone.user);
    let closed = handle.disconnect_user(user, CloseCode::POLICY, "kicked");
    closed.await
}

/// Which rooms a connection is in, its shard knows.
async fn require_member(cx: &Background, room: &str) -> Result<(), Failure> {
    let room = room.to_owned();
    match cx.on_shard(move |cx| cx.is_in(&room)).await? {
        true => Ok(()),
        false => Err(not_here().into()),
    }
}

fn not_here() -> Problem {
    Problem::new(Code::NotJoined, "join the room first")
}

/// A DEMONSTRATION, NOT AUTHENTICATION: whoever says `?user=ann` is ann. A real hook checks a
/// signed token here.
fn identify(client: &Connect<'_>, moderators: &[String]) -> Result<Identity, Refusal> {
    let Some(name) = client.parameter("user") else {
        return Ok(Identity::nobody());
    };
    let user = Identity::user(name)?;
    Ok(match moderators.iter().any(|moderator| moderator == name) {
        true => user.in_roles(["moderator"]),
        false => user,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let moderators = arguments.moderator;
    // Whoever is muted must not come back as nobody.
    let rooms = Namespace {
        publish: Who::Users,
        ..Namespace::default()
    };
    let app = App::new()
        .namespaces(Namespaces::only(rooms)?)
        .on_connect(move |client| identify(client, &moderators));
    handlers(&app.handlers(), &Store::open(&arguments.database)?)?;
    let server = app.start(Config {
        listeners: vec![Listener::plain(arguments.listen)],
        ..Config::default()
    })?;
    let address = server.addresses()[0].clone();
    let served = server.until_signal(Duration::from_secs(5))?;
    println!("chat_service ready: ws://{address}/ws");
    served.await;
    Ok(())
}
