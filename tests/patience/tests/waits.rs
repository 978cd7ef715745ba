//! A wait ends with its event, and one whose event never comes ends with a panic that names it.

use shardcast_patience::{
    NOTHING_LEFT_OUT, Program, is_reached_within, leave_out, patiently, wait_until, wait_within,
};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Long enough for a second look, and over before anybody notices.
const SHORT: Duration = Duration::from_millis(20);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The message of the panic that this ends with.
fn panic_of(ends: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(ends).expect_err("a panic");
    *panic.downcast::<String>().expect("a formatted message")
}

/// A process that has ended and is reaped has no folder there.
fn lives(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn a_wait_ends_when_its_event_has_come() {
    let mut looks = 0;
    wait_until("the third look", || {
        looks += 1;
        looks == 3
    });
    assert_eq!(looks, 3);
}

#[test]
fn a_wait_for_what_never_comes_names_it() {
    static LOOKS: AtomicU32 = AtomicU32::new(0);
    let message = panic_of(|| {
        wait_within(SHORT, "the end of time", || {
            LOOKS.fetch_add(1, Ordering::Relaxed);
            false
        });
    });
    assert_eq!(message, "not within 20ms: the end of time");
    assert!(LOOKS.load(Ordering::Relaxed) > 1);
    assert!(!is_reached_within(SHORT, || false));
}

#[test]
fn what_blocks_returns_its_value_or_its_panic() {
    assert_eq!(patiently("a sum", || 1 + 1), 2);
    let message = panic_of(|| patiently("a sum", || panic!("no")));
    assert_eq!(message, "a panic, see above: a sum");
}

#[test]
fn a_program_is_heard_by_the_line_and_to_its_end() {
    let mut program = Program::start(&mut shell(
        "echo one; echo two; printf 3; echo no >&2; exit 7",
    ));
    assert_eq!(program.line().as_deref(), Some("one\n"));
    let ended = program.end();
    let said = (ended.code, ended.printed.as_str(), ended.errors.as_str());
    assert_eq!(said, (Some(7), "two\n3", "no\n"));
}

#[test]
fn a_program_that_prints_more_than_anybody_reads_ends_all_the_same() {
    let ended = Program::start(&mut shell("yes | head -n 100000")).end();
    assert_eq!((ended.code, ended.printed.len()), (Some(0), 200_000));
}

#[test]
fn a_program_hears_its_input_and_its_signals() {
    let (mut program, input) = Program::start_with_input(&mut Command::new("cat"));
    std::io::Write::write_all(&mut &input, b"said\n").expect("it reads");
    assert_eq!(program.line().as_deref(), Some("said\n"));
    program.signal("TERM");
    assert_eq!(program.end().code, None);
}

#[test]
fn a_program_does_not_outlive_a_panic() {
    let program = Program::start(&mut shell("exec sleep 1000"));
    let id = program.id();
    assert!(lives(id));
    let message = panic_of(move || {
        let _program = std::panic::AssertUnwindSafe(program);
        panic!("{}", "a test fails");
    });
    assert_eq!(message, "a test fails");
    assert!(!lives(id), "it is killed and reaped");
}

/// Both runs are this test in a process of its own, for a process has one environment.
#[test]
fn what_is_left_out_is_said_and_may_be_an_error() {
    const INNER: &str = "PATIENCE_TEST_LEAVES_OUT";
    if std::env::var_os(INNER).is_some() {
        return leave_out("a peer is not here");
    }
    let run = |complete: bool| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let name = "what_is_left_out_is_said_and_may_be_an_error";
        command.args([name, "--exact"]).env(INNER, "1");
        match complete {
            true => command.env(NOTHING_LEFT_OUT, "1"),
            false => command.env_remove(NOTHING_LEFT_OUT),
        };
        Program::start(&mut command).end()
    };
    let said = run(false);
    assert_eq!(
        (said.code, said.errors.as_str()),
        (Some(0), "left out: a peer is not here\n")
    );
    let failed = run(true);
    assert_eq!(failed.code, Some(101), "{failed:?}");
    assert!(failed.printed.contains("it has to be here"), "{failed:?}");
}
