//! How `claude` is started: arguments and environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ccpool_protocol::boot::ClaudeSpawn;
use ccpool_protocol::cli;
use ccpool_protocol::function;

use crate::functions::SERVERS;
use crate::home::{MCP_SERVER, Prepared};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The conversation that a `claude` is started for, by its name in the CLI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Conversation {
    /// Nothing was said in it.
    New(String),
    /// It is on disk.
    Begun(String),
}

impl Conversation {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::New(id) | Self::Begun(id) => id,
        }
    }
}

/// The arguments, without the program's name. Nothing secret is among them.
pub(crate) fn arguments(
    spawn: &ClaudeSpawn,
    prepared: &Prepared,
    conversation: &Conversation,
) -> Vec<String> {
    let (start, id) = match conversation {
        Conversation::New(id) => ("--session-id", id.as_str()),
        Conversation::Begun(id) => ("--resume", id.as_str()),
    };
    let mut args: Vec<String> = cli::ARGUMENTS.map(str::to_owned).to_vec();
    args.extend([start, id].map(str::to_owned));
    let mut option = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.trim().is_empty()) {
            args.extend([name.to_owned(), value.to_owned()]);
        }
    };
    let disallowed = cli::DISALLOWED.into_iter();
    let disallowed: Vec<&str> = disallowed
        .chain(spawn.disallowed_tools.iter().map(String::as_str))
        .collect();
    option("--disallowedTools", Some(&disallowed.join(",")));
    let own_tools = spawn.mcp.as_ref().map(|_| format!("mcp__{MCP_SERVER}__*"));
    // What the caller carries out itself, it need not be asked for.
    let functions: Vec<String> = (1..=SERVERS)
        .map(|number| format!("mcp__{}", function::server(number)))
        .collect();
    let allowed: Vec<&str> = own_tools
        .iter()
        .chain(&functions)
        .chain(&spawn.allowed_tools)
        .map(String::as_str)
        .collect();
    option("--allowedTools", Some(&allowed.join(",")));
    option("--model", spawn.model.as_deref());
    option(
        "--append-system-prompt",
        spawn.append_system_prompt.as_deref(),
    );
    option("--permission-mode", spawn.permission_mode.as_deref());
    let config = prepared.mcp_config.as_deref().map(Path::to_string_lossy);
    option("--mcp-config", config.as_deref());
    if spawn.skip_permissions {
        args.push("--dangerously-skip-permissions".to_owned());
    }
    args.push("--strict-mcp-config".to_owned());
    args.extend(spawn.extra_args.iter().cloned());
    args
}

/// The whole environment: nothing is inherited but PATH (`path`). The boot parameters override what is
/// set here, and an empty value there removes it.
pub(crate) fn environment(
    spawn: &ClaudeSpawn,
    prepared: &Prepared,
    path: Option<String>,
    account: &Account,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = cli::SETTINGS
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let path = path.filter(|path| !path.is_empty());
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("PATH", path.unwrap_or_else(|| DEFAULT_PATH.to_owned()));
    set("HOME", spawn.home.clone());
    set("TMPDIR", prepared.tmp.to_string_lossy().into_owned());
    set("USER", account.name.clone());
    set("SHELL", account.shell.clone());
    if !spawn.background_tasks {
        let (name, value) = cli::FOREGROUND;
        set(name, value.to_owned());
    }
    if spawn.skip_permissions {
        // Without it the CLI refuses to skip them as root; the container is the sandbox.
        set("IS_SANDBOX", "1".to_owned());
    }
    for (name, value) in &spawn.env {
        if value.is_empty() {
            env.remove(name);
        } else {
            env.insert(name.clone(), value.clone());
        }
    }
    env
}

/// Who `claude` runs as, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    shell: String,
}

impl Account {
    /// Looks `uid` up in the text of `/etc/passwd`; by reading, because a static binary has no
    /// name service.
    pub(crate) fn find(uid: u32, passwd: &str) -> Self {
        let entry = passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, id, _, _, _, shell] = fields[..] else {
                return None;
            };
            (id.parse() == Ok(uid)).then(|| (name.to_owned(), shell.to_owned()))
        });
        let (name, shell) = entry.unwrap_or_else(|| ("agent".to_owned(), String::new()));
        let is_shell = shell.ends_with("sh") && fs::exists(&shell).unwrap_or(false);
        let shell = if is_shell {
            shell
        } else {
            let bash = fs::exists("/bin/bash").unwrap_or(false);
            if bash { "/bin/bash" } else { "/bin/sh" }.to_owned()
        };
        Self { name, shell }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ccpool_protocol::boot::McpEndpoint;

    use super::*;

    fn spawn() -> ClaudeSpawn {
        serde_json::from_str(r#"{"path":"claude","cwd":"/w","home":"/h"}"#).unwrap()
    }

    fn prepared(mcp: bool) -> Prepared {
        Prepared {
            tmp: PathBuf::from("/h/tmp"),
            mcp_config: mcp.then(|| PathBuf::from("/h/.ccpool/mcp.json")),
        }
    }

    #[test]
    fn no_secret_and_no_blank_option_in_the_arguments() {
        let mut spawn = spawn();
        spawn.mcp = Some(McpEndpoint {
            url: "http://gw/mcp".into(),
            token: "s3cret".into(),
        });
        spawn.model = Some(" ".into());
        spawn.allowed_tools = vec!["Read".into()];
        spawn.extra_args = vec!["--max-turns".into(), "3".into()];
        let conversation = Conversation::Begun("c1".into());
        let args = arguments(&spawn, &prepared(true), &conversation);
        let line = args.join(" ");
        assert!(line.contains("--resume c1"), "{line}");
        assert!(
            !line.contains("s3cret") && !line.contains("--model"),
            "{line}"
        );
        assert!(
            line.contains("--allowedTools mcp__ccpool__*,mcp__client,mcp__client2,")
                && line.contains(",mcp__client16,Read --"),
            "{line}"
        );
        assert!(line.contains("--mcp-config /h/.ccpool/mcp.json"), "{line}");
        assert!(
            line.contains("--disallowedTools ListAgents,SendMessage"),
            "{line}"
        );
        assert!(
            line.ends_with("--strict-mcp-config --max-turns 3"),
            "{line}"
        );
    }

    #[test]
    fn the_boot_environment_wins_and_empty_removes() {
        let mut spawn = spawn();
        spawn
            .env
            .insert("CLAUDE_CODE_MAX_RETRIES".into(), "5".into());
        spawn.env.insert("ENABLE_TOOL_SEARCH".into(), String::new());
        let account = Account::find(1001, "root:x:0:0::/root:/bin/sh\na:x:1001:1001::/h:/bin/sh");
        let env = environment(&spawn, &prepared(false), None, &account);
        assert_eq!(env["CLAUDE_CODE_MAX_RETRIES"], "5");
        assert_eq!(env.get("ENABLE_TOOL_SEARCH"), None);
        assert_eq!(env.get("IS_SANDBOX"), None);
        assert_eq!((&*env["USER"], &*env["SHELL"]), ("a", "/bin/sh"));
        assert_eq!(env["PATH"], DEFAULT_PATH);
    }
}
