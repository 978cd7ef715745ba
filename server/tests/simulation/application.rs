//! The application under test: its handlers do whatever handlers should not, and keep books about
//! it.
//!
//! Nothing in here is random: what a handler does follows from the request.

use crate::kinds::{AT_ONCE, LATE_MS_MAX, TIMEOUT_MS};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shardcast::{
    App, Background, Context, Failure, Flow, Handler, Handlers, Identity, Options, RegistrationId,
};
use shardcast_engine::Refusal;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_protocol::dialect::{Code, Problem};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What all handlers of a run have done.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Panics on shards: each is counted there.
    pub(crate) panics: AtomicU64,
    /// Panics of background handlers: counted when the shard hears of them, if their connection is
    /// still there.
    pub(crate) background_panics: AtomicU64,
    pub(crate) befores: AtomicU64,
    pub(crate) afters: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) disconnected: AtomicU64,
    /// Futures of background handlers, and what they hold.
    pub(crate) alive: AtomicU64,
}

/// Lives as long as a handler's future.
struct Alive(Arc<Books>);

impl Alive {
    fn new(books: &Arc<Books>) -> Alive {
        books.alive.fetch_add(1, Relaxed);
        Alive(books.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Relaxed);
    }
}

/// The data of every request.
#[derive(Clone, Debug, Deserialize)]
struct Ask {
    /// The number of the request, of all clients' requests.
    n: u64,
    room: String,
    /// How it is to be done, or how long it takes.
    how: u64,
}

/// What every handler answers.
#[derive(Debug, Serialize)]
struct Done {
    n: u64,
    did: &'static str,
}

type Outcome = Result<Done, Failure>;

fn done(ask: &Ask) -> Outcome {
    let (n, did) = (ask.n, "ok");
    Ok(Done { n, did })
}

fn forbidden() -> Failure {
    Problem::new(Code::Forbidden, "not you").into()
}

impl Books {
    /// Panics without the hook's words on standard error.
    fn panic(&self) -> ! {
        self.panics.fetch_add(1, Relaxed);
        std::panic::resume_unwind(Box::new("asked for"))
    }

    fn panic_in_background(&self) -> ! {
        self.background_panics.fetch_add(1, Relaxed);
        std::panic::resume_unwind(Box::new("asked for"))
    }
}

/// Who decides about clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admits {
    OnShard,
    InBackground,
}

/// Lets clients in by what they say they are.
fn guarded(books: &Arc<Books>, admits: Admits) -> App {
    let books = books.clone();
    match admits {
        Admits::OnShard => App::new().on_connect(move |connect| match connect.parameter("as") {
            Some("refused") => Err(Refusal::new(403, "not you")),
            Some("panic") => books.panic(),
            Some(name) => Ok(Identity::user(name)?),
            None => Ok(Identity::nobody()),
        }),
        Admits::InBackground => App::new().on_connect_async(move |arrival| {
            let (alive, books) = (Alive::new(&books), books.clone());
            async move {
                let _alive = alive;
                let name = arrival.parameter("as");
                let takes_ms = name.map_or(0, |name| name.len() as u64 % 4);
                tokio::time::sleep(Duration::from_millis(takes_ms)).await;
                match name {
                    Some("refused") => Err(Refusal::new(403, "not you")),
                    Some("panic") => books.panic_in_background(),
                    Some(name) => Ok(Identity::user(name)?),
                    None => Ok(Identity::nobody()),
                }
            }
        }),
    }
}

/// With hooks and all handlers but the one that changes.
pub(crate) fn application(books: &Arc<Books>, admits: Admits) -> App {
    let (opens, closes) = (books.clone(), books.clone());
    let app = guarded(books, admits)
        .on_opened(move |cx| {
            opens.opened.fetch_add(1, Relaxed);
            match cx.user() {
                Some("opens-failing") => Err(forbidden()),
                Some("opens-panicking") => opens.panic(),
                _ => Ok(()),
            }
        })
        .on_disconnect(move |cx, _| {
            closes.disconnected.fetch_add(1, Relaxed);
            // It is too late for everything, and nothing of it may do harm; only what was is still
            // known.
            for room in cx.rooms() {
                assert!(cx.is_in(&room) && cx.leave(&room).is_err());
            }
            let _ = cx.to("r0").emit("left", &json!({ "n": null }));
            if cx.user() == Some("closes-panicking") {
                closes.panic();
            }
        });
    let handlers = app.handlers();
    on_shards(&handlers, books);
    middleware(&handlers, books);
    let options = Options::new()
        .timeout(Duration::from_millis(TIMEOUT_MS))
        .at_once(AT_ONCE);
    let handlers = handlers.with(options);
    in_background(&handlers, books);
    back_and_forth(&handlers, books);
    app
}

