//! Compares the times of schedules with those that other libraries find: croner for the days and times of expressions, and chrono-tz
//! for the clocks of all time zones.

#![allow(unreachable_pub, reason = "no crate uses a test program")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use chrono::{DateTime, Duration, LocalResult, NaiveDate, NaiveDateTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use jiff::Timestamp;
use proptest::prelude::*;
use runvoy_core::schedule::{Timing, zone};

/// The first and the last day of the ten years. They have passed, so that the libraries agree on the clocks although their releases of the
/// IANA database do not: a country may change its rules for the years to come at any time.
const FIRST: (i32, u32, u32) = (2015, 1, 1);
const LAST: (i32, u32, u32) = (2025, 1, 1);

fn day((year, month, day): (i32, u32, u32)) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(0, 0, 0).unwrap()
}

/// The moment at which clocks in a zone show a time, for the first time. `None` if they never do.
fn instant(tz: Tz, local: NaiveDateTime) -> Option<i64> {
    match tz.from_local_datetime(&local) {
        LocalResult::Single(at) => Some(at.timestamp()),
        LocalResult::Ambiguous(first, _) => Some(first.timestamp()),
        LocalResult::None => None,
    }
}

/// The times of an expression after one moment and up to another.
fn times(timing: &Timing, after: i64, until: i64) -> Vec<i64> {
    let begin = Timestamp::UNIX_EPOCH;
    let mut found = Vec::new();
    let mut at = Timestamp::from_second(after).unwrap();
    while let Some(next) = timing.after(at, begin).filter(|next| next.as_second() <= until) {
        found.push(next.as_second());
        at = next;
    }
    found
}

/// The days on which clocks in a zone change, as far as they do within the ten years.
fn changes(tz: Tz) -> Vec<NaiveDateTime> {
    let offset = |at: NaiveDateTime| tz.offset_from_utc_datetime(&at).fix();
    let mut days = Vec::new();
    let mut at = day(FIRST);
    while at < day(LAST) {
        let next = at + Duration::days(1);
        if offset(at) != offset(next) {
            days.push(at);
        }
        at = next;
    }
    days
}

/// Zones whose past the IANA database has corrected between the releases that the two libraries have.
const OF_OTHER_RELEASES: [&str; 2] = ["Europe/Chisinau", "Europe/Tiraspol"];

#[test]
fn around_each_change_of_clocks_in_all_zones_for_ten_years_the_times_are_those_of_another_library() {
    let mut compared = 0;
    let mut differ = Vec::new();
    for tz in TZ_VARIANTS.iter().copied().filter(|tz| zone(tz.name()).is_ok()) {
        let timing = Timing::parse(Some("*/30 * * * *"), None, None, tz.name()).unwrap();
        for change in changes(tz) {
            let (first, last) = (change - Duration::hours(26), change + Duration::hours(50));
            let mut local = first;
            let mut expected = Vec::new();
            while local <= last {
                expected.extend(instant(tz, local));
                local += Duration::minutes(30);
            }
            let begin = instant(tz, first - Duration::minutes(1));
            let (Some(begin), Some(end)) = (begin, expected.last().copied()) else { continue };
            if times(&timing, begin, end) != expected {
                differ.push((tz.name(), change));
            }
            compared += expected.len();
        }
    }
    differ.retain(|(name, _)| !OF_OTHER_RELEASES.contains(name));
    assert!(differ.is_empty(), "{differ:?}");
    assert!(compared > 100_000, "{compared}");
}

#[test]
fn in_all_zones_for_ten_years_times_of_days_are_those_of_another_library() {
    let expressions = ["30 2 1,15 * *", "30 2 * * 0", "0 0 L * *", "15 1 * * 0#1"];
    let mut zones = 0;
    for (at, tz) in TZ_VARIANTS.iter().copied().filter(|tz| zone(tz.name()).is_ok()).enumerate() {
        let expression = expressions[at % expressions.len()];
        let timing = Timing::parse(Some(expression), None, None, tz.name()).unwrap();
        let cron: croner::Cron = expression.parse().unwrap();
        // The expression on a clock that never changes, and then in the zone.
        let (first, last) = (Utc.from_utc_datetime(&day(FIRST)), Utc.from_utc_datetime(&day(LAST)));
        let local = cron.iter_after(first).take_while(|at| *at <= last);
        let expected: Vec<i64> = local.filter_map(|at| instant(tz, at.naive_utc())).collect();
        let begin = instant(tz, day(FIRST)).unwrap();
        assert_eq!(times(&timing, begin, *expected.last().unwrap()), expected, "{expression} in {tz}");
        zones += 1;
    }
    assert!(zones > 400, "{zones}");
}

/// A field: each, a number, a range, a step, or a list.
fn field(first: u32, last: u32) -> impl Strategy<Value = String> {
    let number = first..=last;
    prop_oneof![
        2 => Just("*".to_owned()),
        3 => number.clone().prop_map(|one| one.to_string()),
        1 => (number.clone(), number.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (2..=last.max(3) / 2).prop_map(|step| format!("*/{step}")),
        1 => proptest::collection::btree_set(number, 1..4)
            .prop_map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
    ]
}

/// The two fields of days, one of which is open.
fn days() -> impl Strategy<Value = (String, String)> {
    let open = || "*".to_owned();
    prop_oneof![
        3 => field(1, 28).prop_map(move |day| (day, open())),
        3 => field(0, 6).prop_map(move |weekday| (open(), weekday)),
        1 => Just(("L".to_owned(), open())),
        1 => (1..=28_u32).prop_map(move |day| (format!("{day}W"), open())),
        1 => (0..=6_u32, 1..=4_u32).prop_map(move |(day, nth)| (open(), format!("{day}#{nth}"))),
        1 => (0..=6_u32).prop_map(move |day| (open(), format!("{day}L"))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_expression_names_the_times_that_another_library_finds(
        minute in field(0, 59), hour in field(0, 23), (day, weekday) in days(), month in field(1, 12), begin in 1_750_000_000_i64..2_050_000_000,
    ) {
        let expression = format!("{minute} {hour} {day} {month} {weekday}");
        let timing = Timing::parse(Some(&expression), None, None, "UTC").unwrap();
        let cron: croner::Cron = expression.parse().unwrap();
        let after = DateTime::<Utc>::from_timestamp(begin, 0).unwrap();
        let expected: Vec<i64> = cron.iter_after(after).take(20).map(|at| at.timestamp()).collect();
        let found = timing.next(Timestamp::from_second(begin).unwrap(), Timestamp::UNIX_EPOCH, 20);
        prop_assert_eq!(found.iter().map(|at| at.as_second()).collect::<Vec<_>>(), expected, "{}", expression);
        // As AWS reads it, it means the same.
        let in_aws = Timing::of_aws(&timing.aws_expression(), "UTC").unwrap();
        prop_assert_eq!(in_aws.next(Timestamp::from_second(begin).unwrap(), Timestamp::UNIX_EPOCH, 20), found);
    }
}
