//! The program's commands that do not serve: what they print and how they exit.

use std::io::Write;
use std::process::{Command, Output};

/// Runs the program with these arguments and no `SHARDCAST_` variable but these.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    program(arguments, environment)
        .output()
        .expect("the program starts")
}

fn program(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardcast"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHARDCAST_"))
    {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied());
    command
}

/// Exit code, standard output and standard error.
fn result_of(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn file(name: &str, text: &str) -> std::path::PathBuf {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("a file of our own");
    path
}

#[test]
fn version() {
    for arguments in [["version"], ["--version"]] {
        assert_eq!(
            result_of(&run(&arguments, &[])),
            (Some(0), "shardcast 0.1.0\n".to_owned(), String::new())
        );
    }
}

#[test]
fn the_default_configuration_is_one_that_changes_nothing() {
    let (code, page, complaints) = result_of(&run(&["default-config"], &[]));
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    let path = file("default.toml", &page);
    let (code, with_file, complaints) = result_of(&run(
        &["check-config", "--config", path.to_str().unwrap()],
        &[],
    ));
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    let (_, without_file, _) = result_of(&run(&["check-config"], &[]));
    let bare: String = with_file
        .lines()
        .map(|line| format!("{}\n", line.split(" # from ").next().unwrap()))
        .collect();
    assert_eq!(bare, without_file);
}

/// The exit code tells whether everything of it has a counterpart.
#[test]
fn a_foreign_configuration_is_imported() {
    let tokens = "\"token_hmac_secret_key\": \"0123456789abcdef0123456789abcdef\"";
    for (name, text, code, complaint) in [
        (
            "whole.json",
            format!("{{{tokens}}}"),
            0,
            "to do: put client.token.hmac_secret_key",
        ),
        (
            "half.json",
            format!("{{{tokens}, \"unknown\": 1}}"),
            3,
            "no counterpart: unknown: ",
        ),
        (
            "six.toml",
            "[client]\ninsecure = true\n".to_owned(),
            0,
            "to do: anybody may connect",
        ),
        ("none.json", "[]".to_owned(), 2, "it is no object"),
        ("broken.toml", "[".to_owned(), 2, "broken.toml"),
    ] {
        let path = file(name, &text);
        let output = run(&["import-centrifugo", path.to_str().unwrap()], &[]);
        let (given, page, complaints) = result_of(&output);
        assert_eq!(given, Some(code), "{complaints}");
        assert!(complaints.contains(complaint), "{complaints}");
        assert_eq!(page.is_empty(), code == 2, "{page}");
        if code == 2 {
            continue;
        }
        let imported = file(&format!("{name}.imported.toml"), &page);
        let arguments = ["check-config", "--config", imported.to_str().unwrap()];
        let secret = (
            "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY",
            "0123456789abcdef0123456789abcdef",
        );
        let (code, _, complaints) = result_of(&run(&arguments, &[secret]));
        assert_eq!(code, Some(0), "{complaints}");
    }
    let (code, ..) = result_of(&run(&["import-centrifugo", "/no/such/file"], &[]));
    assert_eq!(code, Some(2));
}

/// Standard output on a full disk (`full(4)`), and one that is closed early.
#[test]
fn a_page_that_cannot_be_written_is_told() {
    for command in ["default-config", "check-config", "version"] {
        let full = std::fs::File::create("/dev/full").expect("Linux has it");
        let output = program(&[command], &[]).stdout(full).output().unwrap();
        let complaint =
            "shardcast: cannot write to standard output: No space left on device (os error 28)\n";
        assert_eq!(
            result_of(&output),
            (Some(1), String::new(), complaint.to_owned())
        );
    }
}

#[test]
fn check_config_shows_where_each_value_comes_from() {
    let path = file(
        "sources.toml",
        "[limits]\nmax_connections = 10\noutbox_frames = 32\n",
    );
    let environment = [
        ("SHARDCAST_LIMITS_MAX_CONNECTIONS", "20"),
        ("SHARDCAST_SERVER_SHARDS", "3"),
    ];
    let output = run(
        &[
            "check-config",
            "--config",
            path.to_str().unwrap(),
            "--shards",
            "2",
            "--set",
            "log.level=warn",
        ],
        &environment,
    );
    let (code, page, complaints) = result_of(&output);
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    for line in [
        "shards = 2 # from --shards".to_owned(),
        "max_connections = 20 # from SHARDCAST_LIMITS_MAX_CONNECTIONS".to_owned(),
        format!("outbox_frames = 32 # from {}, line 3", path.display()),
        "level = \"warn\" # from --set".to_owned(),
        "listen = \"127.0.0.1:8000\"".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_with_exit_code_2() {
    let path = file(
        "wrong.toml",
        "[server]\nlissten = \"127.0.0.1:1\"\nshards = 1000\n",
    );
    let path = path.to_str().unwrap();
    let want = format!(
        "shardcast: configuration: unknown variable SHARDCAST_LOG_LEVL (from the environment); the nearest known one is SHARDCAST_LOG_LEVEL\n\
         shardcast: configuration: unknown key server.lissten (from {path}, line 2); the nearest known one is server.listen\n\
         shardcast: configuration: server.shards = \"1000\" (from {path}, line 3) must be auto or a whole number from 1 to 256\n"
    );
    for command in [&["check-config"][..], &["serve"], &[]] {
        let output = run(
            &[command, &["--config", path]].concat(),
            &[("SHARDCAST_LOG_LEVL", "warn")],
        );
        assert_eq!(
            result_of(&output),
            (Some(2), String::new(), want.clone()),
            "{command:?}"
        );
    }
}

#[test]
fn strangers_are_refused_unless_the_user_insists() {
    for address in ["--listen", "--admin"] {
        let (code, _, complaints) = result_of(&run(&["serve", address, "0.0.0.0:0"], &[]));
        assert_eq!(code, Some(2));
        assert!(
            complaints.contains("without authentication") && complaints.contains("pass --insecure"),
            "{complaints}"
        );
        assert_eq!(
            run(&["check-config", address, "0.0.0.0:0", "--insecure"], &[])
                .status
                .code(),
            Some(0)
        );
    }
}

#[test]
fn wrong_command_lines() {
    for arguments in [
        &["serv"][..],
        &["serve", "--listn", "x"],
        &["serve", "--listen"],
        &["version", "extra"],
    ] {
        let (code, page, complaints) = result_of(&run(arguments, &[]));
        assert_eq!((code, page.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(complaints.starts_with("error: "), "{complaints}");
    }
}
