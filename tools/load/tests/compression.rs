//! permessage-deflate below the messages, plain and through TLS: what is agreed on, that what comes
//! is verified and counted, and that a server which breaks it is named.

#[expect(dead_code, reason = "most conducts are for the transport")]
mod rogue;
#[expect(dead_code, reason = "the diary is for the transport")]
mod terminator;
mod tool;

use rogue::{Conduct, GOOD, unmasked};
use serde_json::{Value, json};
use terminator::Identity;
use tool::{Outcome, run, tool};

fn load(arguments: &str, url: &str) -> Outcome {
    run(tool()
        .args(arguments.split(' '))
        .args(["--url", url, "--compress", "--json", "-"]))
}

const ECHO: &str = "echo --connections 3 --in-flight 4 --warmup 0s --duration 300ms --drain 500ms";

/// Everything arrived, as large on the wire in both directions. Returns what was received.
fn check_honest(arguments: &str, url: &str) -> Value {
    let Outcome {
        code,
        report,
        complaint,
    } = load(arguments, url);
    let context = format!("{arguments}: {complaint} {report}");
    assert_eq!(
        (code, &report["errors"]),
        (Some(0), &json!({})),
        "{context}"
    );
    let (sent, received) = (
        &report["compressed"]["sent"],
        &report["compressed"]["received"],
    );
    assert_eq!(sent, received, "{context}");
    assert!(received["messages"].as_u64() >= Some(3), "{context}");
    assert_eq!(received["messages"], report["received"], "{context}");
    received.clone()
}

#[test]
fn what_is_long_enough_travels_compressed_and_is_verified() {
    let address = rogue::serve(Conduct::Compress(Vec::new())).0;
    let url = format!("ws://{address}/");
    for (arguments, compressed, ratio) in [
        ("--payload 64", false, 1.0..1.01),
        ("--payload 256", true, 1.5..5.0),
        ("--payload 1024 --content json", true, 1.7..2.5),
        ("--payload 70000", true, 20.0..500.0),
        ("--payload 700000 --workers 2", true, 20.0..500.0),
    ] {
        let received = check_honest(&format!("{ECHO} {arguments}"), &url);
        let expected = if compressed {
            &received["messages"]
        } else {
            &json!(0)
        };
        assert_eq!(&received["compressed"], expected, "{arguments}");
        let reached = received["ratio"].as_f64().unwrap();
        assert!(ratio.contains(&reached), "{arguments}: {reached}");
    }
}

#[test]
fn compression_goes_through_tls_and_sessions_are_resumed() {
    let own = Identity::new(&["localhost"], "compression.pem");
    let (port, _) = own.relay_to(rogue::serve(Conduct::Compress(Vec::new())).0);
    let url = format!("wss://localhost:{port}/");
    let tls = "--insecure --tls-suite TLS13_AES_128_GCM_SHA256";
    let agreed = |kind: &str| format!("TLS 1.3, TLS13_AES_128_GCM_SHA256, X25519, {kind}");
    let (whole, resumed) = (agreed("whole handshake"), agreed("resumed"));

    let payload = "--payload 1024 --content json";
    check_honest(&format!("{ECHO} {payload} {tls}"), &url);
    let churn = "churn --connections 2 --rate 20 --warmup 0s --duration 1s --payload 300";
    for (resume, expected) in [("", None), (" --tls-resume", Some(20))] {
        let Outcome {
            code,
            report,
            complaint,
        } = load(&format!("{churn} {tls}{resume}"), &url);
        let context = format!("{complaint} {report}");
        assert_eq!(code, Some(0), "{context}");
        let count = |words: &str| report["tls"][words].as_u64();
        assert_eq!(count(&resumed), expected, "{context}");
        let whole = count(&whole);
        assert_eq!(whole, Some(22 - expected.unwrap_or(0)), "{context}");
    }
}

#[test]
fn who_does_not_agree_is_refused() {
    for (answer, words) in [
        (
            GOOD.to_owned(),
            "the server does not compress, though permessage-deflate was offered",
        ),
        (
            GOOD.replace(
                "\r\n\r\n",
                "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            ),
            "it does not accept server_no_context_takeover",
        ),
    ] {
        let address = rogue::serve(Conduct::Answer(answer.leak())).0;
        let Outcome {
            code, complaint, ..
        } = load(ECHO, &format!("ws://{address}/"));
        assert_eq!(code, Some(3), "{complaint}");
        assert!(complaint.contains(words), "{words}: {complaint}");
    }
}

#[test]
fn what_cannot_be_inflated_is_named() {
    // A megabyte of one byte, in blocks with fixed codes (RFC 1951 §3.2.6): a literal 0 and many
    // copies of 258 bytes.
    let mut bomb = Bits::default();
    bomb.push(0b010, 3);
    bomb.push_code(0x30, 8);
    for _ in 0..4_096 {
        bomb.push_code(0b1100_0101, 8);
        bomb.push_code(0, 5);
    }
    bomb.push_code(0, 7);
    // The empty stored block of which the client adds the rest.
    bomb.push(0, 3);
    for (said, words) in [
        (
            unmasked(0xc2, &[0xff; 20]),
            "the server sent a message that cannot be inflated",
        ),
        (
            unmasked(0xc2, &bomb.bytes),
            "the server sent a compressed message much larger than anything that was sent",
        ),
        (
            unmasked(0xa2, b"xxxx"),
            "the server sent a frame with reserved bits or a mask",
        ),
        (
            unmasked(0xc9, b"xxxx"),
            "the server sent a frame with reserved bits or a mask",
        ),
    ] {
        let address = rogue::serve(Conduct::Compress(said)).0;
        let Outcome {
            code,
            report,
            complaint,
        } = load(ECHO, &format!("ws://{address}/"));
        let context = format!("{complaint} {report}");
        assert_eq!(report["errors"], json!({words: 1}), "{context}");
        assert_eq!((code, &report["lost"]), (Some(1), &json!(4)), "{context}");
    }
}

/// Bits as RFC 1951 §3.1.1 packs them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    /// A number, from its least bit.
    fn push(&mut self, number: u32, count: u32) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((number >> bit & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// A Huffman code, from its greatest bit.
    fn push_code(&mut self, code: u32, count: u32) {
        for bit in (0..count).rev() {
            self.push(code >> bit & 1, 1);
        }
    }
}
