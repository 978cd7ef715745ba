//! Every parameter of the offers and of the answers (RFC 7692 §7.1).

use shardcast_protocol::deflate::{
    Agreement, AnswerError, ExtensionsMalformed, Takeover, negotiate, offer, read_answer,
};
use std::iter::once;

const DEFAULT: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The answer to headers, which are divided by `|`; `None`: no agreement.
#[track_caller]
fn check(headers: &str, takeover: Takeover, answer: Result<Option<&str>, ExtensionsMalformed>) {
    let agreed = negotiate(headers.split('|').map(str::as_bytes), takeover);
    let agreed = agreed.map(|agreed| agreed.map(|agreed| agreed.to_string()));
    assert_eq!(
        agreed,
        answer.map(|answer| answer.map(str::to_owned)),
        "{headers}"
    );
}

/// Clauses 7692-7-4, 7692-7.1.1.1-2, 7692-7.1.2.1-2, 7692-7.1.2.2-2, 7692-7.1.2.2-3, 6455-9-2,
/// 6455-9.1-2, 6455-4.3-1.
#[test]
fn an_offer_is_answered_without_takeover() {
    let with_15 = format!("{DEFAULT}; server_max_window_bits=15");
    let with_8 = format!("{DEFAULT}; server_max_window_bits=8");
    let with_10 = format!("{DEFAULT}; server_max_window_bits=10");
    for (headers, answer) in [
        ("permessage-deflate", Some(DEFAULT)),
        ("Permessage-Deflate", Some(DEFAULT)),
        ("permessage-deflate; client_max_window_bits", Some(DEFAULT)),
        ("permessage-deflate;client_max_window_bits=8", Some(DEFAULT)),
        (
            "permessage-deflate ; client_max_window_bits = \"1\\5\"",
            Some(DEFAULT),
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            Some(DEFAULT),
        ),
        (
            "permessage-deflate; client_no_context_takeover",
            Some(DEFAULT),
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            Some(&with_15),
        ),
        (
            "permessage-deflate; server_max_window_bits=10",
            Some(&with_10),
        ),
        (
            "permessage-deflate; server_max_window_bits=\"10\"",
            Some(&with_10),
        ),
        (
            "permessage-deflate; server_max_window_bits=8",
            Some(&with_8),
        ),
        ("other, permessage-deflate", Some(DEFAULT)),
        ("other; a=1; b|permessage-deflate", Some(DEFAULT)),
        (",, permessage-deflate ,", Some(DEFAULT)),
        // The first that can be met, whatever follows.
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            Some(&with_10),
        ),
        (
            "permessage-deflate; server_max_window_bits=7, permessage-deflate",
            Some(DEFAULT),
        ),
        (
            "permessage-deflate; unknown|permessage-deflate; server_max_window_bits=10",
            Some(&with_10),
        ),
        ("", None),
        ("other", None),
        ("x-webkit-deflate-frame", None),
    ] {
        check(headers, Takeover::Never, Ok(answer));
    }
}

/// Clauses 7692-7-1, 7692-7-2, 7692-7-3, 7692-7.1.1.1-1, 7692-7.1.1.2-1, 7692-7.1.2.1-1,
/// 7692-7.1.2.2-1.
#[test]
fn a_faulty_offer_is_declined() {
    for parameters in [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "server_no_context_takeover=true",
        "client_no_context_takeover=\"x\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=1x",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        // Names are compared as they are written.
        "Server_No_Context_Takeover",
    ] {
        check(
            &format!("permessage-deflate; {parameters}"),
            Takeover::Never,
            Ok(None),
        );
    }
}

/// Clauses 6455-9.1-1, 6455-4.3-1.
#[test]
fn what_is_no_list_fails_the_handshake() {
    for headers in [
        "permessage-deflate;",
        "permessage-deflate; =1",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"1 0\"",
        "permessage-deflate; server_max_window_bits=10 x",
        "permessage-deflate server_no_context_takeover",
        "permessage-deflate\u{e9}",
        "permessage-deflate, ;",
        "(permessage-deflate)",
        "permessage-deflate|other;;",
    ] {
        check(headers, Takeover::Never, Err(ExtensionsMalformed));
    }
    let not_text = negotiate(once(&b"permessage-deflate\xff"[..]), Takeover::Never);
    assert_eq!(not_text, Err(ExtensionsMalformed));
}

