//! The pool as a provider.

use async_trait::async_trait;
use ccpool_protocol::event::Usage;
use ccpool_protocol::input::Mode;
use ccpool_protocol::{Event, ReplyEvent, SessionId, TurnId};
use futures::StreamExt;
use futures::stream::{BoxStream, once};

use super::asked::Asked;
use super::contract::{Provider, ProviderHealth, Reply};
use super::conversation::{Conversation, SystemMode};
use super::error::Refused;
use super::handover;
use super::hold::Hold;
use super::model_name::{ALIASES, PROVIDER};
use super::outcome::Outcome;
use super::resting::{Resting, Waiting};
use super::telling::Telling;
use crate::claim::{ClaimRequest, Claimed};
use crate::clock::unix_ms;
use crate::error::PoolError;
use crate::events::{EventId, StreamedEvent};
use crate::pool::Pool;
use crate::prompt::Prompt;
use crate::session::Turn;

/// So many names of a conversation are tried before one is made up.
const MOST_NUMBERS: u32 = 20;

/// Answers in containers of a pool.
///
/// A conversation goes on in the session in which it was answered last, in the same process of
/// `claude`, which is sent only what is new. Where that cannot be, because its history was changed,
/// because the session is gone, or because somebody else went on from the same point already, a
/// fresh session is told the history and goes on from there.
#[derive(Debug, Clone)]
pub struct PoolProvider {
    pool: Pool,
}

/// Where a conversation may go on.
enum Found {
    /// Here; nobody else is told so.
    Here(Box<(Resting, Hold)>),
    /// In no session that is known; fresh ones have numbers from here on.
    Nowhere(u32),
}

/// What came of going on in a session.
enum Went {
    On(Reply),
    /// It is gone, or waits no more; nothing was sent.
    Nowhere(Box<Asked>),
}

type Events = BoxStream<'static, Result<StreamedEvent, PoolError>>;

/// A turn from where it is told on.
struct Course {
    turn: TurnId,
    events: Events,
    steered: Option<TurnId>,
    answers_as: Option<String>,
}

impl PoolProvider {
    /// A provider on this pool, which stays the caller's to shut down.
    pub fn new(pool: Pool) -> Self {
        Outcome::show_all();
        Self { pool }
    }

    /// Whether it goes by a name that it shares only because nobody else does just now: the session
    /// of that name knows it, or there is none.
    async fn has_its_name(&self, asked: &Asked) -> Result<bool, Refused> {
        let session = session_named(&asked.conversation, 1);
        let Some((at, session)) = asked.by_name().zip(session) else {
            return Ok(false);
        };
        let inner = &self.pool.inner;
        let found = inner.unless_lost(inner.conversations.look(&at)).await;
        let found = found.map_err(PoolError::from)?;
        if let Some(resting) = found.and_then(|json| Resting::parse(&json)) {
            return Ok(asked.is_known_to(&resting));
        }
        let serving = inner.unless_lost(inner.store.serving(&session)).await;
        Ok(serving.map_err(PoolError::from)?.is_none())
    }

    /// The session in which the conversation goes on, taken from everybody else.
    async fn find(&self, asked: &mut Asked) -> Result<Found, Refused> {
        if asked.conversation.shares_name && !self.has_its_name(asked).await? {
            asked.conversation.name = None;
        }
        let Some(at) = asked.rested() else {
            return Ok(Found::Nowhere(1));
        };
        let inner = &self.pool.inner;
        let taken = inner.unless_lost(inner.conversations.take(&at)).await;
        let taken = taken.map_err(PoolError::from)?;
        let Some(resting) = taken.and_then(|json| Resting::parse(&json)) else {
            return Ok(Found::Nowhere(1));
        };
        let hold = Hold::new(&self.pool, &resting, asked.own_name());
        if asked.is_known_to(&resting) {
            return Ok(Found::Here(Box::new((resting, hold))));
        }
        if asked.conversation.shares_name {
            // Somebody went on with it since it was looked at; the next one does from there.
            hold.let_go();
            let keep = self.pool.config().timeouts.idle;
            let record = resting.to_json();
            let back = inner.conversations.rest_if_none(&at, &record, keep);
            inner.unless_lost(back).await.map_err(PoolError::from)?;
            asked.conversation.name = None;
            return Ok(Found::Nowhere(1));
        }
        hold.end();
        Ok(Found::Nowhere(resting.number + 1))
    }

