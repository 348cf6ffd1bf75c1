use figment::value::Value;

use super::given::{Complaint, FromValue, kind, quoted, schema, text};
use super::nearest::nearest;
use crate::provider::SystemMode;

/// An enum whose variants are words in the configuration.
macro_rules! choice {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word as it stands in the configuration.
            #[must_use]
            $vis fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            fn of(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

choice!(
    /// Where containers run.
    pub RuntimeKind {
        /// In Docker.
        Docker = "docker",
        /// As plain children of this process, without isolation.
        Process = "process",
    }
);

choice!(
    /// How `claude` treats a tool call that no rule decides.
    pub PermissionMode {
        /// Ask.
        Default = "default",
        /// Edits of files are allowed, the rest is asked.
        AcceptEdits = "acceptEdits",
        /// Nothing is changed, only planned.
        Plan = "plan",
        /// What is not allowed is denied without asking.
        DontAsk = "dontAsk",
    }
);

choice!(
    /// What a permission request becomes that nobody answers in time.
    pub OnTimeout {
        /// Denied.
        Deny = "deny",
        /// Allowed.
        Allow = "allow",
    }
);

choice!(
    /// Whether every container gets a Redis user of its own.
    pub RedisAcl {
        /// One user per container, limited to its own session's keys.
        On = "on",
        /// All use the configured URL.
        Off = "off",
    }
);

choice!(
    /// Who is asked by `web_search`.
    pub SearchProvider {
        /// Brave Search.
        Brave = "brave",
        /// An instance of SearXNG.
        Searxng = "searxng",
        /// Tavily.
        Tavily = "tavily",
    }
);

choice!(
    /// What becomes of a run of a job that fell into a time when no gateway ran.
    pub MissedRuns {
        /// It is left out.
        Skip = "skip",
        /// It is carried out late, several as one.
        Once = "once",
    }
);

choice!(
    /// How a message is written for a channel.
    pub(crate) ChannelWord {
        /// ccpool's own JSON, signed.
        Webhook = "webhook",
        /// An incoming webhook of Slack.
        Slack = "slack",
        /// A webhook of Discord.
        Discord = "discord",
        /// Telegram's Bot API.
        Telegram = "telegram",
    }
);

const SYSTEM_MODES: &[&str] = &["append", "replace"];

fn word<T>(
    value: &Value,
    words: &[&'static str],
    of: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Complaint> {
    let all = words.join(", ");
    let Some(word) = text(value) else {
        let what = format!("is {}, not one of {all}", kind(value));
        return Err(Complaint::new(what, "write one of these words"));
    };
    of(word).ok_or_else(|| {
        let mend = match nearest(word, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write one of these words".to_owned(),
        };
        Complaint::new(format!("is {}, not one of {all}", quoted(word)), mend)
    })
}

impl FromValue for RuntimeKind {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        word(value, Self::WORDS, Self::of)
    }
}

impl FromValue for PermissionMode {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        word(value, Self::WORDS, Self::of).map_err(|complaint| match text(value) {
            Some("bypassPermissions") => {
                Complaint::new(complaint.what, "set `skipPermissions: true` instead")
            }
            Some(_) | None => complaint,
        })
    }
}

impl FromValue for OnTimeout {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        word(value, Self::WORDS, Self::of)
    }
}

impl FromValue for ChannelWord {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        word(value, Self::WORDS, Self::of)
    }
}

impl FromValue for RedisAcl {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        // Many YAML tools rewrite a bare `on` or `off` as a truth value.
        word(value, Self::WORDS, |word| match word {
            "true" => Some(Self::On),
            "false" => Some(Self::Off),
            word => Self::of(word),
        })
    }
}

impl FromValue for SearchProvider {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        word(value, Self::WORDS, Self::of)
    }
}

impl FromValue for SystemMode {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        word(value, SYSTEM_MODES, |word| match word {
            "append" => Some(Self::Append),
            "replace" => Some(Self::Replace),
            _ => None,
        })
    }
}

impl FromValue for MissedRuns {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        word(value, Self::WORDS, Self::of)
    }
}

schema!(RuntimeKind, { "type": "string", "enum": RuntimeKind::WORDS });
schema!(PermissionMode, { "type": "string", "enum": PermissionMode::WORDS });
schema!(OnTimeout, { "type": "string", "enum": OnTimeout::WORDS });
schema!(ChannelWord, { "type": "string", "enum": ChannelWord::WORDS });
schema!(RedisAcl, { "type": ["string", "boolean"], "enum": ["on", "off", true, false] });
schema!(SearchProvider, { "type": "string", "enum": SearchProvider::WORDS });
schema!(SystemMode, { "type": "string", "enum": SYSTEM_MODES });
schema!(MissedRuns, { "type": "string", "enum": MissedRuns::WORDS });
