use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::processes;
use crate::cleanup::Cleanup;
use crate::progress::{say, warn};

/// The longest that comes to lie below the folder and has a limit: Redis' socket, whose
/// path may have 107 bytes.
const LONGEST_SOCKET: &str = "/redis/4194304/redis.sock";
const SOCKET_LIMIT: usize = 107;

/// Of a run's files, those that tell what happened.
const WORTH_KEEPING: [&str; 3] = ["gateway.log", "gateway.yaml", "model.log"];

/// Programs that the gateway starts with a working directory in here.
const PROGRAMS: [&str; 3] = ["redis-server", "valkey-server", "claude"];

/// The files of one run; they go with this value, or with the process.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    keep: Arc<AtomicBool>,
    remove: Cleanup,
}

impl RunFolder {
    /// Makes it below `state`, or where that path is too long for a socket, below the
    /// system's folder for temporary files. Its name begins with `kind`.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn create(state: &Path, kind: &str) -> Result<Self> {
        let name = format!("{kind}-{}", std::process::id());
        let mut path = state.join(&name);
        if path.as_os_str().len() + LONGEST_SOCKET.len() > SOCKET_LIMIT {
            path = std::env::temp_dir().join(format!("ccpool-{name}"));
        }
        // Kept logs, perhaps, of an earlier process with our id.
        if let Err(error) = fs::remove_dir_all(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        let keep = Arc::new(AtomicBool::new(false));
        let (gone, kept) = (path.clone(), Arc::clone(&keep));
        let remove = Cleanup::new(move || clear(&gone, kept.load(Ordering::SeqCst)));
        Ok(Self { path, keep, remove })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Logs and configuration stay when the rest goes.
    pub(crate) fn keep_logs(&self) {
        self.keep.store(true, Ordering::SeqCst);
    }

    /// Removes it now.
    pub(crate) fn remove(self) {
        drop(self.remove);
    }
}

fn clear(path: &Path, keep: bool) {
    // A gateway that had to be killed could not stop its own children.
    for name in PROGRAMS {
        for pid in processes::within(path, name) {
            warn(format!("{name} was left over (pid {pid}); ending it"));
            if !processes::end(pid) {
                warn(format!("{name} (pid {pid}) does not end"));
            }
        }
    }
    let removed = if keep {
        say(format!("logs are kept in {}", path.display()));
        remove_all_but(path, &WORTH_KEEPING)
    } else {
        fs::remove_dir_all(path)
    };
    if let Err(error) = removed {
        warn(format!("cannot remove {}: {error}", path.display()));
    }
}

fn remove_all_but(path: &Path, kept: &[&str]) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if kept.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_logs_are_kept() {
        let base = std::env::temp_dir().join(format!("xtask-folder-{}", std::process::id()));
        fs::create_dir(&base).unwrap();
        let folder = RunFolder::create(&base, "demo").unwrap();
        let path = folder.path().to_owned();
        assert!(path.starts_with(&base), "{}", path.display());
        fs::create_dir_all(path.join("redis/1")).unwrap();
        fs::write(path.join("gateway.log"), "up\n").unwrap();
        fs::write(path.join("port"), "1\n").unwrap();
        folder.keep_logs();
        folder.remove();
        let left: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["gateway.log"]);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_not_used() {
        let long = std::env::temp_dir().join("x".repeat(100));
        let folder = RunFolder::create(&long, "demo").unwrap();
        let path = folder.path().to_owned();
        assert!(
            path.is_dir() && !path.starts_with(&long),
            "{}",
            path.display()
        );
        folder.remove();
        assert!(!path.exists());
    }
}
