//! What servers do: close with a code of every class, drain, refuse tokens and let them expire, and
//! come back with another certificate.

use crate::scene::{Seen, connect, quick, run, serve};
use serde_json::json;
use shardcast_client::{
    Client, ErrorKind, Options, State, SubscribeOptions, TokenIn, TokenProvider,
};
use shardcast_tests::Served;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

pub(crate) fn close(served: &Served, client: &Client, code: u16) {
    let connection = client.connection().expect("connected");
    disconnect(
        served,
        &json!({"connection": connection, "code": code, "reason": "the test"}),
    );
}

/// Closes all members of a room.
pub(crate) fn close_room(served: &Served, room: &str, code: u16) {
    disconnect(
        served,
        &json!({"room": room, "code": code, "reason": "the test"}),
    );
}

fn disconnect(served: &Served, call: &serde_json::Value) {
    let (status, answer) = served.call("/api/disconnect", &call.to_string());
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn close_codes_of_every_class_are_obeyed() {
    let served = serve("");
    for code in [
        1000, 1008, 1009, 1011, 1012, 1013, 3000, 4100, 4105, 4199, 4200, 4999,
    ] {
        run(async {
            let room = format!("chat:close-{code}");
            let client = connect(served.address("ws"), quick());
            let other = connect(served.address("ws"), quick());
            let mut heard = client
                .subscribe(&room, SubscribeOptions::default())
                .expect("open");
            heard.joined().await.expect("it joins");
            let mut seen = Seen::default();
            other.publish(&room, &1_u64).await.expect("published");
            seen.until(&mut heard, 1).await;
            close(&served, &client, code);
            other.publish(&room, &2_u64).await.expect("published");
            other.publish(&room, &3_u64).await.expect("published");
            seen.until(&mut heard, 3).await;
            seen.assert_all(3);
            assert_eq!(seen.recovered, 1, "{code}");
        });
    }
    for (code, kind, name) in [
        (4000, ErrorKind::Closed, "bad_json"),
        // Without a token that could have a successor.
        (4003, ErrorKind::Closed, "unauthorized"),
        (4004, ErrorKind::Closed, "forbidden"),
        (4020, ErrorKind::Replaced, "replaced"),
        (4021, ErrorKind::Closed, "closed"),
        (4099, ErrorKind::Closed, "closed"),
    ] {
        run(async {
            let client = connect(served.address("ws"), quick());
            let mut heard = client
                .subscribe("chat:end", SubscribeOptions::default())
                .expect("open");
            heard.joined().await.expect("it joins");
            close(&served, &client, code);
            let mut status = client.status();
            let ended = status
                .wait_for(|status| status.state == State::Closed)
                .await;
            let error = ended.expect("it lives").error.clone().expect("a reason");
            assert_eq!((error.kind(), error.code()), (kind, name));
            assert_eq!(error.close_code(), Some(code));
            assert!(heard.next().await.expect("joined").is_ok());
            let told = heard
                .next()
                .await
                .expect("the reason")
                .expect_err("the end");
            assert_eq!(told.close_code(), Some(code));
            assert!(heard.next().await.is_none());
        });
    }
}

#[test]
fn a_token_that_is_refused_later_gets_a_successor() {
    let (served, _secret) = guarded(r#"["header"]"#);
    run(async {
        let (token, asked) = provider(600);
        let options = Options {
            token: Some(token),
            ..quick()
        };
        let client = connect(served.address("ws"), options);
        let mut heard = client
            .subscribe("chat:successor", SubscribeOptions::default())
            .expect("open");
        heard.joined().await.expect("it joins");
        close(&served, &client, 4003);
        let mut seen = Seen::default();
        let mut status = client.status();
        let lost = status.wait_for(|status| status.error.is_some());
        drop(lost.await.expect("it lives"));
        client.ready().await.expect("it comes back");
        client
            .publish("chat:successor", &1_u64)
            .await
            .expect("published");
        seen.until(&mut heard, 1).await;
        seen.assert_all(1);
        assert_eq!(seen.recovered, 1);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    });
}

/// A secret of the test's, and a server that takes its tokens.
const SECRET: &str = "client-secret-0123456789abcdefghij";

pub(crate) fn guarded(sources: &str) -> (Served, SecretFile) {
    let file = SecretFile::write();
    let served = serve(&format!(
        "[auth]\ntokens = \"required\"\nsources = {sources}\nexpiring = \"1s\"\nleeway = \"0s\"\n\
         [auth.keys.a]\nalgorithm = \"HS256\"\nsecret_file = \"{}\"\n",
        file.0.display()
    ));
    (served, file)
}

/// Goes when it is dropped.
pub(crate) struct SecretFile(std::path::PathBuf);

impl SecretFile {
    fn write() -> SecretFile {
        static WRITTEN: AtomicUsize = AtomicUsize::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-client-secret-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, SECRET).expect("a temporary file");
        SecretFile(path)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _nobody_minds = std::fs::remove_file(&self.0);
    }
}

fn token(secret: &str, seconds: u64) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = since.expect("a clock behind 1970").as_secs();
    let claims = json!({"sub": "ann", "iat": now, "exp": now + seconds});
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes()).expect("not empty");
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    jsonwebtoken::encode(&header, &claims, &key).expect("claims")
}

