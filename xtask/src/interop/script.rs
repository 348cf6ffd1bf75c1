use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::case::Case;
use super::site::scripts;
use super::stage::Stage;
use crate::invocation;
use crate::setup::Clients;
use crate::workspace::Workspace;

/// A client's cases: a Python file that prints a line of JSON when one of them is over.
#[derive(Debug)]
pub(crate) struct Script {
    client: &'static str,
    python: PathBuf,
    file: PathBuf,
    home: PathBuf,
    stage: PathBuf,
}

impl Script {
    /// Writes down for it where everything is.
    ///
    /// # Errors
    /// Nothing can be written.
    pub(crate) fn new(
        workspace: &Workspace,
        clients: &Clients,
        stage: &Stage,
        client: &'static str,
    ) -> Result<Self> {
        let home = stage.folder().join("clients").join(client);
        let records = stage.records().join(client);
        for folder in [&home, &records] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut described = stage.described(&home, &records);
        described["node"] = serde_json::json!(clients.node());
        described["openclaw"] = serde_json::json!(clients.openclaw());
        described["openwebui"] = serde_json::json!(clients.open_webui());
        let file = home.join("stage.json");
        fs::write(&file, described.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self {
            client,
            python: clients.python().to_owned(),
            file: scripts(workspace).join(format!("{client}_cases.py")),
            home,
            stage: file,
        })
    }

    /// Runs it; `told` gets each case as it ends. `only` chooses cases by a part of their names.
    ///
    /// # Errors
    /// It cannot be run, or breaks off.
    pub(crate) fn play(&self, only: &[String], mut told: impl FnMut(Case)) -> Result<()> {
        let mut command = self.command();
        command.args(only).stdout(Stdio::piped());
        let (mut child, running) = invocation::start(&mut command)?;
        let output = child.stdout.take().context("a script has no output")?;
        let mut strange = None;
        for line in BufReader::new(output).lines() {
            let line = line.context("cannot read from a script")?;
            match serde_json::from_str::<Case>(&line) {
                Ok(case) => told(Case {
                    client: self.client.to_owned(),
                    ..case
                }),
                Err(_) => strange = Some(line),
            }
        }
        let status = child.wait().context("cannot wait for a script")?;
        running.has_ended();
        let name = self.file.display();
        if let Some(line) = strange {
            bail!("{name} printed what is no case: {line}");
        }
        if !status.success() {
            bail!("{name} failed with {status}; see its messages above");
        }
        Ok(())
    }

    /// Nothing of this user's environment or home reaches a client.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg("-B")
            .arg(&self.file)
            .arg(&self.stage)
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", path(&self.python))
            .env("HOME", &self.home)
            .env("LANG", "C.UTF-8");
        command
    }
}

fn path(python: &Path) -> std::ffi::OsString {
    let mut path = python
        .parent()
        .unwrap_or(Path::new("/"))
        .as_os_str()
        .to_owned();
    path.push(":/usr/local/bin:/usr/bin:/bin");
    path
}
