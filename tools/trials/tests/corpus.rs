//! The fuzz targets' bodies over the committed corpus and seeded mutations of it, where no fuzzer
//! runs; and that everything which makes a target is there.

use fastrand::Rng;
use shardcast_trials::TRIALS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Mutated inputs per target.
const MUTATIONS: u64 = 4_000;
/// Together: a corpus is for reading. What a fuzzer collects stays outside the repository.
const CORPUS_BYTES_MAX: u64 = 64 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Name and content of every input of a target.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            (
                path.display().to_string(),
                fs::read(&path).expect("a readable input"),
            )
        })
        .collect();
    inputs.sort();
    inputs
}

/// Runs a body; whoever panics is told which input it was.
#[track_caller]
fn tried(trial: fn(&[u8]), name: &str, input: &[u8]) {
    let outcome = std::panic::catch_unwind(|| trial(input));
    assert!(outcome.is_ok(), "{name}: {}", input.escape_ascii());
}

#[test]
fn the_corpus_keeps_its_promises() {
    for (target, trial) in TRIALS {
        let inputs = corpus(target);
        assert!(
            inputs.len() >= 5,
            "{target}: {} inputs say little",
            inputs.len()
        );
        for (name, input) in inputs {
            tried(trial, &name, &input);
        }
        tried(trial, "nothing", b"");
    }
}

/// Drops, doubles, replaces, joins: what a fuzzer does, without knowing what it reached.
fn mutated(rng: &mut Rng, inputs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let any = |rng: &mut Rng| inputs[rng.usize(..inputs.len())].1.clone();
    let mut input = any(rng);
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(0..=input.len());
        let end = rng.usize(at..=input.len());
        match rng.u8(..7) {
            0 => drop(input.drain(at..end)),
            1 => {
                let doubled = input[at..end].to_vec();
                drop(input.splice(at..at, doubled));
            }
            2 => input.truncate(at),
            3 => input.extend(any(rng)),
            4 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            5 if at < input.len() => {
                input[at] = [0, 1, 0x7e, 0x7f, 0x80, 0xfe, 0xff, b'"'][rng.usize(..8)]
            }
            _ => input.insert(at, rng.u8(..)),
        }
    }
    input.truncate(8192);
    input
}

#[test]
fn mutations_of_it_do_so_too() {
    for (target, trial) in TRIALS {
        let inputs = corpus(target);
        for seed in 0..MUTATIONS {
            let input = mutated(&mut Rng::with_seed(seed), &inputs);
            tried(trial, &format!("{target}, seed {seed}"), &input);
        }
    }
}

/// File names without their ending.
fn stems(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz().join(folder)).expect("a folder");
    let stem = |path: PathBuf| {
        path.file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    entries
        .map(|entry| stem(entry.expect("an entry").path()))
        .collect()
}

#[test]
fn a_target_is_a_binary_a_corpus_and_a_dictionary() {
    let targets: BTreeSet<String> = TRIALS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for folder in ["fuzz_targets", "corpus", "dictionaries"] {
        assert_eq!(stems(folder), targets, "fuzz/{folder}");
    }
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    for name in &targets {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "{name}: no binary");
        let source = fuzz().join(format!("fuzz_targets/{name}.rs"));
        let source = fs::read_to_string(source).expect("a source");
        let call = format!("shardcast_trials::{name}(bytes)");
        assert!(source.contains(&call), "{name}: another body");
    }
}

#[test]
fn the_corpus_is_small() {
    let inputs = TRIALS.iter().flat_map(|(target, _)| corpus(target));
    let bytes: u64 = inputs.map(|(_, input)| input.len() as u64).sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes");
}
