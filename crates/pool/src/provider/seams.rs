//! Stand-ins until sessions have functions and system prompts that replace.

use ccpool_protocol::SessionId;
use ccpool_protocol::function::FunctionResult;

use super::asked::Asked;
use super::conversation::Conversation;
use crate::claim::ClaimRequest;
use crate::error::PoolError;
use crate::pool::Pool;
use crate::prompt::Prompt;

/// Offers the client's functions with the prompt.
pub(super) fn offer(_prompt: &mut Prompt, _asked: &Asked) {}

/// Gives the results that a turn waits for.
pub(super) async fn give_results(
    _pool: &Pool,
    _session: &SessionId,
    _results: Vec<FunctionResult>,
) -> Result<(), PoolError> {
    Err(PoolError::InvalidRequest("no call waits".to_owned()))
}

/// The client's system prompt, which is appended in either mode.
pub(super) fn with_system(request: ClaimRequest, conversation: &Conversation) -> ClaimRequest {
    ClaimRequest {
        append_system_prompt: conversation.system.clone(),
        ..request
    }
}
