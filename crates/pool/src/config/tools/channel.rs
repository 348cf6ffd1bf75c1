//! `tools.message.channels.<name>`.

use std::collections::BTreeMap;

use figment::value::Value as Written;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::name::name_complaint;
use crate::config::choice::ChannelWord;
use crate::config::given::{Complaint, FromValue, Given, schema, text, whole};
use crate::config::key_path::KeyPath;
use crate::config::secret::Secret;
use crate::config::units::Text;
use crate::config::validate::Check;

/// Where messages can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Where messages are posted to. Who knows it can post there too.
    pub url: Secret,
    /// How a message is written there.
    pub kind: ChannelKind,
    /// What the channel is for, told to agents.
    pub description: Option<String>,
}

/// How a message is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// As ccpool's own JSON, signed.
    Webhook {
        /// What it is signed with.
        secret: Secret,
    },
    /// As Slack's incoming webhooks take it.
    Slack,
    /// As Discord's webhooks take it.
    Discord,
    /// As `sendMessage` of Telegram's Bot API takes it.
    Telegram {
        /// The chat's number, or `@name`.
        chat_id: String,
    },
}

/// Where messages can go.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawChannel {
    /// How a message is written: `webhook`, `slack`, `discord` or `telegram`.
    kind: Given<ChannelWord>,
    /// Where messages are posted to; never shown.
    url: Given<PostUrl>,
    /// What messages to a `webhook` are signed with; never shown.
    secret: Given<SigningSecret>,
    /// Telegram's number of the chat, or `@name`.
    chat_id: Given<ChatId>,
    /// What the channel is for, told to agents.
    description: Given<Text>,
}

impl Default for RawChannel {
    fn default() -> Self {
        Self {
            kind: Given::unset(),
            url: Given::unset(),
            secret: Given::unset(),
            chat_id: Given::unset(),
            description: Given::unset(),
        }
    }
}

impl Check<'_> {
    pub(super) fn channels(
        &mut self,
        at: &KeyPath,
        raw: &BTreeMap<String, RawChannel>,
    ) -> BTreeMap<String, Channel> {
        let mut channels = BTreeMap::new();
        for (name, raw) in raw {
            let at = at.key(name);
            if let Some(complaint) = name_complaint(name) {
                self.complain(&at, complaint);
            }
            if let Some(channel) = self.channel(&at, raw) {
                channels.insert(name.clone(), channel);
            }
        }
        channels
    }

    fn channel(&mut self, at: &KeyPath, raw: &RawChannel) -> Option<Channel> {
        let RawChannel {
            kind,
            url,
            secret,
            chat_id,
            description,
        } = raw;
        let word = self.needed(
            &at.key("kind"),
            kind,
            "write webhook, slack, discord or telegram",
        );
        let url_mend = "write the URL that messages are posted to";
        let url = self.needed(&at.key("url"), url, url_mend);
        let (secret_at, chat_at) = (at.key("secret"), at.key("chatId"));
        let description = self.optional(&at.key("description"), description);
        let word = word?;
        if word != ChannelWord::Webhook && !secret.is_unset() {
            self.complain(&secret_at, out_of_place("webhook"));
        }
        if word != ChannelWord::Telegram && !chat_id.is_unset() {
            self.complain(&chat_at, out_of_place("telegram"));
        }
        let kind = match word {
            ChannelWord::Webhook => {
                let mend = "write a text of 16 letters or more that the receiver knows too";
                let secret = self.needed(&secret_at, secret, mend)?;
                ChannelKind::Webhook { secret: secret.0 }
            }
            ChannelWord::Slack => ChannelKind::Slack,
            ChannelWord::Discord => ChannelKind::Discord,
            ChannelWord::Telegram => {
                let mend = "write the chat's number, or @name of a public channel";
                let chat_id = self.needed(&chat_at, chat_id, mend);
                if url.as_ref().is_some_and(|url| !url.is_telegrams()) {
                    let mend = "write https://api.telegram.org/bot<token>/sendMessage";
                    let what = "does not end as the URL of Telegram's sendMessage";
                    self.complain(&at.key("url"), Complaint::new(what, mend));
                }
                ChannelKind::Telegram {
                    chat_id: chat_id?.0,
                }
            }
        };
        Some(Channel {
            url: url?.0,
            kind,
            description: description.map(|text| text.0),
        })
    }
}

