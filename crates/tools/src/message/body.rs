//! A message as each kind of channel takes it.

use std::time::UNIX_EPOCH;

use ccpool::config::ChannelKind;
use serde_json::{Value, json};

use super::channel::Message;
use crate::Refusal;

/// ccpool's own; what a receiver does with more is not known.
const WEBHOOK_MOST: usize = 65_536;
/// Slack cuts what is longer: <https://api.slack.com/changelog/2018-04-truncating-really-long-messages>.
const SLACK_MOST: usize = 40_000;
/// Of `content`: <https://docs.discord.com/developers/resources/webhook#execute-webhook>.
const DISCORD_MOST: usize = 2_000;
/// Of `text`, from 1: <https://core.telegram.org/bots/api#sendmessage>.
const TELEGRAM_MOST: usize = 4_096;

/// The JSON that is posted.
///
/// A text that is too long is refused and not cut in pieces: when one piece of several does not
/// arrive, nobody could say what has been said.
///
/// # Errors
/// The text is too long; the refusal says how long it may be.
pub(super) fn body(kind: &ChannelKind, message: &Message) -> Result<Value, Refusal> {
    let text = message.text.as_str();
    let (fitting, most, body) = match kind {
        ChannelKind::Webhook { .. } => (text.len(), WEBHOOK_MOST, webhook(message)),
        ChannelKind::Slack => {
            let text = slack_text(text);
            (letters(&text), SLACK_MOST, json!({"text": text}))
        }
        // Without `allowed_mentions` an agent could call everybody by writing @everyone.
        ChannelKind::Discord => (
            letters(text),
            DISCORD_MOST,
            json!({"content": text, "allowed_mentions": {"parse": []}}),
        ),
        // Without `parse_mode` the text is taken as it stands.
        ChannelKind::Telegram { chat_id } => (
            letters(text),
            TELEGRAM_MOST,
            json!({"chat_id": telegram_chat(chat_id), "text": text}),
        ),
    };
    if fitting <= most {
        return Ok(body);
    }
    let counted = match kind {
        ChannelKind::Webhook { .. } => "bytes",
        ChannelKind::Slack => "characters (&, < and > count as 4 or 5, emoji as 2)",
        ChannelKind::Discord | ChannelKind::Telegram { .. } => "characters (emoji count as 2)",
    };
    Err(Refusal::new(format!(
        "The text has {fitting} {counted}, and the channel `{}` takes {most}; nothing was sent. Say \
         it shorter, or in several messages.",
        message.channel
    )))
}

fn webhook(message: &Message) -> Value {
    let sent_at = message.sent_at.duration_since(UNIX_EPOCH);
    let millis = sent_at.unwrap_or_default().as_millis();
    json!({
        "id": message.id,
        "channel": message.channel,
        "text": message.text,
        "session": message.session,
        "agent": message.agent,
        "sentAt": u64::try_from(millis).unwrap_or(u64::MAX),
    })
}

/// Slack gives `&`, `<` and `>` a meaning, `<!everyone>` among it, unless they are written so:
/// <https://docs.slack.dev/messaging/formatting-message-text>, "Escaping text".
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A number where it is one: `chat_id` is an integer or a string.
fn telegram_chat(chat_id: &str) -> Value {
    chat_id
        .parse::<i64>()
        .map_or_else(|_| json!(chat_id), |number| json!(number))
}

/// In UTF-16, which is never less than what a service counts.
fn letters(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ccpool::config::Secret;
    use ccpool::{AgentId, SessionId};
    use uuid::Uuid;

    use super::*;

    fn message(text: &str) -> Message {
        Message {
            id: Uuid::nil(),
            channel: "ops".to_owned(),
            text: text.to_owned(),
            session: SessionId::new("s1").unwrap(),
            agent: AgentId::new("main").unwrap(),
            sent_at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        }
    }

    fn webhook() -> ChannelKind {
        ChannelKind::Webhook {
            secret: Secret::new("a secret of a test"),
        }
    }

    fn telegram(chat_id: &str) -> ChannelKind {
        ChannelKind::Telegram {
            chat_id: chat_id.to_owned(),
        }
    }

    #[test]
    fn a_webhook_gets_all_that_is_known() {
        assert_eq!(
            body(&webhook(), &message("hi")).unwrap(),
            json!({
                "id": "00000000-0000-0000-0000-000000000000",
                "channel": "ops",
                "text": "hi",
                "session": "s1",
                "agent": "main",
                "sentAt": 1_700_000_000_123_u64,
            })
        );
    }

    #[test]
    fn nobody_is_called_by_a_text() {
        let shout = message("<!everyone> a & b @everyone");
        assert_eq!(
            body(&ChannelKind::Slack, &shout).unwrap(),
            json!({"text": "&lt;!everyone&gt; a &amp; b @everyone"})
        );
        assert_eq!(
            body(&ChannelKind::Discord, &shout).unwrap(),
            json!({
                "content": "<!everyone> a & b @everyone",
                "allowed_mentions": {"parse": []},
            })
        );
    }

    #[test]
    fn telegrams_chats_are_numbers_or_names() {
        let hi = message("hi");
        assert_eq!(
            body(&telegram("-1001"), &hi).unwrap(),
            json!({"chat_id": -1001, "text": "hi"})
        );
        assert_eq!(
            body(&telegram("@news"), &hi).unwrap(),
            json!({"chat_id": "@news", "text": "hi"})
        );
    }

    #[test]
    fn each_kind_has_its_limit() {
        for (kind, letter, most) in [
            (webhook(), "x", 65_536),
            (webhook(), "ä", 32_768),
            (ChannelKind::Slack, "x", 40_000),
            (ChannelKind::Slack, "&", 8_000),
            (ChannelKind::Discord, "ä", 2_000),
            (ChannelKind::Discord, "🦀", 1_000),
            (telegram("1"), "x", 4_096),
        ] {
            assert!(
                body(&kind, &message(&letter.repeat(most))).is_ok(),
                "{kind:?}"
            );
            let long = body(&kind, &message(&letter.repeat(most + 1)));
            let said = long.expect_err("too long");
            assert!(said.as_str().contains("nothing was sent"), "{said:?}");
        }
    }
}
