//! What `nodes_exec` needs on this host, when there are nodes.

use std::fs::File;
use std::path::Path;

use ccpool::config::Config;

use super::report::Check;

/// Nothing where no node is configured. No node is asked.
pub(super) fn examine(config: &Config) -> Option<Check> {
    const NAME: &str = "nodes";
    if config.tools.nodes.is_empty() {
        return None;
    }
    let ssh = ccpool::on_path(Path::new("ssh"));
    if !ssh.is_absolute() {
        let mend = "install OpenSSH's client (Debian: openssh-client)";
        return Some(Check::failed(NAME, "there is no `ssh` on PATH", mend));
    }
    for (name, node) in &config.tools.nodes {
        for (key, file) in [
            ("identityFile", &node.identity_file),
            ("knownHostsFile", &node.known_hosts_file),
        ] {
            if let Err(error) = File::open(file) {
                return Some(Check::failed(
                    NAME,
                    format!("{} cannot be read: {error}", file.display()),
                    format!("correct tools.nodes.{name}.{key}, or who may read the file"),
                ));
            }
        }
    }
    let count = config.tools.nodes.len();
    let found = format!("{count} configured, by {}", ssh.display());
    Some(Check::ok(NAME, found))
}
