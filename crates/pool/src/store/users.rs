//! The Redis users of containers: each may reach its container's keys and, from the claim on, its
//! session's.

use std::fmt;

use ccpool_protocol::access::NotExact;
use ccpool_protocol::keys::Keys;
use ccpool_protocol::record::field;
use ccpool_protocol::{ContainerId, SessionId, access, scripts};
use redis::aio::ConnectionManager;
use redis::{
    AsyncCommands, Client, Cmd, ConnectionInfo, RedisConnectionInfo, RedisError, RedisResult,
    Script, ScriptInvocation, ServerError, ServerErrorKind,
};

use super::measured::Measured;
use super::{ClaimNumber, StoreError};
use crate::password::Password;

/// Makes, changes and removes them.
///
/// Redis keeps users in memory alone, so what a user needs to be made again, the hash of its
/// password, lies in the container's record.
pub struct RedisUsers {
    commands: Measured<ConnectionManager>,
    /// For what looks ask of all containers: claims do not queue up behind that.
    looks: Measured<ConnectionManager>,
    keys: Keys,
    names: access::Users,
    publish: Script,
    deliver: Script,
}

impl RedisUsers {
    pub(super) fn new(
        commands: Measured<ConnectionManager>,
        looks: Measured<ConnectionManager>,
        keys: Keys,
        db: i64,
    ) -> Self {
        let names = access::Users::new(keys.clone(), db);
        Self {
            commands,
            looks,
            keys,
            names,
            publish: Script::new(scripts::PUBLISH),
            deliver: Script::new(include_str!("../../lua/deliver.lua")),
        }
    }

    fn commands(&self) -> Measured<ConnectionManager> {
        self.commands.clone()
    }

    fn looks(&self) -> Measured<ConnectionManager> {
        self.looks.clone()
    }

    /// What they are called.
    pub fn names(&self) -> &access::Users {
        &self.names
    }

