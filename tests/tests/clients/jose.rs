//! An issuer that we did not write, npm jose: its tokens of every algorithm, its set of keys, which
//! is exchanged while clients connect, and what it says of a token of `gen-token`.

use crate::{installed, serve};
use serde_json::{Value, json};
use shardcast_patience::Program;
use shardcast_tests::{Certificates, PATIENCE, Raw, Served, is_reached_within, upgrade_with};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{ChildStdin, Command};
use std::thread;
use std::time::SystemTime;

const SECRET: &str = "a secret of an issuer and a server, long enough for HS512 as well";
const WITH_SECRETS: [&str; 3] = ["HS256", "HS384", "HS512"];
const WITH_PAIRS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

struct Issuer {
    program: Program,
    orders: ChildStdin,
    url: String,
}

impl Issuer {
    fn start() -> Issuer {
        let mut command = installed::node_script("jose-npm", "issuer.js");
        let (mut program, orders) = Program::start_with_input(&mut command);
        let port = program.line();
        let port = port.unwrap_or_else(|| panic!("no port: {}", program.errors()));
        let url = format!("http://127.0.0.1:{}/keys", port.trim());
        Issuer {
            program,
            orders,
            url,
        }
    }

    #[track_caller]
    fn obey(&mut self, order: &Value) -> String {
        writeln!(self.orders, "{order}").expect("it reads");
        let answer = self.program.line();
        let answer = answer.unwrap_or_else(|| panic!("{order}: {}", self.program.errors()));
        answer.trim_end().to_owned()
    }

    fn make(&mut self, kid: &str, algorithm: &str) {
        self.obey(&json!({"make": kid, "alg": algorithm, "secret": SECRET}));
    }

    fn publish(&mut self, kids: &[&str]) {
        self.obey(&json!({ "publish": kids }));
    }

    fn sign(&mut self, kid: &str) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.expect("a clock behind 1970").as_secs();
        let claims = json!({"sub": kid, "iat": now, "exp": now + 600});
        self.obey(&json!({"sign": kid, "claims": claims}))
    }
}

/// The status that a token is answered with, and the socket.
#[track_caller]
fn shown(server: SocketAddr, token: &str) -> (u16, Raw) {
    let mut raw = Raw::connect_at(server);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    raw.send(upgrade_with(&bearer).as_bytes());
    let (head, _) = raw.answer();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), raw)
}

/// Whom a token makes of its bearer.
#[track_caller]
fn user_of(server: SocketAddr, token: &str) -> Value {
    let (status, mut raw) = shown(server, token);
    assert_eq!(status, 101, "{token}");
    raw.hear();
    raw.say(r#"{"type":"status","id":1}"#);
    let status: Value = serde_json::from_str(&raw.hear()).expect("JSON");
    status["user"].clone()
}

/// A file of one test, which goes when it ends.
struct SecretFile(std::path::PathBuf);

impl SecretFile {
    fn new(name: &str) -> SecretFile {
        let path =
            std::env::temp_dir().join(format!("shardcast-jose-{name}-{}", std::process::id()));
        std::fs::write(&path, SECRET).expect("a temporary file");
        SecretFile(path)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _nobody_minds = std::fs::remove_file(&self.0);
    }
}

fn guarded(issuer: &Issuer, secret: &SecretFile) -> (String, Served) {
    let mut toml = format!(
        "[auth]\ntokens = \"required\"\n[auth.jwks.main]\nurl = \"{}\"\nrefresh = \"1s\"\n",
        issuer.url
    );
    for algorithm in WITH_SECRETS {
        let (name, path) = (algorithm.to_lowercase(), secret.0.display());
        toml +=
            &format!("[auth.keys.{name}]\nalgorithm = \"{algorithm}\"\nsecret_file = \"{path}\"\n");
    }
    let certificates = Certificates::make();
    let served = serve(&certificates, &toml);
    (toml, served)
}

#[test]
fn tokens_of_jose_are_taken_by_every_algorithm_and_none_that_was_touched() {
    let (mut issuer, secret) = (Issuer::start(), SecretFile::new("all"));
    for algorithm in WITH_SECRETS.iter().chain(&WITH_PAIRS) {
        issuer.make(algorithm, algorithm);
    }
    issuer.publish(&WITH_PAIRS);
    let (toml, served) = guarded(&issuer, &secret);
    let server = served.address("ws");
    for algorithm in WITH_SECRETS.iter().chain(&WITH_PAIRS) {
        let token = issuer.sign(algorithm);
        assert_eq!(user_of(server, &token), **algorithm);
        // One bit of the signature's first byte.
        let at = token.rfind('.').expect("a signature") + 1;
        let other = if token[at..].starts_with('A') {
            "Q"
        } else {
            "A"
        };
        let touched = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        assert_eq!(shown(server, &touched).0, 401, "{algorithm}");
    }
    // The other way round.
    let file = SecretFile::new("toml");
    let clients = "[server]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(&file.0, format!("{clients}{toml}")).expect("a temporary file");
    for algorithm in WITH_SECRETS {
        let mut program = Command::new(env!("CARGO_BIN_EXE_served"));
        let made = program
            .args(["gen-token", "--config"])
            .arg(&file.0)
            .args(["--key", &algorithm.to_lowercase(), "--user", "ann"])
            .args(["--role", "bot", "--ttl", "1h"])
            .output();
        let made = made.expect("it runs");
        let token = String::from_utf8(made.stdout).expect("a token");
        let claims = issuer.obey(&json!({"verify": token.trim(), "kid": algorithm}));
        let claims: Value = serde_json::from_str(&claims).expect("claims");
        assert_eq!(
            (&claims["sub"], &claims["roles"]),
            (&json!("ann"), &json!(["bot"]))
        );
    }
}

#[test]
fn its_keys_are_exchanged_while_clients_connect() {
    let (mut issuer, secret) = (Issuer::start(), SecretFile::new("rotation"));
    for (kid, algorithm) in [("old", "ES256"), ("new", "EdDSA")] {
        issuer.make(kid, algorithm);
    }
    issuer.publish(&["old"]);
    let (_, served) = guarded(&issuer, &secret);
    let server = served.address("ws");
    let (old, new) = (issuer.sign("old"), issuer.sign("new"));
    assert_eq!(shown(server, &old).0, 101);
    assert_eq!(shown(server, &new).0, 401);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let connect = || (0..20).map(|_| shown(server, &old).0).collect::<Vec<_>>();
                scope.spawn(connect)
            })
            .collect();
        issuer.publish(&["old", "new"]);
        let is_taken = || shown(server, &new).0 == 101;
        assert!(is_reached_within(PATIENCE, is_taken), "{}", served.log());
        for client in clients {
            let statuses = client.join().expect("no panic");
            assert!(statuses.iter().all(|status| *status == 101), "{statuses:?}");
        }
    });
    issuer.publish(&["new"]);
    let is_over = || shown(server, &old).0 == 401;
    assert!(is_reached_within(PATIENCE, is_over), "{}", served.log());
    assert_eq!(user_of(server, &new), "new");
}
