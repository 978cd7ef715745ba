//! libFuzzer's way into `shardcast_trials::cf_connect`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shardcast_trials::cf_connect(bytes));
