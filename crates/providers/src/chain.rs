//! One provider after another, until one answers.

mod breaker;
mod following;
mod member;
mod opening;
mod route;
mod verdict;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use ccpool::config::{Config, ModelRef};
use ccpool::protocol::event::{Event, Failed, Status};
use ccpool::provider::{Conversation, Passed, Provider, ProviderHealth, Refused, Reply};
use ccpool::{FailureKind, HealthStatus, ReplyEvent, TurnId};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use serde_json::{Map, json};

use self::breaker::Resort;
use self::following::Following;
use self::member::{Member, Trial};
use self::opening::shows;
use self::route::{Models, NoSuchModel};
use self::verdict::goes_on;

/// So many events of an answer are held back at most.
const MOST_HELD: usize = 1000;

/// Several providers as one: asks them in turn until one answers.
///
/// A provider that fails before anything of an answer was seen and before a tool has acted is passed
/// over for the next one, if the kind of its failure allows it; which one answered, and why the others
/// did not, stands in the [`Reply`] and in `status` events at its beginning. After that nothing is
/// asked twice: the failure is told. A provider that fails again and again, or asks to wait, is not
/// asked for a while.
#[derive(Debug)]
pub struct Chain {
    members: Vec<Arc<Member>>,
    models: Models,
}

/// A model of the configuration whose provider there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no provider for the model `{model}`; write one of {} before the slash",
    .known.join(", ")
)]
pub struct UnknownProvider {
    /// The model.
    pub model: String,
    /// The names of the providers that there are.
    pub known: Vec<String>,
}

/// Why there is no answer.
enum Vain {
    /// Of those who were asked nobody answers, or one refused what nobody would do.
    Refused(Refused),
    /// Nobody could be asked.
    NobodyAsked(Hops),
}

/// Who did not answer, so far.
#[derive(Default)]
struct Hops {
    passed: Vec<Passed>,
    /// One of them was asked.
    asked: bool,
    /// When one of them can be asked again.
    soonest: Option<Duration>,
}

impl Chain {
    /// A chain of these providers, asked in the order in which `model` of the configuration names
    /// them. One that is named nowhere is asked when a caller names it.
    ///
    /// # Errors
    /// [`UnknownProvider`].
    pub fn new(
        providers: Vec<Arc<dyn Provider>>,
        config: &Config,
    ) -> Result<Self, UnknownProvider> {
        let models = Models::of(config);
        let known: Vec<_> = providers.iter().map(|one| one.name().to_owned()).collect();
        for model in models.all() {
            if !known.iter().any(|name| name == model.provider()) {
                return Err(UnknownProvider {
                    model: model.to_string(),
                    known,
                });
            }
        }
        Ok(Self {
            members: providers.into_iter().map(Member::new).collect(),
            models,
        })
    }

    fn route(&self, conversation: &Conversation) -> Result<Vec<ModelRef>, NoSuchModel> {
        let known: Vec<&str> = self.members.iter().map(|member| member.name()).collect();
        let asked = conversation.model.as_deref();
        self.models.route(&conversation.agent, asked, &known)
    }

    fn member(&self, model: &ModelRef) -> Option<&Arc<Member>> {
        let mut members = self.members.iter();
        members.find(|member| member.name() == model.provider())
    }

    /// Asks those of the route in turn until one answers.
    async fn ask(
        &self,
        route: &[ModelRef],
        conversation: &Conversation,
        resort: Resort,
    ) -> Result<Reply, Vain> {
        let mut hops = Hops::default();
        for model in route {
            let Some(member) = self.member(model) else {
                continue;
            };
            let name = model.to_string();
            let trial = match member.begin(&name, resort) {
                Ok(trial) => trial,
                Err((passed, wait)) => {
                    hops.add(passed, Some(wait));
                    continue;
                }
            };
            let conversation = Conversation {
                model: Some(name.clone()),
                ..conversation.clone()
            };
            match answer(member, trial, conversation).await {
                Ok(reply) => return Ok(hops.lead_to(&name, reply)),
                Err(refused) if goes_on(refused.kind) => hops.failed(name, refused),
                Err(refused) => {
                    return Err(Vain::Refused(Refused {
                        passed: [hops.passed, refused.passed].concat(),
                        ..refused
                    }));
                }
            }
        }
        Err(if hops.asked {
            Vain::Refused(hops.in_vain())
        } else {
            Vain::NobodyAsked(hops)
        })
    }
}

#[async_trait]
impl Provider for Chain {
    fn name(&self) -> &str {
        self.models.primary.provider()
    }

    fn models(&self) -> Vec<String> {
        let configured = self.models.all().map(ToString::to_string);
        let offered = self.members.iter().flat_map(|member| {
            let models = member.provider.models().into_iter();
            models.map(|model| format!("{}/{model}", member.name()))
        });
        let mut seen = BTreeSet::new();
        let all = configured.chain(offered);
        all.filter(|name| seen.insert(name.clone())).collect()
    }

    async fn reply(&self, conversation: Conversation) -> Result<Reply, Refused> {
        let route = self
            .route(&conversation)
            .map_err(|error| Refused::new(FailureKind::InvalidRequest, error.to_string()))?;
        // To pass by helps only as long as there is somebody else.
        let answer = match self.ask(&route, &conversation, Resort::First).await {
            Err(Vain::NobodyAsked(_)) => self.ask(&route, &conversation, Resort::Last).await,
            other => other,
        };
        answer.map_err(|vain| match vain {
            Vain::Refused(refused) => refused,
            Vain::NobodyAsked(hops) => hops.in_vain(),
        })
    }

