//! What this wrapper knows of the `inflight` list.
//!
//! An item is moved there by a blocking command. When the connection breaks, an item may have been
//! moved whose arrival was never seen; comparing the list with what is known finds it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Items by a hash of their bytes, with how often each is there. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inflight(Arc<Mutex<HashMap<u64, usize>>>);

impl Inflight {
    fn known(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        // No code panics while holding the lock; if it did, the data would still be whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An item is in the list and known.
    pub(crate) fn took(&self, raw: &[u8]) {
        *self.known().entry(hash(raw)).or_default() += 1;
    }

    /// Items have left the list.
    pub(crate) fn removed(&self, items: &[Vec<u8>]) {
        let mut known = self.known();
        for raw in items {
            if let Some(count) = known.get_mut(&hash(raw)) {
                *count -= 1;
                if *count == 0 {
                    known.remove(&hash(raw));
                }
            }
        }
    }

    /// Of the list as it is in Redis, the items that nobody here has seen, in order.
    pub(crate) fn unseen(&self, list: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut known = self.known().clone();
        list.into_iter()
            .filter(|raw| match known.get_mut(&hash(raw)) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                Some(_) | None => true,
            })
            .collect()
    }
}

fn hash(raw: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    raw.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_items_are_counted() {
        let inflight = Inflight::default();
        let item = |text: &str| text.as_bytes().to_vec();
        inflight.took(b"a");
        let list = vec![item("a"), item("a"), item("b")];
        assert_eq!(inflight.unseen(list.clone()), [item("a"), item("b")]);
        inflight.took(b"a");
        assert_eq!(inflight.unseen(list), [item("b")]);
        inflight.removed(&[item("a"), item("a"), item("a")]);
        assert_eq!(inflight.unseen(vec![item("a")]), [item("a")]);
    }
}
