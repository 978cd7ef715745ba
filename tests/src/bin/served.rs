//! The `shardcast` program, built with this package: the same entry and allocator as in
//! `server/src/main.rs`, so that a test of this package never runs one that was built before the
//! last change. Started by [`shardcast_tests::Served`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shardcast::run()
}
