//! The works with tokio-tungstenite and serde_json, as one writes them by hand: a task for each
//! connection, a table of calls that wait, a table of handlers by room.

use crate::Outcome;
use crate::work::{CONNECTIONS, Counted, DEPTH, Order, measured};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Serialize)]
struct Asked<'a, T> {
    r#type: &'a str,
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

#[derive(Deserialize)]
struct Said<'a> {
    r#type: &'a str,
    id: Option<u64>,
    room: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

async fn connect(address: &str) -> Outcome<Socket> {
    let (mut socket, _) = connect_async(address).await?;
    // The welcome.
    socket.next().await.ok_or("no welcome")??;
    Ok(socket)
}

async fn join(socket: &mut Socket, rooms: Vec<String>) -> Outcome<()> {
    let request = Asked::<()> {
        r#type: "join_room",
        id: 1,
        rooms: Some(rooms),
        data: None,
    };
    socket
        .send(Message::text(serde_json::to_string(&request)?))
        .await?;
    let answer = socket.next().await.ok_or("no answer")??;
    let joined: Said<'_> = serde_json::from_str(answer.to_text()?)?;
    match joined.r#type {
        "joined" => Ok(()),
        other => Err(format!("{other} to a join").into()),
    }
}

/// A request on its way to the task of the connection.
struct Call {
    order: Order,
    reply: oneshot::Sender<Order>,
}

/// Sends what callers want, and hands answers to them.
async fn serve(mut socket: Socket, mut calls: mpsc::Receiver<Call>) -> Outcome<()> {
    let mut waiting: HashMap<u64, oneshot::Sender<Order>> = HashMap::new();
    let mut last = 0;
    loop {
        tokio::select! {
            call = calls.recv() => {
                let Some(first) = call else { return Ok(()) };
                let mut next = Some(first);
                // What is there leaves together.
                while let Some(Call { order, reply }) = next {
                    last += 1;
                    waiting.insert(last, reply);
                    let request = Asked { r#type: "echo", id: last, rooms: None, data: Some(order) };
                    socket.feed(Message::text(serde_json::to_string(&request)?)).await?;
                    next = calls.try_recv().ok();
                }
                socket.flush().await?;
            }
            message = socket.next() => {
                let message = message.ok_or("it ended")??;
                let Message::Text(text) = message else { continue };
                let said: Said<'_> = serde_json::from_str(&text)?;
                if let (Some(id), Some(data)) = (said.id, said.data)
                    && let Some(reply) = waiting.remove(&id)
                {
                    _ = reply.send(serde_json::from_str(data.get())?);
                }
            }
        }
    }
}

pub(crate) async fn round_trips(address: &str, time: Duration) -> Outcome<Counted> {
    let socket = connect(address).await?;
    let (calls, receiver) = mpsc::channel(DEPTH);
    let serving = tokio::spawn(serve(socket, receiver));
    let answered = Arc::new(AtomicU64::new(0));
    let callers = (0..DEPTH).map(|_| {
        let (calls, answered) = (calls.clone(), Arc::clone(&answered));
        tokio::spawn(async move {
            for number in 0.. {
                let (reply, answer) = oneshot::channel();
                let order = Order::numbered(number);
                if calls.send(Call { order, reply }).await.is_err() {
                    return;
                }
                let Ok(order) = answer.await else { return };
                assert_eq!(order.number, number);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let counted = measured(time, 1, || answered.load(Ordering::Relaxed)).await;
    callers.iter().for_each(|caller| caller.abort());
    serving.abort();
    counted
}

type Hear = Box<dyn Fn(Order) + Send>;

pub(crate) async fn subscriptions(address: &str, time: Duration, rooms: usize) -> Outcome<Counted> {
    let heard = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut socket = connect(address).await?;
        let names: Vec<String> = (0..rooms).map(|room| format!("room-{room}")).collect();
        join(&mut socket, names.clone()).await?;
        let handlers = names.into_iter().map(|name| {
            let heard = Arc::clone(&heard);
            let hear: Hear = Box::new(move |order: Order| {
                heard.fetch_add(u64::from(order.price > 0.0), Ordering::Relaxed);
            });
            (name, hear)
        });
        let handlers: HashMap<String, Hear> = handlers.collect();
        tasks.push(tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                let Message::Text(text) = message else {
                    continue;
                };
                let Ok(said) = serde_json::from_str::<Said<'_>>(&text) else {
                    continue;
                };
                if said.r#type == "message"
                    && let (Some(room), Some(data)) = (said.room, said.data)
                    && let Some(hear) = handlers.get(room)
                    && let Ok(order) = serde_json::from_str(data.get())
                {
                    hear(order);
                }
            }
        }));
    }
    let counted = measured(time, CONNECTIONS, || heard.load(Ordering::Relaxed)).await;
    tasks.iter().for_each(|task| task.abort());
    counted
}

pub(crate) async fn idle(address: &str, count: usize) -> Outcome<Counted> {
    for number in 0..count {
        let mut socket = connect(address).await?;
        join(&mut socket, vec![format!("idle-{}", number % 10)]).await?;
        tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
    }
    Ok((0, 0, count as u64))
}
