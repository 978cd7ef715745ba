//! libFuzzer's way into `shardcast_trials::envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shardcast_trials::envelope(bytes));
