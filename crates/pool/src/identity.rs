//! Which pool this is: the name by which its containers are found again.
//!
//! Pools on one Docker host must not take each other's containers for strangers, so each has an id
//! of its own, kept in Redis, where all its gateways find it. A gateway whose Redis is empty brings
//! the id that it used last, so that what an earlier run left behind is found and removed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// A proposal for the pool's id, and the lock that keeps others from proposing the same.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) id: String,
    /// An earlier run has used it.
    pub(crate) is_kept: bool,
    /// Held as long as the pool lives.
    _lock: Option<File>,
}

impl Proposal {
    /// The id that is kept in `dir`; a new one when there is none, when another gateway uses it at
    /// the moment, or when the folder cannot be used.
    pub(crate) fn from_dir(dir: &Path) -> Self {
        match Self::kept(dir) {
            Ok(Some(proposal)) => proposal,
            Ok(None) => Self {
                id: random(),
                is_kept: false,
                _lock: None,
            },
            Err(error) => {
                tracing::debug!(%error, dir = %dir.display(), "no pool id is kept");
                Self {
                    id: random(),
                    is_kept: false,
                    _lock: None,
                }
            }
        }
    }

    fn kept(dir: &Path) -> std::io::Result<Option<Self>> {
        fs::create_dir_all(dir)?;
        let path = dir.join("pool-id");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut id = text.trim().to_owned();
        let is_kept = id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_kept {
            id = random();
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(id.as_bytes())?;
        }
        Ok(Some(Self {
            id,
            is_kept,
            _lock: Some(file),
        }))
    }
}

fn random() -> String {
    format!("{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_kept_but_never_shared() {
        let dir = tempfile::tempdir().unwrap();
        let first = Proposal::from_dir(dir.path());
        let second = Proposal::from_dir(dir.path());
        assert_ne!(first.id, second.id);
        let id = first.id.clone();
        drop(first);
        assert_eq!(Proposal::from_dir(dir.path()).id, id);
        fs::write(dir.path().join("pool-id"), "nonsense").unwrap();
        assert_eq!(Proposal::from_dir(dir.path()).id.len(), 16);
    }
}
