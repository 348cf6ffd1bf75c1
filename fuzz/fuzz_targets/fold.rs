//! See `ccpool_fuzz::invariants::fold`.
#![no_main]

use ccpool_fuzz::invariants::fold;
use ccpool_fuzz::mutation;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutation::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| fold::check(data));
