//! Bytes as somebody uploads them: the check before anything is compiled never panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = armilla_sandbox::checks::component(bytes);
});
