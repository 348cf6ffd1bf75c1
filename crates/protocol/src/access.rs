//! What a container's Redis user is called, and what it may do.

use crate::keys::Keys;
use crate::{ContainerId, SessionId};

/// Everything that a wrapper needs. It loads no scripts: one of its own could hold Redis up.
const COMMANDS: [&str; 14] = [
    "blmove",
    "evalsha",
    "hget",
    "hmget",
    "hset",
    "lrange",
    "lrem",
    "ltrim",
    "pexpire",
    "ping",
    "publish",
    "rpush",
    "set",
    "subscribe",
];

/// A name with a character that Redis would take for a pattern, or that ends a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be the name of a Redis user, key or channel of a container's")]
pub struct NotExact(String);

/// The users of one pool's containers, one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    keys: Keys,
    db: i64,
}

impl Users {
    /// `db`: the number of the database. Users belong to the whole server, databases do not.
    pub fn new(keys: Keys, db: i64) -> Self {
        Self { keys, db }
    }

    /// What `container`'s user is called: as the container's record, and in another database than
    /// the first one with its number.
    ///
    /// ```
    /// use ccpool_protocol::{ContainerId, access::Users, keys::Keys};
    /// let users = Users::new(Keys::new("clawdbot:cc:"), 0);
    /// let container = ContainerId::from_random(7);
    /// assert_eq!(users.name(&container), "clawdbot:cc:pool:container:c-000000000007");
    /// ```
    pub fn name(&self, container: &ContainerId) -> String {
        let mut name = self.keys.container(container).record;
        if self.db != 0 {
            name.push_str(&format!("/{}", self.db));
        }
        name
    }

    /// Whose user this is. None: not one of this pool's.
    pub fn container(&self, name: &str) -> Option<ContainerId> {
        let id = name.strip_prefix(&self.keys.container_prefix())?;
        let id = match self.db {
            0 => id,
            db => id.strip_suffix(&format!("/{db}"))?,
        };
        ContainerId::new(id).ok()
    }

    /// The arguments of `ACL SETUSER` after the name, for one that may not exist: everything that a
    /// container may which serves `session`, or none yet. `hash`: SHA-256 of its password, in hex.
    ///
    /// # Errors
    /// When a key would be a pattern.
    pub fn rules(
        &self,
        container: &ContainerId,
        session: Option<&SessionId>,
        hash: &str,
    ) -> Result<Vec<String>, NotExact> {
        let mut rules = ["reset", "resetkeys", "resetchannels", "-@all", "on"]
            .map(str::to_owned)
            .to_vec();
        rules.push(format!("#{hash}"));
        rules.extend(COMMANDS.map(|command| format!("+{command}")));
        if self.db != 0 {
            rules.push(format!("+select|{}", self.db));
        }
        self.reach(&mut rules, container, session)?;
        Ok(rules)
    }

    /// The same for one that was made with these rules and this password: what it reaches is set
    /// anew, once its container serves `session`. It costs Redis half as much as all the rules, and
    /// Redis refuses it, and changes nothing, where there is no such user: a password that is not
    /// there cannot be taken away.
    ///
    /// # Errors
    /// When a key would be a pattern.
    pub fn rules_of_claimed(
        &self,
        container: &ContainerId,
        session: &SessionId,
        hash: &str,
    ) -> Result<Vec<String>, NotExact> {
        let mut rules = vec![format!("!{hash}"), format!("#{hash}")];
        rules.extend(["resetkeys", "resetchannels"].map(str::to_owned));
        self.reach(&mut rules, container, Some(session))?;
        Ok(rules)
    }

    /// Adds the rules for every key and channel.
    fn reach(
        &self,
        rules: &mut Vec<String>,
        container: &ContainerId,
        session: Option<&SessionId>,
    ) -> Result<(), NotExact> {
        let own = self.keys.container(container);
        let mut keys = vec![own.report, own.inbox];
        let mut channels = vec![own.control, self.keys.events()];
        if let Some(session) = session {
            let of = self.keys.session(session);
            keys.extend([of.input, of.inflight, of.output_buffer, of.state]);
            keys.extend([of.result, of.transcript]);
            // A script is told the channel as one of its keys.
            keys.push(of.output.clone());
            channels.extend([of.output, of.control]);
        }
        for name in keys.iter().chain(&channels) {
            let special = |c: char| c.is_whitespace() || c.is_control() || "*?[]\\".contains(c);
            if name.contains(special) {
                return Err(NotExact(name.clone()));
            }
        }
        rules.extend(keys.into_iter().map(|key| format!("~{key}")));
        rules.extend(channels.into_iter().map(|channel| format!("&{channel}")));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> ContainerId {
        ContainerId::from_random(7)
    }

    #[test]
    fn names_lead_back_to_containers_and_no_other_names_do() {
        let [first, second] = [0, 1].map(|db| Users::new(Keys::new("a:"), db));
        for (users, others) in [(&first, &second), (&second, &first)] {
            let name = users.name(&container());
            assert_eq!(users.container(&name), Some(container()));
            assert_eq!(others.container(&name), None);
        }
        assert_eq!(first.container("default"), None);
        assert_eq!(first.container("a:pool:container:"), None);
    }

    #[test]
    fn the_sessions_keys_come_with_the_session() {
        let users = Users::new(Keys::new("a:"), 2);
        let session = SessionId::new("s").unwrap();
        let before = users.rules(&container(), None, "00").unwrap();
        let after = users.rules(&container(), Some(&session), "00").unwrap();
        assert!(!before.iter().any(|rule| rule.contains("a:s:")));
        let more: Vec<_> = after.iter().filter(|rule| !before.contains(rule)).collect();
        assert_eq!(
            more,
            [
                "~a:s:input",
                "~a:s:inflight",
                "~a:s:output_buffer",
                "~a:s:state",
                "~a:s:result",
                "~a:s:transcript",
                "~a:s:output",
                "&a:s:output",
                "&a:s:control"
            ]
        );
        assert!(before.contains(&"+select|2".to_owned()), "{before:?}");
        assert!(!before.iter().any(|rule| rule.contains("+script")));
    }

    #[test]
    fn at_the_claim_it_reaches_what_one_made_anew_reaches() {
        let users = Users::new(Keys::new("a:"), 2);
        let session = SessionId::new("s").unwrap();
        let made = users.rules(&container(), Some(&session), "00").unwrap();
        let claimed = users
            .rules_of_claimed(&container(), &session, "00")
            .unwrap();
        assert_eq!(claimed[..2], ["!00", "#00"]);
        let is_reach = |rule: &&String| {
            rule.starts_with(['~', '&']) || ["resetkeys", "resetchannels"].contains(&rule.as_str())
        };
        let reach: Vec<&String> = made.iter().filter(is_reach).collect();
        assert_eq!(claimed[2..].iter().collect::<Vec<_>>(), reach);
    }

    #[test]
    fn a_pattern_is_refused() {
        for prefix in ["*", "a?", "[a]", "a\\", "a b"] {
            let users = Users::new(Keys::new(prefix), 0);
            assert!(users.rules(&container(), None, "00").is_err(), "{prefix}");
            let claimed = users.rules_of_claimed(&container(), &SessionId::new("s").unwrap(), "00");
            assert!(claimed.is_err(), "{prefix}");
        }
    }
}
