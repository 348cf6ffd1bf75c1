//! What the OpenAI API costs beside the gateway's own routes, many answers at once through one gateway,
//! and how soon another provider answers.

mod client;
mod decision;
mod overhead;
mod report;
mod streams;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use self::decision::Decision;
use self::overhead::Overhead;
use self::streams::Streams;
use crate::machine::load;
use crate::site::Site;
use crate::{Arguments, model};

/// What the model is asked where `claude` is the real one. It repeats it, a word per delta.
const PROMPT: &str = "Say in one short sentence that you are ready to help.";
/// What the stand-in for `claude` is asked.
const CHATTER: &str = "count=3 mark=word";

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Conversations with the stand-in for `claude`, each way.
    pub(crate) conversations: usize,
    /// Later turns of each.
    pub(crate) turns: usize,
    /// Conversations with the real one, each way.
    pub(crate) real_conversations: usize,
    /// Later turns of each.
    pub(crate) real_turns: usize,
    /// Answers at once.
    pub(crate) streams: usize,
    /// Waves of them by either route, one more that begins the conversations.
    pub(crate) waves: usize,
    /// Words of each of them.
    pub(crate) words: u64,
    /// Decisions of the chain, of each kind.
    pub(crate) decisions: usize,
    /// Looks at its health, of each kind.
    pub(crate) looks: usize,
}

impl Extent {
    /// A minute.
    pub(crate) fn quick() -> Self {
        Self {
            conversations: 5,
            turns: 20,
            real_conversations: 2,
            real_turns: 5,
            streams: 20,
            waves: 2,
            words: 40,
            decisions: 5,
            looks: 100,
        }
    }

    /// As in docs/performance.md.
    pub(crate) fn usual() -> Self {
        Self {
            conversations: 30,
            turns: 40,
            real_conversations: 15,
            real_turns: 10,
            streams: 100,
            waves: 5,
            words: 100,
            decisions: 50,
            looks: 1000,
        }
    }
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Provided {
    pub(crate) extent: Extent,
    /// The load of one minute, when measuring began.
    pub(crate) load: f64,
    /// With the stand-in for `claude`, whose own time hides nothing.
    pub(crate) light: Overhead,
    /// With the real one.
    pub(crate) real: Overhead,
    pub(crate) streams: Streams,
    pub(crate) decision: Decision,
}

/// Measures all of it, one after the other.
///
/// # Errors
/// Something does not work, or an answer is not whole; being slow is no error.
pub(crate) async fn measure(
    arguments: &Arguments,
    extent: Extent,
    site: &mut Site,
) -> Result<Provided> {
    let begin = |what: &str| eprintln!("    provider: {what}");
    let load = load();
    let chatter = arguments.ccpool.with_file_name("chatter");

    begin("both routes, with a stand-in for claude");
    let gateway = overhead::serve(arguments, "light", &chatter, None, site).await?;
    let (conversations, turns) = (extent.conversations, extent.turns);
    let light = overhead::measure(&gateway, CHATTER, conversations, turns);
    let light = light.await.context("with a stand-in for claude")?;

    begin("both routes, with the real claude");
    let program = &arguments.scripted_model;
    let models = model::start(site, "model-provider", program, &["127.0.0.1"]).await?;
    let model = models.first().context("the model listens nowhere")?;
    let gateway = overhead::serve(arguments, "real", &arguments.claude, Some(model), site).await?;
    let (conversations, turns) = (extent.real_conversations, extent.real_turns);
    let real = overhead::measure(&gateway, PROMPT, conversations, turns);
    let real = real.await.context("with the real claude")?;

    begin("many answers at once");
    let streams = streams::measure(arguments, &chatter, extent, site);
    let streams = streams.await.context("many answers at once")?;
    begin("fallback");
    let data = site.folder("chain")?;
    let decision = decision::measure(arguments, extent.decisions, extent.looks, site, &data);
    let decision = decision.await.context("fallback")?;
    Ok(Provided {
        extent,
        load,
        light,
        real,
        streams,
        decision,
    })
}

/// A message of a conversation.
fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}
