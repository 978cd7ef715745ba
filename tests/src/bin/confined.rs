//! Runs a program as a container does whose seccomp profile permits no io_uring, as Docker's and
//! containerd's default does not: `confined PROGRAM ARGUMENTS…`. The calls that such a profile
//! refuses are answered `EPERM`, and `clone3` `ENOSYS`, as there.

#![forbid(unsafe_code)]

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Of those that Docker's default profile (25.0 and newer) refuses to a process without
/// capabilities, what a server might try.
const REFUSED: [i64; 11] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_perf_event_open,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_userfaultfd,
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("confined PROGRAM ARGUMENTS…");
        return ExitCode::from(2);
    };
    refuse(&REFUSED, libc::EPERM);
    refuse(&[libc::SYS_clone3], libc::ENOSYS);
    let error = Command::new(program).args(arguments).exec();
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// For this process and all that it becomes.
fn refuse(calls: &[i64], errno: i32) {
    let architecture = std::env::consts::ARCH.try_into().expect("a 64-bit machine");
    let rules = calls.iter().map(|call| (*call, Vec::new()));
    let answer = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules.collect(), SeccompAction::Allow, answer, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    apply_filter(&program).expect("a kernel with seccomp");
}
