//! The admin port over TLS: who shows a certificate, a token, neither, or somebody else's; that
//! probes need none of them, and wait behind nobody.

use crate::{request, status_of};
use rustls::ClientConfig;
use shardcast_tests::{Certificates, PATIENCE, Served, secure, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

const TOKEN: &str = "planted-secret-0123456789abcdef0123456789";

/// A file with the operators' token, which goes when the test ends.
struct TokenFile(std::path::PathBuf);

impl TokenFile {
    fn new() -> TokenFile {
        let name = format!("shardcast-operators-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, TOKEN).expect("a temporary file");
        TokenFile(path)
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _nobody_minds = std::fs::remove_file(&self.0);
    }
}

/// A server whose admin port speaks TLS, with these keys of its section besides.
#[track_caller]
fn encrypted(certificates: &Certificates, more: &str) -> Served {
    crate::serve(&format!(
        "[admin]\ncertificate = '{}'\nkey = '{}'\n{more}",
        certificates.file("localhost.pem"),
        certificates.file("localhost.key")
    ))
}

/// The status of an answer; `None`: the connection ends without one.
fn asked(served: &Served, client: &Arc<ClientConfig>, path: &str, headers: &[&str]) -> Option<u16> {
    let socket = TcpStream::connect(served.address("https")).expect("it accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let mut stream = secure(client, socket);
    let said = request(
        &format!("GET {path}"),
        &[&["Host: localhost"], headers].concat(),
    );
    stream.write_all(said.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // What comes before an end without close_notify counts, too.
    let _end = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).expect("UTF-8");
    (!answer.is_empty()).then(|| status_of(&answer))
}

#[test]
fn a_certificate_or_the_token_lets_operators_in() {
    let (own, foreign, token) = (Certificates::make(), Certificates::make(), TokenFile::new());
    let authority = format!("client_ca = '{}'\n", own.file("authority.pem"));
    let file = format!("token_file = '{}'\n", token.0.display());
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let (nobody, operator) = (own.client(), own.client_showing(&own));
    let stranger = own.client_showing(&foreign);
    for (keys, certified, bare, with_token) in [
        (authority.clone(), Some(200), Some(403), Some(403)),
        (authority + &file, Some(200), Some(401), Some(200)),
        (file, Some(401), Some(401), Some(200)),
    ] {
        let served = encrypted(&own, &keys);
        let ask = |client: &Arc<ClientConfig>, path: &str, headers: &[&str]| {
            asked(&served, client, path, headers)
        };
        assert_eq!(ask(&operator, "/metrics", &[]), certified, "{keys}");
        assert_eq!(ask(&nobody, "/metrics", &[]), bare, "{keys}");
        assert_eq!(ask(&nobody, "/metrics", &[&bearer]), with_token, "{keys}");
        // Who shows what nobody issued is not answered at all, if anybody looks at it.
        let looked_at = keys.contains("client_ca");
        let answered = ask(&stranger, "/metrics", &[]);
        assert_eq!(answered.is_none(), looked_at, "{keys}: {answered:?}");
        for probe in ["/health", "/ready"] {
            assert_eq!(ask(&nobody, probe, &[]), Some(200), "{keys} {probe}");
        }
        // Pages of others may not use an operator's certificate, which browsers show by themselves.
        let page = ["Origin: https://evil.example"];
        let foreign_page = ask(&operator, "/metrics", &page);
        assert_eq!(foreign_page, Some(403), "{keys}");
    }
}

#[test]
fn certificates_are_read_again_and_bad_ones_change_nothing() {
    let (own, next) = (Certificates::make(), Certificates::make());
    let served = encrypted(&own, "");
    let copy = |name: &str| std::fs::copy(next.file(name), own.file(name)).expect("a file");
    assert_eq!(asked(&served, &own.client(), "/health", &[]), Some(200));
    std::fs::write(own.file("localhost.pem"), "nothing").expect("a file");
    served.hang_up();
    wait_until("it is told", || served.log().contains("stays as it is"));
    assert_eq!(asked(&served, &own.client(), "/health", &[]), Some(200));
    copy("localhost.pem");
    copy("localhost.key");
    served.hang_up();
    wait_until("the new one is shown", || {
        asked(&served, &next.client(), "/health", &[]) == Some(200)
    });
    assert_eq!(asked(&served, &own.client(), "/health", &[]), None);
}

#[test]
fn probes_wait_behind_nobody() {
    let own = Certificates::make();
    let served = encrypted(&own, "");
    let connect = || TcpStream::connect(served.address("https")).expect("it accepts");
    // More than the port has places for: silent ones, and handshakes that stop in the middle.
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let kept: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut socket = connect();
            if number % 2 == 0 {
                socket.write_all(&hello).expect("a new socket");
            }
            socket
        })
        .collect();
    for probe in ["/health", "/ready", "/health"] {
        assert_eq!(asked(&served, &own.client(), probe, &[]), Some(200));
    }
    drop(kept);
}
