//! Background requests whose future is never polled to its end: each is answered all the same,
//! once, and its place is given back.

use crate::speaker::Speaker;
use crate::{SHARDS, told, wait};
use serde_json::{Value, json};
use shardcast::{App, CallError, Failure, Options};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{PATIENCE, Server, config};
use std::fmt;
use std::future::pending;
use std::mem::ManuallyDrop;
use std::panic::panic_any;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::util::SubscriberInitExt;

/// Background handlers that answer at once, and that never do, with this time for both.
fn app(timeout: Duration) -> App {
    let app = App::new();
    let handlers = app.handlers().with(Options::new().timeout(timeout));
    handlers
        .on_async("seven", |_, (): ()| async { Ok(7) })
        .unwrap();
    handlers
        .on_async("forever", |_, (): ()| async {
            pending::<()>().await;
            Ok(())
        })
        .unwrap();
    app
}

/// A server whose background handlers run on this runtime.
fn on(runtime: &Runtime, app: App, shards: usize) -> (Server, shardcast::Handle) {
    let _entered = runtime.enter();
    Server::of(app, config(shards))
}

fn one_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_time().build().unwrap()
}

/// A batch with this method among others: every member has its answer, of which this is the
/// method's.
#[track_caller]
fn check_batch(one: &mut Speaker, method: &str, code: i32) {
    let ping = json!({"jsonrpc": "2.0", "method": "ping", "id": "p"});
    let begun = json!({"jsonrpc": "2.0", "method": method, "id": "b"});
    one.say(&json!([begun, ping]));
    let mut answers = one.hear_raw();
    let answers = answers.as_array_mut().expect("a list");
    answers.sort_by_key(|answer| answer["id"].to_string());
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert_eq!(answers[0]["error"]["code"], code, "{answers:?}");
    assert_eq!(answers[1]["result"], json!({}), "{answers:?}");
}

#[test]
fn a_runtime_without_a_timer_will_do() {
    for shards in SHARDS {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).build().unwrap();
        let (server, _) = on(&runtime, app(Duration::from_millis(1)), shards);
        for dialect in Dialect::OWN {
            let mut one = Speaker::new(&server, dialect);
            one.check_refused("forever", Value::Null, "timeout");
            one.check_quiet();
        }
        let mut one = Speaker::new(&server, Dialect::JsonRpc);
        check_batch(&mut one, "forever", -32006);
        assert_eq!(server.sum(|shard| &shard.panics), 0);
    }
}

/// Nobody runs the runtime: the time is over all the same. More ask than may at once, one after the
/// other.
#[test]
fn what_a_runtime_does_not_run_times_out() {
    let asleep = Builder::new_current_thread().build().unwrap();
    let (server, _) = on(&asleep, app(Duration::from_millis(1)), 1);
    for dialect in Dialect::OWN {
        let mut one = Speaker::new(&server, dialect);
        for _ in 0..3 {
            let asked: Vec<u64> = (0..8).map(|_| one.begin("seven", Value::Null)).collect();
            for id in asked {
                assert_eq!(one.answer(id)["error"], "timeout");
            }
        }
        one.check_quiet();
    }
    let mut one = Speaker::new(&server, Dialect::JsonRpc);
    check_batch(&mut one, "seven", -32006);
    one.check_quiet();
    // It wakes up, and drops what nobody waits for.
    asleep.block_on(tokio::task::yield_now());
    one.check_quiet();
}

#[test]
fn what_ends_with_its_runtime_has_failed() {
    for shards in SHARDS {
        let runtime = one_thread();
        let (server, _) = on(&runtime, app(PATIENCE), shards);
        let mut speakers = Dialect::OWN.map(|dialect| Speaker::new(&server, dialect));
        let begun = speakers.each_mut().map(|one| {
            assert_eq!(one.ask("seven", Value::Null), 7);
            one.begin("forever", Value::Null)
        });
        runtime.shutdown_background();
        for (one, id) in speakers.iter_mut().zip(begun) {
            assert_eq!(one.answer(id)["error"], "handler_failed");
            // And what is asked of it afterwards.
            for _ in 0..20 {
                one.check_refused("seven", Value::Null, "handler_failed");
            }
            one.check_quiet();
        }
        check_batch(&mut speakers[1], "forever", -32603);
        assert_eq!(server.sum(|shard| &shard.panics), 0);
    }
}

