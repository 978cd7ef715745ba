//! The tool on small inputs: what a file of clauses may hold, what counts as a citation, and that
//! each finding can happen.

use shardcast_clauses::{Account, Clause, Origin, Party, Proof, Sources, Strength, cited, clauses};

fn parse(text: &str) -> Result<Vec<Clause>, Vec<String>> {
    clauses("x.txt", "6455", text)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

#[test]
fn a_file_holds_clauses_with_their_texts() {
    let text = "# comment\n\n6455-5.1-2 MUST server test\n    Closes on a frame\n    without a mask.\n\
                6455-10.4-1 SHOULD-NOT others declined: because: so\n    Text: with a colon.\n";
    let expected = [
        Clause {
            id: "6455-5.1-2".into(),
            strength: Strength::Must,
            binds: Party::Server,
            proof: Proof::Test,
            text: "Closes on a frame without a mask.".into(),
        },
        Clause {
            id: "6455-10.4-1".into(),
            strength: Strength::ShouldNot,
            binds: Party::Others,
            proof: Proof::Declined("because: so".into()),
            text: "Text: with a colon.".into(),
        },
    ];
    assert_eq!(parse(text).as_deref(), Ok(&expected[..]));
    assert_eq!((expected[1].section(), expected[1].rfc()), ("10.4", "6455"));
}

#[test]
fn what_is_no_clause_is_named() {
    let table = [
        (" text", "1: text without a clause"),
        ("6455-1-1 MUST server test", "1: a clause without a text"),
        (
            "6455-1-1 MUST server test\n6455-1-2 MUST both test\n x",
            "1: a clause without a text",
        ),
        (
            "6455-1-1 MUST server",
            "1: not ID STRENGTH PARTY PROOF[: reason]",
        ),
        (
            "6455-1-1 MUST server test x",
            "1: not ID STRENGTH PARTY PROOF[: reason]",
        ),
        (
            "7692-1-1 MUST server test",
            "1: 7692-1-1 is no id of RFC 6455",
        ),
        (
            "6455-1.-1 MUST server test",
            "1: 6455-1.-1 is no id of RFC 6455",
        ),
        (
            "6455-1-0 MUST server test",
            "1: 6455-1-0 is no id of RFC 6455",
        ),
        ("6455-1-1 must server test", "1: must: unknown"),
        ("6455-1-1 MUST nobody test", "1: nobody: unknown"),
        ("6455-1-1 MUST server trust", "1: trust is no proof"),
        ("6455-1-1 MUST server code", "1: code needs a reason"),
        (
            "6455-1-1 MUST server not-ours",
            "1: not-ours needs a reason",
        ),
        (
            "6455-1-1 MUST server test: why",
            "1: a test needs no reason",
        ),
        (
            "6455-1-1 MUST server declined: why",
            "1: a MUST is not declined",
        ),
        (
            "6455-1-1 MUST both test\n a\n\n6455-1-1 MUST both test\n b",
            "4: 6455-1-1 stands there twice",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(
            parse(text),
            Err(vec![format!("tools/clauses/x.txt:{expected}")]),
            "{text}"
        );
    }
}

/// File, text, and what is cited: id, line, origin.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, usize, Origin)],
);

const CITED: &[Row] = &[
    (
        "a/src/b.rs",
        "// Clause 6455-5.1-2\n",
        &[("6455-5.1-2", 1, Origin::Code)],
    ),
    (
        "a/src/b.rs",
        "/// Clauses 6455-5.1-2, 7692-7.1.2.1-3.\n",
        &[
            ("6455-5.1-2", 1, Origin::Code),
            ("7692-7.1.2.1-3", 1, Origin::Code),
        ],
    ),
    (
        "a/tests/b.rs",
        "check(\"9112-5-1\")",
        &[("9112-5-1", 1, Origin::Test)],
    ),
    (
        "a/src/b/tests.rs",
        "\n// 9112-5-1",
        &[("9112-5-1", 2, Origin::Test)],
    ),
    (
        "a/src/b.rs",
        "#[cfg(test)]\nmod tests {\n    // 9112-5-1\n}\n// 9112-5-2\n",
        &[("9112-5-1", 3, Origin::Test), ("9112-5-2", 5, Origin::Code)],
    ),
    (
        "a/src/b.rs",
        "#[cfg(test)]\nuse x;\n// 9112-5-1\n",
        &[("9112-5-1", 3, Origin::Code)],
    ),
    (
        "a/src/b.rs",
        "// 2026-11-20, RFC 6455 §5.1, 64555-1-1, 6455-5.1, x6455-5.1-1, 6455-5.1-1-2\n",
        &[],
    ),
];

#[test]
fn citations_are_found_by_their_shape() {
    for (file, text, expected) in CITED {
        let found = cited(file, text);
        let found: Vec<_> = found
            .iter()
            .map(|c| (c.id.as_str(), c.line, c.origin))
            .collect();
        assert_eq!(found, *expected, "{file}: {text}");
    }
}

fn findings(rules: &str, file: &str, text: &str) -> Vec<String> {
    let sources = Sources {
        files: vec![(file.into(), text.into())],
    };
    Account::of(parse(rules).expect("clauses"), &sources).findings()
}

#[test]
fn each_finding_can_happen() {
    const TEST: &str = "6455-1-1 MUST server test\n r.\n";
    const CODE: &str = "6455-1-1 MUST server code: unseen\n r.\n";
    const NOT_OURS: &str = "6455-1-1 MUST client not-ours: no client\n r.\n";
    const DECLINED: &str = "6455-1-1 SHOULD server declined: dear\n r.\n";
    let cite = "// Clause 6455-1-1";
    let table = [
        (TEST, "a/tests/t.rs", cite, None),
        (
            TEST,
            "a/src/t.rs",
            cite,
            Some("6455-1-1 (MUST server): no test cites it: r."),
        ),
        (
            TEST,
            "a/src/t.rs",
            "",
            Some("6455-1-1 (MUST server): no test cites it: r."),
        ),
        (CODE, "a/src/t.rs", cite, None),
        (
            CODE,
            "a/tests/t.rs",
            cite,
            Some("6455-1-1 (MUST server): no code cites it: r."),
        ),
        (NOT_OURS, "a/src/t.rs", "", None),
        (
            NOT_OURS,
            "a/src/t.rs",
            cite,
            Some("6455-1-1 (MUST client): cited, though it is not kept here: r."),
        ),
        (DECLINED, "a/src/t.rs", "", None),
        (
            DECLINED,
            "a/tests/t.rs",
            cite,
            Some("6455-1-1 (SHOULD server): cited, though it is not kept here: r."),
        ),
        (
            NOT_OURS,
            "a/src/t.rs",
            "\n// 6455-1-2",
            Some("a/src/t.rs:2: 6455-1-2: no such clause"),
        ),
    ];
    for (rules, file, text, expected) in table {
        assert_eq!(
            findings(rules, file, text),
            expected.into_iter().collect::<Vec<_>>(),
            "{rules}{file}: {text}"
        );
    }
}

#[test]
fn tables_name_lines_and_pages_name_files() {
    let rules =
        "6455-1-1 MUST server test\n One | two.\n6455-1-2 SHOULD client declined: dear\n Three.\n";
    let sources = Sources {
        files: vec![
            ("a/src/t.rs".into(), "// 6455-1-1\n".into()),
            ("a/tests/t.rs".into(), "// 6455-1-1\n// 6455-1-1\n".into()),
        ],
    };
    let account = Account::of(parse(rules).expect("clauses"), &sources);
    assert_eq!(
        account.table(),
        "6455-1-1       MUST       server  tests: a/tests/t.rs:1, a/tests/t.rs:2; code: a/src/t.rs:1\n\
         6455-1-2       SHOULD     client  declined: dear\n\
         2 clauses: 1 shown by tests, 0 by code, 0 not ours, 1 declined\n"
    );
    let page = account.markdown();
    assert!(
        page.contains("| 6455-1-1 | **MUST** | server | One \\| two. | `a/tests/t.rs` |\n"),
        "{page}"
    );
    assert!(
        page.contains("| 6455-1-2 | SHOULD | client | Three. | not followed: dear |\n"),
        "{page}"
    );
}
