//! The fuzzer's way to one target.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::upstream::upstream(data));
