use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::error::ImageError;

/// How long `--version` may take. Cold from disk the binary needs about a second.
const DEADLINE: Duration = Duration::from_secs(30);

/// A Claude Code binary on this host that has answered for its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaudeBinary {
    path: PathBuf,
    version: String,
}

impl ClaudeBinary {
    /// Runs `PATH --version` with a clean environment and a fresh HOME.
    ///
    /// # Errors
    /// [`ImageError::Unreadable`], [`ImageError::NotExecutable`] or [`ImageError::NotClaude`].
    pub async fn inspect(path: &Path) -> Result<Self, ImageError> {
        require_executable("claude binary", path)?;
        let not_claude = |said: String| ImageError::NotClaude {
            path: path.to_owned(),
            said: said.trim().chars().take(200).collect(),
        };
        let home = FreshHome::create().map_err(|source| ImageError::Unreadable {
            what: "temporary directory",
            path: std::env::temp_dir(),
            source,
        })?;
        let asked = Command::new(path)
            .arg("--version")
            .env_clear()
            .env("HOME", &home.0)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .current_dir(&home.0)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(DEADLINE, asked).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(not_claude(error.to_string())),
            Err(_) => return Err(not_claude(format!("nothing for {DEADLINE:?}"))),
        };
        let stdout = String::from_utf8_lossy(&output.stdout);
        match version_in(&stdout) {
            Some(version) if output.status.success() => Ok(Self {
                path: path.to_owned(),
                version: version.to_owned(),
            }),
            Some(_) | None => Err(not_claude(format!(
                "{stdout}{}",
                String::from_utf8_lossy(&output.stderr)
            ))),
        }
    }

    /// Where the binary lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, as `2.1.329`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Checks that `path` is a regular file with an execute bit; `what` names it in errors.
pub(super) fn require_executable(what: &'static str, path: &Path) -> Result<(), ImageError> {
    let metadata = std::fs::metadata(path).map_err(|source| ImageError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    })?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        Ok(())
    } else {
        Err(ImageError::NotExecutable {
            what,
            path: path.to_owned(),
        })
    }
}

/// The CLI prints `2.1.329 (Claude Code)`.
fn version_in(stdout: &str) -> Option<&str> {
    let version = stdout.trim().strip_suffix(" (Claude Code)")?;
    let wellformed = version.starts_with(|first: char| first.is_ascii_digit())
        && version
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'));
    wellformed.then_some(version)
}

/// A directory for one run, so that the binary neither reads nor changes a user's settings.
struct FreshHome(PathBuf);

impl FreshHome {
    fn create() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("ccpool-home-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for FreshHome {
    fn drop(&mut self) {
        // Nothing can be done about a leftover in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(dir: &Path, text: &str, mode: u32) -> PathBuf {
        let path = dir.join("claude");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn only_the_clis_own_answer_is_a_version() {
        assert_eq!(version_in("2.1.329 (Claude Code)\n"), Some("2.1.329"));
        assert_eq!(version_in("2.2.0-rc.1 (Claude Code)"), Some("2.2.0-rc.1"));
        assert_eq!(version_in("2.1.329"), None);
        assert_eq!(version_in("error: x (Claude Code)"), None);
        assert_eq!(version_in(""), None);
    }

    #[tokio::test]
    async fn a_binary_is_asked_with_a_clean_environment() {
        let dir = tempfile::tempdir().unwrap();
        let text = "#!/bin/sh\n[ -z \"$CARGO\" ] && [ \"$HOME\" = \"$(pwd)\" ] && echo '1.2.3 (Claude Code)'\n";
        let path = script(dir.path(), text, 0o755);
        let claude = ClaudeBinary::inspect(&path).await.unwrap();
        assert_eq!(claude.version(), "1.2.3");
        assert_eq!(claude.path(), path);
    }

    #[tokio::test]
    async fn what_is_missing_or_wrong_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let missing = ClaudeBinary::inspect(&dir.path().join("none")).await;
        assert!(matches!(
            missing,
            Err(ImageError::Unreadable {
                what: "claude binary",
                ..
            })
        ));

        let plain = script(dir.path(), "text", 0o644);
        let plain = ClaudeBinary::inspect(&plain).await;
        assert!(matches!(plain, Err(ImageError::NotExecutable { .. })));

        let other = script(dir.path(), "#!/bin/sh\necho other 1.0\n", 0o755);
        let other = ClaudeBinary::inspect(&other).await;
        assert!(
            matches!(&other, Err(ImageError::NotClaude { said, .. }) if said == "other 1.0"),
            "{other:?}"
        );
    }
}
