//! `tools.webFetch`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::given::Given;
use crate::config::key_path::KeyPath;
use crate::config::network::Network;
use crate::config::show::millis;
use crate::config::units::{Count, Millis};
use crate::config::validate::Check;

/// Fetching pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebFetch {
    /// How long one fetch may take, redirects included.
    pub timeout: Duration,
    /// The most bytes of a page that are read, also after decompression.
    pub max_bytes: u32,
    /// How many redirects are followed.
    pub max_redirects: u32,
    /// Networks that may be fetched from though they are not public.
    pub allow_networks: Vec<Network>,
}

/// Fetching pages.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawWebFetch {
    /// How long one fetch may take, redirects included, in milliseconds.
    timeout_ms: Given<Millis<1>>,
    /// The most bytes of a page that are read, also after decompression.
    max_bytes: Given<Count<1024, { 32 << 20 }>>,
    /// How many redirects are followed.
    max_redirects: Given<Count<0, 20>>,
    /// Networks that may be fetched from though they are not public, such as an intranet's.
    allow_networks: Given<Vec<Network>>,
}

impl Default for RawWebFetch {
    fn default() -> Self {
        Self {
            timeout_ms: Given::of(20_000),
            max_bytes: Given::of(2 << 20),
            max_redirects: Given::of(5),
            allow_networks: Given::of(Vec::<String>::new()),
        }
    }
}

impl Check<'_> {
    pub(super) fn web_fetch(&mut self, at: &KeyPath, raw: &RawWebFetch) -> WebFetch {
        let RawWebFetch {
            timeout_ms,
            max_bytes,
            max_redirects,
            allow_networks,
        } = raw;
        let default = RawWebFetch::default();
        WebFetch {
            timeout: self
                .value(&at.key("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
            max_bytes: self
                .value(&at.key("maxBytes"), max_bytes, &default.max_bytes)
                .0,
            max_redirects: self
                .value(
                    &at.key("maxRedirects"),
                    max_redirects,
                    &default.max_redirects,
                )
                .0,
            allow_networks: self.list(&at.key("allowNetworks"), allow_networks),
        }
    }
}

impl WebFetch {
    pub(super) fn shown(&self) -> Value {
        let networks = self.allow_networks.iter();
        json!({
            "timeoutMs": millis(self.timeout),
            "maxBytes": self.max_bytes,
            "maxRedirects": self.max_redirects,
            "allowNetworks": networks.map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}
