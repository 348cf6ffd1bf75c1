//! How the CLI of this host is started: arguments, environment, and what it is told first.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ccpool::config::{self, Secret};
use ccpool::provider::{Conversation, SystemMode};
use ccpool::{OutputSchema, on_path};
use ccpool_protocol::stdin::{Initialize, StdinLine};
use ccpool_protocol::{ContainerId, cli, mark};
use tokio::process::Command;

use super::folder::Folder;

/// Of the gateway's own environment: its secrets, and what marks the inside of another `claude`.
const OWN: [&str; 8] = [
    "REDIS_URL",
    "AI_AGENT",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_MESSAGING_SOCKET",
    "CLAUDE_CODE_MESSAGING_TOKEN",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
];
const OWN_PREFIX: &str = "CCPOOL_";

/// The user's login, models and permissions count, and nothing else of what they have set up: their
/// `CLAUDE.md`, hooks, skills, plugins and MCP servers are not meant for whoever asks the gateway. A
/// variable rather than the flag, which an older CLI would refuse.
const SAFE_MODE: (&str, &str) = ("CLAUDE_CODE_SAFE_MODE", "1");

/// Names what it is told first.
pub(super) const INITIALIZE: &str = "ccpool-initialize";

/// Moves its temporary files and sockets.
const TMPDIR: &str = "CLAUDE_CODE_TMPDIR";

/// Starts it as the configuration says.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    options: config::ClaudeCli,
}

impl Launch {
    pub(super) fn new(options: config::ClaudeCli) -> Self {
        Self { options }
    }

    /// The program, where it can be found now.
    pub(super) fn program(&self) -> PathBuf {
        on_path(&self.options.path)
    }

    /// Where all processes work, if that is configured.
    pub(super) fn cwd(&self) -> Option<&Path> {
        self.options.cwd.as_deref()
    }

    /// Whether it may use any tools.
    pub(super) fn has_tools(&self) -> bool {
        !self.options.tools.is_empty()
    }

    /// For one conversation. `name` is a UUID, `processes` marks what it starts.
    pub(super) fn command(
        &self,
        name: &str,
        model: Option<&str>,
        processes: &ContainerId,
        folder: &Folder,
    ) -> Command {
        let mut command = Command::new(self.program());
        command
            .args(arguments(&self.options, name, model))
            .env_clear()
            .envs(self.environment(std::env::vars_os(), Some(&folder.tmp())))
            .env(mark::ENV, processes.as_str())
            .current_dir(self.cwd().map_or_else(|| folder.work(), Path::to_owned));
        command
    }

    /// For a question to the program itself.
    pub(super) fn question(&self, argument: &str) -> Command {
        let mut command = Command::new(self.program());
        command
            .arg(argument)
            .env_clear()
            .envs(self.environment(std::env::vars_os(), None));
        command
    }

    /// What of `inherited` it gets, and what it gets beside that.
    fn environment(
        &self,
        inherited: impl Iterator<Item = (OsString, OsString)>,
        tmp: Option<&Path>,
    ) -> BTreeMap<OsString, OsString> {
        let clear = self.options.clear_env;
        let passes = |name: &OsString| match name.to_str() {
            Some("PATH") => true,
            Some(name) => !clear && !OWN.contains(&name) && !name.starts_with(OWN_PREFIX),
            None => !clear,
        };
        let mut env: BTreeMap<OsString, OsString> =
            inherited.filter(|(name, _)| passes(name)).collect();
        let fixed = cli::SETTINGS
            .into_iter()
            .chain([cli::FOREGROUND, SAFE_MODE]);
        env.extend(fixed.map(|(name, value)| (name.into(), value.into())));
        if let Some(tmp) = tmp {
            env.insert(TMPDIR.into(), tmp.into());
        }
        for (name, value) in &self.options.env {
            match Secret::expose(value) {
                "" => env.remove(name.as_ref() as &std::ffi::OsStr),
                value => env.insert(name.into(), value.into()),
            };
        }
        env
    }
}