fn on_shards(handlers: &Handlers, books: &Arc<Books>) {
    let on = |kind: &str, act: fn(&mut Context<'_>, Ask, &Books) -> Outcome| {
        let books = books.clone();
        let handler = move |cx: &mut Context<'_>, ask: Ask| act(cx, ask, &books);
        handlers.on(kind, handler).expect("a new type");
    };
    on("s.echo", |_, ask, _| done(&ask));
    on("s.early", |cx, ask, _| {
        cx.reply(&done(&ask)?)?;
        // Nobody hears this one.
        Ok(Done { n: 0, did: "late" })
    });
    on("s.early_fail", |cx, ask, _| {
        cx.reply(&done(&ask)?)?;
        Err(forbidden())
    });
    on("s.early_panic", |cx, ask, books| {
        cx.reply(&done(&ask)?)?;
        books.panic()
    });
    on("s.fail", |_, _, _| Err(forbidden()));
    on("s.error", |_, _, _| {
        Err(std::io::Error::other("secret").into())
    });
    on("s.panic", |_, _, books| books.panic());
    on("s.join", |cx, ask, _| {
        cx.join(&ask.room)?;
        assert!(cx.rooms().iter().any(|room| **room == *ask.room));
        done(&ask)
    });
    on("s.leave", |cx, ask, _| {
        cx.leave(&ask.room)?;
        done(&ask)
    });
    on("s.emit", |cx, ask, _| {
        let data = json!({ "n": ask.n });
        let me = cx.connection();
        match ask.how % 4 {
            0 => cx.to(&ask.room).emit("said", &data)?,
            1 => cx.to(&ask.room).except(me).emit("said", &data)?,
            2 => cx.to_user("ann").emit("said", &data)?,
            _ => cx.everyone().emit("said", &data)?,
        }
        done(&ask)
    });
    on("s.identify", |cx, ask, _| {
        cx.identify(match ask.how % 3 {
            0 => Identity::nobody(),
            1 => Identity::user("ann")?,
            _ => Identity::user("bob")?.in_roles(["staff"]),
        })?;
        done(&ask)
    });
    on("s.close", |cx, ask, _| {
        if ask.how.is_multiple_of(8) {
            cx.disconnect(CloseCode::POLICY, "asked for");
        }
        done(&ask)
    });
    let users = handlers.with(Options::new().auth());
    users.on("s.user", |_, ask: Ask| done(&ask)).expect("new");
    let invalid = handlers.on("s.invalid", |_, (): ()| Ok(()));
    invalid.expect("a new type");
    for kind in ["m.pass", "m.answer", "m.refuse", "m.panic"] {
        handlers.on(kind, |_, ask: Ask| done(&ask)).expect("new");
    }
}

fn middleware(handlers: &Handlers, books: &Arc<Books>) {
    let (before, after, panics) = (books.clone(), books.clone(), books.clone());
    let counts = handlers.before("s.*", move |_, _| {
        before.befores.fetch_add(1, Relaxed);
        Ok(Flow::Continue)
    });
    counts.expect("a pattern");
    let counts = handlers.after("s.*", move |_, _, _| {
        after.afters.fetch_add(1, Relaxed);
    });
    counts.expect("a pattern");
    let acts = handlers.before("m.*", move |cx, request| match request.kind {
        "m.answer" => {
            let ask: Ask = request.data.get()?;
            cx.reply(&done(&ask)?)?;
            Ok(Flow::Answered)
        }
        "m.refuse" => Err(forbidden()),
        "m.panic" => panics.panic(),
        _ => Ok(Flow::Continue),
    });
    acts.expect("a pattern");
    let late = books.clone();
    let panics = handlers.after("m.pass", move |_, _, _| late.panic());
    panics.expect("a pattern");
}

/// Registers a handler whose future is counted while it lives.
macro_rules! on {
    ($handlers:ident, $booked:ident, $kind:literal, |$cx:ident, $ask:ident, $books:ident| $act:expr) => {
        let books = $booked.clone();
        let handler = move |$cx: Background, $ask: Ask| {
            let alive = Alive::new(&books);
            let $books = books.clone();
            async move {
                let _alive = alive;
                $act
            }
        };
        $handlers.on_async($kind, handler).expect("a new type");
    };
}

