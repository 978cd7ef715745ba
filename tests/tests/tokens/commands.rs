//! `gen-token` and `check-token`, and what the configuration says of keys that cannot be used.

use crate::signed::{Folder, OTHER_SECRET, SECRET, claims, es256_pair, hs256, now, with};
use crate::{bearer, outcome, serve};
use serde_json::json;
use std::process::{Command, Output};

/// Runs the program.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_served"));
    command
        .args(arguments)
        .env("TOKENS_TEST_SECRET", OTHER_SECRET);
    command.output().expect("the program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A configuration with a secret and a public key, and the private one beside.
fn configuration(folder: &Folder) -> (String, String) {
    let pair = es256_pair();
    let secret = folder.write("secret", SECRET);
    let public = folder.write("public.pem", &pair.public_key_pem());
    let private = folder.write("private.pem", &pair.serialize_pem());
    let auth = format!(
        "[auth]\ntokens = \"required\"\naudience = \"chat,mail\"\nissuer = \"us\"\n\
         [auth.keys.shared]\nkid = \"k1\"\nsecret_file = \"{secret}\"\n\
         [auth.keys.public]\nalgorithm = \"ES256\"\npublic_key = \"{public}\"\n"
    );
    (auth, private)
}

#[test]
fn a_token_of_the_command_is_taken_by_the_server() {
    const WANTED: &str =
        "--user ann --role moderator --ttl 1h --join chat:* --claim info={\"a\":1}";
    let folder = Folder::new();
    let (auth, private) = configuration(&folder);
    let file = folder.write("auth.toml", &auth);
    let served = serve(&auth);
    for more in [
        "--key shared",
        &format!("--key public --private-key {private}"),
    ] {
        let line = format!("gen-token --config {file} {WANTED} {more}");
        let output = run(&line.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let token = text(&output.stdout);
        assert_eq!(token.lines().count(), 1, "{token}");
        let token = token.trim();
        assert_eq!(outcome(served.address("ws"), "/ws", &bearer(token)).0, 101);
        let checked = run(&["check-token", token, "--config", &file]);
        let page = text(&checked.stdout);
        assert!(checked.status.success(), "{page}");
        for line in [
            "claim sub: \"ann\"",
            "claim aud: \"chat\"",
            "valid: a connection's token of ann",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}: {page}");
        }
    }
}

#[test]
fn a_token_that_cannot_be_made_is_told_why() {
    let folder = Folder::new();
    let file = folder.write("auth.toml", &configuration(&folder).0);
    let configured = format!("gen-token --config {file}");
    let shared = format!("{configured} --key shared");
    for (line, told) in [
        (configured.clone(), "choose one with --key"),
        (format!("{configured} --key x"), "no [auth.keys.x]"),
        (
            format!("{configured} --key public"),
            "signs with --private-key FILE",
        ),
        (format!("{shared} --claim a=b"), "the value is no JSON"),
        (
            format!("{shared} --claim roles=1"),
            "claim roles is malformed",
        ),
        ("gen-token".to_owned(), "has no [auth.keys.NAME]"),
    ] {
        let output = run(&line.split(' ').collect::<Vec<_>>());
        let errors = text(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{errors}"
        );
        assert!(errors.contains(told), "{errors}");
    }
}

#[test]
fn a_bad_token_is_told_the_rule_and_the_key_that_decides() {
    let folder = Folder::new();
    let secret = folder.write("secret", SECRET);
    let file = folder.write(
        "auth.toml",
        &format!("[auth]\naudience = \"chat\"\n[auth.keys.shared]\nsecret_file = \"{secret}\"\n"),
    );
    for (token, told) in [
        (
            hs256(OTHER_SECRET, &with("aud", json!("chat"))),
            ["refused: bad_signature", "another secret"],
        ),
        (
            hs256(SECRET, &with("aud", json!("mail"))),
            ["refused: wrong_audience", "auth.audience is chat"],
        ),
        (
            hs256(SECRET, &with("exp", json!(now() - 99))),
            ["refused: expired", "auth.leeway is 30 s"],
        ),
        (
            hs256(SECRET, &with("exp", json!("x"))),
            ["refused: malformed_claim", "exp is malformed"],
        ),
        ("a.b.c".to_owned(), ["refused: malformed", "its header"]),
    ] {
        let output = run(&["check-token", &token, "--config", &file]);
        let page = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{page}");
        assert!(told.iter().all(|told| page.contains(told)), "{page}");
        assert!(!page.contains(SECRET), "{page}");
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused_before_the_server_listens() {
    let (folder, pair) = (Folder::new(), es256_pair());
    let public = folder.write("public.pem", &pair.public_key_pem());
    let short = folder.write("short", "short");
    let key = |lines: &str| format!("[auth.keys.main]\n{lines}\n");
    for (toml, told) in [
        (
            "[auth]\ntokens = \"required\"\n".to_owned(),
            "must be off unless the file has a key",
        ),
        (
            key(""),
            "must name a file unless secret_env names a variable",
        ),
        (
            key("algorithm = \"RS256\""),
            "must name a file, or nothing checks",
        ),
        (key("algorithm = \"none\""), "must be HS256"),
        (
            key(&format!("secret_file = \"{short}\"")),
            "HS256 takes a secret of 32 to 4096 bytes",
        ),
        (
            key(&format!("secret_file = \"{public}\"")),
            "HS256 takes a secret, and this is a PEM file",
        ),
        (
            key("secret_file = \"/nowhere/secret\""),
            "it cannot be read",
        ),
        (key("secret_env = \"TOKENS_TEST_NOTHING\""), "it is not set"),
        (
            key("secret_env = \"SHARDCAST_SECRET\""),
            "that does not begin with SHARDCAST_",
        ),
        (
            key(&format!("algorithm = \"RS256\"\npublic_key = \"{public}\"")),
            "RS256 takes a public key of its kind in PEM",
        ),
        (
            key(&format!(
                "secret_env = \"TOKENS_TEST_SECRET\"\nsecret_file = \"{short}\""
            )),
            "must be the only one",
        ),
        (
            key(&format!(
                "secret_env = \"TOKENS_TEST_SECRET\"\nprevious_secret_file = \"{short}\""
            )),
            "previous_until",
        ),
    ] {
        let file = folder.write("auth.toml", &toml);
        for command in ["check-config", "serve"] {
            let output = run(&[command, "--config", &file]);
            let errors = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{toml}: {errors}");
            assert!(errors.contains(told), "{toml}: {errors}");
            assert!(!errors.contains(OTHER_SECRET), "{errors}");
        }
    }
    let token = hs256(OTHER_SECRET, &claims());
    let file = folder.write("auth.toml", &key("secret_env = \"TOKENS_TEST_SECRET\""));
    let checked = run(&["check-token", &token, "--config", &file]);
    assert!(checked.status.success(), "{}", text(&checked.stdout));
}
