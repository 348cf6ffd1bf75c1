use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use ccpool::config::Config;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::channel::{AnyChannel, Channel, Message};
use super::post::Post;
use crate::{Caller, Refusal};

/// The channels that messages can be sent to, by name.
///
/// ```
/// use ccpool_tools::{Channel, Channels, Message, Refusal, SendMessage};
///
/// struct Pager;
///
/// impl Channel for Pager {
///     fn description(&self) -> Option<&str> {
///         Some("Wakes whoever is on call")
///     }
///
///     async fn send(&self, message: &Message) -> Result<(), Refusal> {
///         if message.text.len() > 100 {
///             return Err(Refusal::new("A pager takes 100 letters; say it shorter."));
///         }
///         // Rings.
///         Ok(())
///     }
/// }
///
/// # fn example(pool: ccpool::Pool, config: &ccpool::config::Config) {
/// let channels = Channels::of(config).with("pager", Pager);
/// let tools = ccpool_tools::GatewayTools::built_in(&pool, config)
///     .with(SendMessage::through(channels));
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Channels(BTreeMap<String, Arc<dyn AnyChannel>>);

impl Channels {
    /// Those of `tools.message` in the configuration.
    pub fn of(config: &Config) -> Self {
        let settings = &config.tools.message;
        let channels = settings.channels.iter();
        channels.fold(Self::default(), |all, (name, channel)| {
            all.with(name, Post::new(channel, settings))
        })
    }

    /// With a channel more, or with another one in the place of that name.
    #[must_use]
    pub fn with(mut self, name: &str, channel: impl Channel) -> Self {
        self.0.insert(name.to_owned(), Arc::new(channel));
        self
    }

    /// The names that there are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Sends `text` on behalf of `from`; `Ok` once it has arrived.
    ///
    /// # Errors
    /// What the model is told: there is no such channel (with the ones that there are), the text
    /// does not fit, it did not arrive, or `cancelled` came first.
    pub async fn send(
        &self,
        channel: &str,
        from: &Caller,
        text: &str,
        cancelled: &CancellationToken,
    ) -> Result<(), Refusal> {
        let Some(known) = self.0.get(channel) else {
            return Err(Refusal::new(self.unknown(channel)));
        };
        if text.trim().is_empty() {
            return Err(Refusal::new("The text is empty; say something."));
        }
        let message = Message {
            id: Uuid::new_v4(),
            channel: channel.to_owned(),
            text: text.to_owned(),
            session: from.session.clone(),
            agent: from.agent.clone(),
            sent_at: SystemTime::now(),
        };
        tokio::select! {
            sent = known.send(&message) => sent,
            () = cancelled.cancelled() => Err(Refusal::new(
                "The call was cancelled; whether the message has arrived is not known.",
            )),
        }
    }

    /// "There is no channel `x`. The channels are `a` (for what) and `b`."
    fn unknown(&self, wanted: &str) -> String {
        if self.0.is_empty() {
            return "There are no channels: the gateway's configuration has none in \
                    `tools.message.channels`."
                .to_owned();
        }
        let known = self.0.iter().map(|(name, channel)| {
            channel.description().map_or_else(
                || format!("`{name}`"),
                |description| format!("`{name}` ({description})"),
            )
        });
        let known = known.collect::<Vec<_>>().join(", ");
        // A model's own word, so no longer than it needs to be.
        let wanted: String = wanted.chars().take(64).collect();
        format!("There is no channel `{wanted}`. There are: {known}.")
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ccpool::{AgentId, SessionId};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Message>>>);

    impl Channel for Kept {
        fn description(&self) -> Option<&str> {
            Some("keeps what is sent")
        }

        async fn send(&self, message: &Message) -> Result<(), Refusal> {
            self.0.lock().unwrap().push(message.clone());
            Ok(())
        }
    }

    struct Deaf;

    impl Channel for Deaf {
        async fn send(&self, _: &Message) -> Result<(), Refusal> {
            std::future::pending().await
        }
    }

    fn caller() -> Caller {
        Caller {
            depth: 0,
            session: SessionId::new("s1").unwrap(),
            agent: AgentId::new("main").unwrap(),
        }
    }

    async fn refused(channels: &Channels, channel: &str, text: &str) -> String {
        let token = CancellationToken::new();
        let sent = channels.send(channel, &caller(), text, &token).await;
        sent.expect_err("a refusal").as_str().to_owned()
    }

    #[tokio::test]
    async fn an_own_channel_gets_the_message_with_its_sender() {
        let kept = Kept::default();
        let channels = Channels::default().with("log", kept.clone());
        let token = CancellationToken::new();
        channels
            .send("log", &caller(), "hello", &token)
            .await
            .unwrap();
        let messages = kept.0.lock().unwrap();
        let [message] = &messages[..] else {
            panic!("not one: {messages:?}")
        };
        assert_eq!(
            (message.channel.as_str(), message.text.as_str()),
            ("log", "hello")
        );
        assert_eq!(
            (message.session.as_str(), message.agent.as_str()),
            ("s1", "main")
        );
    }

    #[tokio::test]
    async fn an_unknown_channel_is_answered_with_the_known_ones() {
        let channels = Channels::default()
            .with("log", Kept::default())
            .with("deaf", Deaf);
        assert_eq!(
            refused(&channels, "lgo", "hello").await,
            "There is no channel `lgo`. There are: `deaf`, `log` (keeps what is sent)."
        );
        let none = refused(&Channels::default(), "log", "hello").await;
        assert!(none.contains("`tools.message.channels`"), "{none}");
        let empty = refused(&channels, "log", " \n").await;
        assert!(empty.contains("empty"), "{empty}");
    }

    #[tokio::test]
    async fn a_cancelled_call_waits_for_no_channel() {
        let channels = Channels::default().with("deaf", Deaf);
        let token = CancellationToken::new();
        token.cancel();
        let sent = channels.send("deaf", &caller(), "hello", &token).await;
        let refusal = sent.expect_err("a refusal");
        assert!(refusal.as_str().contains("cancelled"), "{refusal:?}");
    }
}
