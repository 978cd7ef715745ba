//! Pages of other sites: what they are told, on WebSockets and on event streams, and whom the
//! server takes for its own.

use crate::{ask, request, serve, upgrade};
use shardcast::{App, Identity, Origins};
use shardcast_tests::{Raw, Server, config};
use std::net::SocketAddr;

/// An upgrade of a page of `origin` that asks for `host`, and the answer's status and body.
#[track_caller]
fn knock(server: SocketAddr, host: &str, origin: &str) -> (u16, String) {
    let headers = [format!("Host: {host}"), format!("Origin: {origin}")];
    let (status, _, body) = ask(server, &upgrade(&[&headers[0], &headers[1]]));
    (status, body)
}

/// Clauses 6455-4.2.1-8, 6455-10.2-1.
#[test]
fn only_the_servers_own_pages_connect() {
    let served = serve("");
    let (clients, admin) = (served.address("ws"), served.address("http"));
    let (here, console) = (clients.to_string(), format!("http://{admin}"));
    let own = format!("http://{here}");
    let (near, far) = (
        format!("http://127.0.0.1:{}", clients.port() ^ 1),
        format!("{own}.evil.example"),
    );
    for (host, origin, expected) in [
        (here.as_str(), own.as_str(), 101),
        (&here, &console, 101),
        (&here, &own.to_uppercase(), 101),
        (&here, &near, 403),
        (&here, &far, 403),
        (&here, "null", 403),
        (&here, "https://evil.example", 403),
        (&here, &format!("http://{here}@evil.example"), 403),
        (&here, &format!("{own}/"), 403),
        (&here, &format!("{own}, {own}"), 403),
        // A name that its owner lets point here.
        ("evil.example", "http://evil.example", 403),
    ] {
        let (status, body) = knock(clients, host, origin);
        assert_eq!(status, expected, "{host} {origin}: {body}");
        if expected == 403 {
            assert!(body.contains("access.origins"), "{body}");
        }
    }
    let (_, body) = knock(clients, &here, "https://evil.example");
    assert_eq!(
        body,
        "pages of https://evil.example may not connect: access.origins lists those that may"
    );
    // A client that is no browser.
    assert_eq!(ask(clients, &upgrade(&[&format!("Host: {here}")])).0, 101);
}

#[test]
fn listed_origins_connect() {
    let served = serve("[access]\norigins = ['https://example.com', 'https://*.example.org']\n");
    let clients = served.address("ws");
    for (origin, expected) in [
        ("https://example.com", 101),
        ("https://chat.example.org", 101),
        ("https://example.org", 403),
        ("https://example.com.evil.example", 403),
        ("http://example.com", 403),
    ] {
        assert_eq!(knock(clients, "a", origin).0, expected, "{origin}");
    }
    let served = serve("[access]\norigins = 'any'\n");
    assert_eq!(knock(served.address("ws"), "a", "null").0, 101);
}

#[test]
fn event_streams_are_under_the_same_rule() {
    let served = serve("[access]\norigins = 'https://example.com'\n");
    let clients = served.address("ws");
    let listed = ["Host: a", "Origin: https://example.com"];
    let foreign = ["Host: a", "Origin: https://evil.example"];
    let mut stream = Raw::connect_at(clients);
    stream.send(request("GET /sse", &listed).as_bytes());
    let head = stream.head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let session = String::from_utf8(stream.chunk()).expect("UTF-8");
    let session = session.trim_start_matches("event: session\ndata: ").trim();
    let target = format!("/sse?session={session}");
    for (line, more, listed_status, foreign_status) in [
        ("GET /sse".to_owned(), "X: y", 200, 403),
        ("HEAD /sse".to_owned(), "X: y", 200, 403),
        (format!("OPTIONS {target}"), "X: y", 204, 403),
        (format!("POST {target}"), "Content-Length: 0", 204, 403),
    ] {
        for (page, expected) in [(listed, listed_status), (foreign, foreign_status)] {
            let mut raw = Raw::connect_at(clients);
            raw.send(request(&line, &[&page[..], &[more]].concat()).as_bytes());
            let head = raw.head();
            assert_eq!(crate::status_of(&head), expected, "{line} {head}");
            // A GET says why to whoever asks, as long as it is no stream.
            let may_read = head.contains("\r\nAccess-Control-Allow-Origin: *\r\n");
            assert_eq!(
                may_read,
                expected < 300 || line.starts_with("GET"),
                "{head}"
            );
        }
    }
    // A program without a page posts by the token alone.
    let post = request(&format!("POST {target}"), &["Host: a", "Content-Length: 0"]);
    assert_eq!(ask(clients, &post).0, 204);
}

#[test]
fn an_embedder_chooses_before_its_hook_is_asked() {
    for (origins, foreign) in [(Origins::own(), 403), (Origins::any(), 101)] {
        let app = App::new().origins(origins.and_port(8080));
        let app = app.on_connect(|_| Ok(Identity::nobody()));
        let (server, _) = Server::of(app, config(1));
        let address = server.address();
        let beside = "http://127.0.0.1:8080";
        for (origin, expected) in [("https://evil.example", foreign), (beside, 101)] {
            let (status, _) = knock(address, &address.to_string(), origin);
            assert_eq!(status, expected, "{origin}");
        }
        server.wait_until_empty();
    }
}

#[test]
fn a_page_that_brings_a_token_may_be_from_anywhere() {
    let secret = "0123456789abcdef0123456789abcdef";
    let path = std::env::temp_dir().join(format!("shardcast-origins-{}", std::process::id()));
    std::fs::write(&path, secret).expect("a temporary file");
    let toml = |origins: &str| {
        format!(
            "[auth]\ntokens = 'optional'\n[auth.keys.main]\nalgorithm = 'HS256'\nsecret_file = '{}'\n[access]\norigins = '{origins}'\n",
            path.display()
        )
    };
    let claims = serde_json::json!({"sub": "ann", "exp": 4_000_000_000_u64});
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes()).expect("not empty");
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key);
    let token = token.expect("claims");
    let (query, bad) = (format!("/ws?token={token}"), format!("/ws?token={token}x"));
    let cookie = format!("Cookie: shardcast_token={token}");
    for (origins, path, more, expected) in [
        ("own", query.as_str(), "X: y", 101),
        ("own", "/ws", "X: y", 403),
        ("own", &bad, "X: y", 401),
        // The browser sends it for whichever page.
        ("own", "/ws", &cookie, 403),
        // What is listed is all.
        ("https://example.com", &query, "X: y", 403),
    ] {
        let served = serve(&toml(origins));
        let headers = ["Host: a", "Origin: https://evil.example", more];
        let said = upgrade(&headers).replacen("/ws", path, 1);
        let (status, _, body) = ask(served.address("ws"), &said);
        assert_eq!(status, expected, "{origins} {path} {more}: {body}");
    }
    let _ = std::fs::remove_file(&path);
}