/// Every combination of parameters, each absent, without a value and with each of its values. What
/// is asked of the server is confirmed, each parameter once; what is said of the client's window is
/// never repeated.
#[test]
fn every_combination_of_an_offer_is_answered() {
    let windows = || (8..=15).map(Some).chain([None]);
    for takeover in [Takeover::Never, Takeover::Allowed] {
        for (server_no, client_no) in [(false, false), (false, true), (true, false), (true, true)] {
            for server_window in windows() {
                let client_windows = windows().map(|bits| bits.map(|bits| format!("={bits}")));
                for client_window in client_windows.chain([Some(String::new())]) {
                    let mut offer = String::from("permessage-deflate");
                    // In another order than the answer's: it has no meaning.
                    if let Some(value) = &client_window {
                        offer += &format!("; client_max_window_bits{value}");
                    }
                    let mut answer = String::from("permessage-deflate");
                    let never = takeover == Takeover::Never;
                    for (offered, name) in [
                        (client_no, "client_no_context_takeover"),
                        (server_no, "server_no_context_takeover"),
                    ] {
                        if offered {
                            offer += &format!("; {name}");
                        }
                    }
                    for (given, name) in [
                        (server_no || never, "server_no_context_takeover"),
                        (client_no || never, "client_no_context_takeover"),
                    ] {
                        if given {
                            answer += &format!("; {name}");
                        }
                    }
                    if let Some(bits) = server_window {
                        offer += &format!("; server_max_window_bits={bits}");
                        answer += &format!("; server_max_window_bits={bits}");
                    }
                    check(&offer, takeover, Ok(Some(&answer)));
                    let agreed = negotiate(once(offer.as_bytes()), takeover);
                    let agreed = agreed.unwrap().unwrap();
                    assert_eq!(agreed.client_offered_no_takeover, client_no, "{offer}");
                    assert_eq!(agreed.server_window_bits(), server_window.unwrap_or(15));
                }
            }
        }
    }
}

#[test]
fn takeover_is_given_unless_it_is_refused() {
    for (offer, answer) in [
        ("permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate",
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=9",
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=9",
        ),
    ] {
        check(offer, Takeover::Allowed, Ok(Some(answer)));
    }
}

/// Clauses 7692-5-2, 7692-7-5, 6455-4.1-20.
#[test]
fn a_client_holds_the_server_to_its_offer() {
    let agreed = |server_takeover, server_window, client_window_bits| {
        Ok(Some(Agreement {
            server_takeover,
            client_takeover: Takeover::Never,
            client_offered_no_takeover: server_takeover == Takeover::Never,
            server_window,
            client_window_bits,
        }))
    };
    for (takeover, answer, expected) in [
        (Takeover::Never, DEFAULT, agreed(Takeover::Never, None, 15)),
        (
            Takeover::Allowed,
            "permessage-deflate; client_no_context_takeover; client_max_window_bits=10; server_max_window_bits=9",
            agreed(Takeover::Allowed, Some(9), 10),
        ),
        (Takeover::Never, "", Ok(None)),
        (
            Takeover::Never,
            "permessage-deflate",
            Err(AnswerError::BadParameters),
        ),
        (
            Takeover::Never,
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
            Err(AnswerError::BadParameters),
        ),
        (
            Takeover::Allowed,
            "permessage-deflate; client_max_window_bits",
            Err(AnswerError::BadParameters),
        ),
        (
            Takeover::Allowed,
            "permessage-deflate; x",
            Err(AnswerError::BadParameters),
        ),
        (Takeover::Allowed, "other", Err(AnswerError::NotOffered)),
        (
            Takeover::Allowed,
            "permessage-deflate, permessage-deflate",
            Err(AnswerError::NotOffered),
        ),
        (
            Takeover::Allowed,
            "permessage-deflate;",
            Err(AnswerError::Malformed(ExtensionsMalformed)),
        ),
    ] {
        assert_eq!(
            read_answer(once(answer.as_bytes()), takeover),
            expected,
            "{answer}"
        );
    }
}

#[test]
fn both_sides_agree() {
    for (client, server) in [
        (Takeover::Never, Takeover::Never),
        (Takeover::Never, Takeover::Allowed),
        (Takeover::Allowed, Takeover::Never),
        (Takeover::Allowed, Takeover::Allowed),
    ] {
        let agreed = negotiate(once(offer(client).as_bytes()), server)
            .unwrap()
            .unwrap();
        let answer = agreed.to_string();
        let understood = read_answer(once(answer.as_bytes()), client);
        assert_eq!(understood, Ok(Some(agreed)), "{answer}");
    }
}
