//! A JSON-RPC 2.0 service: the methods of the specification's examples, and one that calls its
//! caller back.
//!
//! `cargo run -p shardcast --example jsonrpc`, then connect to `ws://127.0.0.1:8000/jsonrpc`, or to
//! `/ws` with the subprotocol `jsonrpc-2.0`, and say
//! `{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1}`.

use clap::Parser;
use serde::{Deserialize, Serialize};
use shardcast::{
    App, Background, CallError, Code, Config, Dialect, Failure, Handlers, Identity, Listener,
    Problem, Refusal, RegisterError,
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

/// Positional (`[42, 23]`) or named (`{"minuend": 42, "subtrahend": 23}`): serde reads a struct
/// from either.
#[derive(Deserialize)]
struct Subtract {
    minuend: i64,
    subtrahend: i64,
}

fn methods(handlers: &Handlers) -> Result<(), RegisterError> {
    handlers.on("subtract", |_, of: Subtract| {
        let difference = of.minuend.checked_sub(of.subtrahend);
        Ok(difference.ok_or(out_of_range())?)
    })?;
    handlers.on("sum", |_, numbers: Vec<i64>| {
        let sum = numbers
            .iter()
            .try_fold(0_i64, |sum, number| sum.checked_add(*number));
        Ok(sum.ok_or(out_of_range())?)
    })?;
    handlers.on("get_data", |_, (): ()| Ok(("hello", 5)))?;

    // Usually sent as notifications, without an id: whatever these return or refuse, the client is
    // not answered.
    handlers.on("update", |_, _: [i64; 5]| Ok(()))?;
    handlers.on("notify_hello", |_, _: [i64; 1]| Ok(()))?;
    handlers.on("notify_sum", |_, _: Vec<i64>| Ok(()))?;

    handlers.on_async("introduce", introduce)?;
    Ok(())
}

fn out_of_range() -> Problem {
    Problem::new(Code::InvalidData, "the result does not fit into 64 bits")
}

#[derive(Serialize)]
struct Question {
    language: String,
}

/// Asks the client for its name and answers with a greeting. The way back: the server's request has
/// an id of its own, and the client's answer to it finds this handler again, whatever else is under
/// way.
async fn introduce(cx: Background, (language,): (String,)) -> Result<String, Failure> {
    let question = Question { language };
    let answer = cx.call("your_name", &question, Duration::from_secs(5));
    let name: String = answer.await.map_err(unanswered)?;
    Ok(format!("Hello, {name}"))
}

/// What the client did wrong is for it to hear; without this, it would hear `handler_failed`.
fn unanswered(error: CallError) -> Failure {
    let code = match error {
        CallError::Timeout => Code::Timeout,
        CallError::Rejected(_) | CallError::Unfit(_) => Code::InvalidData,
        CallError::Gone(_) | CallError::Refused(_) => return error.into(),
    };
    Problem::new(code, error.to_string()).into()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let app = App::new().on_connect(|client| match client.dialect() {
        Dialect::JsonRpc => Ok(Identity::nobody()),
        _ => Err(Refusal::new(
            400,
            "connect to /jsonrpc, or offer the subprotocol jsonrpc-2.0",
        )),
    });
    methods(&app.handlers())?;
    let server = app.start(Config {
        listeners: vec![Listener::plain(arguments.listen)],
        ..Config::default()
    })?;
    let address = server.addresses()[0].clone();
    let served = server.until_signal(Duration::from_secs(5))?;
    println!("jsonrpc ready: ws://{address}/ws");
    served.await;
    Ok(())
}
