//! Where the processes of one gateway work: a folder for each, which goes with it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

const LOCK: &str = "lock";

/// The folder of one gateway; gone when dropped, after those of its processes.
#[derive(Debug)]
pub(super) struct Folders {
    dir: PathBuf,
    /// Held for as long as the gateway lives, however it ends.
    _lock: File,
    lock_path: PathBuf,
}

/// The folder of one process; gone when dropped.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// Goes last.
    _all: Arc<Folders>,
}

impl Folders {
    /// Makes one below `parent`, and removes those of gateways that were killed.
    pub(super) fn open(parent: &Path) -> io::Result<Arc<Self>> {
        directory(parent)?;
        sweep(parent)?;
        let name = Uuid::new_v4().simple().to_string();
        let dir = parent.join(&name[..8]);
        let lock_path = dir.with_extension(LOCK);
        let lock = File::create_new(&lock_path)?;
        lock.try_lock().map_err(io::Error::from)?;
        directory(&dir)?;
        Ok(Arc::new(Self {
            dir,
            _lock: lock,
            lock_path,
        }))
    }

    /// A new one for the process with this number.
    pub(super) fn folder(self: &Arc<Self>, process: u64) -> io::Result<Folder> {
        let folder = Folder {
            dir: self.dir.join(process.to_string()),
            _all: Arc::clone(self),
        };
        directory(&folder.work())?;
        directory(&folder.tmp())?;
        Ok(folder)
    }
}

impl Folder {
    /// Where it works, empty at first.
    pub(super) fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// For its temporary files.
    pub(super) fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        remove(&self.dir);
        if let Err(error) = fs::remove_file(&self.lock_path) {
            tracing::debug!(%error, "could not remove a lock");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %dir.display(), %error, "could not remove a folder");
    }
}

/// Removes the folders whose locks nobody holds.
fn sweep(parent: &Path) -> io::Result<()> {
    for entry in parent.read_dir()? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != LOCK) {
            continue;
        }
        // Another gateway may be sweeping too.
        let Ok(lock) = File::open(&path) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            remove(&path.with_extension(""));
            fs::remove_file(&path).ok();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> usize {
        parent.read_dir().unwrap().count()
    }

    #[test]
    fn folders_of_the_living_stay() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path().join("claude-cli");
        let ours = Folders::open(&parent).unwrap();
        let folder = ours.folder(1).unwrap();
        fs::write(folder.work().join("x"), "x").unwrap();
        let dead = Folders::open(&parent).unwrap();
        // As if it had been killed: nothing is removed, and its lock is nobody's.
        dead._lock.unlock().unwrap();
        std::mem::forget(dead);
        let others = Folders::open(&parent).unwrap();
        assert_eq!(names(&parent), 4, "two folders and two locks");
        assert!(folder.work().join("x").is_file());
        drop(folder);
        assert_eq!(names(&ours.dir), 0);
        drop((ours, others));
        assert_eq!(names(&parent), 0);
    }
}
