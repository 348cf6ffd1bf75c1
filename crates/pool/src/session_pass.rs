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
        if self.inner.store.serving(session).await?.is_none() {
            return Err(PoolError::UnknownSession(session.clone()));
        }
        let (id, token) = Token::for_person();
        let hash = token.hash();
        let kept = self.inner.store.keep_pass(&id, &hash, session, lasts);
        kept.await?;
        Ok(Pass {
            token,
            expires_at: SystemTime::now() + lasts,
        })
    }
}