    async fn health(&self) -> ProviderHealth {
        let resort = match &self.members[..] {
            [_] => Resort::Last,
            _ => Resort::First,
        };
        let members = self.members.iter().map(async |member| {
            let mut health = member.provider.health().await;
            if let Some(why) = member.closed_off(resort) {
                health.status = HealthStatus::Unavailable;
                health.reasons.push(why);
            }
            (member.name(), health)
        });
        let members = join_all(members).await;
        let are = |status| members.iter().all(|(_, health)| health.status == status);
        let status = if are(HealthStatus::Ok) {
            HealthStatus::Ok
        } else if are(HealthStatus::Unavailable) {
            HealthStatus::Unavailable
        } else {
            HealthStatus::Degraded
        };
        let reasons = members.iter().flat_map(|(name, health)| {
            let told = health.reasons.iter();
            told.map(move |reason| format!("{name}: {reason}"))
        });
        ProviderHealth {
            status,
            reasons: reasons.collect(),
        }
    }
}

/// An answer of which something can be seen, or the refusal that it came to before.
async fn answer(
    member: &Member,
    trial: Trial,
    conversation: Conversation,
) -> Result<Reply, Refused> {
    let mut reply = match member.provider.reply(conversation).await {
        Ok(reply) => reply,
        Err(refused) => {
            trial.failed(refused.kind, refused.retry_after);
            return Err(refused);
        }
    };
    let mut begun = Vec::new();
    loop {
        let Some(event) = reply.events.next().await else {
            let message = "the answer ended without a word";
            trial.failed(FailureKind::Unavailable, None);
            return Err(Refused::new(FailureKind::Unavailable, message));
        };
        let is_shown = shows(&event.event);
        match &event.event {
            Event::Failed(failed) if !is_shown => {
                let refused = refusal(failed, reply.passed);
                trial.failed(refused.kind, refused.retry_after);
                return Err(refused);
            }
            Event::Started { model, .. } if !model.is_empty() => reply.model.clone_from(model),
            _ => {}
        }
        begun.push(event);
        if is_shown || begun.len() == MOST_HELD {
            trial.spoke();
            let events = Following::new(begun, reply.events, reply.turn.clone(), trial);
            return Ok(Reply {
                events: events.into_events(),
                ..reply
            });
        }
    }
}

fn refusal(failed: &Failed, passed: Vec<Passed>) -> Refused {
    Refused {
        kind: failed.kind,
        message: failed.message.clone(),
        retry_after: failed.retry_after_ms.map(Duration::from_millis),
        passed,
    }
}

impl Hops {
    fn failed(&mut self, model: String, refused: Refused) {
        self.asked = true;
        self.passed.extend(refused.passed);
        let passed = Passed {
            provider: model,
            kind: refused.kind,
            message: refused.message,
        };
        self.add(passed, refused.retry_after);
    }

    fn add(&mut self, passed: Passed, wait: Option<Duration>) {
        tracing::info!(model = passed.provider, kind = %passed.kind, "a provider was passed over");
        self.passed.push(passed);
        self.soonest = match (self.soonest, wait) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// The reply of whoever answers as `model` after these.
    fn lead_to(self, model: &str, reply: Reply) -> Reply {
        let next = self.passed.iter().skip(1).map(|next| &*next.provider);
        let to = next.chain([model]);
        let told: Vec<ReplyEvent> = self
            .passed
            .iter()
            .zip(to)
            .map(|(from, to)| told(from, to, &reply.turn))
            .collect();
        Reply {
            passed: [self.passed, reply.passed].concat(),
            events: stream::iter(told).chain(reply.events).boxed(),
            ..reply
        }
    }

    /// Nobody answered. The kind is that of the first one: of the model that was wanted.
    fn in_vain(self) -> Refused {
        let kind = self
            .passed
            .first()
            .map_or(FailureKind::Internal, |passed| passed.kind);
        let message = match &self.passed[..] {
            [only] => format!("{}: {}", only.provider, only.message),
            all => {
                let told = all.iter().map(|one| {
                    let Passed {
                        provider,
                        kind,
                        message,
                    } = one;
                    format!("{provider}: {kind}: {message}")
                });
                let told: Vec<_> = told.collect();
                format!("no provider answered: {}", told.join("; "))
            }
        };
        Refused {
            kind,
            message,
            retry_after: self.soonest,
            passed: self.passed,
        }
    }
}

fn told(from: &Passed, to: &str, turn: &TurnId) -> ReplyEvent {
    let provider = |model: &str| model.split('/').next().unwrap_or_default().to_owned();
    metrics::counter!(
        "ccpool_provider_fallbacks_total",
        "from" => provider(&from.provider), "to" => provider(to), "kind" => from.kind.as_str()
    )
    .increment(1);
    let detail = Map::from_iter([
        ("from".to_owned(), json!(from.provider)),
        ("to".to_owned(), json!(to)),
        ("kind".to_owned(), json!(from.kind)),
        ("message".to_owned(), json!(from.message)),
    ]);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let at = u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    ReplyEvent {
        event: Event::Status {
            status: Status::ProviderFallback,
            detail,
        },
        turn: turn.clone(),
        seq: 0,
        at,
        origin: None,
    }
}
