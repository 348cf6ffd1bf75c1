//! `tools.nodes`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value as Written;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command_pattern::CommandPattern;
use super::name::name_complaint;
use crate::config::given::{Complaint, FromValue, Given, schema, text};
use crate::config::key_path::KeyPath;
use crate::config::names::HostPath;
use crate::config::show::millis;
use crate::config::units::{Count, Millis, Text};
use crate::config::validate::Check;

/// A machine that agents may run commands on, reached over SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name or address; never begins with `-`.
    pub host: String,
    /// Where its SSH server listens.
    pub port: u16,
    /// Whom commands run as; never begins with `-`.
    pub user: String,
    /// The private key that opens it.
    pub identity_file: PathBuf,
    /// The keys by which it is known, in OpenSSH's form.
    pub known_hosts_file: PathBuf,
    /// What it is, told to agents.
    pub description: Option<String>,
    /// What may be run there; nothing where this is empty.
    pub allow: Vec<CommandPattern>,
    /// Which agents may use it; all where this is `None`.
    pub agents: Option<Vec<String>>,
    /// Longest time for one command.
    pub timeout: Duration,
    /// How much is kept of what a command prints, in bytes, of stdout and stderr each.
    pub max_output_bytes: usize,
}

/// A machine that agents may run commands on, reached over SSH.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawNode {
    /// Its name or address.
    host: Given<HostName>,
    /// Where its SSH server listens.
    port: Given<Count<1, 65_535>>,
    /// Whom commands run as.
    user: Given<UserName>,
    /// The private key that opens it; without a passphrase.
    identity_file: Given<HostPath>,
    /// The keys by which it is known, as in `known_hosts`.
    known_hosts_file: Given<HostPath>,
    /// What it is, told to agents.
    description: Given<Text>,
    /// Commands that may be run; `*` stands for letters of a word, `**` at the end for more words.
    allow: Given<Vec<CommandPattern>>,
    /// Which agents may use it; all when it is left out.
    agents: Given<Vec<Text>>,
    /// Longest time for one command, in milliseconds.
    timeout_ms: Given<Millis<1>>,
    /// Bytes that are kept of stdout and of stderr.
    max_output_bytes: Given<Count<1024, 16_777_216>>,
}

impl Default for RawNode {
    fn default() -> Self {
        Self {
            host: Given::unset(),
            port: Given::of(22),
            user: Given::unset(),
            identity_file: Given::unset(),
            known_hosts_file: Given::unset(),
            description: Given::unset(),
            allow: Given::of(Vec::<String>::new()),
            agents: Given::unset(),
            timeout_ms: Given::of(60_000),
            max_output_bytes: Given::of(262_144),
        }
    }
}

impl Check<'_> {
    pub(super) fn nodes(
        &mut self,
        at: &KeyPath,
        raw: &BTreeMap<String, RawNode>,
    ) -> BTreeMap<String, Node> {
        let mut nodes = BTreeMap::new();
        for (name, raw) in raw {
            let at = at.key(name);
            if let Some(complaint) = name_complaint(name) {
                self.complain(&at, complaint);
            }
            if let Some(node) = self.node(&at, raw) {
                nodes.insert(name.clone(), node);
            }
        }
        nodes
    }

    fn node(&mut self, at: &KeyPath, raw: &RawNode) -> Option<Node> {
        let RawNode {
            host,
            port,
            user,
            identity_file,
            known_hosts_file,
            description,
            allow,
            agents,
            timeout_ms,
            max_output_bytes,
        } = raw;
        let default = RawNode::default();
        let host = self.needed(&at.key("host"), host, "name the machine's host");
        let user = self.needed(&at.key("user"), user, "name the user that commands run as");
        let identity = self.ssh_path(
            &at.key("identityFile"),
            identity_file,
            "name the file with the private key",
        );
        let known_hosts = self.ssh_path(
            &at.key("knownHostsFile"),
            known_hosts_file,
            "name a file with the machine's key, such as `ssh-keyscan` prints, once you have \
             compared it",
        );
        let agents_at = at.key("agents");
        let agents = (!agents.is_unset()).then(|| self.texts(&agents_at, agents));
        let port = self.value(&at.key("port"), port, &default.port).0;
        let max_output_at = at.key("maxOutputBytes");
        let max_output = self.value(&max_output_at, max_output_bytes, &default.max_output_bytes);
        let node = Node {
            port: u16::try_from(port).expect("the type's limit is that of ports"),
            description: self
                .optional(&at.key("description"), description)
                .map(|text| text.0),
            allow: self.list(&at.key("allow"), allow),
            agents,
            timeout: self
                .value(&at.key("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
            max_output_bytes: max_output.0 as usize,
            host: host?.0,
            user: user?.0,
            identity_file: identity?,
            known_hosts_file: known_hosts?,
        };
        Some(node)
    }

    /// A path that `ssh` takes as it stands.
    fn ssh_path(&mut self, at: &KeyPath, given: &Given<HostPath>, mend: &str) -> Option<PathBuf> {
        let path = self.needed(at, given, mend)?;
        let path = self.host_path(&path);
        let means_more = |c: char| c.is_whitespace() || c.is_control() || "\"'\\%$~".contains(c);
        let is_plain = path.to_str().is_some_and(|text| !text.contains(means_more));
        if path.is_absolute() && is_plain {
            return Some(path);
        }
        let what = "is no path that ssh takes as it stands";
        let mend = "write an absolute path (or one below ~/) without spaces, quotes, \\ % $ and ~";
        self.complain(at, Complaint::new(what, mend));
        None
    }
}

impl Node {
    pub(super) fn shown(&self) -> Value {
        let allow = self.allow.iter().map(ToString::to_string);
        json!({
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "identityFile": self.identity_file,
            "knownHostsFile": self.known_hosts_file,
            "description": self.description,
            "allow": allow.collect::<Vec<_>>(),
            "agents": self.agents,
            "timeoutMs": millis(self.timeout),
            "maxOutputBytes": self.max_output_bytes,
        })
    }
}

/// A host that `ssh` can take for nothing else.
pub(crate) struct HostName(String);

impl FromValue for HostName {
    fn from_value(value: &Written) -> Result<Self, Complaint> {
        text(value)
            .filter(|host| host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':'))
            .filter(|host| host.len() <= 253)
            .filter(|host| {
                host.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c))
            })
            .map(|host| Self(host.to_owned()))
            .ok_or_else(|| {
                let mend = "write a name, an IPv4 address, or an IPv6 address without brackets; the \
                    port and the user have keys of their own";
                Complaint::not(value, "the name or address of a host", mend)
            })
    }
}

schema!(HostName, { "type": "string", "pattern": "^[A-Za-z0-9:][A-Za-z0-9._:-]*$" });

/// A user that `ssh` can take for nothing else.
pub(crate) struct UserName(String);

impl FromValue for UserName {
    fn from_value(value: &Written) -> Result<Self, Complaint> {
        text(value)
            .filter(|user| user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
            .filter(|user| user.len() <= 64)
            .filter(|user| {
                user.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            })
            .map(|user| Self(user.to_owned()))
            .ok_or_else(|| {
                let mend = "use letters, digits, _ . - and begin with none of the last two";
                Complaint::not(value, "the name of a user", mend)
            })
    }
}

schema!(UserName, { "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*$" });
