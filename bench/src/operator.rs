//! An operator: one connection to a server's admin port that is kept, and asks one thing after the
//! other. Called by `scraped`, `batches` and `observed`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Without an answer for so long, the server is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// See above.
#[derive(Debug)]
pub(crate) struct Operator {
    stream: BufReader<TcpStream>,
}

impl Operator {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Operator> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Operator {
            stream: BufReader::new(stream),
        })
    }

    /// The body of the answer to a GET.
    ///
    /// # Errors
    /// The server is gone, or answers with another status than 200.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    /// The same of a call with a body in JSON.
    ///
    /// # Errors
    /// Alike.
    pub(crate) fn post(&mut self, path: &str, json: &str) -> io::Result<Vec<u8>> {
        let length = json.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Vec<u8>> {
        let (first, length) = read_head(&mut self.stream)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        match first.split(' ').nth(1) {
            Some("200") => Ok(body),
            _ => Err(io::Error::other(format!(
                "{first}: {}",
                String::from_utf8_lossy(&body)
            ))),
        }
    }
}

/// The first line of a head, and how long the body behind it is.
pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<(String, usize)> {
    let mut line = || {
        let mut text = String::new();
        match stream.read_line(&mut text)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(text.trim_end().to_owned()),
        }
    };
    let first = line()?;
    let mut length = 0;
    loop {
        let header = line()?;
        if header.is_empty() {
            return Ok((first, length));
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
}
