//! A schema as an author writes it and an answer as a guest gives it: neither makes the host panic, hang or overflow its stack.
#![no_main]

libfuzzer_sys::fuzz_target!(|texts: (&str, &str)| {
    let (schema, output) = texts;
    let _ = armilla_sandbox::checks::boundary(schema, output);
});
