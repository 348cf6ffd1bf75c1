//! See `ccpool_fuzz::invariants::framing`.
#![no_main]

use ccpool_fuzz::invariants::framing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| framing::check(data));
