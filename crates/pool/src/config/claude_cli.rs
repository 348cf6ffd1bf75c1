//! `claudeCli`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::given::Given;
use super::key_path::KeyPath;
use super::names::{EnvValue, HostPath};
use super::secret::Secret;
use super::show::hidden;
use super::units::{Count, Text};
use super::validate::Check;

/// The provider `claude-cli`: the CLI of this host, as children of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaudeCli {
    /// The program; without a slash it is looked up on PATH.
    pub path: PathBuf,
    /// Where it works; `None` is an empty folder of its own for each process.
    pub cwd: Option<PathBuf>,
    /// Environment on top of the gateway's; an empty value removes a variable.
    pub env: BTreeMap<String, Secret>,
    /// Whether of the gateway's own environment only PATH is passed on.
    pub clear_env: bool,
    /// Built-in tools of the CLI's that it may use.
    pub tools: Vec<String>,
    /// Whether what the CLI asks before a tool acts is allowed; otherwise it is denied.
    pub skip_permissions: bool,
    /// Processes at a time; at least 1.
    pub max_processes: u32,
    /// More arguments for the CLI.
    pub extra_args: Vec<String>,
}

/// The provider `claude-cli`: the CLI of this host, started by the gateway with its user's own login,
/// without isolation.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawClaudeCli {
    /// The program; without a slash it is looked up on PATH.
    path: Given<HostPath>,
    /// Folder in which it works; an empty one for each process if left out.
    #[serde(skip_serializing_if = "Given::is_unset")]
    cwd: Given<HostPath>,
    /// Environment on top of the gateway's; an empty value removes a variable. Secret.
    env: BTreeMap<String, Given<EnvValue>>,
    /// Pass nothing of the gateway's own environment on but PATH.
    clear_env: Given<bool>,
    /// Built-in tools of the CLI's that it may use, such as Read; nothing separates them from this
    /// host.
    tools: Given<Vec<Text>>,
    /// Allow what the CLI asks before a tool acts, instead of denying it.
    skip_permissions: Given<bool>,
    /// Processes at a time, each for one conversation.
    max_processes: Given<Count<1, 1000>>,
    /// More arguments for the CLI, after the provider's own.
    extra_args: Given<Vec<Text>>,
}

impl Default for RawClaudeCli {
    fn default() -> Self {
        Self {
            path: Given::of("claude"),
            cwd: Given::unset(),
            env: BTreeMap::new(),
            clear_env: Given::of(false),
            tools: Given::of(Vec::<String>::new()),
            skip_permissions: Given::of(false),
            max_processes: Given::of(4),
            extra_args: Given::of(Vec::<String>::new()),
        }
    }
}

impl Check<'_> {
    pub(super) fn claude_cli(&mut self, raw: &RawClaudeCli) -> ClaudeCli {
        let RawClaudeCli {
            path,
            cwd,
            env,
            clear_env,
            tools,
            skip_permissions,
            max_processes,
            extra_args,
        } = raw;
        let default = RawClaudeCli::default();
        let at = |key: &str| KeyPath::of("claudeCli").key(key);
        let path = self.value(&at("path"), path, &default.path);
        let cwd = self.optional(&at("cwd"), cwd);
        ClaudeCli {
            path: self.host_path(&path),
            cwd: cwd.map(|path| self.host_path(&path)),
            env: self.variables(&at("env"), env),
            clear_env: self.value(&at("clearEnv"), clear_env, &default.clear_env),
            tools: self.texts(&at("tools"), tools),
            skip_permissions: self.value(
                &at("skipPermissions"),
                skip_permissions,
                &default.skip_permissions,
            ),
            max_processes: self
                .value(&at("maxProcesses"), max_processes, &default.max_processes)
                .0,
            extra_args: self.texts(&at("extraArgs"), extra_args),
        }
    }
}

impl ClaudeCli {
    pub(super) fn shown(&self) -> Value {
        json!({
            "path": self.path,
            "cwd": self.cwd,
            "env": hidden(&self.env),
            "clearEnv": self.clear_env,
            "tools": self.tools,
            "skipPermissions": self.skip_permissions,
            "maxProcesses": self.max_processes,
            "extraArgs": self.extra_args,
        })
    }
}
