use std::fmt;

use serde_json::{Value, json};

use super::client::Kind;
use super::{Called, CalledBy, Way};
use crate::samples::Samples;

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain HTTP, connection kept",
            Self::Rmcp => "rmcp's client, a connection for each call",
            Self::RmcpKept => "rmcp's client, connection kept",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Rmcp => "rmcp",
            Self::RmcpKept => "rmcpKept",
        }
    }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare rmcp",
            Self::BareThreads => "bare rmcp, many threads",
            Self::Person => "bridge, a person's token",
            Self::Container => "bridge, a container's",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Bare => "bareMs",
            Self::BareThreads => "bareThreadsMs",
            Self::Person => "personMs",
            Self::Container => "containerMs",
        }
    }
}

impl Called {
    /// Under the keys of the JSON report.
    pub(crate) fn to_json(&self) -> Value {
        let by = self.0.iter();
        by.map(|by| (by.kind.key().to_owned(), by.to_json()))
            .collect()
    }
}

impl CalledBy {
    fn to_json(&self) -> Value {
        let mut all = json!({"calls": self.took(Way::Bare).count()});
        for way in Way::ALL {
            let took = self.took(way);
            all[way.key()] = json!({
                "p50": took.median(),
                "p99": took.quantile(0.99),
                "ratio": self.ratio(way).ok(),
            });
        }
        all
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|by| write!(f, "{by}"))
    }
}

impl fmt::Display for CalledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |samples: &Samples, part| samples.quantile(part).unwrap_or(f64::NAN);
        let count = self.took(Way::Bare).count();
        writeln!(
            f,
            "\nCalls of a tool, ms ({}; {count} each)",
            self.kind.name()
        )?;
        for way in Way::ALL {
            let (name, took) = (way.name(), self.took(way));
            let (half, most) = (of(took, 0.5), of(took, 0.99));
            let ratio = self.ratio(way).unwrap_or(f64::NAN);
            writeln!(f, "  {name:<24} p50 {half:.3}  p99 {most:.3}  {ratio:.2} x")?;
        }
        Ok(())
    }
}
