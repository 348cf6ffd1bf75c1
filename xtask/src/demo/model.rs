use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::daemon::Daemon;

/// Any of them makes Anthropic's model answer. Their values are never read.
const CREDENTIALS: [&str; 3] = [
    "ANTHROPIC_API_KEY",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "ANTHROPIC_AUTH_TOKEN",
];

const STARTUP: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);

/// What answers behind the CLI.
#[derive(Debug)]
pub(crate) enum Model {
    /// Anthropic's, with the user's credentials, which the gateway reads by itself.
    Anthropic {
        /// The variable that holds them.
        credential: &'static str,
    },
    /// A stand-in on this machine; stops when this is dropped.
    Scripted {
        /// As the CLI is told it.
        url: String,
        /// The process.
        daemon: Daemon,
    },
}

impl Model {
    /// The name of the variable with the user's credentials, if there is one.
    pub(crate) fn credential() -> Option<&'static str> {
        CREDENTIALS
            .into_iter()
            .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
    }

    /// Starts the stand-in on a free port of `ip`, which containers must reach, with the scenes
    /// of the file `script` if there is one.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn scripted(
        program: &Path,
        ip: IpAddr,
        folder: &Path,
        script: Option<&Path>,
    ) -> Result<Self> {
        let listen = std::net::SocketAddr::new(ip, 0).to_string();
        let log = folder.join("model.log");
        let mut arguments = vec![OsStr::new("--listen"), OsStr::new(&listen)];
        if let Some(script) = script {
            arguments.extend([OsStr::new("--script"), script.as_os_str()]);
        }
        let daemon = Daemon::start(
            "the scripted model",
            program,
            &arguments,
            log.clone(),
            GRACE,
        )?;
        let mut url = None;
        daemon
            .wait_until(STARTUP, || {
                url = announced(&log);
                url.is_some()
            })
            .with_context(|| format!("no scripted model on {ip}: does a firewall forbid it?"))?;
        let url = url.context("the scripted model says no address")?;
        Ok(Self::Scripted { url, daemon })
    }

    /// In one word, for programs.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Anthropic { .. } => "anthropic",
            Self::Scripted { .. } => "scripted",
        }
    }

    /// What `claude.env` in the gateway's configuration must hold.
    pub(crate) fn environment(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::Anthropic { .. } => BTreeMap::new(),
            Self::Scripted { url, .. } => BTreeMap::from([
                ("ANTHROPIC_BASE_URL", url.clone()),
                ("ANTHROPIC_API_KEY", "sk-ant-fake-demo".to_owned()),
            ]),
        }
    }
}

/// The one line that it prints when it is ready, once it is whole.
fn announced(log: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Announcement {
        listening: Vec<String>,
    }
    let text = fs::read_to_string(log).ok()?;
    let line = text
        .split_inclusive('\n')
        .find(|line| line.starts_with('{') && line.ends_with('\n'))?;
    let announcement: Announcement = serde_json::from_str(line).ok()?;
    announcement.listening.into_iter().next()
}
