#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| belfry_fuzz::run("contact", bytes));
