//! libFuzzer's way into `shardcast_trials::emulation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shardcast_trials::emulation(bytes));