    /// Loads the script that wrappers call, whose users may not, and the one that hands over
    /// assignments, so that the first claim need not. What is there is not sent again.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn load_scripts(&self) -> Result<(), StoreError> {
        let scripts = [&self.publish, &self.deliver];
        let mut asked = redis::cmd("SCRIPT");
        asked.arg("EXISTS").arg(&scripts.map(Script::get_hash));
        let there: Vec<bool> = asked.query_async(&mut self.looks()).await?;
        for (script, _) in scripts.iter().zip(there).filter(|(_, there)| !there) {
            script.load_async(&mut self.looks()).await?;
        }
        Ok(())
    }

    /// Whether users can be kept here: makes one as containers get it, and removes it.
    ///
    /// # Errors
    /// [`StoreError::NoUsers`] when Redis refuses.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let container = ContainerId::from_random(rand::random());
        let rules = self.names.rules(&container, None, &Password::mint().hash());
        let made = self.set(&container, rules)?;
        let made = made.exec_async(&mut self.commands()).await;
        made.map_err(StoreError::of_users)?;
        self.expel(&container).await?;
        self.list().await.map(|_| ())
    }

    /// The containers that have a user.
    ///
    /// # Errors
    /// When Redis is away, or does not tell.
    pub async fn list(&self) -> Result<Vec<ContainerId>, StoreError> {
        let listed: Result<Vec<String>, _> = redis::cmd("ACL")
            .arg("USERS")
            .query_async(&mut self.looks())
            .await;
        let names = listed.map_err(StoreError::of_users)?;
        let ours = names.iter().filter_map(|name| self.names.container(name));
        Ok(ours.collect())
    }

    /// Gives a container its user, with the rights that its record says. One that is forgotten, or
    /// was made without a user, has none afterwards.
    ///
    /// # Errors
    /// When Redis is away, or refuses.
    pub async fn admit(&self, container: &ContainerId) -> Result<(), StoreError> {
        let mut wanted = self.recorded(container).await?;
        loop {
            let Some((session, hash)) = &wanted else {
                return self.expel(container).await;
            };
            let rules = self.names.rules(container, session.as_ref(), hash);
            let made = self.set(container, rules)?;
            let made = made.exec_async(&mut self.commands()).await;
            made.map_err(StoreError::of_users)?;
            // Another gateway may have claimed or forgotten it meanwhile.
            let now = self.recorded(container).await?;
            if now == wanted {
                return Ok(());
            }
            wanted = now;
        }
    }

    /// Removes a container's user; its connections end.
    ///
    /// # Errors
    /// When Redis is away, or refuses.
    pub async fn expel(&self, container: &ContainerId) -> Result<(), StoreError> {
        let asked = redis::cmd("ACL")
            .arg("DELUSER")
            .arg(self.names.name(container))
            .exec_async(&mut self.commands())
            .await;
        asked.map_err(StoreError::of_users)
    }

    /// Lets a claimed container's user reach its session, and hands the container its assignment,
    /// in one step. Does nothing to one that has it, or whose claim has another number by now. `hash`:
    /// of its user's password, if it has one.
    ///
    /// # Errors
    /// When Redis is away, or refuses.
    pub async fn deliver(
        &self,
        container: &ContainerId,
        session: &SessionId,
        hash: Option<&str>,
        claim: ClaimNumber,
    ) -> Result<(), StoreError> {
        let keys = self.keys.container(container);
        let mut delivery = self.deliver.prepare_invoke();
        delivery.key(keys.record).key(keys.inbox).arg(claim.0);
        let Some(hash) = hash else {
            return Ok(delivery.invoke_async(&mut self.commands()).await?);
        };
        let rules = self.names.rules_of_claimed(container, session, hash);
        let set = self.set(container, rules)?;
        let mut asked = self.together(set, &delivery).await;
        if asked.as_ref().is_err_and(is_forgotten) {
            let rules = self.names.rules(container, Some(session), hash);
            let set = self.set(container, rules)?;
            self.deliver.load_async(&mut self.commands()).await?;
            asked = self.together(set, &delivery).await;
        }
        asked.map_err(StoreError::of_users)
    }

    /// Sets a user's rights and hands over an assignment in one step. A server that refuses the first
    /// command carries out none; but one that accepts both can still fail at either, and does the
    /// other all the same.
    async fn together(&self, set: Cmd, delivery: &ScriptInvocation<'_>) -> RedisResult<()> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.add_command(set).ignore();
        pipe.invoke_script(delivery).ignore();
        pipe.exec_async(&mut self.commands()).await
    }

    /// The command that gives a container's user these rules.
    fn set(
        &self,
        container: &ContainerId,
        rules: Result<Vec<String>, NotExact>,
    ) -> Result<Cmd, StoreError> {
        let rules = rules.map_err(|error| StoreError::Broken(error.to_string()))?;
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg(self.names.name(container));
        command.arg(rules);
        Ok(command)
    }

    /// What a container's record says of its user.
    async fn recorded(
        &self,
        container: &ContainerId,
    ) -> Result<Option<(Option<SessionId>, String)>, StoreError> {
        let record = self.keys.container(container).record;
        let fields = [field::SESSION, field::ACL_HASH];
        let (session, hash): (Option<String>, Option<String>) =
            self.commands().hmget(record, &fields).await?;
        let session = session.and_then(|session| SessionId::new(session).ok());
        Ok(hash
            .filter(|hash| !hash.is_empty())
            .map(|hash| (session, hash)))
    }
}

/// Whether a user whose rights were to be set, or the script that was called with it, is not there: a
/// server that was restarted keeps neither. One without the user has handed over what its container
/// cannot fetch before it is let in; one without the script has handed over nothing.
fn is_forgotten(error: &RedisError) -> bool {
    let refused = error.clone().into_server_errors();
    let no_script = Some(ServerErrorKind::NoScript);
    let is = |(at, error): &(usize, ServerError)| *at == 0 || error.kind() == no_script;
    refused.is_some_and(|refused| refused.iter().any(is))
}

/// Whether whoever connects without a password may read the pool's keys: then the containers' own
/// users hold nobody back. An answer that cannot be had counts as no.
pub async fn is_open(info: &ConnectionInfo, keys: &Keys) -> bool {
    let db = info.redis_settings().db();
    let nobody = RedisConnectionInfo::default().set_db(db);
    let asked = async {
        let client = Client::open(info.clone().set_redis_settings(nobody)).ok()?;
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let read: Option<String> = connection.get(keys.pool_id()).await.ok()?;
        Some(read)
    };
    let asked = tokio::time::timeout(super::redis_store::RESPONSE_TIMEOUT, asked).await;
    asked.is_ok_and(|read| read.is_some())
}

impl fmt::Debug for RedisUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUsers")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
