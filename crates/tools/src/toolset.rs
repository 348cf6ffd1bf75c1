use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ccpool::Pool;
use ccpool::config::Config;
use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::model::JsonObject;
use serde_json::Value;

use crate::{Answer, Call, Effect, Policy, Refusal, Tool, built_in};

/// In characters: enough to say what is wrong with an argument.
const LONGEST_WHY: usize = 300;

/// The tools that a gateway offers, by name.
///
/// ```no_run
/// # fn example(pool: ccpool::Pool, config: &ccpool::config::Config) {
/// use ccpool_tools::GatewayTools;
///
/// let tools = GatewayTools::built_in(&pool, config).without("nodes_exec");
/// # }
/// ```
#[derive(Clone, Default)]
pub struct GatewayTools {
    tools: BTreeMap<&'static str, Arc<dyn AnyTool>>,
    policy: Policy,
}

/// What is told of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDescription {
    /// Its name.
    pub name: &'static str,
    /// For the model.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub input_schema: JsonObject,
    /// What it does to the world.
    pub effect: Effect,
}

impl GatewayTools {
    /// None yet, for everybody.
    pub fn empty() -> Self {
        Self::default().with_policy(Policy::everything())
    }

    /// All tools that ccpool brings, for whom the configuration allows them.
    pub fn built_in(pool: &Pool, config: &Config) -> Self {
        built_in::add(Self::empty(), pool, config).with_policy(Policy::of(config))
    }

    /// With a tool more, or with another one in the place of that name.
    #[must_use]
    pub fn with<T: Tool>(mut self, tool: T) -> Self {
        self.tools.insert(T::NAME, Arc::new(tool));
        self
    }

    /// Without the tool of that name, if there is one.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.tools.remove(name);
        self
    }

    /// With other rules of who may use what.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What is offered, by name. Which agent asks is not known yet when a container lists its tools,
    /// so what only some agents may use is among it.
    pub fn list(&self) -> impl Iterator<Item = ToolDescription> {
        let offered = self.tools.values();
        offered
            .map(|tool| tool.describe())
            .filter(|tool| self.policy.offers(tool.name))
    }

    /// What is told of one tool, if it is offered.
    pub fn get(&self, name: &str) -> Option<ToolDescription> {
        let tool = self.tools.get(name)?;
        self.policy.offers(name).then(|| tool.describe())
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// What the model is told when there is no such tool, its agent may not use it, the arguments are
    /// wrong, or it did not work.
    pub async fn call(
        &self,
        name: &str,
        arguments: JsonObject,
        call: Call,
    ) -> Result<Answer, Refusal> {
        let Some(tool) = self.tools.get(name).filter(|_| self.policy.offers(name)) else {
            return Err(Refusal::new(format!("There is no tool `{name}`.")));
        };
        if !self.policy.allows(&call.caller.agent, name) {
            return Err(Refusal::new(format!(
                "The agent `{}` may not use `{name}`: the gateway's configuration forbids it.",
                call.caller.agent
            )));
        }
        tool.call(arguments, call).await
    }
}

impl fmt::Debug for GatewayTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tools.keys()).finish()
    }
}

/// A [`Tool`] whose arguments are not known yet.
trait AnyTool: Send + Sync {
    fn describe(&self) -> ToolDescription;
    fn call(&self, arguments: JsonObject, call: Call) -> BoxFuture<'_, Result<Answer, Refusal>>;
}

impl<T: Tool> AnyTool for T {
    fn describe(&self) -> ToolDescription {
        let schema = schemars::generate::SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator()
            .into_root_schema_for::<T::Arguments>();
        let Value::Object(mut input_schema) = schema.to_value() else {
            unreachable!("the arguments of `{}` are no object", T::NAME)
        };
        for of_no_use_to_a_model in ["$schema", "title"] {
            input_schema.remove(of_no_use_to_a_model);
        }
        ToolDescription {
            name: T::NAME,
            description: T::DESCRIPTION,
            input_schema,
            effect: T::EFFECT,
        }
    }

    fn call(&self, arguments: JsonObject, call: Call) -> BoxFuture<'_, Result<Answer, Refusal>> {
        match serde_json::from_value(Value::Object(arguments)) {
            Ok(arguments) => Tool::call(self, arguments, call).boxed(),
            Err(error) => {
                let takes = takes(&AnyTool::describe(self).input_schema);
                // serde's words repeat what was given, however long that is.
                let why: String = error.to_string().chars().take(LONGEST_WHY).collect();
                let text = format!(
                    "The arguments of `{}` are wrong: {why}. It takes {takes}.",
                    T::NAME
                );
                futures::future::ready(Err(Refusal::new(text))).boxed()
            }
        }
    }
}

/// "`city` (needed), `limit`": what a schema wants, in a line.
fn takes(schema: &JsonObject) -> String {
    let needed: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let fields = schema.get("properties").and_then(Value::as_object);
    let names: Vec<String> = fields
        .into_iter()
        .flat_map(|fields| fields.keys())
        .map(|name| {
            if needed.contains(&name.as_str()) {
                format!("`{name}` (needed)")
            } else {
                format!("`{name}`")
            }
        })
        .collect();
    if names.is_empty() {
        "no arguments".to_owned()
    } else {
        names.join(", ")
    }
}
