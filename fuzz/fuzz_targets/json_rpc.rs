//! libFuzzer's way into `shardcast_trials::json_rpc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shardcast_trials::json_rpc(bytes));