fn in_background(handlers: &Handlers, books: &Arc<Books>) {
    on!(handlers, books, "b.now", |_cx, ask, _books| done(&ask));
    on!(handlers, books, "b.late", |_cx, ask, _books| {
        sleep(&ask).await;
        done(&ask)
    });
    on!(handlers, books, "b.hang", |_cx, ask, _books| {
        std::future::pending::<()>().await;
        done(&ask)
    });
    on!(handlers, books, "b.fail", |_cx, ask, _books| {
        sleep(&ask).await;
        if ask.n < u64::MAX {
            Err(forbidden())
        } else {
            done(&ask)
        }
    });
    on!(handlers, books, "b.panic", |_cx, ask, books| {
        sleep(&ask).await;
        if ask.n == u64::MAX {
            return done(&ask);
        }
        books.panic_in_background()
    });
    let books = books.clone();
    let handler = move |_: Background, _: Ask| -> std::future::Ready<Outcome> { books.panic() };
    handlers.on_async("b.panic_at_once", handler).expect("new");
}

/// Those that have something to do on the shard.
fn back_and_forth(handlers: &Handlers, books: &Arc<Books>) {
    on!(handlers, books, "b.join", |cx, ask, _books| join(&cx, &ask)
        .await);
    on!(handlers, books, "b.emit", |cx, ask, _books| {
        let data = json!({ "n": ask.n });
        match ask.how % 3 {
            0 => cx.to(&ask.room).emit("said", &data).await?,
            1 => cx.to_many(&[&ask.room]).emit("said", &data).await?,
            _ => cx.to_user("ann").emit("said", &data).await?,
        }
        done(&ask)
    });
    on!(handlers, books, "b.shard", |cx, ask, _books| {
        let was = cx.connection();
        let is = cx.on_shard(|cx| cx.connection()).await?;
        assert_eq!(was, is);
        done(&ask)
    });
    on!(handlers, books, "b.shard_panic", |cx, ask, books| {
        cx.on_shard(move |_| books.panic()).await?;
        done(&ask)
    });
    on!(handlers, books, "b.members", |cx, ask, _books| {
        cx.members(&ask.room).await?;
        done(&ask)
    });
    on!(handlers, books, "b.call", |cx, ask, _books| {
        let params = json!({ "n": ask.n });
        let within = Duration::from_millis(LATE_MS_MAX);
        let answer: Value = cx.call("client.ask", &params, within).await?;
        assert_eq!(answer, params);
        done(&ask)
    });
    on!(handlers, books, "b.close", |cx, ask, _books| {
        if ask.how.is_multiple_of(8) {
            cx.disconnect(CloseCode::POLICY, "asked for").await?;
        }
        sleep(&ask).await;
        done(&ask)
    });
}

async fn sleep(ask: &Ask) {
    tokio::time::sleep(Duration::from_millis(ask.how % LATE_MS_MAX)).await;
}

/// In a room of the request's own: whoever has waited for the join is in it, and whoever has waited
/// for the leave is not.
async fn join(cx: &Background, ask: &Ask) -> Outcome {
    let room = format!("own{}", ask.n);
    let is_in = async || Ok::<_, Failure>(cx.rooms().await?.iter().any(|is| **is == *room));
    if cx.join(&room).await? != 1 || !is_in().await? {
        return Err(std::io::Error::other("not in the room").into());
    }
    cx.leave(&room).await?;
    if is_in().await? {
        return Err(std::io::Error::other("still in the room").into());
    }
    done(ask)
}

/// The handler of `swap`, which comes, goes and changes.
pub(crate) struct Swap {
    handlers: Handlers,
    books: Arc<Books>,
    registration: Option<RegistrationId>,
    /// Counts the changes.
    pub(crate) version: u64,
}

impl Swap {
    pub(crate) fn new(app: &App, books: &Arc<Books>) -> Swap {
        let options = Options::new().timeout(Duration::from_millis(TIMEOUT_MS));
        Swap {
            handlers: app.handlers().with(options.at_once(AT_ONCE)),
            books: books.clone(),
            registration: None,
            version: 0,
        }
    }

    /// Registers it, replaces it, or removes it.
    pub(crate) fn change(&mut self, removes: bool, on_shard: bool) {
        self.version += 1;
        let handler = self.handler(on_shard);
        match self.registration {
            None => {
                let registration = self.handlers.register("swap", handler);
                self.registration = Some(registration.expect("nobody has it"));
            }
            Some(registration) if removes => {
                assert!(self.handlers.remove(registration));
                self.registration = None;
            }
            Some(registration) => {
                let replaced = self.handlers.replace(registration, handler);
                replaced.expect("it is registered");
            }
        }
    }

    fn handler(&self, on_shard: bool) -> Handler {
        let (version, books) = (self.version, self.books.clone());
        let answer = move |ask: &Ask| json!({ "n": ask.n, "did": "ok", "version": version });
        if on_shard {
            return Handler::on_shard(move |_, ask: Ask| Ok(answer(&ask)));
        }
        Handler::in_background(move |_, ask: Ask| {
            let alive = Alive::new(&books);
            async move {
                let _alive = alive;
                sleep(&ask).await;
                Ok(answer(&ask))
            }
        })
    }
}