/// Panics when it is dropped, with something that does so, too.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(ManuallyDrop::new(Bomb));
    }
}

/// What panics with it panics once more where what was thrown is dropped.
struct Thrown;

impl Drop for Thrown {
    fn drop(&mut self) {
        panic!("thrown, and dropped");
    }
}

/// An error that panics when it is said.
#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("it cannot be said")
    }
}

impl std::error::Error for Unspeakable {}

/// An error that panics when it is dropped.
#[derive(Debug)]
struct Parting;

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("farewell")
    }
}

impl std::error::Error for Parting {}

impl Drop for Parting {
    fn drop(&mut self) {
        panic!("it does not go quietly");
    }
}

/// A future whose end panics, after it is ready.
struct Explosive(Bomb);

impl Future for Explosive {
    type Output = Result<u32, Failure>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(1))
    }
}

/// From here on this thread logs, so that errors are said.
fn log() {
    let log = tracing_subscriber::fmt().with_writer(std::io::sink);
    let _for_good = ManuallyDrop::new(log.finish().set_default());
}

/// Everything that panics where no handler's code is expected.
fn explosive() -> App {
    let app = App::new();
    let handlers = app.handlers();
    handlers
        .on_async("drops", |_, (): ()| Explosive(Bomb))
        .unwrap();
    handlers
        .on_async("fails", |_, (): ()| async {
            log();
            Err::<(), _>(Unspeakable.into())
        })
        .unwrap();
    handlers
        .on_async("parts", |_, (): ()| async { Err::<(), _>(Parting.into()) })
        .unwrap();
    handlers
        .with(Options::new().timeout(Duration::from_millis(1)))
        .on_async("is late", |_, (): ()| async {
            let _held = Bomb;
            pending::<()>().await;
            Ok(())
        })
        .unwrap();
    handlers
        .on("parts here", |_, (): ()| Err::<(), _>(Parting.into()))
        .unwrap();
    handlers
        .on_async("throws", |_, (): ()| async {
            panic_any(Thrown);
            #[expect(unreachable_code, reason = "it gives the future its type")]
            Ok(())
        })
        .unwrap();
    handlers
        .on("fails here", |_, (): ()| {
            log();
            Err::<(), _>(Unspeakable.into())
        })
        .unwrap();
    handlers
        .on("throws here", |_, (): ()| -> Result<(), Failure> {
            panic_any(Thrown)
        })
        .unwrap();
    handlers.on("refused", |_, (): ()| Ok(())).unwrap();
    handlers
        .before("refused", |_, _| {
            log();
            Err(Unspeakable.into())
        })
        .unwrap();
    handlers.on("before", |_, (): ()| Ok(())).unwrap();
    handlers
        .before("before", |_, _| -> Result<shardcast::Flow, Failure> {
            panic_any(Thrown)
        })
        .unwrap();
    app
}

#[test]
fn panics_outside_of_handlers_are_answered_too() {
    for shards in SHARDS {
        let runtime = one_thread();
        let (server, _) = on(&runtime, explosive(), shards);
        let mut panics = 0;
        for dialect in Dialect::OWN {
            let mut one = Speaker::new(&server, dialect);
            for kind in [
                "drops",
                "fails",
                "throws",
                "parts",
                "parts here",
                "fails here",
                "throws here",
                "refused",
                "before",
            ] {
                one.check_refused(kind, Value::Null, "handler_failed");
                panics += 1;
            }
            // Dropped where it waits, and answered before.
            one.check_refused("is late", Value::Null, "timeout");
            one.check_quiet();
        }
        let mut one = Speaker::new(&server, Dialect::JsonRpc);
        check_batch(&mut one, "drops", -32603);
        assert_eq!(server.sum(|shard| &shard.panics), panics + 1);
    }
}

