//! Small servers that speak the raw or the native protocol, honestly or with one fault towards one
//! connection. Threads and tungstenite; each lives until the test process ends.

mod queue;

use queue::Queue;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Message, WebSocket};

/// What the server does wrong, once, with the sixth measured message of the first connection that
/// gets any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is not sent.
    Drop,
    /// It is sent twice.
    Duplicate,
    /// It is sent after the next one.
    Delay,
    /// It is sent after the next one of another publisher.
    DelayBehindAnother,
    /// It is sent after the next one of the same publisher.
    DelayBehindOwn,
    /// One bit is flipped.
    Damage,
    /// The connection is closed with 1008 instead.
    Close,
    /// Neither it nor any later one is sent, and not one of any other connection from its sixth on.
    Overload,
    /// Nothing, but who reads too slowly is closed with 1008.
    CloseSlow,
    /// Nothing, but who reads too slowly does not get everything.
    SkipSlow,
}

/// How the server treats connections by their number, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// It is upgraded.
    Open,
    /// Its upgrade is refused with 503.
    Refuse,
    /// Its upgrade is not answered.
    Silent,
    /// It is upgraded, and what it sends is not answered.
    Deaf,
    /// It is closed with 1008 as soon as it sends something.
    CloseEarly,
    /// It is closed with 1008 after its first echo.
    CloseLate,
    /// Its close frame is not answered.
    Clinging,
    /// When it sends a close frame, the server only hangs up.
    Curt,
    /// Its close frame is answered, but the server does not hang up.
    Lingering,
}

/// What the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `S`, `P`, echo.
    Raw,
    /// JSON.
    Native,
}

type Writer = Arc<Mutex<WebSocket<TcpStream>>>;

struct Hub {
    dialect: Dialect,
    /// Taken by the connection that is to suffer.
    fault: Mutex<Fault>,
    /// For connections with these numbers.
    door: (Door, Range<usize>),
    arrived: AtomicUsize,
    subscribers: Mutex<Vec<Subscriber>>,
}

struct Subscriber {
    room: String,
    writer: Writer,
    gate: Gate,
    queue: Option<Queue>,
}

/// Starts a server.
pub(crate) fn serve(dialect: Dialect, fault: Fault) -> SocketAddr {
    serve_with_door(dialect, fault, (Door::Open, 0..0))
}

/// Starts a server that treats connections with these numbers, from 0, in this way.
pub(crate) fn serve_with_door(
    dialect: Dialect,
    fault: Fault,
    door: (Door, Range<usize>),
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hub = Arc::new(Hub {
        dialect,
        fault: Mutex::new(fault),
        door,
        arrived: AtomicUsize::new(0),
        subscribers: Mutex::default(),
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let hub = Arc::clone(&hub);
            let number = hub.arrived.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || hub.admit(stream, number));
        }
    });
    address
}

impl Hub {
    fn admit(&self, stream: TcpStream, number: usize) {
        let (door, numbers) = &self.door;
        let door = if numbers.contains(&number) {
            *door
        } else {
            Door::Open
        };
        stream.set_nodelay(true).unwrap();
        let whole = stream.try_clone().unwrap();
        match door {
            Door::Silent => return hold(whole),
            Door::Refuse => return refuse(whole),
            _ => {}
        }
        self.attend(stream, door);
        if matches!(door, Door::Deaf | Door::Clinging | Door::Lingering) {
            return hold(whole);
        }
        // Subscriptions still have it.
        let _ = whole.shutdown(Shutdown::Both);
    }

