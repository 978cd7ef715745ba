//! Rates, counts, and limits of roles.

use super::*;
use crate::limits::gcra::Rate;
use crate::limits::rules::{Enforcement, OnExceed};

#[test]
fn limits_are_read_and_a_burst_is_a_seconds_worth() {
    let file = "[limits]\nconnections_per_address = 20\nmessages_per_second = 50\nmessages_per_second_burst = 200\n\
                bytes_per_second = '1MiB'\nfanout_per_second = 10\nrequests_in_flight = 3\non_exceed = 'delay'\ndry_run = true\n";
    let inputs = Inputs {
        file,
        ..Inputs::default()
    };
    let limits = check(&inputs.given()).expect("it is right").limits();
    let everybody = limits.everybody;
    assert_eq!(limits.connections_per_address, Some(20));
    assert_eq!(limits.enforcement, Enforcement::DryRun);
    assert_eq!(everybody.messages_per_second, Rate::new(50, 200));
    assert_eq!(everybody.bytes_per_second, Rate::new(1 << 20, 1 << 20));
    assert_eq!(everybody.fanout_per_second, Rate::new(10, 10));
    assert_eq!(everybody.requests_in_flight, Some(3));
    assert_eq!(everybody.on_exceed, OnExceed::Delay);
    assert_eq!(everybody.joins_per_second, None);
    assert!(!Settings::default().limits().limits_something());
}

#[test]
fn a_role_begins_with_what_everybody_may() {
    let file = "[roles.bot]\nmessages_per_second = 500\non_exceed = 'delay'\n[roles.'team/a']\nmessages_per_second = 'none'\n\
                [limits]\nmessages_per_second = 50\njoins_per_second = 5\n";
    let inputs = Inputs {
        file,
        set: &["limits.joins_per_second=6"],
        ..Inputs::default()
    };
    let given = inputs.given();
    let settings = check(&given).expect("it is right");
    let limits = settings.limits();
    let of = |role: &str| {
        let found = limits.roles.iter().find(|(name, _)| **name == *role);
        found.expect("it is there").1
    };
    assert_eq!(of("bot").messages_per_second, Rate::new(500, 500));
    assert_eq!(of("bot").joins_per_second, Rate::new(6, 6));
    assert_eq!(of("bot").on_exceed, OnExceed::Delay);
    assert_eq!(of("team/a").messages_per_second, None);
    assert_eq!(of("team/a").on_exceed, OnExceed::Refuse);
    // What is shown reads back as the same.
    let page = effective_page(&settings, &given);
    assert!(page.contains("[roles.bot]\n"), "{page}");
    let again = Inputs {
        file: &page,
        ..Inputs::default()
    };
    assert_eq!(check(&again.given()).as_ref(), Ok(&settings));
}

#[test]
fn what_is_wrong_with_a_role_is_told() {
    for (file, problem) in [
        (
            "[roles.bot]\nmesages_per_second = 1",
            "unknown key roles.bot.mesages_per_second (from s.toml, line 2); the nearest known one is roles.bot.messages_per_second",
        ),
        (
            "[roles.bot]\nconnections_per_address = 1",
            "unknown key roles.bot.connections_per_address (from s.toml, line 2); the nearest known one is roles.bot.connections_per_user",
        ),
        (
            "[roles.bot]\nmessages_per_second = 0",
            "roles.bot.messages_per_second = \"0\" (from s.toml, line 2) must be none, or a whole number from 1 to 1000000000",
        ),
        (
            "[roles.'a b']",
            "role \"a b\" (from s.toml, line 1) must be called by 1 to 64 characters of A-Z, a-z, 0-9 and _.:/-",
        ),
        (
            "[roles]\nbot = 1",
            "role \"bot\" (from s.toml, line 2) must be a table of options, such as [roles.bot]",
        ),
        (
            "roles = 1",
            "from s.toml, line 1: roles must be tables, such as [roles.bot]",
        ),
    ] {
        let inputs = Inputs {
            file,
            ..Inputs::default()
        };
        let problems = check(&inputs.given()).expect_err(file);
        let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(told, [problem], "{file}");
    }
    let inputs = Inputs {
        set: &["roles.bot.messages_per_second=1"],
        environment: &[("SHARDCAST_ROLES_BOT_X", "1")],
        ..Inputs::default()
    };
    let problems = check(&inputs.given()).expect_err("only in the file");
    assert_eq!(problems.len(), 2);
}