    /// Goes on in a session that knows all but what is new.
    async fn go_on(
        &self,
        asked: Asked,
        mut resting: Resting,
        mut hold: Hold,
    ) -> Result<Went, Refused> {
        if let Some(waiting) = resting.waiting.take() {
            return self.resolve(asked, resting, waiting, hold).await;
        }
        let mut prompt = Prompt {
            content: Some(asked.prompt(&resting)),
            model: (resting.model != asked.model).then(|| asked.model.clone()),
            on: Some(resting.container.clone()),
            ..Prompt::default()
        };
        if let Some(functions) = asked.functions_for(&resting) {
            prompt.functions = Some(asked.offered.clone());
            resting.functions = Some(functions);
        }
        resting.model.clone_from(&asked.model);
        resting.system = asked.system.clone();
        let turn = match self.pool.send(&resting.session, prompt).await {
            Ok(turn) => turn,
            Err(PoolError::UnknownSession(_)) => {
                hold.let_go();
                return Ok(Went::Nowhere(Box::new(asked)));
            }
            Err(error) => return Err(error.into()),
        };
        hold.runs(&turn.turn);
        Outcome::Continued.count();
        Ok(Went::On(self.told(asked, resting, turn.into(), hold)))
    }

    /// Gives the results that a turn waits for, and goes on with it.
    async fn resolve(
        &self,
        asked: Asked,
        resting: Resting,
        waiting: Waiting,
        mut hold: Hold,
    ) -> Result<Went, Refused> {
        hold.runs(&waiting.turn);
        let session = &resting.session;
        let mut calls = waiting.calls.clone();
        let one_by_one = !waiting.held.is_empty() && asked.brings_any(&calls);
        if !one_by_one {
            calls.extend(waiting.held.iter().map(|call| call.id.clone()));
        }
        let mut steered = waiting.steered.clone();
        let brought = asked.brought(&calls);
        if !brought.beside.is_empty() {
            let prompt = Prompt {
                content: Some(brought.beside.clone()),
                mode: Mode::Steer,
                on: Some(resting.container.clone()),
                ..Prompt::default()
            };
            match self.pool.send(session, prompt).await {
                Ok(turn) => steered = Some(turn.turn),
                Err(PoolError::UnknownSession(_)) => return Ok(Went::Nowhere(Box::new(asked))),
                Err(error) => return Err(error.into()),
            }
        }
        match self
            .pool
            .give_results(session, brought.results(&calls))
            .await
        {
            Ok(()) => {}
            // Nobody waits for them any more.
            Err(PoolError::UnknownSession(_) | PoolError::InvalidRequest(_)) => {
                return Ok(Went::Nowhere(Box::new(asked)));
            }
            Err(error) => return Err(error.into()),
        }
        let after = EventId {
            seq: waiting.seq,
            part: waiting.part,
        };
        let events: Events = if one_by_one {
            let event = ReplyEvent {
                event: Event::FunctionCalls {
                    calls: waiting.held,
                    expires_at: waiting.expires_at,
                    // They were written with the ones before.
                    usage: waiting.usage.map(|usage| Usage {
                        output_tokens: 0,
                        ..usage
                    }),
                },
                turn: waiting.turn.clone(),
                seq: after.seq,
                at: unix_ms(),
                origin: None,
            };
            once(async move { Ok(StreamedEvent { id: after, event }) }).boxed()
        } else {
            let events = self.pool.turn_events(session, &waiting.turn, Some(after));
            events.await?.boxed()
        };
        Outcome::Resolved.count();
        let course = Course {
            turn: waiting.turn,
            events,
            steered,
            answers_as: waiting.answers_as,
        };
        Ok(Went::On(self.told(asked, resting, course, hold)))
    }

