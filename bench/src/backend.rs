//! Backends of the gateway that accept everything at once: one behind webhooks, one on a Unix
//! socket; and a collector of traces that takes whatever comes. Threads of the bench, whose own
//! cost does not count. Called by `backends` and `observed`.

use crate::operator::read_head;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

/// Answers every POST with 200 and this body, on a port of its own. Its thread ends with the
/// process.
///
/// # Errors
/// There is no port.
pub(crate) fn answer_posts(body: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_on(stream, body));
        }
    });
    Ok(address)
}

/// Until the connection ends.
fn answer_on(stream: TcpStream, body: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut asked = Vec::new();
    loop {
        let (_, length) = read_head(&mut stream)?;
        asked.resize(length, 0);
        stream.read_exact(&mut asked)?;
        stream.get_mut().write_all(answer.as_bytes())?;
    }
}

/// A backend on a Unix socket, whose file goes when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketBackend(PathBuf);

impl SocketBackend {
    /// Listens. Its thread ends with the process.
    ///
    /// # Errors
    /// The folder for temporary files is not writable.
    pub(crate) fn start() -> io::Result<SocketBackend> {
        let name = format!("shardcast-bench-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Of a process of this id that ended badly.
        let _none_there = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || accept_all(&stream));
            }
        });
        Ok(SocketBackend(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketBackend {
    fn drop(&mut self) {
        // The folder is cleaned up by whoever cleans that up.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Accepts each event of the stream (`proto/gateway.proto`), until it ends. What came together is
/// answered together.
fn accept_all(stream: &UnixStream) -> io::Result<()> {
    const READ_BYTES: usize = 64 << 10;
    let (mut reader, mut writer) = (stream, stream);
    let (mut unread, mut answers) = (Vec::new(), Vec::new());
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        unread.extend_from_slice(&chunk[..read]);
        let mut at = 0;
        while let Some(frame) = frame_at(&unread, at) {
            at += 4 + frame.len();
            if let Some(id) = event_id(frame) {
                push_answer(&mut answers, id);
            }
        }
        unread.drain(..at);
        writer.write_all(&answers)?;
        answers.clear();
    }
}

/// The frame that begins there, if all of it is there.
fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let head = bytes.get(at..at + 4)?;
    let length = u32::from_be_bytes(head.try_into().ok()?) as usize;
    bytes.get(at + 4..at + 4 + length)
}

/// The id of an `Event` in a `ToBackend`: both stand first. `None`: it is something else.
fn event_id(frame: &[u8]) -> Option<u64> {
    const EVENT: u8 = 2 << 3 | 2;
    const ID: u8 = 1 << 3;
    let (EVENT, rest) = frame.split_first().map(|(tag, rest)| (*tag, rest))? else {
        return None;
    };
    let (_, rest) = varint(rest)?;
    let (ID, rest) = rest.split_first().map(|(tag, rest)| (*tag, rest))? else {
        return None;
    };
    varint(rest).map(|(id, _)| id)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// A frame with a `ToServer` that has an `Answer` of this id and nothing else: it accepts.
fn push_answer(out: &mut Vec<u8>, id: u64) {
    let mut answer = vec![1 << 3];
    let mut left = id;
    loop {
        let low = (left & 0x7f) as u8;
        left >>= 7;
        if left == 0 {
            answer.push(low);
            break;
        }
        answer.push(low | 0x80);
    }
    let length = 2 + answer.len();
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(&[1 << 3 | 2, answer.len() as u8]);
    out.extend_from_slice(&answer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_answered_under_its_id() {
        for id in [1, 127, 128, 300, u64::MAX] {
            let mut answer = Vec::new();
            push_answer(&mut answer, id);
            let frame = frame_at(&answer, 0).expect("it is whole");
            assert_eq!(frame.len() + 4, answer.len());
            // An event looks alike, under another number.
            let mut event = frame.to_vec();
            assert_eq!(event_id(&event), None);
            event[0] = 2 << 3 | 2;
            assert_eq!(event_id(&event), Some(id));
            for length in 0..answer.len() {
                assert_eq!(frame_at(&answer[..length], 0), None);
            }
        }
    }
}
