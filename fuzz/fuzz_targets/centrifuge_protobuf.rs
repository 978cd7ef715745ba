//! libFuzzer's way into `shardcast_trials::centrifuge_protobuf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shardcast_trials::centrifuge_protobuf(bytes));
