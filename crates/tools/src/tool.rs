use std::future::Future;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Answer, Call, Refusal};

/// What a tool does to the world, as MCP's annotations tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It only reads.
    Reads,
    /// It changes or sends something.
    Acts,
    /// It may destroy something.
    Destroys,
}

/// A tool that an agent can call.
///
/// ```
/// use ccpool_tools::{Answer, Call, Effect, Refusal, Tool};
///
/// struct Dice;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Throw {
///     /// How many sides the die has.
///     sides: u32,
/// }
///
/// impl Tool for Dice {
///     type Arguments = Throw;
///     const NAME: &'static str = "dice";
///     const DESCRIPTION: &'static str = "Throw a die.";
///     const EFFECT: Effect = Effect::Reads;
///
///     async fn call(&self, throw: Throw, _: Call) -> Result<Answer, Refusal> {
///         match throw.sides {
///             0 => Err(Refusal::new("A die has at least one side.")),
///             // Thrown fairly, once.
///             sides => Ok(Answer::text(format!("{}", sides.min(4)))),
///         }
///     }
/// }
/// ```
pub trait Tool: Send + Sync + 'static {
    /// What it is called with. The doc comments of the fields tell the model what they mean; unknown
    /// fields should be refused (`deny_unknown_fields`), so that a misspelt one is told.
    type Arguments: DeserializeOwned + JsonSchema + Send;

    /// Its name: small letters, digits and `_`.
    const NAME: &'static str;
    /// What it does and when to use it, for the model.
    const DESCRIPTION: &'static str;
    /// What it does to the world.
    const EFFECT: Effect;

    /// Does it. The future is dropped some time after [`Call::cancelled`]; what must not be cut off in
    /// the middle belongs into a task.
    fn call(
        &self,
        arguments: Self::Arguments,
        call: Call,
    ) -> impl Future<Output = Result<Answer, Refusal>> + Send;
}
