//! As much of Redis' protocol as a measurement needs: commands out, one after the other or many at
//! once, and answers back. Used by the parts of the work.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Without an answer for so long, the broker is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Arrays in arrays, and no deeper.
const DEPTH_MAX: u32 = 8;

/// A connection.
#[derive(Debug)]
pub(super) struct Resp {
    from: BufReader<TcpStream>,
    out: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RespAnswer {
    Text(String),
    List(Vec<RespAnswer>),
    Nothing,
}

impl RespAnswer {
    /// What it says, if it is a text.
    pub(super) fn text(self) -> String {
        match self {
            RespAnswer::Text(text) => text,
            RespAnswer::List(_) | RespAnswer::Nothing => String::new(),
        }
    }
}

impl Resp {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Resp> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Resp {
            from: BufReader::new(socket),
            out: Vec::new(),
        })
    }

    /// Says a command with the next [`Resp::flush`].
    pub(super) fn say(&mut self, words: &[&[u8]]) {
        self.out.extend(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.out.extend(format!("${}\r\n", word.len()).as_bytes());
            self.out.extend_from_slice(word);
            self.out.extend(b"\r\n");
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.from.get_mut().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next answer.
    ///
    /// # Errors
    /// The broker refuses, is gone or says nothing in time.
    pub(super) fn hear(&mut self) -> io::Result<RespAnswer> {
        read(&mut self.from, DEPTH_MAX)
    }

    pub(super) fn ask(&mut self, words: &[&[u8]]) -> io::Result<RespAnswer> {
        self.say(words);
        self.flush()?;
        self.hear()
    }
}

fn read(from: &mut impl BufRead, depth: u32) -> io::Result<RespAnswer> {
    let malformed = |line: &str| io::Error::other(format!("no answer of Redis: {line:?}"));
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| malformed(line))?;
    let count = || rest.parse::<i64>().map_err(|_| malformed(line));
    match kind {
        "+" | ":" => Ok(RespAnswer::Text(rest.to_owned())),
        "-" => Err(io::Error::other(rest.to_owned())),
        "$" => match usize::try_from(count()?) {
            Err(_) => Ok(RespAnswer::Nothing),
            Ok(bytes) => {
                let mut text = vec![0; bytes + 2];
                from.read_exact(&mut text)?;
                text.truncate(bytes);
                Ok(RespAnswer::Text(
                    String::from_utf8_lossy(&text).into_owned(),
                ))
            }
        },
        "*" if depth > 0 => match usize::try_from(count()?) {
            Err(_) => Ok(RespAnswer::Nothing),
            Ok(count) => (0..count)
                .map(|_| read(from, depth - 1))
                .collect::<io::Result<_>>()
                .map(RespAnswer::List),
        },
        _ => Err(malformed(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole() {
        let text = |text: &str| RespAnswer::Text(text.to_owned());
        for (bytes, expected) in [
            ("+OK\r\n", text("OK")),
            (":17\r\n", text("17")),
            ("$4\r\na\r\nb\r\n", text("a\r\nb")),
            ("$-1\r\n", RespAnswer::Nothing),
            (
                "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
                RespAnswer::List(vec![text("a"), RespAnswer::List(vec![text("1")])]),
            ),
        ] {
            let mut from = bytes.as_bytes();
            assert_eq!(read(&mut from, DEPTH_MAX).expect(bytes), expected);
            assert!(from.is_empty(), "{bytes:?}");
        }
        for bytes in ["", "-ERR no\r\n", "?\r\n", "$x\r\n", "$4\r\nab"] {
            assert!(read(&mut bytes.as_bytes(), DEPTH_MAX).is_err(), "{bytes:?}");
        }
        let deep = "*1\r\n".repeat(100);
        assert!(read(&mut deep.as_bytes(), DEPTH_MAX).is_err());
    }
}