/// Nothing secret is among them.
fn arguments(options: &config::ClaudeCli, name: &str, model: Option<&str>) -> Vec<String> {
    let tools = options.tools.join(",");
    let disallowed = cli::DISALLOWED.join(",");
    let mut arguments = cli::ARGUMENTS.to_vec();
    arguments.extend(["--session-id", name]);
    // Its history is the gateway's affair, not that of the user whose login it is.
    arguments.extend(["--no-session-persistence", "--strict-mcp-config"]);
    arguments.extend(["--tools", &tools, "--disallowedTools", &disallowed]);
    if let Some(model) = model {
        arguments.extend(["--model", model]);
    }
    arguments.extend(options.extra_args.iter().map(String::as_str));
    arguments.into_iter().map(str::to_owned).collect()
}

/// What comes before the first prompt: the client's system prompt, the form of the answers, and in any
/// case a question that is answered once `claude` has booted.
pub(super) fn initialize(conversation: &Conversation) -> StdinLine {
    let system = conversation.system.as_deref();
    let (system_prompt, append_system_prompt) = match conversation.system_mode {
        SystemMode::Append => (None, system),
        SystemMode::Replace => (system, None),
    };
    let output_schema = conversation.output_schema.as_ref();
    let with = Initialize {
        system_prompt,
        append_system_prompt,
        output_schema: output_schema.map(OutputSchema::as_map),
    };
    StdinLine::initialize(INITIALIZE, with)
}

#[cfg(test)]
mod tests {
    use ccpool::config::Config;

    use super::*;

    fn environment(options: &config::ClaudeCli) -> BTreeMap<String, String> {
        let inherited = [
            ("PATH", "/bin"),
            ("HOME", "/home/me"),
            ("REDIS_URL", "redis://:secret@h"),
            ("CCPOOL_HTTP__TOKEN", "secret"),
            ("CLAUDECODE", "1"),
            ("CLAUDE_CODE_MAX_RETRIES", "9"),
            ("CLAUDE_CONFIG_DIR", "/home/me/other"),
        ];
        let inherited = inherited.map(|(name, value)| (name.into(), value.into()));
        let launch = Launch::new(options.clone());
        let env = launch.environment(inherited.into_iter(), Some(Path::new("/t")));
        let text = |text: OsString| text.into_string().unwrap();
        env.into_iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    #[test]
    fn it_gets_the_users_environment_without_the_gateways_secrets() {
        let env = environment(&Config::default().claude_cli);
        assert_eq!(env["HOME"], "/home/me");
        assert_eq!(env["CLAUDE_CONFIG_DIR"], "/home/me/other");
        assert_eq!(env["CLAUDE_CODE_MAX_RETRIES"], "2");
        assert_eq!(env["CLAUDE_CODE_SAFE_MODE"], "1");
        assert_eq!(env["CLAUDE_CODE_TMPDIR"], "/t");
        for own in ["REDIS_URL", "CCPOOL_HTTP__TOKEN", "CLAUDECODE"] {
            assert_eq!(env.get(own), None, "{own}");
        }
    }

    #[test]
    fn the_configuration_has_the_last_word() {
        let mut options = Config::default().claude_cli;
        options.clear_env = true;
        for (name, value) in [("HOME", "/h"), ("CLAUDE_CODE_SAFE_MODE", "")] {
            options.env.insert(name.to_owned(), Secret::new(value));
        }
        let env = environment(&options);
        assert_eq!((&*env["HOME"], &*env["PATH"]), ("/h", "/bin"));
        assert_eq!(env.get("CLAUDE_CODE_SAFE_MODE"), None);
        assert_eq!(env.get("CLAUDE_CONFIG_DIR"), None);
    }

    #[test]
    fn without_tools_there_are_none() {
        let mut options = Config::default().claude_cli;
        let tools = |options: &config::ClaudeCli| {
            let arguments = arguments(options, "u", Some("opus"));
            let at = arguments.iter().position(|one| one == "--tools").unwrap();
            arguments[at + 1].clone()
        };
        assert_eq!(tools(&options), "");
        options.tools = vec!["Read".into(), "Grep".into()];
        assert_eq!(tools(&options), "Read,Grep");
        options.extra_args = vec!["--effort".into(), "low".into()];
        let line = arguments(&options, "u", Some("opus")).join(" ");
        assert!(line.ends_with("--model opus --effort low"), "{line}");
    }
}
