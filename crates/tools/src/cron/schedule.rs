//! Cron expressions in time zones.
//!
//! What the clock's changes do, as `croner` has it: a time that is skipped in spring runs at the first
//! moment after the gap, and one that comes twice in autumn runs once, the first time. That is for
//! expressions with one minute and one hour; those that run several times a day follow the clock's
//! face, leave out what is skipped and run in both of the hours that are alike.

use ccpool_protocol::UnixMs;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::expression::tidy;
use crate::Refusal;

/// The longest names of zones have half of that.
const LONGEST_ZONE: usize = 64;

/// An expression and the zone whose clock it is about.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// Five fields, and the IANA name of a zone.
    ///
    /// # Errors
    /// What is wrong with either, for a model.
    pub(super) fn parse(expression: &str, zone: &str) -> Result<Self, Refusal> {
        let wrong = |what: String| {
            Refusal::new(format!(
                "The schedule {what}. Write five fields, such as `30 7 * * 1-5` for 7:30 from Monday \
                 to Friday or `*/15 * * * *` for every quarter of an hour."
            ))
        };
        let expression = tidy(expression).map_err(wrong)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(&expression)
            .map_err(|error| wrong(format!("`{expression}` cannot be understood ({error})")))?;
        Ok(Self {
            cron,
            zone: zone_named(zone)?,
        })
    }

    /// When it runs first after this moment, if ever.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&after, false).ok()?;
        Some(next.timestamp())
    }

    /// A moment on the clock of its zone, as RFC 3339 has it.
    pub(super) fn shown(&self, at: Timestamp) -> String {
        let offset = self.zone.to_offset(at);
        at.display_with_offset(offset).to_string()
    }
}

/// # Errors
/// What a model is told about a name that is none.
fn zone_named(name: &str) -> Result<TimeZone, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    let is_name = (1..=LONGEST_ZONE).contains(&name.len()) && name.chars().all(plain);
    let zone = is_name.then(|| TimeZone::get(name).ok()).flatten();
    zone.ok_or_else(|| {
        let name: String = name.chars().take(LONGEST_ZONE).collect();
        Refusal::new(format!(
            "There is no time zone `{name}`. Write an IANA name, such as `Europe/Berlin`, or `UTC`."
        ))
    })
}

/// None: no calendar goes that far.
pub(super) fn timestamp(ms: UnixMs) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

/// None: before 1970.
pub(super) fn unix_ms(at: Timestamp) -> Option<UnixMs> {
    UnixMs::try_from(at.as_millisecond()).ok()
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
