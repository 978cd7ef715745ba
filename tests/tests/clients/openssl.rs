//! `openssl s_client`: versions, names, protocols and resumption of TLS, each with an HTTP request
//! and its answer inside.

use crate::{installed, serve};
use shardcast_patience::{Ended, Program};
use shardcast_tests::{Certificates, Served};
use std::io::Write;
use std::process::Command;

/// SHA-256 of the public key in a certificate file, in base64, as browsers want it.
pub(crate) fn key_hash(file: &str) -> String {
    installed::need("openssl", "openssl", &["version"]);
    let script = "openssl x509 -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64";
    let output = Command::new("sh").args(["-c", script, file]).output();
    let hash = String::from_utf8(output.expect("a shell").stdout).expect("base64");
    assert_eq!(hash.trim().len(), 44, "{hash}");
    hash.trim().to_owned()
}

/// One connection: s_client's arguments and what it is to say.
struct Session<'a> {
    arguments: &'a [&'a str],
    says: &'a [&'a str],
}

const OK: &str = "Verify return code: 0 (ok)";
const ANSWER: &str = "HTTP/1.1 200 OK";

const SESSIONS: &[Session<'_>] = &[
    Session {
        arguments: &["-tls1_2"],
        says: &[
            "New, TLSv1.2, Cipher is ECDHE-ECDSA-",
            "No ALPN negotiated",
            OK,
            ANSWER,
        ],
    },
    Session {
        arguments: &["-tls1_3"],
        says: &[
            "New, TLSv1.3, Cipher is TLS_",
            "No ALPN negotiated",
            OK,
            ANSWER,
        ],
    },
    Session {
        arguments: &["-alpn", "http/1.1"],
        says: &["ALPN protocol: http/1.1", OK, ANSWER],
    },
    Session {
        arguments: &["-alpn", "h2,http/1.1"],
        says: &["ALPN protocol: http/1.1", OK, ANSWER],
    },
    // RFC 7301 §3.2: nothing in common ends the handshake.
    Session {
        arguments: &["-alpn", "h2"],
        says: &["alert no application protocol"],
    },
    Session {
        arguments: &["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"],
        says: &["alert handshake failure"],
    },
    Session {
        arguments: &["-servername", "localhost"],
        says: &["subject=CN = localhost", OK, ANSWER],
    },
    Session {
        arguments: &["-servername", "other.test"],
        says: &["subject=CN = other.test", OK, ANSWER],
    },
    // A stranger's name and no name get the first.
    Session {
        arguments: &["-servername", "stranger.test"],
        says: &["subject=CN = localhost", OK, ANSWER],
    },
    Session {
        arguments: &["-noservername"],
        says: &["subject=CN = localhost", OK, ANSWER],
    },
];

#[test]
fn s_client() {
    installed::need("openssl", "openssl", &["version"]);
    let certificates = Certificates::make();
    let served = serve(&certificates, "");
    for session in SESSIONS {
        check(&served, &certificates, session);
    }
    let file = certificates.file("session.pem");
    for (version, new, reused) in [
        ("-tls1_2", "New, TLSv1.2", "Reused, TLSv1.2"),
        ("-tls1_3", "New, TLSv1.3", "Reused, TLSv1.3"),
    ] {
        let (keep, resume) = ([version, "-sess_out", &file], [version, "-sess_in", &file]);
        check(
            &served,
            &certificates,
            &Session {
                arguments: &keep,
                says: &[new, OK, ANSWER],
            },
        );
        // Both shards know the ticket: one of so many sessions meets either of them.
        for _ in 0..8 {
            check(
                &served,
                &certificates,
                &Session {
                    arguments: &resume,
                    says: &[reused, ANSWER],
                },
            );
        }
    }
}

#[test]
fn s_client_with_a_minimum_of_1_3() {
    installed::need("openssl", "openssl", &["version"]);
    let certificates = Certificates::make();
    let served = serve(&certificates, "minimum = \"1.3\"\n");
    for session in [
        Session {
            arguments: &["-tls1_2"],
            says: &["alert protocol version"],
        },
        Session {
            arguments: &["-tls1_3"],
            says: &[OK, ANSWER],
        },
    ] {
        check(&served, &certificates, &session);
    }
}

#[track_caller]
fn check(served: &Served, certificates: &Certificates, session: &Session<'_>) {
    let ended = run(served, certificates, session.arguments);
    let said = ended.printed + &ended.errors;
    for expected in session.says {
        assert!(
            said.contains(expected),
            "{:?}: no {expected:?} in {said}",
            session.arguments
        );
    }
    assert_eq!(
        said.contains(ANSWER),
        session.says.contains(&ANSWER),
        "{said}"
    );
}

/// One request, until the server has ended the connection.
fn run(served: &Served, certificates: &Certificates, arguments: &[&str]) -> Ended {
    let mut client = Command::new("openssl");
    client
        .args([
            "s_client",
            "-ign_eof",
            "-connect",
            &served.address("wss").to_string(),
        ])
        .args(["-CAfile", &certificates.file("authority.pem")])
        .args(arguments);
    let (client, mut input) = Program::start_with_input(&mut client);
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    // Whoever was refused reads nothing.
    let _ = input.write_all(request);
    drop(input);
    client.end()
}
