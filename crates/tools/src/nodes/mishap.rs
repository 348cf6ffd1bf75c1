//! Why `ssh` itself failed. It has one exit code for all its reasons, 255, which a command may have
//! too; the reasons are in what it logs, which goes to a file of its own (`-E`), apart from what the
//! command prints. There is nothing else to decide by. Only what a person is advised hangs on it.

use crate::Refusal;

/// What ended a connection, or kept it from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    Unknown,
    NoName,
    Unreachable,
    HostKey,
    Identity,
    NotLetIn,
    Lost,
}

/// In the words of OpenSSH 8 to 10, the first that is found.
const WORDS: [(&str, Mishap); 15] = [
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Mishap::HostKey),
    ("Host key verification failed", Mishap::HostKey),
    ("No matching host key type", Mishap::HostKey),
    ("Could not resolve hostname", Mishap::NoName),
    ("UNPROTECTED PRIVATE KEY FILE", Mishap::Identity),
    ("Load key", Mishap::Identity),
    ("no such identity", Mishap::Identity),
    ("not accessible", Mishap::Identity),
    ("Permission denied", Mishap::NotLetIn),
    ("Too many authentication failures", Mishap::NotLetIn),
    ("ssh: connect to host", Mishap::Unreachable),
    (
        "Connection timed out during banner exchange",
        Mishap::Unreachable,
    ),
    ("kex_exchange_identification", Mishap::Unreachable),
    ("not responding", Mishap::Lost),
    ("onnection", Mishap::Lost),
];

/// By what `ssh` logged at the level of errors. It logs nothing when a connection is closed that it
/// had.
pub(super) fn mishap(log: &str) -> Mishap {
    if log.trim().is_empty() {
        return Mishap::Lost;
    }
    let found = WORDS.iter().find(|(words, _)| log.contains(words));
    found.map_or(Mishap::Unknown, |(_, mishap)| *mishap)
}

impl Mishap {
    /// Whether the command may have run.
    pub(super) fn may_have_run(self) -> bool {
        match self {
            Self::Unknown | Self::Lost => true,
            Self::NoName | Self::Unreachable | Self::HostKey | Self::Identity | Self::NotLetIn => {
                false
            }
        }
    }

    /// What the model is told; a person can mend all of it, and it none.
    pub(super) fn told(self, node: &str) -> Refusal {
        let at = format!("`tools.nodes.{node}`");
        Refusal::new(match self {
            Self::NoName => format!(
                "The node `{node}` could not be reached: its host has no address. A person must \
                 correct {at}.host; nothing was run."
            ),
            Self::Unreachable => format!(
                "The node `{node}` could not be reached. A person must see that it runs and that \
                 {at}.host and .port are right; nothing was run."
            ),
            Self::HostKey => format!(
                "The node `{node}` showed a key by which it is not known, so nothing was run: it may \
                 be another machine. A person must compare its key and correct {at}.knownHostsFile."
            ),
            Self::Identity => format!(
                "The gateway has no key for the node `{node}` that it can use; nothing was run. A \
                 person must see that {at}.identityFile is there, and readable by the gateway's user \
                 alone."
            ),
            Self::NotLetIn => format!(
                "The node `{node}` did not let the gateway in; nothing was run. A person must put \
                 the public key of {at}.identityFile into the authorized_keys of {at}.user."
            ),
            Self::Lost => format!(
                "The connection to the node `{node}` was lost; whether the command has run to its \
                 end is not known. See what it has done before you run it again."
            ),
            Self::Unknown => format!(
                "The node `{node}` could not be used; whether the command has run is not known. A \
                 person finds the reason in the gateway's log."
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_becomes_a_reason() {
        for (log, wanted) in [
            ("", Mishap::Lost),
            ("\n", Mishap::Lost),
            (
                "ssh: Could not resolve hostname nowhere.invalid: Name or service not known\n",
                Mishap::NoName,
            ),
            (
                "ssh: connect to host 127.0.0.1 port 1: Connection refused\n",
                Mishap::Unreachable,
            ),
            (
                "kex_exchange_identification: Connection closed by remote host\n\
                 Connection closed by 127.0.0.1 port 22\n",
                Mishap::Unreachable,
            ),
            (
                "No ED25519 host key is known for [127.0.0.1]:22 and you have requested strict \
                 checking.\nHost key verification failed.\n",
                Mishap::HostKey,
            ),
            (
                "Load key \"/k\": Permission denied\nu@127.0.0.1: Permission denied (publickey).\n",
                Mishap::Identity,
            ),
            (
                "u@127.0.0.1: Permission denied (publickey).\n",
                Mishap::NotLetIn,
            ),
            (
                "Connection to 127.0.0.1 closed by remote host.\n",
                Mishap::Lost,
            ),
            ("Timeout, server 127.0.0.1 not responding.\n", Mishap::Lost),
            ("something new\n", Mishap::Unknown),
        ] {
            assert_eq!(mishap(log), wanted, "{log}");
        }
    }
}