    /// Answers in a session that knows nothing yet.
    async fn begin(&self, mut asked: Asked, number: u32) -> Result<Reply, Refused> {
        let (claimed, number) = self.claim(&mut asked, number).await?;
        let mut resting = Resting {
            session: claimed.session,
            container: claimed.container,
            agent: claimed.agent,
            number,
            history: None,
            model: asked.model.clone(),
            system: asked.system.clone(),
            output: asked.output.clone(),
            functions: None,
            waiting: None,
        };
        let mut hold = Hold::new(&self.pool, &resting, asked.own_name());
        let mut prompt = Prompt {
            content: Some(handover::whole(&asked.conversation)),
            on: Some(resting.container.clone()),
            ..Prompt::default()
        };
        if let Some(functions) = asked.functions_for(&resting) {
            prompt.functions = Some(asked.offered.clone());
            resting.functions = Some(functions);
        }
        let turn = self.pool.send(&resting.session, prompt).await?;
        hold.runs(&turn.turn);
        let outcome = if asked.has_history() {
            Outcome::HandedOver
        } else {
            Outcome::Fresh
        };
        outcome.count();
        Ok(self.told(asked, resting, turn.into(), hold))
    }

    /// A session of the conversation's name that nobody else has, or one with a name that is made
    /// up.
    async fn claim(&self, asked: &mut Asked, from: u32) -> Result<(Claimed, u32), Refused> {
        let conversation = &asked.conversation;
        // One that shares its name has no other sessions of it.
        let (from, most) = match conversation.shares_name {
            true => (1, 1),
            false => (from, MOST_NUMBERS),
        };
        let system = conversation.system.clone();
        let (system_prompt, append_system_prompt) = match conversation.system_mode {
            SystemMode::Append => (None, system),
            SystemMode::Replace => (system, None),
        };
        let request = ClaimRequest {
            agent: conversation.agent.clone(),
            model: Some(asked.model.clone()),
            system_prompt,
            append_system_prompt,
            output_schema: conversation.output_schema.clone(),
            ..ClaimRequest::default()
        };
        let inner = &self.pool.inner;
        for number in from..from.saturating_add(most) {
            let Some(session) = session_named(conversation, number) else {
                break;
            };
            let serving = inner.unless_lost(inner.store.serving(&session)).await;
            if serving.map_err(PoolError::from)?.is_some() {
                continue;
            }
            let request = ClaimRequest {
                session: Some(session),
                ..request.clone()
            };
            let claimed = self.pool.claim(request).await?;
            if claimed.created {
                return Ok((claimed, number));
            }
        }
        if asked.conversation.shares_name {
            asked.conversation.name = None;
        }
        Ok((self.pool.claim(request).await?, from))
    }

    fn told(&self, asked: Asked, resting: Resting, course: Course, hold: Hold) -> Reply {
        let Course {
            turn,
            events,
            steered,
            answers_as,
        } = course;
        let model = answers_as.as_ref().unwrap_or(&resting.model);
        Reply {
            provider: PROVIDER.to_owned(),
            model: model.clone(),
            session: Some(resting.session.clone()),
            turn: turn.clone(),
            passed: Vec::new(),
            events: Telling {
                pool: self.pool.clone(),
                asked,
                resting,
                turn,
                events,
                steered,
                answers_as,
                hold: Some(hold),
            }
            .into_stream(),
        }
    }
}

impl From<Turn> for Course {
    fn from(turn: Turn) -> Self {
        Self {
            turn: turn.turn,
            events: turn.events.boxed(),
            steered: None,
            answers_as: None,
        }
    }
}

#[async_trait]
impl Provider for PoolProvider {
    fn name(&self) -> &str {
        PROVIDER
    }

    fn models(&self) -> Vec<String> {
        ALIASES.map(str::to_owned).to_vec()
    }

    async fn reply(&self, conversation: Conversation) -> Result<Reply, Refused> {
        let mut asked = Asked::of(conversation, self.pool.config())?;
        let (asked, number) = match self.find(&mut asked).await? {
            Found::Here(found) => {
                let (resting, hold) = *found;
                let number = resting.number + 1;
                match self.go_on(asked, resting, hold).await? {
                    Went::On(reply) => return Ok(reply),
                    Went::Nowhere(asked) => (*asked, number),
                }
            }
            Found::Nowhere(number) => (asked, number),
        };
        self.begin(asked, number).await
    }

    async fn health(&self) -> ProviderHealth {
        let health = self.pool.health().await;
        ProviderHealth {
            status: health.status,
            reasons: health.reasons,
        }
    }
}

/// The session's name: the conversation's own one, and from the second on with its number. None: it
/// has none, or none that a session can have.
fn session_named(conversation: &Conversation, number: u32) -> Option<SessionId> {
    let name = conversation.name.as_deref()?;
    let name = match number {
        1 => name.to_owned(),
        number => format!("{name}.{number}"),
    };
    SessionId::new(name).ok()
}
