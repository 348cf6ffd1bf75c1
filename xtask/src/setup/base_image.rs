use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::docker_engine::DockerEngine;
use super::packages::Packages;
use super::privilege::Privilege;
use crate::cleanup::Cleanup;
use crate::invocation;
use crate::progress::{Step, say};

const SUITE: &str = "bookworm";

/// The image that registries offer.
const PUBLIC: (&str, &str) = ("debian", "bookworm-slim");

/// The one that is made here.
const OWN: (&str, &str) = ("ccpool/base", SUITE);

/// All that the Dockerfile wants, so that the build itself needs no network.
const INCLUDED: &str = "ca-certificates,curl,git,jq,tini";

/// The image on which the agent's image is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseImage(String);

impl BaseImage {
    /// One that the engine has; else one from a registry; else one made with debootstrap.
    ///
    /// # Errors
    /// None of these works; the message says what to do.
    pub(crate) fn obtain(
        engine: &DockerEngine,
        privilege: Privilege,
        packages: &mut Packages,
        state: &Path,
    ) -> Result<Self> {
        for (name, tag) in [PUBLIC, OWN] {
            let reference = format!("{name}:{tag}");
            if engine.has_image(&reference)? {
                return Ok(Self(reference));
            }
        }
        let (name, tag) = PUBLIC;
        let step = Step::begin(format!("pulling {name}:{tag}"));
        match engine.pull(name, tag) {
            Ok(()) => {
                step.done();
                return Ok(Self(format!("{name}:{tag}")));
            }
            Err(error) => say(format!("no registry can be reached: {error:#}")),
        }
        if privilege != Privilege::Root {
            bail!(
                "the base image {name}:{tag} cannot be pulled and only root can make one: \
                 load it with `docker load`"
            );
        }
        make(engine, packages, state)?;
        let (name, tag) = OWN;
        Ok(Self(format!("{name}:{tag}")))
    }

    /// Its reference.
    pub(crate) fn reference(&self) -> &str {
        &self.0
    }
}

fn make(engine: &DockerEngine, packages: &mut Packages, state: &Path) -> Result<()> {
    let debootstrap = packages.ensure("debootstrap", "debootstrap")?;
    let tar = packages.ensure("tar", "tar")?;
    let root = RootFileSystem::create(state.join(format!("base-{}", std::process::id())))?;
    let step = Step::begin(
        "making a base image with debootstrap (downloads and unpacks about 120 packages, \
         45 s; kept for later)",
    );
    let mut command = Command::new(debootstrap);
    command
        .args(["--variant=minbase", &format!("--include={INCLUDED}"), SUITE])
        .arg(&root.path)
        .args(mirror());
    invocation::require(
        &mut command,
        "see its messages above; is the package mirror reachable?",
    )?;
    step.done();

    let (name, tag) = OWN;
    let step = Step::begin(format!("importing it as {name}:{tag}"));
    let mut command = Command::new(tar);
    command
        .args(["--numeric-owner", "--one-file-system"])
        .args([
            "--exclude=./var/cache/apt/*.bin",
            "--exclude=./var/cache/apt/archives/*.deb",
        ])
        .args(["--exclude=./var/lib/apt/lists/*", "--exclude=./debootstrap"])
        .arg("-C")
        .arg(&root.path)
        .args(["-c", "."])
        .stdout(Stdio::piped());
    let (mut child, running) = invocation::start(&mut command)?;
    let mut archive = child.stdout.take().context("tar has no output")?;
    let imported = engine.import(name, tag, &mut archive);
    drop(archive);
    let status = child.wait()?;
    running.has_ended();
    imported.context("the Docker Engine did not take the archive")?;
    ensure!(status.success(), "tar failed with {status}");
    step.done();
    Ok(())
}

/// The mirror that this machine's own package lists come from, if it follows the same
/// suite; else debootstrap's default.
fn mirror() -> Option<String> {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(CODENAME) $(ORIGIN) $(COMPONENT)",
        ])
        .arg("Created-By: Packages")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    mirror_in(&String::from_utf8_lossy(&output.stdout))
}

fn mirror_in(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [uri, SUITE, "Debian", "main"] if uri.starts_with("http") => Some((*uri).to_owned()),
            _ => None,
        }
    })
}

/// A root file system in the making; removed with this value, or with the process.
#[derive(Debug)]
struct RootFileSystem {
    path: PathBuf,
    _remove: Cleanup,
}

impl RootFileSystem {
    fn create(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let gone = path.clone();
        let remove = Cleanup::new(move || remove(&gone));
        Ok(Self {
            path,
            _remove: remove,
        })
    }
}

/// An interrupted debootstrap may leave /proc mounted inside; nothing is removed through
/// a mount.
fn remove(path: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for mount in mounts_below(&mounts, path).into_iter().rev() {
        let _ = Command::new("umount").arg(mount).status();
    }
    let removed = Command::new("rm")
        .args(["-rf", "--one-file-system", "--"])
        .arg(path)
        .status();
    if !removed.is_ok_and(|status| status.success()) {
        eprintln!(
            "warning: cannot remove {}; remove it by hand",
            path.display()
        );
    }
}

fn mounts_below<'a>(mounts: &'a str, path: &Path) -> Vec<&'a Path> {
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(Path::new)
        .filter(|mount| mount.starts_with(path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_the_same_suite() {
        let targets = "https://tools.test/apt stable Tools main\n\
                       http://mirror.test/debian/ bookworm-updates Debian main\n\
                       http://mirror.test/debian/ bookworm Debian main\n";
        assert_eq!(
            mirror_in(targets).as_deref(),
            Some("http://mirror.test/debian/")
        );
        assert_eq!(
            mirror_in("http://mirror.test/ubuntu noble Ubuntu main\n"),
            None
        );
    }

    #[test]
    fn only_mounts_inside_are_undone() {
        let mounts = "proc /proc proc rw 0 0\nproc /s/base-1/proc proc rw 0 0\n\
                      sysfs /s/base-1/sys sysfs rw 0 0\nproc /s/base-12/proc proc rw 0 0\n";
        assert_eq!(
            mounts_below(mounts, Path::new("/s/base-1")),
            [Path::new("/s/base-1/proc"), Path::new("/s/base-1/sys")]
        );
    }
}
