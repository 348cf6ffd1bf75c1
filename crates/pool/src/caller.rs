//! Who calls the gateway's tools: looked up for every call, so that a token ends with what it stands
//! for.

use ccpool_protocol::ContainerId;
use ccpool_protocol::record::{ContainerState, field};

use crate::clock::unix_ms;
use crate::error::PoolError;
use crate::info::Caller;
use crate::pool::Pool;
use crate::token;

impl Pool {
    /// Whose bearer token this is. None: nobody's, or of a container that is gone or on its way out.
    /// One round trip to Redis.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn caller(&self, token: &str) -> Result<Option<Caller>, PoolError> {
        let Some(named) = token::named(token) else {
            return Ok(None);
        };
        let (container, person) = (named.container, named.person);
        let found = self.inner.store.bearer(&container, person).await?;
        let Some(bearer) = found.filter(|found| token::matches(token, &found.hash)) else {
            return Ok(None);
        };
        let is_persons = person.is_some();
        let counts = match bearer.state {
            ContainerState::Assigned => true,
            // It has no session yet that a person could act as.
            ContainerState::Creating | ContainerState::Warm => !is_persons,
            ContainerState::Draining | ContainerState::Failed => false,
        };
        Ok(counts.then(|| Caller {
            container: (!is_persons).then_some(container),
            session: bearer.session,
            agent: bearer.agent,
            depth: bearer.depth,
        }))
    }

    /// The container's token has listed the gateway's tools.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tools_listed(&self, container: &ContainerId) -> Result<(), PoolError> {
        let now = unix_ms().to_string();
        self.inner
            .store
            .note(container, field::TOOLS_LISTED_AT, &now)
            .await?;
        self.inner.changed();
        Ok(())
    }
}
