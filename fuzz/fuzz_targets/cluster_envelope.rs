//! libFuzzer's way into `shardcast_trials::cluster_envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shardcast_trials::cluster_envelope(bytes));
