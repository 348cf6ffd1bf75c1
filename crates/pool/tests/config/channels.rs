//! `tools.message.channels`.

use ccpool::config::{ChannelKind, Secret};

use crate::place::{said, yaml};

const CHANNELS: &str = r#"
tools:
  message:
    channels:
      hook: {kind: webhook, url: "https://example.com/h/hunter2", secret: hunter2hunter2hunter2}
      chat: {kind: slack, url: "https://hooks.slack.com/services/hunter2", description: People}
      room: {kind: discord, url: "https://discord.com/api/webhooks/1/hunter2"}
      phone: {kind: telegram, url: "https://api.telegram.org/bot1:hunter2/sendMessage", chatId: -1001}
"#;

#[test]
fn channels_are_of_four_kinds_and_never_show_where_they_are() {
    let config = yaml(CHANNELS).config();
    let channels = &config.tools.message.channels;
    let secret = Secret::new("hunter2hunter2hunter2");
    assert_eq!(channels["hook"].kind, ChannelKind::Webhook { secret });
    assert_eq!(channels["chat"].kind, ChannelKind::Slack);
    assert_eq!(channels["chat"].description.as_deref(), Some("People"));
    assert_eq!(channels["room"].kind, ChannelKind::Discord);
    let chat_id = "-1001".to_owned();
    assert_eq!(channels["phone"].kind, ChannelKind::Telegram { chat_id });
    assert!(channels["room"].url.expose().ends_with("/hunter2"));
    let shown = config.to_redacted_json();
    let phone = &shown["tools"]["message"]["channels"]["phone"];
    assert_eq!(
        (&phone["url"], &phone["chatId"]),
        (&"***".into(), &"-1001".into())
    );
    assert!(!format!("{shown}{config:?}").contains("hunter2"));
}

#[test]
fn wrong_channels_are_told_without_what_they_hide() {
    let said = said(&yaml(
        r#"
tools:
  message:
    retries: 11
    channels:
      "a b": {kind: slack, url: "https://example.com/x"}
      mail: {kind: smtp, url: "https://example.com/x"}
      login: {kind: slack, url: "https://hunter2:hunter2@example.com/x"}
      none: {}
      short: {kind: webhook, url: "https://example.com/x", secret: hunter2}
      other: {kind: slack, url: "ftp://hunter2/", secret: hunter2hunter2hunter2, chatId: 1}
      phone: {kind: telegram, url: "https://api.telegram.org/bot1:hunter2/", chatId: nobody}
"#,
    ));
    insta::assert_snapshot!(said.join("\n"), @r#"
4 tools.message.retries | `tools.message.retries` is 11, and must be at most 10; write a whole number from 0 to 10
6 tools.message.channels."a b" | `tools.message.channels."a b"` is named "a b", which agents could not write; begin with a letter or digit, use only letters, digits, _ . - and at most 64
7 tools.message.channels.mail.kind | `tools.message.channels.mail.kind` is "smtp", not one of webhook, slack, discord, telegram; write one of these words
8 tools.message.channels.login.url | `tools.message.channels.login.url` has a user or a password in it; put what opens it into the path or the query, as Slack and Discord do
9 tools.message.channels.none.kind | `tools.message.channels.none.kind` is missing; write webhook, slack, discord or telegram
9 tools.message.channels.none.url | `tools.message.channels.none.url` is missing; write the URL that messages are posted to
10 tools.message.channels.short.secret | `tools.message.channels.short.secret` is too short to sign with; write a text of 16 letters or more, such as `openssl rand -hex 32` gives
11 tools.message.channels.other.chatId | `tools.message.channels.other.chatId` is for channels of the kind telegram only; take it out, or set kind to telegram
11 tools.message.channels.other.secret | `tools.message.channels.other.secret` is for channels of the kind webhook only; take it out, or set kind to webhook
11 tools.message.channels.other.url | `tools.message.channels.other.url` is no URL that can be posted to; write an https:// URL
12 tools.message.channels.phone.chatId | `tools.message.channels.phone.chatId` is the text "nobody", not a chat of Telegram's; write the chat's number, such as -1001234567890, or @name
12 tools.message.channels.phone.url | `tools.message.channels.phone.url` does not end as the URL of Telegram's sendMessage; write https://api.telegram.org/bot<token>/sendMessage
"#);
    assert!(!said.join("\n").contains("hunter2"));
}