    /// Until the connection is to end.
    fn attend(&self, stream: TcpStream, door: Door) {
        let write_half = stream.try_clone().unwrap();
        let Ok(mut reader) = tungstenite::accept(stream) else {
            return;
        };
        let writer = Arc::new(Mutex::new(WebSocket::from_raw_socket(
            write_half,
            Role::Server,
            None,
        )));
        let mut gate = Gate::honest();
        if self.dialect == Dialect::Native {
            write(
                &writer,
                Message::text(r#"{"type":"welcome","connection":"1","server":"test"}"#),
            );
        }
        while let Ok(message) = reader.read() {
            match (door, &message) {
                (Door::CloseEarly, _) => return close(&writer),
                (Door::Deaf | Door::Clinging | Door::Curt, Message::Close(_)) => return,
                (Door::Deaf, _) => continue,
                _ => {}
            }
            match (self.dialect, message) {
                (Dialect::Raw, Message::Binary(bytes)) => self.raw(&bytes, &writer, &mut gate),
                (Dialect::Native, Message::Text(text)) => self.native(&text, &writer, &mut gate),
                // The next read sends the answer and ends.
                (_, Message::Close(_)) => {}
                _ => return,
            }
            if door == Door::CloseLate && gate.seen == 1 {
                return close(&writer);
            }
        }
    }

    fn raw(&self, bytes: &[u8], writer: &Writer, gate: &mut Gate) {
        match bytes[0] {
            b'S' => self.subscribe("", writer),
            b'P' => self.publish(Some(""), &Message::binary(bytes[1..].to_vec())),
            kind => {
                if kind == b'e' && gate.fault == Fault::None {
                    gate.fault = self.claim();
                }
                gate.pass(Message::binary(bytes.to_vec()), writer);
            }
        }
    }

    fn native(&self, text: &str, writer: &Writer, gate: &mut Gate) {
        let value: Value = serde_json::from_str(text).unwrap();
        let (id, data) = (&value["id"], &value["data"]);
        match (value["type"].as_str().unwrap(), value["room"].as_str()) {
            ("join_room", Some(room)) => {
                self.subscribe(room, writer);
                write(
                    writer,
                    Message::text(format!(
                        r#"{{"type":"joined","id":{id},"room":"{room}","members":1}}"#
                    )),
                );
            }
            ("broadcast", room) => {
                let shown = room.map_or(String::new(), |room| format!(r#""room":"{room}","#));
                self.publish(
                    room,
                    &Message::text(format!(
                        r#"{{"type":"message",{shown}"from":"1","data":{data}}}"#
                    )),
                );
            }
            ("echo", None) => {
                gate.fault = if gate.fault == Fault::None {
                    self.claim()
                } else {
                    gate.fault
                };
                gate.pass(
                    Message::text(format!(r#"{{"type":"echo","id":{id},"data":{data}}}"#)),
                    writer,
                );
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn claim(&self) -> Fault {
        let mut fault = self.fault.lock().unwrap();
        match *fault {
            Fault::Overload => Fault::Overload,
            _ => std::mem::replace(&mut *fault, Fault::None),
        }
    }

    fn subscribe(&self, room: &str, writer: &Writer) {
        let policy = *self.fault.lock().unwrap();
        let queue = matches!(policy, Fault::CloseSlow | Fault::SkipSlow)
            .then(|| Queue::new(writer, policy));
        let gate = Gate {
            fault: if queue.is_some() {
                Fault::None
            } else {
                self.claim()
            },
            ..Gate::honest()
        };
        let subscriber = Subscriber {
            room: room.into(),
            writer: Arc::clone(writer),
            gate,
            queue,
        };
        self.subscribers.lock().unwrap().push(subscriber);
    }

    /// `None`: to everyone. One order for all, because of the lock.
    fn publish(&self, room: Option<&str>, message: &Message) {
        for subscriber in self.subscribers.lock().unwrap().iter_mut() {
            if room.is_none_or(|room| room == subscriber.room) {
                match &mut subscriber.queue {
                    Some(queue) => queue.push(message.clone()),
                    None => subscriber.gate.pass(message.clone(), &subscriber.writer),
                }
            }
        }
    }
}

/// Lets messages pass, but for one.
struct Gate {
    fault: Fault,
    seen: u32,
    held: Option<Message>,
}

/// The number of the message that a fault strikes.
pub(crate) const FAULTY: u32 = 6;

impl Gate {
    fn honest() -> Gate {
        Gate {
            fault: Fault::None,
            seen: 0,
            held: None,
        }
    }

    fn pass(&mut self, message: Message, writer: &Writer) {
        // Probes and barriers are not measured.
        let measured = !matches!(stamp(&message).first(), Some(b'q' | b'b'));
        self.seen += u32::from(measured);
        if let Some(held) = self.held.take() {
            let own = sender(&held) == sender(&message);
            match self.fault {
                Fault::DelayBehindAnother if own => {
                    write(writer, held);
                    self.held = Some(message);
                }
                Fault::DelayBehindOwn if !own => {
                    write(writer, message);
                    self.held = Some(held);
                }
                _ => {
                    write(writer, message);
                    write(writer, held);
                }
            }
            return;
        }
        let overloaded = self.fault == Fault::Overload && self.seen > FAULTY;
        if !measured || self.seen != FAULTY && !overloaded {
            return write(writer, message);
        }
        match self.fault {
            Fault::None | Fault::CloseSlow | Fault::SkipSlow => write(writer, message),
            Fault::Drop | Fault::Overload => {}
            Fault::Duplicate => {
                write(writer, message.clone());
                write(writer, message);
            }
            Fault::Delay | Fault::DelayBehindAnother | Fault::DelayBehindOwn => {
                self.held = Some(message)
            }
            Fault::Damage => {
                let mut bytes = message.into_data().to_vec();
                bytes[40] ^= 1;
                write(writer, Message::binary(bytes));
            }
            Fault::Close => close(writer),
        }
    }
}

/// Bytes of the stamp that a message carries: in native as hexadecimal digits at the start of its
/// data.
fn stamp(message: &Message) -> Vec<u8> {
    match message {
        Message::Binary(bytes) => bytes.to_vec(),
        Message::Text(text) => {
            let data = text.split_once(r#""data":""#).map_or("", |(_, data)| data);
            let digits = (0..64).step_by(2).map_while(|at| data.get(at..at + 2));
            digits
                .map_while(|digits| u8::from_str_radix(digits, 16).ok())
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Of a stamp: bytes 4 to 8.
fn sender(message: &Message) -> Vec<u8> {
    stamp(message).into_iter().skip(4).take(4).collect()
}

fn close(writer: &Writer) {
    let frame = CloseFrame {
        code: 1008.into(),
        reason: "enough".into(),
    };
    write(writer, Message::Close(Some(frame)));
}

fn refuse(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut bytes = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(count @ 1..) => request.extend_from_slice(&bytes[..count]),
            _ => return,
        }
    }
    // The client may have gone.
    let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
}

/// Keeps the connection until the client ends it.
fn hold(mut stream: TcpStream) {
    let mut bytes = [0; 1024];
    while matches!(stream.read(&mut bytes), Ok(1..)) {}
}

/// The client may have gone.
fn write(writer: &Writer, message: Message) {
    let _ = writer.lock().unwrap().send(message);
}
