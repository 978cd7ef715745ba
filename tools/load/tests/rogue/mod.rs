//! A server that echoes, and breaks the rules below the messages: at its door, in its frames, or by
//! going away. Bytes by hand: no library would send them. Called by `transport`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use tungstenite::handshake::derive_accept_key;

/// What the server does wrong.
#[derive(Clone, Debug)]
pub(crate) enum Conduct {
    /// It hangs up before anything was said.
    HangUpFirst,
    /// It says this first, and then nothing.
    SpeakFirst(&'static str),
    /// It answers the request with this and keeps the connection; `KEY` stands for the right
    /// Sec-WebSocket-Accept.
    Answer(&'static str),
    /// The same, and hangs up.
    AnswerAndHangUp(&'static str),
    /// It sends this in the place of the sixth echo of the first connection that gets so far, and
    /// then nothing more.
    Say(Vec<u8>),
    /// The same, and hangs up.
    SayAndHangUp(Vec<u8>),
    /// It agrees on permessage-deflate, and echoes each message in the form in which it came; in
    /// the place of the sixth of the first connection that gets so far it sends these bytes, if
    /// there are any, and then nothing more.
    Compress(Vec<u8>),
    /// It reads no more instead of the sixth echo of that connection.
    StopReading,
    /// It ends all connections instead of that echo, and listens no more.
    Die,
    /// The same when so many connections have come.
    DieBehind(usize),
}

/// Which echo is withheld.
const FAULTY: usize = 6;
/// A good answer.
pub(crate) const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n\r\n";

/// One that accepts compression.
const COMPRESSES: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n";

struct Rogue {
    address: SocketAddr,
    /// Taken by the connection that is to suffer, where only one is.
    conduct: Mutex<Option<Conduct>>,
    /// Every connection, so that all can end; `None`: the server is dead.
    streams: Mutex<Option<Vec<TcpStream>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Starts it. Returns the requests that it will have had, too.
pub(crate) fn serve(conduct: Conduct) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::default();
    let rogue = Arc::new(Rogue {
        address,
        conduct: Mutex::new(Some(conduct)),
        streams: Mutex::new(Some(Vec::new())),
        requests: Arc::clone(&requests),
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let came = match &mut *rogue.streams.lock().unwrap() {
                Some(streams) => {
                    streams.push(stream.try_clone().unwrap());
                    streams.len()
                }
                None => return,
            };
            let last = rogue.conduct.lock().unwrap().clone();
            if matches!(last, Some(Conduct::DieBehind(count)) if came > count) {
                return rogue.end();
            }
            let rogue = Arc::clone(&rogue);
            std::thread::spawn(move || rogue.admit(stream));
        }
    });
    (address, requests)
}

impl Rogue {
    fn admit(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let conduct = self.conduct.lock().unwrap().clone();
        if let Some(Conduct::HangUpFirst) = conduct {
            stream.shutdown(Shutdown::Write).unwrap();
            return hold(stream);
        }
        if let Some(Conduct::SpeakFirst(words)) = conduct {
            stream.write_all(words.as_bytes()).unwrap();
            return hold(stream);
        }
        let Some(request) = head(&mut stream) else {
            return;
        };
        let key = request
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = derive_accept_key(key.unwrap().as_bytes());
        self.requests.lock().unwrap().push(request.clone());
        let (answer, stays) = match conduct {
            Some(Conduct::Compress(_)) => (COMPRESSES, true),
            Some(Conduct::Answer(answer)) => (answer, true),
            Some(Conduct::AnswerAndHangUp(answer)) => (answer, false),
            _ => (GOOD, true),
        };
        // Whoever is gone does not hear it.
        let _ = stream.write_all(answer.replace("KEY", &accept).as_bytes());
        if !stays {
            let _ = stream.shutdown(Shutdown::Write);
        }
        if [GOOD, COMPRESSES].contains(&answer) && stays {
            self.echo(&mut stream);
        }
        hold(stream);
    }

    fn echo(&self, stream: &mut TcpStream) {
        for seen in 1.. {
            let Some((first, payload)) = frame(stream) else {
                return;
            };
            if first == 0x88 {
                let _ = stream.write_all(&unmasked(0x88, &payload));
                let _ = stream.shutdown(Shutdown::Write);
                return;
            }
            let fault = if seen == FAULTY { self.fault() } else { None };
            let (said, stays) = match fault {
                Some(Conduct::Say(said)) => (said, true),
                Some(Conduct::Compress(said)) if !said.is_empty() => (said, true),
                Some(Conduct::SayAndHangUp(said)) => (said, false),
                Some(Conduct::StopReading) => return park(),
                Some(Conduct::Die) => {
                    self.end();
                    // Wakes the listener, which then ends.
                    let _ = TcpStream::connect(self.address);
                    return;
                }
                _ => {
                    if stream.write_all(&unmasked(first, &payload)).is_err() {
                        return;
                    }
                    continue;
                }
            };
            let _ = stream.write_all(&said);
            if !stays {
                let _ = stream.shutdown(Shutdown::Write);
            }
            return;
        }
    }

    /// For one connection only; the others are treated honestly, and those that come later, too.
    fn fault(&self) -> Option<Conduct> {
        let mut conduct = self.conduct.lock().unwrap();
        let honest = match *conduct {
            Some(Conduct::Compress(_)) => Some(Conduct::Compress(Vec::new())),
            _ => None,
        };
        std::mem::replace(&mut conduct, honest)
    }

    /// Of all connections.
    fn end(&self) {
        let streams = self.streams.lock().unwrap().take();
        for stream in streams.into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A frame without a mask; the first byte as given.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(length as u8),
        length @ 126..65_536 => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

/// The first byte and the payload of the next frame.
fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut take = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let head = take(2)?;
    let length = match head[1] & 0x7f {
        126 => take(2)?,
        127 => take(8)?,
        length => vec![length],
    };
    let length = length
        .iter()
        .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    let key = take(4)?;
    let payload = take(length)?;
    let clear = payload.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b);
    Some((head[0], clear.collect()))
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    String::from_utf8(head).ok()
}

/// Takes what comes and answers nothing, until the client ends the connection.
fn hold(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while matches!(stream.read(&mut bytes), Ok(1..)) {}
}

/// Until the test process ends.
fn park() {
    loop {
        std::thread::park();
    }
}
