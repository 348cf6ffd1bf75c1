use std::ops::RangeInclusive;

use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, Zoned};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next moments, on the zone's clock.
fn next(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(expression, zone).unwrap();
    let mut after = at(after);
    let mut shown = Vec::new();
    for _ in 0..count {
        after = schedule.next(after).unwrap();
        shown.push(schedule.shown(after));
    }
    shown
}

#[test]
fn it_goes_by_the_clock_of_its_zone() {
    let after = "2026-11-21T16:00:30.250Z";
    assert_eq!(
        next("30 7 * * 1-5", "Europe/Berlin", after, 2),
        ["2026-11-23T07:30:00+01:00", "2026-11-24T07:30:00+01:00"]
    );
    assert_eq!(
        next("*/20 * * * *", "UTC", after, 2),
        ["2026-11-21T16:20:00+00:00", "2026-11-21T16:40:00+00:00"]
    );
    assert_eq!(
        next("0 9 1 * MON", "Asia/Kolkata", after, 2),
        ["2026-11-23T09:00:00+05:30", "2026-11-30T09:00:00+05:30"],
        "a day of the month or one of the week, as cron has it"
    );
    assert_eq!(
        next("0 0 29 2 *", "UTC", after, 2),
        ["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]
    );
    assert_eq!(
        next("0 9 L * *", "UTC", after, 1),
        ["2026-11-30T09:00:00+00:00"]
    );
    assert_eq!(
        next("0 9 * * TUE#1", "UTC", after, 1),
        ["2026-12-01T09:00:00+00:00"]
    );
}

#[test]
fn a_moment_that_a_run_falls_on_is_not_after_it() {
    let on_time = "2026-11-21T16:20:00Z";
    assert_eq!(
        next("*/20 * * * *", "UTC", on_time, 1),
        ["2026-11-21T16:40:00+00:00"]
    );
}

/// In Berlin 2026-03-29 has no time from 2:00 to 3:00.
#[test]
fn a_time_that_spring_skips_runs_right_after_the_gap() {
    let before = "2026-03-28T12:00:00Z";
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", before, 2),
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    assert_eq!(
        next("0,30 2 * * *", "Europe/Berlin", before, 2),
        ["2026-03-30T02:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        "one that runs several times a day leaves it out"
    );
}

/// In Berlin 2026-10-25 has the time from 2:00 to 3:00 twice.
#[test]
fn a_time_that_autumn_repeats_runs_once() {
    let before = "2026-10-24T12:00:00Z";
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", before, 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
    assert_eq!(
        next("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3),
        [
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T03:00:00+01:00"
        ],
        "one that runs every hour runs in both"
    );
}

#[test]
fn what_never_comes_is_known_soon() {
    for never in [
        "0 0 31 2 *",
        "* * 30,31 2 *",
        "0 0 31 4,6,9,11 *",
        "59 23 31W 2 *",
    ] {
        let schedule = Schedule::parse(never, "America/New_York").unwrap();
        assert_eq!(schedule.next(at("2026-11-21T16:00:00Z")), None, "{never}");
    }
}

#[test]
fn what_is_wrong_is_told_with_an_example() {
    for (expression, zone, told) in [
        ("61 * * * *", "UTC", "`61 * * * *` cannot be understood"),
        ("0 24 * * *", "UTC", "cannot be understood"),
        ("* * *", "UTC", "has 3 fields"),
        ("*/0 * * * *", "UTC", "cannot be understood"),
        ("5-1 * * * *", "UTC", "`30 7 * * 1-5`"),
        ("* * * * *", "Europe/Berlen", "no time zone `Europe/Berlen`"),
        ("* * * * *", "", "no time zone ``"),
        ("* * * * *", "../../etc/passwd", "`Europe/Berlin`"),
    ] {
        let refusal = Schedule::parse(expression, zone).unwrap_err();
        assert!(refusal.as_str().contains(told), "{}", refusal.as_str());
    }
}

/// One field: `*`, or values.
#[derive(Clone)]
struct Field {
    text: String,
    takes: Vec<i8>,
    is_star: bool,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Field {
    fn takes(&self, value: i8) -> bool {
        self.takes.contains(&value)
    }
}

/// A value of the range, or with the weight `star` all that there are.
fn field(range: RangeInclusive<i8>, star: u32) -> impl Strategy<Value = Field> {
    let (low, high) = range.into_inner();
    let all = Field {
        text: "*".to_owned(),
        takes: (0..60).collect(),
        is_star: true,
    };
    let steps = (2..=(high - low).min(20)).prop_map(move |step| Field {
        text: format!("{low}-{high}/{step}"),
        takes: (low..=high)
            .step_by(usize::try_from(step).unwrap())
            .collect(),
        is_star: false,
    });
    let values = proptest::collection::vec(low..=high, 1..4).prop_map(|takes| Field {
        text: takes
            .iter()
            .map(i8::to_string)
            .collect::<Vec<_>>()
            .join(","),
        takes,
        is_star: false,
    });
    let span = (low..=high, low..=high).prop_map(|(a, b)| Field {
        text: format!("{}-{}", a.min(b), a.max(b)),
        takes: (a.min(b)..=a.max(b)).collect(),
        is_star: false,
    });
    prop_oneof![star => Just(all), 1 => steps, 4 => values, 1 => span]
}

/// Minute, hour, day of the month, month, day of the week.
fn fields() -> impl Strategy<Value = [Field; 5]> {
    (
        field(0..=59, 1),
        field(0..=4, 1),
        field(1..=31, 20),
        field(1..=12, 30),
        field(0..=7, 20),
    )
        .prop_map(|(minute, hour, day, month, weekday)| [minute, hour, day, month, weekday])
}

/// Whether a face of the clock is one of a schedule's.
fn is_meant(fields: &[Field; 5], face: jiff::civil::DateTime) -> bool {
    let [minute, hour, day, month, weekday] = fields;
    let sunday = face.weekday().to_sunday_zero_offset();
    let by_day = day.takes(face.day());
    let by_weekday = weekday.takes(sunday) || (sunday == 0 && weekday.takes(7));
    let is_day = match (day.is_star, weekday.is_star) {
        (false, false) => by_day || by_weekday,
        _ => by_day && by_weekday,
    };
    minute.takes(face.minute()) && hour.takes(face.hour()) && month.takes(face.month()) && is_day
}

/// Whether it runs at this moment, by looking at nothing but this moment and the minute before.
fn runs_at(fields: &[Field; 5], moment: &Zoned) -> bool {
    let [minute, hour, ..] = fields;
    let distinct = |field: &Field| {
        let mut values = field.takes.clone();
        values.sort_unstable();
        values.dedup();
        values.len()
    };
    let is_daily = distinct(minute) == 1 && distinct(hour) == 1;
    let face = moment.datetime();
    if !is_daily {
        return is_meant(fields, face);
    }
    let twice = moment.time_zone().to_ambiguous_zoned(face);
    let is_second_time = matches!(twice.offset(), AmbiguousOffset::Fold { .. })
        && twice.earlier().unwrap() != *moment;
    // What the clock has just skipped.
    let before = moment
        .saturating_sub(SignedDuration::from_mins(1))
        .datetime();
    let mut skipped = before.saturating_add(SignedDuration::from_mins(1));
    let mut was_skipped = false;
    while skipped < face {
        was_skipped |= is_meant(fields, skipped);
        skipped = skipped.saturating_add(SignedDuration::from_mins(1));
    }
    was_skipped || (is_meant(fields, face) && !is_second_time)
}

const ZONES: [&str; 12] = [
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "America/Asuncion",
    "Africa/Cairo",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "UTC",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Around the changes of the clock as on every other day.
    #[test]
    fn its_times_are_those_that_a_look_at_every_minute_finds(
        fields in fields(),
        zone in select(&ZONES[..]),
        change in 0_usize..8,
        lead in 0_i64..3000,
        seconds in 0_i64..60,
    ) {
        let texts = fields.each_ref().map(|field| field.text.as_str());
        let schedule = Schedule::parse(&texts.join(" "), zone).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let begin = at("2024-01-10T00:00:00Z");
        let change = zone.following(begin).nth(change).map_or(begin, |change| change.timestamp());
        let change = change - SignedDuration::from_secs(change.as_second() % 60);
        let from = change - SignedDuration::from_mins(lead);
        let end = from + SignedDuration::from_hours(96);
        let mut after = from + SignedDuration::from_secs(seconds);
        let mut expected = Vec::new();
        let mut minute = from;
        while minute <= end {
            if minute > after && runs_at(&fields, &minute.to_zoned(zone.clone())) {
                expected.push(minute);
            }
            minute += SignedDuration::from_mins(1);
        }
        let mut found = Vec::new();
        while let Some(next) = schedule.next(after) {
            prop_assert!(next > after);
            after = next;
            if next > end {
                break;
            }
            found.push(next);
        }
        let both = found.iter().zip(&expected);
        let alike = both.take_while(|(found, expected)| found == expected).count();
        prop_assert_eq!(found.get(alike), expected.get(alike), "{}", texts.join(" "));
    }

    /// Whatever a model writes, it is answered.
    #[test]
    fn any_text_is_a_schedule_or_is_refused(
        expression in "[0-9*/,#LWlwMONSUNjanFEB+?@ -]{0,40}|.{0,60}",
        zone in "[A-Za-z/_+-]{0,20}|.{0,40}|UTC",
    ) {
        for zone in [zone.as_str(), "Europe/Berlin"] {
            if let Ok(schedule) = Schedule::parse(&expression, zone) {
                let from = at("2026-11-21T16:00:30Z");
                prop_assert!(schedule.next(from).is_none_or(|next| next > from));
            }
        }
    }

    #[test]
    fn five_fields_of_a_sort_are_a_schedule_or_are_refused(
        fields in proptest::collection::vec("[0-9*]{1,3}([-/#][0-9*]{1,3})?[LW]?|\\*", 5),
    ) {
        if let Ok(schedule) = Schedule::parse(&fields.join(" "), "Europe/Berlin") {
            let from = at("2026-11-21T16:00:30Z");
            prop_assert!(schedule.next(from).is_none_or(|next| next > from));
        }
    }
}
