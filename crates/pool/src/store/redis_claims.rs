//! Claims, in Redis.

use async_trait::async_trait;

use super::answer::{container_id, unexpected};
use super::assigned::Assigned;
use super::{
    ClaimNumber, ClaimOutcome, ClaimTerms, Claims, LookNumber, Outlook, Queue, RedisStore,
    StoreError, Ticket,
};
use crate::clock::millis;
use crate::container::Container;
use crate::gateway::GatewayId;
use crate::standing::Fence;

#[async_trait]
impl Claims for RedisStore {
    async fn claim(&self, terms: &ClaimTerms) -> Result<ClaimOutcome, StoreError> {
        let Assigned {
            session,
            agent,
            json,
            model,
        } = Assigned::from(terms);
        let mut script = self.scripts.claim.prepare_invoke();
        script
            .arg(self.keys.prefix())
            .arg(session.as_str())
            .arg(agent.as_str())
            .arg(terms.max_per_agent)
            .arg(json)
            .arg(model)
            .arg(millis(terms.heartbeat))
            .arg(terms.gateway.to_string())
            .arg(millis(terms.keep));
        if let Some(ticket) = &terms.ticket {
            script.arg(&ticket.0);
        }
        let answer: Vec<String> = script.invoke_async(&mut self.commands()).await?;
        let id = || container_id("claim", &answer);
        let word = |at: usize| answer.get(at).cloned().unwrap_or_default();
        let ticket = || Ticket(word(1));
        match answer.first().map(String::as_str) {
            Some("ok") => Ok(ClaimOutcome::Claimed {
                container: id()?,
                acl_hash: Some(word(2)).filter(|hash| !hash.is_empty()),
                number: match word(3).parse() {
                    Ok(number) => ClaimNumber(number),
                    Err(_) => return Err(unexpected("claim", &word(3))),
                },
            }),
            Some("live") => Ok(ClaimOutcome::Live(id()?)),
            Some("draining") => Ok(ClaimOutcome::Draining(id()?)),
            Some("agent_limit") => Ok(ClaimOutcome::AgentLimit(ticket())),
            Some("none") => Ok(ClaimOutcome::NoneWarm(ticket(), outlook(&answer[1..])?)),
            Some("emptied") => Ok(ClaimOutcome::Emptied),
            other => Err(unexpected("claim", other.unwrap_or("nothing"))),
        }
    }

    async fn withdraw(&self, ticket: &Ticket) -> Result<(), StoreError> {
        let _: String = self
            .scripts
            .withdraw
            .key(self.keys.waiting())
            .key(self.keys.tickets())
            .key(self.keys.fairness())
            .arg(&ticket.0)
            .arg(self.keys.news())
            .invoke_async(&mut self.commands())
            .await?;
        Ok(())
    }

    async fn queue(&self) -> Result<Queue, StoreError> {
        let (waiting, servable) = self
            .scripts
            .waiting
            .key(self.keys.waiting())
            .key(self.keys.tickets())
            .key(self.keys.fairness())
            .arg(self.keys.agents_prefix())
            .invoke_async(&mut self.commands())
            .await?;
        Ok(Queue { waiting, servable })
    }

    async fn adopt(
        &self,
        container: &Container,
        heir: &GatewayId,
        fence: Fence,
    ) -> Result<bool, StoreError> {
        let code: String = self
            .scripts
            .adopt
            .key(self.keys.container(&container.id).record)
            .key(self.keys.gateways())
            .key(self.keys.claims())
            .key(self.keys.leader())
            .arg(container.claim.map_or(String::new(), |n| n.0.to_string()))
            .arg(container.owner.as_deref().unwrap_or_default())
            .arg(heir.to_string())
            .arg(fence.0)
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(true),
            "moved" | "fenced" => Ok(false),
            other => Err(unexpected("adopt", other)),
        }
    }
}

/// After the ticket: the number that was drawn last, and, if the leader is in trouble, that of the look
/// that has shown it, and why.
fn outlook(answer: &[String]) -> Result<Outlook, StoreError> {
    let number = |word: &String| match word.parse() {
        Ok(number) => Ok(LookNumber(number)),
        Err(_) => Err(unexpected("claim", word)),
    };
    match answer {
        [_, drawn] => Ok(Outlook {
            trouble: None,
            drawn: number(drawn)?,
        }),
        [_, drawn, look, why] => Ok(Outlook {
            trouble: Some((why.clone(), number(look)?)),
            drawn: number(drawn)?,
        }),
        other => Err(unexpected("claim", &other.join(" "))),
    }
}
