//! The inputs that fuzzing has left behind, without a fuzzer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::invariants::{envelopes, fold, framing, input_items};

/// Holds every kept input of a fuzz target against its invariants; says which break them.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 20, "the corpus of {target} is there");
    let broken: Vec<_> = files
        .iter()
        .filter(|file| {
            let input = std::fs::read(file).unwrap();
            catch_unwind(AssertUnwindSafe(|| check(&input))).is_err()
        })
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn framing_keeps_its_invariants() {
    replay("framing", framing::check);
}

#[test]
fn the_fold_keeps_its_invariants() {
    replay("fold", fold::check);
}

#[test]
fn input_items_keep_their_invariants() {
    replay("input_items", input_items::check);
}

#[test]
fn envelopes_keep_their_invariants() {
    replay("envelopes", envelopes::check);
}
