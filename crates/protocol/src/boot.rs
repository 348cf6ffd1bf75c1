//! What a wrapper is told when it starts: one environment variable that holds JSON.
//!
//! It names secrets (the Redis URL, the MCP token, the model's credential), so it goes through the
//! environment of a process that the agent's uid cannot look into, never through arguments.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ContainerId;
use crate::permission::Behavior;

/// The variable that holds [`Boot`] as JSON.
pub const ENV: &str = "CCPOOL_BOOT";

/// Everything a wrapper needs to know.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Boot {
    /// Who this is.
    pub container: ContainerId,
    /// Redis as seen from here: `redis://`, `rediss://` or `unix://`.
    pub redis_url: String,
    /// Where the key space begins.
    pub key_prefix: String,
    /// How many envelopes the buffer keeps.
    pub output_buffer: usize,
    /// How many bytes of envelopes it keeps; the newest is kept whatever its size.
    pub output_buffer_bytes: usize,
    /// How long a session's keys stay readable after it ended.
    pub retain_ms: u64,
    /// How long `claude` may take to stop before it is made to.
    pub stop_ms: u64,
    /// How often the heartbeat is written.
    pub heartbeat_ms: u64,
    /// How long `claude` may be silent during a turn.
    pub stall_ms: u64,
    /// How long a turn may take; none for as long as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_ms: Option<u64>,
    /// How long a permission request waits for an answer; none for as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_ms: Option<u64>,
    /// What it becomes then.
    #[serde(default)]
    pub on_permission_timeout: Behavior,
    /// How long a call of the caller's functions waits for its result.
    pub function_ms: u64,
    /// The wrapper's stdin is a pipe from the gateway, and it stops when that closes: on the
    /// process runtime nothing outlives its gateway.
    #[serde(default)]
    pub follow_stdin: bool,
    /// The CLI.
    pub claude: ClaudeSpawn,
}

/// How `claude` is started.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaudeSpawn {
    /// The binary.
    pub path: String,
    /// Its working directory, made if missing.
    pub cwd: String,
    /// Its HOME, made if missing; TMPDIR lies in it.
    pub home: String,
    /// The uid and gid to change to; none on the process runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The gateway's MCP address as seen from here, with this container's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<McpEndpoint>,
    /// `--model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `--append-system-prompt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub append_system_prompt: Option<String>,
    /// `--permission-mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
    /// Tools that need no question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_tools: Vec<String>,
    /// Tools that are not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disallowed_tools: Vec<String>,
    /// `--dangerously-skip-permissions`: the container is the only fence.
    #[serde(default)]
    pub skip_permissions: bool,
    /// Subagents and commands may go on in the background after their turn.
    #[serde(default)]
    pub background_tasks: bool,
    /// Further arguments, last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<String>,
    /// Environment on top of what the wrapper sets itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// Where the gateway's tools are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct McpEndpoint {
    /// `http://172.20.0.1:18790/mcp`, say.
    pub url: String,
    /// This container's bearer token.
    pub token: String,
}

impl Boot {
    /// The JSON for [`ENV`].
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("boot parameters have string keys")
    }

    /// Reads the value of [`ENV`].
    ///
    /// # Errors
    /// When it is not of this shape. The error does not repeat the text, which holds secrets.
    pub fn parse(text: &str) -> Result<Self, BootError> {
        serde_json::from_str(text).map_err(|e| BootError {
            line: e.line(),
            column: e.column(),
        })
    }
}

/// The boot variable could not be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "{ENV} is not what this wrapper expects (at {line}:{column}); use the wrapper and the gateway of one version"
)]
pub struct BootError {
    line: usize,
    column: usize,
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boot")
            .field("container", &self.container)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClaudeSpawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaudeSpawn")
            .field("path", &self.path)
            .field("cwd", &self.cwd)
            .field("uid", &self.uid)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for McpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpEndpoint")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