/// Tokens of so many seconds, and how many were asked for.
pub(crate) fn provider(seconds: u64) -> (TokenProvider, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let provider = TokenProvider::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(token(SECRET, seconds)) }
    });
    (provider, asked)
}

#[test]
fn a_token_is_taken_in_each_way() {
    let (served, _secret) = guarded(r#"["header", "query", "subprotocol", "message"]"#);
    for token_in in [
        TokenIn::Header,
        TokenIn::Query,
        TokenIn::Subprotocol,
        TokenIn::Message,
    ] {
        run(async {
            let (token, _) = provider(600);
            let options = Options {
                token: Some(token),
                token_in,
                ..quick()
            };
            let client = connect(served.address("ws"), options);
            let mut status = client.status();
            let stands = status
                .wait_for(|status| status.state == State::Authenticated)
                .await;
            drop(stands.expect("it lives"));
            assert_eq!(client.user().as_deref(), Some("ann"), "{token_in:?}");
            client.publish("chat:signed", &1).await.expect("published");
        });
        run(async {
            let options = Options {
                token: Some(TokenProvider::fixed(token(
                    "another-secret-0123456789abcdefgh",
                    60,
                ))),
                token_in,
                ..quick()
            };
            let client = connect(served.address("ws"), options);
            let error = client.ready().await.expect_err("a bad token twice");
            assert_eq!(error.code(), "unauthorized", "{token_in:?}: {error}");
        });
    }
}

#[test]
fn a_token_is_refreshed_before_it_expires() {
    let (served, _secret) = guarded(r#"["header", "message"]"#);
    run(async {
        let (token, asked) = provider(2);
        let options = Options {
            token: Some(token),
            ..quick()
        };
        let client = connect(served.address("ws"), options);
        client.ready().await.expect("it connects");
        let connection = client.connection();
        // Each lives for 2 s: three more were shown over the same connection.
        while asked.load(Ordering::Relaxed) < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        client.ping().await.expect("a pong");
        assert_eq!(client.connection(), connection);
        assert_eq!(client.snapshot().disconnects, 0);
    });
}

#[test]
fn a_token_that_expires_is_followed_by_a_new_connection() {
    let (served, _secret) = guarded(r#"["header"]"#);
    run(async {
        // The server takes no token by message, so the refresh fails, and the token expires.
        let (token, asked) = provider(1);
        let options = Options {
            token: Some(token),
            ..quick()
        };
        let client = connect(served.address("ws"), options);
        let publisher = Options {
            token: Some(provider(600).0),
            ..quick()
        };
        let publisher = connect(served.address("ws"), publisher);
        let mut heard = client
            .subscribe("chat:expiry", SubscribeOptions::default())
            .expect("open");
        heard.joined().await.expect("it joins");
        let mut seen = Seen::default();
        for number in 1.. {
            publisher
                .publish("chat:expiry", &number)
                .await
                .expect("published");
            seen.until(&mut heard, number).await;
            if client.snapshot().disconnects >= 2 {
                seen.assert_all(number);
                break;
            }
        }
        assert!(asked.load(Ordering::Relaxed) >= 2);
    });
}
