//! Pieces: single operations that are measured alone, each under a name that stays. A bench binary
//! hands its table to [`run`]. Divan times them (`cargo bench`), or does each once (`cargo test
//! --benches`); `shardcast-bench instructions` counts their instructions.
//!
//! For the count, `--count NAME TIMES` sets the piece up, does it so many times and nothing else:
//! what it costs is the difference between two such runs, so that neither the set-up nor the start
//! of the process is in it. `--pieces` lists names and times.

use divan::Bencher;
use std::fmt;
use std::process::ExitCode;

/// One operation.
pub(crate) struct Piece {
    /// What and how large, as `read/64`. Results of earlier commits are found by it.
    pub(crate) name: &'static str,
    /// How often a count repeats it: enough to make what it allocates once disappear.
    pub(crate) times: u32,
    /// Everything before the first operation; calling the result is one operation.
    pub(crate) set_up: fn() -> Box<dyn FnMut()>,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Called by Divan for each piece. What it adds is one indirect call.
pub(crate) fn time(bencher: Bencher<'_, '_>, piece: &Piece) {
    bencher.bench_local((piece.set_up)());
}

/// The whole `main` of a bench binary.
pub(crate) fn run(pieces: &[Piece]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--pieces"] => {
            for piece in pieces {
                println!("{} {}", piece.name, piece.times);
            }
        }
        ["--count", name, times] => {
            let piece = pieces.iter().find(|piece| piece.name == name);
            let (Some(piece), Ok(times)) = (piece, times.parse::<u32>()) else {
                eprintln!("--count NAME TIMES: no piece {name}, or {times} is no number");
                return ExitCode::FAILURE;
            };
            let mut operation = (piece.set_up)();
            (0..times).for_each(|_| operation());
        }
        _ => divan::main(),
    }
    ExitCode::SUCCESS
}