fn out_of_place(kind: &str) -> Complaint {
    Complaint::new(
        format!("is for channels of the kind {kind} only"),
        format!("take it out, or set kind to {kind}"),
    )
}

impl Channel {
    pub(super) fn shown(&self) -> Value {
        let (word, secret, chat_id) = match &self.kind {
            ChannelKind::Webhook { secret } => {
                (ChannelWord::Webhook, Some(secret.to_string()), None)
            }
            ChannelKind::Slack => (ChannelWord::Slack, None, None),
            ChannelKind::Discord => (ChannelWord::Discord, None, None),
            ChannelKind::Telegram { chat_id } => (ChannelWord::Telegram, None, Some(chat_id)),
        };
        json!({
            "kind": word.as_str(),
            "url": self.url.to_string(),
            "secret": secret,
            "chatId": chat_id,
            "description": self.description,
        })
    }
}

/// Where messages are posted to. Complaints never repeat it.
pub(crate) struct PostUrl(Secret);

impl PostUrl {
    fn is_telegrams(&self) -> bool {
        let url = Url::parse(self.0.expose());
        let path = url.as_ref().map(Url::path).unwrap_or_default();
        path.strip_suffix("/sendMessage")
            .and_then(|path| path.rsplit_once("/bot"))
            .is_some_and(|(_, token)| !token.is_empty() && !token.contains('/'))
    }
}

impl FromValue for PostUrl {
    fn from_value(value: &Written) -> Result<Self, Complaint> {
        const FORMS: &str = "write an https:// URL";
        let given = text(value).ok_or_else(|| Complaint::not_kind(value, "a URL", FORMS))?;
        let url = Url::parse(given)
            .map_err(|why| Complaint::new(format!("is not a URL ({why})"), FORMS))?;
        if !url.username().is_empty() || url.password().is_some() {
            let mend = "put what opens it into the path or the query, as Slack and Discord do";
            return Err(Complaint::new("has a user or a password in it", mend));
        }
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if matches!(url.scheme(), "http" | "https") && has_host {
            Ok(Self(Secret::new(given)))
        } else {
            Err(Complaint::new("is no URL that can be posted to", FORMS))
        }
    }
}

schema!(PostUrl, { "type": "string", "pattern": "^https?://.+" });

/// What webhooks are signed with. Complaints never repeat it.
pub(crate) struct SigningSecret(Secret);

impl FromValue for SigningSecret {
    fn from_value(value: &Written) -> Result<Self, Complaint> {
        const MEND: &str =
            "write a text of 16 letters or more, such as `openssl rand -hex 32` gives";
        let given = text(value).ok_or_else(|| Complaint::not_kind(value, "a text", MEND))?;
        if given.chars().count() < 16 {
            return Err(Complaint::new("is too short to sign with", MEND));
        }
        Ok(Self(Secret::new(given)))
    }
}

schema!(SigningSecret, { "type": "string", "minLength": 16 });

/// A chat of Telegram's: a number, or `@` and a name.
pub(crate) struct ChatId(String);

impl FromValue for ChatId {
    fn from_value(value: &Written) -> Result<Self, Complaint> {
        let given = whole(value).map(|number| number.to_string());
        let given = given.or_else(|| text(value).map(str::to_owned));
        let is_name = |text: &str| {
            text.strip_prefix('@').is_some_and(|name| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            })
        };
        given
            .filter(|text| text.parse::<i64>().is_ok() || is_name(text))
            .map(Self)
            .ok_or_else(|| {
                let mend = "write the chat's number, such as -1001234567890, or @name";
                Complaint::not(value, "a chat of Telegram's", mend)
            })
    }
}

schema!(ChatId, { "type": ["string", "integer"], "pattern": "^(-?[0-9]+|@[A-Za-z0-9_]+)$" });
