//! How `claude` is started, by whomever: the arguments and settings that every supervisor needs, and
//! what its end is called.

use std::process::ExitStatus;

/// Arguments with which it speaks stream-json both ways, says everything, and asks for permissions on
/// stdout (PROTOCOL section 1).
pub const ARGUMENTS: [&str; 9] = [
    "-p",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-prompt-tool",
    "stdio",
];

/// Environment that a supervised CLI needs; whoever starts it may override it. Sources: PROTOCOL
/// section 9, CHANGES-2.1.329 section 1.
pub const SETTINGS: [(&str, &str); 11] = [
    // Talk to the model's address and to nothing else.
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    // All tools in every request, rather than behind a search.
    ("ENABLE_TOOL_SEARCH", "false"),
    // Ten retries take three minutes, even for a wrong key; a fallback chain wants to know sooner.
    ("CLAUDE_CODE_MAX_RETRIES", "2"),
    ("CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS", "60000"),
    // No probing request before the MCP handshake.
    ("MCP_PROTOCOL_NEGOTIATION", "legacy"),
    // A hanging MCP server must not hold up the first turn for long.
    ("CLAUDE_CODE_MCP_STARTUP_WAIT_MS", "5000"),
    ("MCP_TIMEOUT", "10000"),
    // Without it the model reads the first 4096 letters of what a function does.
    ("CLAUDE_CODE_MAX_MCP_DESCRIPTION_LENGTH", "524288"),
    ("CLAUDE_CODE_STARTUP_FAILURE_RESULTS", "1"),
    ("LANG", "C.UTF-8"),
];

/// One prompt, one result: with this, subagents and commands run in the foreground.
pub const FOREGROUND: (&str, &str) = ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1");

/// Tools that reach other sessions of the same HOME, which are nobody's business.
pub const DISALLOWED: [&str; 2] = ["ListAgents", "SendMessage"];

/// The tool by which a model answers in the form of a JSON Schema. It does nothing.
pub const OUTPUT_TOOL: &str = "StructuredOutput";

/// How it ended, in a few words.
pub fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("claude exited with code {code}"),
        (None, Some(signal)) => format!("claude was ended by signal {signal}"),
        (None, None) => "claude ended".to_owned(),
    }
}
