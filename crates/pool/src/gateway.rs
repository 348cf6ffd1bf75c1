//! One run of a gateway, as others know it.

use std::fmt;
use std::str::FromStr;

/// Names one run of a gateway, and the host that its containers run on: `g-0123456789ab@host`.
///
/// A gateway that is started anew is another one: what the first had begun is taken over, not
/// continued.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId {
    run: String,
    host: String,
}

/// No gateway is called that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a gateway, which looks like g-0123456789ab@host")]
pub struct GatewayIdError(String);

impl GatewayId {
    /// For a run that has just begun. `bits`: random. `host`: see
    /// [`Runtime::host`](crate::runtime::Runtime::host); what is not `[A-Za-z0-9._:/-]` becomes `-`.
    pub fn from_random(bits: u64, host: &str) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        Self {
            run: format!("g-{:012x}", bits & 0xffff_ffff_ffff),
            host: host.replace(|c| !plain(c), "-"),
        }
    }

    /// Where its containers run.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.run, self.host)
    }
}

impl FromStr for GatewayId {
    type Err = GatewayIdError;
    fn from_str(text: &str) -> Result<Self, GatewayIdError> {
        match text.split_once('@') {
            Some((run, host)) if run.starts_with("g-") && !host.is_empty() => Ok(Self {
                run: run.to_owned(),
                host: host.to_owned(),
            }),
            Some(_) | None => Err(GatewayIdError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes() {
        let id = GatewayId::from_random(7, "docker:A B@c");
        assert_eq!(id.to_string(), "g-000000000007@docker:A-B-c");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "g-1", "g-1@", "@h", "x@h"] {
            assert!(bad.parse::<GatewayId>().is_err(), "{bad}");
        }
    }
}
