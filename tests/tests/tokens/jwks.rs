//! Sets of keys that somebody else keeps: a small HTTP server of the test's own has one, and is
//! down, slow, redirecting, broken, or has exchanged its keys while clients connect.

use crate::signed::{Folder, claims, es256, es256_pair};
use crate::{bearer, outcome, serve};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};
use shardcast_tests::{PATIENCE, Served, is_reached_within};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// An HTTP server that answers whatever it is told to, as long as its process lives.
struct Issuer {
    address: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn start() -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let issuer = Issuer {
            address: listener.local_addr().expect("bound"),
            answer: Arc::default(),
            asked: Arc::default(),
        };
        let (answer, asked) = (Arc::clone(&issuer.answer), Arc::clone(&issuer.asked));
        thread::spawn(move || {
            // Whom nothing is answered waits for the end of the process.
            let mut kept: Vec<TcpStream> = Vec::new();
            for client in listener.incoming() {
                let Ok(mut client) = client else { continue };
                asked.fetch_add(1, Ordering::Relaxed);
                let mut head = [0; 4096];
                let _read = client.read(&mut head);
                match answer.lock().expect("no panic").clone() {
                    Some(answer) => drop(client.write_all(answer.as_bytes())),
                    None => kept.push(client),
                }
            }
        });
        issuer
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Answers nothing any more.
    fn is_silent(&self) {
        *self.answer.lock().expect("no panic") = None;
    }

    fn says(&self, status: &str, more: &str, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n{body}");
        *self.answer.lock().expect("no panic") = Some(answer);
    }

    fn has(&self, keys: &[Value]) {
        self.says("200 OK", "", &json!({ "keys": keys }).to_string());
    }
}

/// The public key of a pair, as a set has it.
fn jwk(pair: &KeyPair, kid: &str) -> Value {
    let point = pair.der_bytes();
    let (x, y) = point[1..].split_at(32);
    let text = |bytes| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": text(x), "y": text(y)})
}

fn guarded(source: &str, more: &str) -> Served {
    serve(&format!(
        "[auth]\ntokens = \"required\"\n[auth.jwks.main]\n{source}\nrefresh = \"1s\"\n{more}"
    ))
}

/// The status that a token of this key is answered with.
fn status_at(address: SocketAddr, pair: &KeyPair, kid: &str) -> u16 {
    let token = es256(pair, Some(kid), &claims());
    outcome(address, "/ws", &bearer(&token)).0
}

fn status(served: &Served, pair: &KeyPair, kid: &str) -> u16 {
    status_at(served.address("ws"), pair, kid)
}

#[track_caller]
fn becomes(served: &Served, pair: &KeyPair, kid: &str, want: u16) {
    let mut last = 0;
    let reached = is_reached_within(PATIENCE, || {
        last = status(served, pair, kid);
        last == want
    });
    assert!(reached, "{last} instead of {want}: {}", served.log());
}

#[test]
fn keys_are_exchanged_under_load() {
    let (old, new, stranger) = (es256_pair(), es256_pair(), es256_pair());
    let issuer = Issuer::start();
    issuer.has(&[json!({"kty": "oct", "k": "AAAA"}), jwk(&old, "1")]);
    let served = guarded(&format!("url = \"{}\"", issuer.url()), "");
    becomes(&served, &old, "1", 101);
    assert_eq!(status(&served, &stranger, "1"), 401);
    let address = served.address("ws");
    thread::scope(|scope| {
        // While others come and go with both keys, nobody is answered anything else than its key
        // deserves: the old one is taken until it is gone, the new one once it is there.
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..20)
                        .map(|_| status_at(address, &old, "1"))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        issuer.has(&[jwk(&old, "1"), jwk(&new, "2")]);
        becomes(&served, &new, "2", 101);
        for client in clients {
            let statuses = client.join().expect("no panic");
            assert!(statuses.iter().all(|status| *status == 101), "{statuses:?}");
        }
    });
    issuer.has(&[jwk(&new, "2")]);
    becomes(&served, &old, "1", 401);
    assert_eq!(status(&served, &new, "2"), 101);
}

#[test]
fn a_set_that_cannot_be_had_is_used_as_it_was_and_then_not_at_all() {
    let pair = es256_pair();
    let issuer = Issuer::start();
    let elsewhere = Issuer::start();
    elsewhere.has(&[jwk(&pair, "1")]);
    // Redirecting: whoever answers must be whom the configuration names.
    let to = format!("Location: {}\r\n", elsewhere.url());
    issuer.says("302 Found", &to, "");
    let served = guarded(&format!("url = \"{}\"", issuer.url()), "stale = \"3s\"\n");
    let (code, reason) = outcome(
        served.address("ws"),
        "/ws",
        &bearer(&es256(&pair, Some("1"), &claims())),
    );
    assert_eq!(code, 503, "{reason}");
    assert!(reason.contains("are not there now"), "{reason}");
    assert_eq!(elsewhere.asked(), 0);
    issuer.has(&[jwk(&pair, "1")]);
    becomes(&served, &pair, "1", 101);
    // Down, broken, too large: the copy is used, and given up when it is too old.
    for (answer, body) in [
        ("500 Internal Server Error", String::new()),
        ("200 OK", "no JSON".to_owned()),
        ("200 OK", "{\"keys\":[]}".to_owned()),
        ("200 OK", " ".repeat(300 << 10)),
    ] {
        issuer.says(answer, "", &body);
        let asked = issuer.asked();
        assert!(is_reached_within(PATIENCE, || issuer.asked() > asked));
        becomes(&served, &pair, "1", 503);
        issuer.has(&[jwk(&pair, "1")]);
        becomes(&served, &pair, "1", 101);
    }
    assert!(
        served.log().contains("redirects are not followed"),
        "{}",
        served.log()
    );
}

#[test]
fn a_slow_issuer_holds_nobody_up_whose_key_is_known() {
    let (pair, other) = (es256_pair(), es256_pair());
    let issuer = Issuer::start();
    issuer.has(&[jwk(&pair, "1")]);
    let served = guarded(&format!("url = \"{}\"", issuer.url()), "");
    becomes(&served, &pair, "1", 101);
    issuer.is_silent();
    let asked = issuer.asked();
    assert!(is_reached_within(PATIENCE, || issuer.asked() > asked));
    // A fetch is under way now, and stays so for five seconds: those who know their key go on, and
    // a thousand unknown ones have nothing more fetched meanwhile.
    let address = served.address("ws");
    let asked = issuer.asked();
    thread::scope(|scope| {
        let unknown: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let other = &other;
                    move || status_at(address, other, &format!("u{n}"))
                })
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(status(&served, &pair, "1"), 101);
        }
        for client in unknown {
            assert_eq!(client.join().expect("no panic"), 401);
        }
    });
    assert!(
        issuer.asked() <= asked + 4,
        "{} more",
        issuer.asked() - asked
    );
}

#[test]
fn a_set_in_a_file_is_read_again() {
    let (old, new) = (es256_pair(), es256_pair());
    let folder = Folder::new();
    let file = folder.write("keys.json", &json!({"keys": [jwk(&old, "1")]}).to_string());
    let served = guarded(&format!("file = \"{file}\""), "");
    becomes(&served, &old, "1", 101);
    folder.write("keys.json", &json!({"keys": [jwk(&new, "1")]}).to_string());
    becomes(&served, &new, "1", 101);
    assert_eq!(status(&served, &old, "1"), 401);
}
