use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::privilege::Privilege;
use super::program;
use crate::cleanup::Cleanup;
use crate::invocation;
use crate::progress::Step;

/// The machine's package manager, as far as programs of Debian go.
#[derive(Debug)]
pub(crate) struct Packages {
    privilege: Privilege,
    lists: Lists,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    MaybeOld,
    Fresh,
}

impl Packages {
    /// Nothing is asked or fetched yet.
    pub(crate) fn new(privilege: Privilege) -> Self {
        Self {
            privilege,
            lists: Lists::MaybeOld,
        }
    }

    /// The path of `program`; installs Debian's `package` when it is missing.
    ///
    /// # Errors
    /// It is missing and cannot be installed; the message says what to install by hand.
    pub(crate) fn ensure(&mut self, program: &str, package: &str) -> Result<PathBuf> {
        if let Some(path) = program::find(program) {
            return Ok(path);
        }
        let by_hand = format!("install the package that brings `{program}` (Debian: `{package}`)");
        self.install_what(program, package, &by_hand)?;
        program::find(program)
            .ok_or_else(|| anyhow!("{package} is installed but brings no `{program}`: {by_hand}"))
    }

    /// Installs Debian's `package`, which brings no program by which it could be found.
    ///
    /// # Errors
    /// It cannot be installed; the message says what to install by hand.
    pub(crate) fn install(&mut self, package: &str) -> Result<()> {
        self.install_what(package, package, &format!("install Debian's `{package}`"))
    }

    fn install_what(&mut self, missing: &str, package: &str, by_hand: &str) -> Result<()> {
        if self.privilege != Privilege::Root {
            bail!("`{missing}` is missing and only root can install it: {by_hand}");
        }
        let Some(apt) = program::find("apt-get") else {
            bail!("`{missing}` is missing and this machine has no apt-get: {by_hand}");
        };
        self.install_by(&apt, package, by_hand)
    }

    fn install_by(&mut self, apt: &Path, package: &str, by_hand: &str) -> Result<()> {
        if self.lists == Lists::MaybeOld {
            let step = Step::begin("updating the package lists (a download of some megabytes)");
            invocation::require(
                apt_get(apt).arg("update"),
                "see its messages above; are the package sources reachable?",
            )?;
            self.lists = Lists::Fresh;
            step.done();
        }
        let step = Step::begin(format!(
            "installing {package} (downloads and unpacks packages)"
        ));
        let _unstarted = keep_services_stopped()?;
        invocation::require(
            apt_get(apt).args(["install", "-y", "--no-install-recommends", package]),
            by_hand,
        )?;
        step.done();
        Ok(())
    }
}

fn apt_get(apt: &Path) -> Command {
    let mut command = Command::new(apt);
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("NEEDRESTART_SUSPEND", "1")
        .args(["-q", "-o", "DPkg::Lock::Timeout=120"]);
    command
}

/// Asked by Debian's packages before they start a service; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Until the guard goes, installing a package starts no service: what is needed here is
/// started here, privately, and stopped again.
///
/// A policy that the machine has already is left alone.
fn keep_services_stopped() -> Result<Option<Cleanup>> {
    let created = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(POLICY);
    let mut file = match created {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot write {POLICY}")),
    };
    let guard = Cleanup::new(|| {
        if let Err(error) = fs::remove_file(POLICY) {
            eprintln!("warning: remove {POLICY} by hand, it keeps services from starting: {error}");
        }
    });
    std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n")
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {POLICY}"))?;
    Ok(Some(guard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_needs_no_privilege() {
        let mut packages = Packages::new(Privilege::User);
        assert!(packages.ensure("sh", "dash").is_ok());
    }

    #[test]
    fn without_root_the_error_names_the_package() {
        let mut packages = Packages::new(Privilege::User);
        let error = packages
            .ensure("no-such-program", "its-package")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no-such-program") && error.contains("its-package"),
            "{error}"
        );
    }
}
