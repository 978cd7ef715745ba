//! A connection through a proxy: `CONNECT` (RFC 9110 §9.3.6).
//!
//! Invariant: nothing is sent through a proxy that has not agreed.

use super::eyeballs;
use super::upgrade::{HEAD_BYTES_MAX, Head};
use crate::address::ProxyAddress;
use crate::error::{Error, ErrorKind};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) async fn connect(
    proxy: &ProxyAddress,
    host: &str,
    port: u16,
) -> Result<TcpStream, Error> {
    let mut socket = eyeballs::connect(&proxy.host, proxy.port).await?;
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let credentials = proxy
        .credentials
        .as_ref()
        .map_or_else(String::new, |credentials| {
            let encoded = BASE64_STANDARD.encode(credentials);
            format!("Proxy-Authorization: Basic {encoded}\r\n")
        });
    let request =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{credentials}\r\n");
    let failed = |error: std::io::Error| Error::caused(ErrorKind::Connect, error);
    socket.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    // Byte by byte at the end: what follows the head belongs to the tunnel.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= HEAD_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Connect,
                "the proxy's answer has no end",
            ));
        }
        answer.push(socket.read_u8().await.map_err(failed)?);
    }
    match Head::parse(&answer) {
        Some(Head {
            status: 200..=299, ..
        }) => Ok(socket),
        Some(Head { status, .. }) => {
            let message = format!("the proxy answered {status}");
            Err(Error::new(ErrorKind::Connect, message))
        }
        None => Err(Error::new(
            ErrorKind::Connect,
            "the proxy's answer is no HTTP",
        )),
    }
}
