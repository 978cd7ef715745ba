//! The table of errors: its rows, its rules, and that the page about it is up to date.

use shardcast_protocol::dialect::Code;
use std::collections::BTreeSet;

#[test]
fn every_code_has_its_row() {
    let rows: Vec<(&str, i32, u16, bool)> = Code::ALL
        .iter()
        .map(|code| {
            (
                code.as_str(),
                code.json_rpc(),
                code.close_code().get(),
                code.is_retryable(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("bad_json", -32700, 4000, false),
            ("bad_request", -32602, 4001, false),
            ("unknown_type", -32601, 4002, false),
            ("unauthorized", -32001, 4003, false),
            ("forbidden", -32002, 4004, false),
            ("not_joined", -32003, 4005, false),
            ("too_large", -32004, 4006, false),
            ("rate_limited", -32005, 4100, true),
            ("timeout", -32006, 4101, true),
            ("handler_failed", -32603, 4102, false),
            ("room_limit", -32007, 4007, false),
            ("unavailable", -32008, 4103, true),
            ("unknown_namespace", -32009, 4008, false),
            ("room_full", -32010, 4104, true),
            ("invalid_data", -32602, 4009, false),
            ("token_expired", -32011, 4105, false),
            ("no_session", -32012, 4010, false),
        ]
    );
}

#[test]
fn numbers_are_in_their_ranges_and_close_codes_are_distinct() {
    let mut close_codes = BTreeSet::new();
    for code in Code::ALL {
        let number = code.json_rpc();
        assert!(
            (-32099..=-32000).contains(&number)
                || [-32700, -32601, -32602, -32603].contains(&number)
        );
        assert!(close_codes.insert(code.close_code().get()));
        assert!((4000..4200).contains(&code.close_code().get()));
        // Whoever may try again may connect again.
        assert!(
            !code.is_retryable() || code.close_code().get() >= 4100,
            "{code:?}"
        );
        assert_eq!(Code::from_name(code.as_str()), Some(code));
        assert!(!code.meaning().ends_with('.') && !code.meaning().contains('|'));
    }
    assert_eq!(Code::from_name("x"), None);
}

#[test]
fn the_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    let page = std::fs::read_to_string(path).expect("the page");
    assert!(
        page == shardcast_protocol::problem::markdown(),
        "docs/errors.md is out of date: cargo run -p shardcast-protocol --example errors"
    );
}
