//! An operator: asks a server's admin port one thing after the other, each on a connection of its
//! own, as the port has it. Called by `scraped`, `batches` and `observed`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Without an answer for so long, the server is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// See above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator {
    address: SocketAddr,
}

impl Operator {
    /// For the admin port at this address.
    pub(crate) fn new(address: SocketAddr) -> Operator {
        Operator { address }
    }

    /// The body of the answer to a GET.
    ///
    /// # Errors
    /// The server is gone, or answers with another status than 200.
    pub(crate) fn get(self, path: &str) -> io::Result<Vec<u8>> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// The same of a call with a body in JSON.
    ///
    /// # Errors
    /// Alike.
    pub(crate) fn post(self, path: &str, json: &str) -> io::Result<Vec<u8>> {
        let length = json.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        ))
    }

    fn ask(self, request: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut stream = BufReader::new(stream);
        let (first, length) = read_head(&mut stream)?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
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
