//! Tokens for people, by which any MCP client can call the tools as a session does.

use std::time::{Duration, SystemTime};

use ccpool_protocol::SessionId;

use crate::error::PoolError;
use crate::pool::Pool;
use crate::token::Token;

/// A token that is bound to a session, and dead with it.
#[derive(Debug, Clone)]
pub struct Pass {
    /// The token, for the `Authorization` header.
    pub token: Token,
    /// When it ends, if its session lives that long.
    pub expires_at: SystemTime,
}

impl Pool {
    /// Makes a token by which whoever has it calls the tools as this session does, for `lasts` at
    /// most.
    ///
    /// # Errors
    /// `UnknownSession`, `Unavailable`.
    pub async fn issue_pass(
        &self,
        session: &SessionId,
        lasts: Duration,
    ) -> Result<Pass, PoolError> {
        let store = &self.inner.store;
        let Some(container) = store.serving(session).await? else {
            return Err(PoolError::UnknownSession(session.clone()));
        };
        let (id, token) = Token::for_person(&container);
        let hash = token.hash();
        store.keep_pass(&id, &hash, &container, lasts).await?;
        Ok(Pass {
            token,
            expires_at: SystemTime::now() + lasts,
        })
    }
}
