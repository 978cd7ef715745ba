//! libFuzzer's way into `shardcast_trials::filter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shardcast_trials::filter(bytes));
