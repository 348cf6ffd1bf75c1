//! See `ccpool_fuzz::invariants::input_items`.
#![no_main]

use ccpool_fuzz::invariants::input_items;
use ccpool_fuzz::mutation;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutation::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| input_items::check(data));
