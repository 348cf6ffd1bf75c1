//! Many answers at once through one gateway: every one is whole, and nobody hears another one's words.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client::{self, Heard};
use super::{Extent, message};
use crate::Arguments;
use crate::samples::Samples;
use crate::site::Site;
use crate::stream::{Running, resident, serve};

/// Words of each answer a second.
pub(crate) const PACE: u64 = 20;
/// Until so many containers are warm.
const FILL: Duration = Duration::from_secs(300);

/// What was heard of answers of which all begin at once.
#[derive(Debug, Default)]
pub(crate) struct Wave {
    /// From the request to the first words, in ms.
    pub(crate) first: Samples,
    /// From being printed by `claude` to its client, for each word after an answer's first, in ms.
    pub(crate) delay: Samples,
}

/// All waves: the first one, then those of either route in turns.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// First turns by the OpenAI API, each with its claim.
    pub(crate) begun: Wave,
    /// Next turns of the same conversations.
    pub(crate) later: Wave,
    /// Turns in the same sessions by the gateway's own route.
    pub(crate) native: Wave,
    /// What the gateway occupies before the first wave, and at most, in bytes.
    pub(crate) idle_bytes: u64,
    pub(crate) most_bytes: u64,
}

/// Measures all waves.
///
/// # Errors
/// Something does not work, or an answer is not whole or not its own.
pub(super) async fn measure(
    arguments: &Arguments,
    chatter: &Path,
    extent: Extent,
    site: &mut Site,
) -> Result<Streams> {
    let many = extent.streams;
    let more = json!({
        "pool": {"minWarm": many, "maxTotal": many, "maxPerAgent": many, "claimTimeoutMs": 60_000},
        "timeouts": {"startupMs": 120_000},
    });
    let gateway = serve(arguments, "streams", chatter, None, more, site).await?;
    filled(&gateway, many).await?;
    let mut streams = Streams {
        idle_bytes: resident(gateway.pid)?,
        ..Streams::default()
    };
    let mut talks: Vec<Talk> = (0..many)
        .map(|number| Talk::new(number, extent.words))
        .collect();
    let begun = at_once(&gateway, &mut talks, Route::OpenAi, &mut streams.begun);
    let mut most = begun.await?;
    for _ in 0..extent.waves {
        for (route, wave) in [
            (Route::OpenAi, &mut streams.later),
            (Route::Native, &mut streams.native),
        ] {
            most = most.max(at_once(&gateway, &mut talks, route, wave).await?);
        }
    }
    streams.most_bytes = most;
    Ok(streams)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    OpenAi,
    Native,
}

/// One of the conversations.
#[derive(Debug)]
struct Talk {
    /// What each of its words begins with.
    mark: String,
    words: u64,
    messages: Vec<Value>,
    session: String,
}

impl Talk {
    fn new(number: usize, words: u64) -> Self {
        Self {
            mark: format!("of{number}w"),
            words,
            messages: Vec::new(),
            session: String::new(),
        }
    }

    async fn turn(&mut self, client: &Client, base: &str, route: Route) -> Result<Heard> {
        let prompt = format!("count={} pace={PACE} mark={}", self.words, self.mark);
        if route == Route::Native {
            return client::native(client, base, &self.session, &prompt).await;
        }
        self.messages.push(message("user", &prompt));
        let heard = client::openai(client, base, &self.messages).await?;
        self.messages.push(message("assistant", &heard.text()));
        ensure!(
            self.session.is_empty() || self.session == heard.session,
            "a conversation went on elsewhere"
        );
        self.session.clone_from(&heard.session);
        Ok(heard)
    }

    /// Every word of the answer is its own, and none is missing. How long each took to be heard after
    /// it was printed, in ms, without the first.
    fn check(&self, heard: &Heard) -> Result<Vec<f64>> {
        let (mut number, mut delays) = (0, Vec::new());
        for (at, said) in &heard.said {
            let mut parts = said.split_whitespace();
            while let Some((printed, word)) = parts.next().zip(parts.next()) {
                let wanted = format!("{}{number:07}", self.mark);
                if word != wanted {
                    bail!("{word} was said instead of {wanted}");
                }
                let printed: u128 = printed.parse().context("a word without its time")?;
                if number > 0 {
                    delays.push(at.saturating_sub(printed) as f64 / 1e3);
                }
                number += 1;
            }
        }
        ensure!(
            number == self.words,
            "{number} of {} words came",
            self.words
        );
        Ok(delays)
    }
}

/// A turn of all conversations at once; the most that the gateway occupied meanwhile, in bytes.
async fn at_once(
    gateway: &Running,
    talks: &mut Vec<Talk>,
    route: Route,
    wave: &mut Wave,
) -> Result<u64> {
    let mut turns = JoinSet::new();
    for mut talk in talks.drain(..) {
        let (client, base) = (gateway.client.clone(), gateway.base.clone());
        turns.spawn(async move {
            let heard = talk.turn(&client, &base, route).await?;
            anyhow::Ok((talk, heard))
        });
    }
    let mut look = tokio::time::interval(Duration::from_millis(50));
    let mut most = 0;
    loop {
        tokio::select! {
            ended = turns.join_next() => {
                let Some(ended) = ended else {
                    return Ok(most);
                };
                let (talk, heard) = ended??;
                wave.first.add(heard.first_ms);
                talk.check(&heard)?.into_iter().for_each(|delay| wave.delay.add(delay));
                talks.push(talk);
            }
            // Nothing is lost when the other one comes first.
            _ = look.tick() => most = most.max(resident(gateway.pid)?),
        }
    }
}

async fn filled(gateway: &Running, many: usize) -> Result<()> {
    let mut poll = tokio::time::interval(Duration::from_millis(200));
    let filled = async {
        loop {
            poll.tick().await;
            let pool = gateway.client.get(format!("{}/pool", gateway.base));
            let pool: Value = pool.send().await?.error_for_status()?.json().await?;
            if pool["counts"]["warm"].as_u64() >= Some(many as u64) {
                return anyhow::Ok(());
            }
        }
    };
    let filled = tokio::time::timeout(FILL, filled).await;
    filled.context("the pool did not fill in time")?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(said: &[&str]) -> Heard {
        let said = said.iter().map(|words| (5000, (*words).to_owned()));
        Heard {
            first_ms: 1.0,
            said: said.collect(),
            session: "s".to_owned(),
        }
    }

    #[test]
    fn an_answer_is_its_own_and_whole() {
        let talk = Talk::new(7, 2);
        let own = ["1000 of7w0000000 ", "3000 of7w0000001 "];
        assert_eq!(talk.check(&heard(&own)).unwrap(), [2.0]);
        assert_eq!(talk.check(&heard(&[&own.concat()])).unwrap(), [2.0]);
        assert!(talk.check(&heard(&own[..1])).is_err());
        assert!(talk.check(&heard(&[own[0], own[0]])).is_err());
        assert!(Talk::new(8, 2).check(&heard(&own)).is_err());
    }
}
