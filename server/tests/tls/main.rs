//! TLS as `shardcast serve` speaks it: versions, names, resumption, reload, client certificates,
//! and what is no TLS at all.

mod client;
mod files;
mod hostile;
mod program;

use client::{Client, SecureClient, Wish, refusal};
use files::{Authority, Folder, Issued};
use program::{Program, check_config};
use rustls::{HandshakeKind, ProtocolVersion, SupportedProtocolVersion};
use shardcast_patience::wait_until;
use std::process::Command;

const OLD: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A folder with an identity `a` for `a.test`.
fn identified() -> (Folder, Issued) {
    let (folder, issued) = (Folder::new(), Issued::server(&["a.test"]));
    folder.put("a", &issued);
    (folder, issued)
}

#[test]
fn plain_and_tls_stand_side_by_side() {
    let (folder, issued) = identified();
    let set = ["limits.max_message_bytes=2KiB", "tls.max_message_bytes=200"];
    let program = Program::start(&folder, &["a"], &set);
    let plain = program.plain.unwrap();
    let clients = format!(
        "clients ws://{plain}/ws and wss://{}/ws, admin ",
        program.secure
    );
    assert!(program.ready.contains(&clients), "{}", program.ready);
    let config = Wish::trusting(&[&issued]).config();
    let mut one = Client::plain(plain);
    let mut other = SecureClient::connect(program.secure, &config, "a.test");
    assert!(one.welcome().ends_with(r#""max_message_bytes":2048}"#));
    assert!(other.welcome().ends_with(r#""max_message_bytes":200}"#));
    one.say(r#"{"type":"join_room","room":"r"}"#);
    assert!(one.hear().starts_with(r#"{"type":"joined""#));
    other.say(r#"{"type":"broadcast","room":"r","data":"over the wall"}"#);
    let heard = one.hear();
    assert!(heard.ends_with(r#""data":"over the wall"}"#), "{heard}");
    // Each by its own limit.
    one.say(&format!(
        r#"{{"type":"echo","data":"{}"}}"#,
        "x".repeat(1000)
    ));
    assert_eq!(
        one.hear().len(),
        1000 + r#"{"type":"echo","data":""}"#.len()
    );
    other.say(&"x".repeat(201));
    let (first, payload) = other.frame();
    assert_eq!((first, &payload[..2]), (0x88, &1009u16.to_be_bytes()[..]));
    assert_eq!(program.metric("shardcast_tls_handshakes_total"), 1);
    program.end();
}

#[test]
fn tls_alone() {
    let (folder, issued) = identified();
    let program = Program::alone(&folder, &["a"], &[]);
    assert_eq!(program.plain, None);
    let config = Wish::trusting(&[&issued]).config();
    SecureClient::connect(program.secure, &config, "a.test").check();
    program.end();
}

#[test]
fn both_versions_are_spoken_unless_one_is_too_old() {
    let (folder, issued) = identified();
    let trusted = [&issued];
    let only = |versions| {
        let wish = Wish {
            versions,
            ..Wish::trusting(&trusted)
        };
        wish.config()
    };
    let (old, new) = (only(OLD), only(NEW));
    let program = Program::start(&folder, &["a"], &[]);
    for (config, version) in [
        (&old, ProtocolVersion::TLSv1_2),
        (&new, ProtocolVersion::TLSv1_3),
    ] {
        let mut client = SecureClient::connect(program.secure, config, "a.test");
        assert_eq!(client.version(), version);
        client.check();
    }
    drop(program);
    let program = Program::start(&folder, &["a"], &["tls.minimum=1.3"]);
    SecureClient::connect(program.secure, &new, "a.test").check();
    assert_eq!(
        refusal(program.secure, &only(OLD)),
        "received fatal alert: ProtocolVersion"
    );
    program.wait_for("shardcast_tls_handshakes_failed_total", 1);
}

#[test]
fn http_1_1_is_the_only_protocol() {
    let (folder, issued) = identified();
    let program = Program::start(&folder, &["a"], &[]);
    for (alpn, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"http/1.1"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let wish = Wish {
            alpn,
            ..Wish::trusting(&[&issued])
        };
        let mut client = SecureClient::connect(program.secure, &wish.config(), "a.test");
        assert_eq!(client.alpn(), chosen);
        client.check();
    }
    let wish = Wish {
        alpn: &["h2"],
        ..Wish::trusting(&[&issued])
    };
    // RFC 7301 §3.2
    assert_eq!(
        refusal(program.secure, &wish.config()),
        "received fatal alert: NoApplicationProtocol"
    );
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let folder = Folder::new();
    let first = Issued::server(&["a.test", "127.0.0.1"]);
    let second = Issued::server(&["b.test", "*.c.test"]);
    folder.put("first", &first);
    folder.put("second", &second);
    let program = Program::start(&folder, &["first", "second"], &[]);
    let config = Wish::trusting(&[&first, &second]).config();
    for (name, want) in [
        ("a.test", &first),
        ("b.test", &second),
        ("x.c.test", &second),
        // An address is no name to ask for (RFC 6066 §3).
        ("127.0.0.1", &first),
    ] {
        let mut client = SecureClient::connect(program.secure, &config, name);
        assert!(client.met(want), "{name}");
        client.check();
    }
}

#[test]
fn sessions_are_resumed_on_every_shard() {
    let (folder, issued) = identified();
    let program = Program::start(&folder, &["a"], &[]);
    for versions in [OLD, NEW] {
        let wish = Wish {
            versions,
            ..Wish::trusting(&[&issued])
        };
        let config = wish.config();
        let first = SecureClient::connect(program.secure, &config, "a.test");
        assert_eq!(first.kind(), HandshakeKind::Full);
        // The kernel spreads connects over the shards; 64 in a row at one of two is no chance.
        let mut shards = Vec::new();
        for _ in 0..64 {
            let mut client = SecureClient::connect(program.secure, &config, "a.test");
            assert_eq!(client.kind(), HandshakeKind::Resumed, "{versions:?}");
            client.check();
            shards.push(client.shard());
        }
        assert!(shards.contains(&'0') && shards.contains(&'1'), "{shards:?}");
    }
    assert_eq!(program.metric("shardcast_tls_handshakes_total"), 130);
    assert_eq!(program.metric("shardcast_tls_resumed_total"), 128);
}

#[test]
fn a_hang_up_exchanges_certificates_and_nothing_else() {
    const DONE: &str = "shardcast_tls_reloads_total{result=\"success\"}";
    const FAILED: &str = "shardcast_tls_reloads_total{result=\"failure\"}";
    let (folder, old) = identified();
    let program = Program::start(&folder, &["a"], &[]);
    let new = Issued::server(&["a.test"]);
    let (before, after) = (
        Wish::trusting(&[&old]).config(),
        Wish::trusting(&[&old, &new]).config(),
    );
    let mut stays = SecureClient::connect(program.secure, &before, "a.test");
    folder.put("a", &new);
    program.signal("HUP");
    program.wait_for(DONE, 1);
    // The shards take it up in their next turn; whoever comes later meets it.
    wait_until("the new certificate is shown", || {
        let trusts_both = Wish::trusting(&[&old, &new]).config();
        SecureClient::connect(program.secure, &trusts_both, "a.test").met(&new)
    });
    stays.check();
    let resumed = SecureClient::connect(program.secure, &before, "a.test");
    assert_eq!(resumed.kind(), HandshakeKind::Resumed);
    folder.write("a.pem", "no certificate");
    program.signal("HUP");
    program.wait_for(FAILED, 1);
    let mut client = SecureClient::connect(program.secure, &after, "a.test");
    assert!(client.met(&new));
    client.check();
    stays.check();
    assert_eq!(program.metric(DONE), 1);
    let log = program.end();
    for line in [
        "new connections get the certificates that were just read",
        "everything stays as it is problem=tls.certificates: ",
        "a.pem: there is no certificate in it",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
}

#[test]
fn clients_show_certificates_where_they_must() {
    let (folder, issued) = identified();
    let (right, wrong) = (Authority::new(), Authority::new());
    folder.put_authority("ca.pem", &right);
    let (known, stranger) = (right.issue(), wrong.issue());
    let authority = format!("tls.client_ca={}", folder.path("ca.pem"));
    for versions in [OLD, NEW] {
        let trusted = [&issued];
        let config = |shown| {
            let wish = Wish {
                shown,
                versions,
                ..Wish::trusting(&trusted)
            };
            wish.config()
        };
        for (asked, without) in [
            ("optional", None),
            (
                "required",
                Some("received fatal alert: CertificateRequired"),
            ),
        ] {
            let set = format!("tls.client_certificates={asked}");
            let program = Program::start(&folder, &["a"], &[&authority, &set]);
            SecureClient::connect(program.secure, &config(Some(&known)), "a.test").check();
            let refused = refusal(program.secure, &config(Some(&stranger)));
            assert!(refused.starts_with("received fatal alert: "), "{refused}");
            match without {
                None => SecureClient::connect(program.secure, &config(None), "a.test").check(),
                Some(alert) => assert_eq!(refusal(program.secure, &config(None)), alert),
            }
        }
    }
}

/// What `check-config` and `serve` say about files: exit code and complaints.
fn check_files(folder: &Folder, set: &[&str], want: (i32, &[&str])) {
    let output = check_config(folder, &["a"], set);
    let complaints = output.errors.replace(&folder.path(""), "");
    let complaints: Vec<_> = complaints.lines().collect();
    assert_eq!((output.code.unwrap(), &*complaints), want);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (folder, _) = identified();
    check_files(&folder, &[], (0, &[]));
    let gone = format!("tls.client_ca={}", folder.path("gone.pem"));
    let asked = "tls.client_certificates=required";
    let missing = "it cannot be read: No such file or directory (os error 2)";
    check_files(
        &folder,
        &[&gone, asked],
        (
            2,
            &[&format!(
                "shardcast: configuration: tls.client_ca: gone.pem: {missing}"
            )],
        ),
    );
    folder.write("empty.pem", "");
    let empty = format!("tls.client_ca={}", folder.path("empty.pem"));
    let output = check_config(&folder, &["a"], &[&empty, asked]);
    let complaint = output.errors;
    assert_eq!(output.code, Some(2));
    assert!(
        complaint.contains("the certificates for checking clients cannot be used"),
        "{complaint}"
    );
    folder.put("a", &Issued::until(&["a.test"], 2001));
    check_files(
        &folder,
        &[],
        (
            0,
            &["shardcast: warning: tls.certificates: a.pem: the certificate expired on 2001-01-01"],
        ),
    );
    std::fs::remove_file(folder.path("a.key")).unwrap();
    std::fs::remove_file(folder.path("a.pem")).unwrap();
    check_files(
        &folder,
        &[],
        (
            2,
            &[
                &format!("shardcast: configuration: tls.certificates: a.pem: {missing}"),
                &format!("shardcast: configuration: tls.keys: a.key: {missing}"),
            ],
        ),
    );
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let (folder, _) = identified();
    folder.put("b", &Issued::server(&["b.test"]));
    let other = std::fs::read_to_string(folder.path("b.key")).unwrap();
    folder.write("a.key", &other);
    check_files(
        &folder,
        &[],
        (
            2,
            &[
                "shardcast: configuration: tls.keys: a.key: the private key does not belong to the certificate in a.pem",
            ],
        ),
    );
    folder.write("a.key", "");
    check_files(
        &folder,
        &[],
        (
            2,
            &[
                "shardcast: configuration: tls.keys: a.key: there is no private key in it (PEM, `BEGIN PRIVATE KEY`, `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`)",
            ],
        ),
    );
    let encrypted =
        "the private key is encrypted: `openssl pkey -in FILE -out FILE` writes it in plain";
    let unsupported = "the private key is none that TLS can be served with: RSA of 2,048 to 8,192 bits, ECDSA P-256, P-384 or P-521, Ed25519";
    let aes = ["-aes128", "-passout", "pass:secret"];
    let made_by_openssl = [
        ([&["pkey", "-in", "b.key"][..], &aes].concat(), encrypted),
        ([&["ec", "-in", "b.key"][..], &aes].concat(), encrypted),
        (vec!["genrsa", "1024"], unsupported),
        (vec!["genpkey", "-algorithm", "ed448"], unsupported),
    ];
    for (arguments, why) in made_by_openssl {
        folder.write("a.key", &openssl(&folder, &arguments));
        let told = format!("shardcast: configuration: tls.keys: a.key: {why}");
        check_files(&folder, &[], (2, &[&told]));
    }
}

/// What the command writes to standard output, run in the folder.
fn openssl(folder: &Folder, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(folder.path(""));
    let end = shardcast_patience::Program::start(&mut command).end();
    assert_eq!(end.code, Some(0), "{arguments:?}: {end:?}");
    end.printed
}

#[test]
fn a_key_that_everybody_can_read_is_worth_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _) = identified();
    let open = PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(folder.path("a.key"), open).unwrap();
    let warning = "tls.keys: a.key: every user of this host can read the private key (mode 644); chmod 600 keeps it to its owner";
    check_files(
        &folder,
        &[],
        (0, &[&format!("shardcast: warning: {warning}")]),
    );
}