/// What a note holds ends on the shard when its connection is gone, however it ends.
#[test]
fn a_note_to_nobody_harms_no_shard() {
    let (server, handle) = Server::of(App::new(), config(1));
    let gone = Speaker::new(&server, Dialect::NativeJson);
    let id = gone.id().parse().unwrap();
    gone.client.leave();
    server.wait_until_empty();
    let bomb = Bomb;
    let told = wait(handle.on(id, move |_| drop(bomb)));
    assert!(told.is_err());
    server.wait_until("the panic is counted", |server| {
        server.sum(|shard| &shard.panics) == 1
    });
    Speaker::new(&server, Dialect::NativeJson).check_quiet();
}

/// More end at once than a shard's queue of commands holds, while the shard is busy.
#[test]
fn outcomes_wait_for_a_full_queue() {
    const CLIENTS: usize = 20;
    const EACH: usize = 64;
    let app = App::new();
    let options = Options::new().at_once(EACH as u16).timeout(PATIENCE);
    app.handlers()
        .with(options)
        .on_async("forever", |_, (): ()| async {
            pending::<()>().await;
            Ok(())
        })
        .unwrap();
    let (holds, held) = sync_channel(0);
    let (lets_go, let_go) = sync_channel(0);
    let let_go = std::sync::Mutex::new(let_go);
    app.handlers()
        .on("hold", move |_, (): ()| {
            holds.send(())?;
            Ok(let_go.lock().unwrap().recv()?)
        })
        .unwrap();
    let runtime = one_thread();
    let (server, handle) = on(&runtime, app, 1);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut one = Speaker::new(&server, Dialect::NativeJson);
            let asked: Vec<u64> = (0..EACH)
                .map(|_| one.begin("forever", Value::Null))
                .collect();
            one.check_quiet();
            (one, asked)
        })
        .collect();
    let mut holder = Speaker::new(&server, Dialect::NativeJson);
    let asked = holder.begin("hold", Value::Null);
    told(&held);
    // The queue is full, and one who waits for it has no runtime.
    while handle.to("r").try_emit("x", &()).is_ok() {}
    let waits = std::thread::spawn(move || {
        block_on(handle.to("r").emit("y", &())).map_err(|error| error.to_string())
    });
    runtime.shutdown_background();
    lets_go.send(()).unwrap();
    assert_eq!(holder.answer(asked), Value::Null);
    for (one, asked) in &mut clients {
        for id in asked.drain(..) {
            assert_eq!(one.answer(id)["error"], "handler_failed");
        }
        one.check_quiet();
    }
    assert_eq!(waits.join().unwrap(), Ok(()));
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future without any runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park_timeout(PATIENCE),
        }
    }
}

#[test]
fn the_handle_needs_no_runtime() {
    let (server, handle) = Server::of(App::new(), config(2));
    let mut one = Speaker::new(&server, Dialect::JsonRpc);
    let id = one.id().parse().unwrap();
    assert_eq!(block_on(handle.join(id, &["r"])).unwrap().len(), 1);
    assert_eq!(block_on(handle.members("r")).unwrap().total, 1);
    block_on(handle.to("r").emit("x", &7)).unwrap();
    one.expect_event("x", json!(7));
    let short = Duration::from_millis(1);
    let called = block_on(handle.call::<()>(id, "nobody.answers", &[1], short));
    assert_eq!(called, Err(CallError::Timeout));
    let call = one.hear();
    assert_eq!(call["method"], "nobody.answers");
    // Its place is free again: as many wait as may.
    for _ in 0..100 {
        let called = block_on(handle.call::<()>(id, "nobody.answers", &[1], short));
        assert_eq!(called, Err(CallError::Timeout));
        one.hear();
    }
    one.check_quiet();
}
