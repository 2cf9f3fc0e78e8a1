//! Reads when a schedule runs, writes it as EventBridge Scheduler takes it, and finds the next times.
//!
//! Times of a cron expression are those of a clock in the schedule's zone. When clocks go forward, a time that does not exist is skipped;
//! when they go back, a time that comes twice runs once, at its first ("Daylight savings time", EventBridge Scheduler User Guide).

use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use super::cron::Cron;
use crate::{Error, Result};

/// The zone of schedules that name none.
pub(super) const DEFAULT_ZONE: &str = "UTC";
/// The units of a rate, and their seconds.
const UNITS: [(&str, u32); 3] = [("minute", 60), ("hour", 3600), ("day", 86_400)];
/// The longest period of a rate: ten years, in seconds. AWS documents no limit; a longer period is taken for a mistake.
const LONGEST_RATE: u32 = 10 * 366 * 86_400;

/// The times at which a schedule runs, on the clock of a zone.
#[derive(Clone, Debug)]
pub struct Timing {
    expression: Expression,
    zone: TimeZone,
}

#[derive(Clone, Debug)]
enum Expression {
    Cron(Cron),
    Rate { seconds: u32, written: String },
    At(DateTime),
}

/// A time zone of the IANA database that is part of the program, so that each function and each laptop has the same rules.
///
/// # Errors
/// [`Error::Invalid`] for a name that the database has not.
pub fn zone(name: &str) -> Result<TimeZone> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        Error::invalid(format!("no time zone is named {name:?}"))
            .with_hint("name one of the IANA database, such as Europe/Berlin or UTC")
            .at_field("timezone")
    })
}

impl Timing {
    /// Reads one of three forms: `cron`, `rate` (`5 minutes`) or `at` (`2027-01-31T09:00`).
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the field.
    pub fn parse(cron: Option<&str>, rate: Option<&str>, at: Option<&str>, timezone: &str) -> Result<Self> {
        let zone = zone(timezone)?;
        let expression = match (cron, rate, at) {
            (Some(cron), None, None) => Expression::Cron(Cron::parse(cron)?),
            (None, Some(rate), None) => parse_rate(rate)?,
            (None, None, Some(at)) => Expression::At(parse_at(at, &zone)?),
            _ => {
                return Err(Error::invalid("a schedule has exactly one of cron, rate and at")
                    .with_hint("cron for times of the day, rate for a period, at for one time")
                    .at_field("cron"));
            }
        };
        let timing = Self { expression, zone };
        if let Expression::Cron(cron) = &timing.expression
            && timing.after(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).is_none()
        {
            let problem = format!("the cron expression {:?} names no day that exists", cron.fields());
            return Err(Error::invalid(problem).at_field("cron"));
        }
        Ok(timing)
    }

    /// Reads an expression as EventBridge Scheduler takes it: `cron(…)`, `rate(…)` or `at(…)`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another form.
    pub fn of_aws(expression: &str, timezone: &str) -> Result<Self> {
        let inner = |kind: &str| expression.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')');
        match (inner("cron"), inner("rate"), inner("at")) {
            (Some(cron), ..) if cron.split_ascii_whitespace().count() == 6 => {
                Self::parse(Some(cron), None, None, timezone)
            }
            (_, Some(rate), _) => Self::parse(None, Some(rate), None, timezone),
            (.., Some(at)) => Self::parse(None, None, Some(at), timezone),
            _ => Err(Error::invalid(format!(
                "{expression:?} is none of cron(six fields), rate(value unit) and at(time)"
            ))),
        }
    }

    /// The expression as EventBridge Scheduler takes it.
    pub fn aws_expression(&self) -> String {
        match &self.expression {
            Expression::Cron(cron) => format!("cron({})", cron.fields()),
            Expression::Rate { written, .. } => format!("rate({written})"),
            Expression::At(at) => format!("at({})", at.strftime("%Y-%m-%dT%H:%M:%S")),
        }
    }

    /// Tells whether the schedule runs once.
    pub fn is_once(&self) -> bool {
        matches!(self.expression, Expression::At(_))
    }

    /// Tells whether the schedule runs at a rate, and so for the first time when it is made.
    pub fn is_rate(&self) -> bool {
        matches!(self.expression, Expression::Rate { .. })
    }

    /// The first time after another. A rate counts from `begin`, which is its first time.
    pub fn after(&self, after: Timestamp, begin: Timestamp) -> Option<Timestamp> {
        match &self.expression {
            Expression::Cron(cron) => self.after_by_cron(cron, after),
            Expression::Rate { seconds, .. } => {
                let seconds = i64::from(*seconds);
                let begin = begin.as_second();
                let periods = (after.as_second() - begin).div_euclid(seconds) + 1;
                Timestamp::from_second(begin + periods.max(0) * seconds).ok()
            }
            Expression::At(at) => self.instant(*at).filter(|at| *at > after),
        }
    }

    /// The first time of a schedule that has this timing since `begin`. A rate begins at once.
    pub fn first(&self, begin: Timestamp) -> Option<Timestamp> {
        if self.is_rate() { Timestamp::from_second(begin.as_second()).ok() } else { self.after(begin, begin) }
    }

    /// Tells whether this is one of the times.
    pub fn has(&self, time: Timestamp, begin: Timestamp) -> bool {
        let before = time.checked_sub(SignedDuration::from_millis(1));
        before.is_ok_and(|before| self.after(before, begin) == Some(time))
    }

    /// The next times after one, at most `count`.
    pub fn next(&self, after: Timestamp, begin: Timestamp, count: usize) -> Vec<Timestamp> {
        let following = |last: &Timestamp| self.after(*last, begin);
        std::iter::successors(self.after(after, begin), following).take(count).collect()
    }

    fn after_by_cron(&self, cron: &Cron, after: Timestamp) -> Option<Timestamp> {
        let mut date = self.zone.to_datetime(after).date();
        let last_year = cron.last_year();
        while date.year() <= last_year {
            if !cron.has_month(date) {
                date = first_of_next_month(date)?;
                continue;
            }
            if cron.has_day(date) {
                let times = cron.times().map(|(hour, minute)| date.at(hour, minute, 0, 0));
                if let Some(found) = times.filter_map(|time| self.instant(time)).find(|time| *time > after) {
                    return Some(found);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The moment at which clocks in the zone show a time, for the first time if they show it twice. `None` if they never do.
    fn instant(&self, time: DateTime) -> Option<Timestamp> {
        let offset = match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, .. } => before,
            AmbiguousOffset::Gap { .. } => return None,
        };
        offset.to_timestamp(time).ok()
    }
}

fn first_of_next_month(date: Date) -> Option<Date> {
    date.first_of_month().checked_add(1.month()).ok()
}

fn parse_rate(text: &str) -> Result<Expression> {
    let wrong = || {
        Error::invalid(format!("the rate {text:?} is none that EventBridge Scheduler has"))
            .with_hint("write a number of minutes, hours or days, as in 5 minutes")
            .at_field("rate")
    };
    let inner = text.trim();
    let inner = inner.strip_prefix("rate(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(inner);
    let mut words = inner.split_ascii_whitespace();
    let (Some(value), Some(unit), None) = (words.next(), words.next(), words.next()) else { return Err(wrong()) };
    let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse::<u32>().ok()).flatten();
    let number = number.filter(|number| *number > 0).ok_or_else(wrong)?;
    let (name, seconds) = UNITS
        .into_iter()
        .find(|(name, _)| {
            unit.eq_ignore_ascii_case(name)
                || unit.strip_suffix(['s', 'S']).is_some_and(|one| one.eq_ignore_ascii_case(name))
        })
        .ok_or_else(wrong)?;
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds <= LONGEST_RATE).ok_or_else(wrong)?;
    let plural = if number == 1 { "" } else { "s" };
    Ok(Expression::Rate { seconds, written: format!("{number} {name}{plural}") })
}

/// Reads a time on the zone's clock, or a moment with its offset from UTC, which becomes the time on that clock.
fn parse_at(text: &str, zone: &TimeZone) -> Result<DateTime> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        let on_clock = zone.to_datetime(moment);
        // The Scheduler knows the time on the clock only, and takes the first of two moments at which clocks show it.
        if let AmbiguousOffset::Fold { before, .. } = zone.to_ambiguous_timestamp(on_clock).offset()
            && before.to_timestamp(on_clock).ok() != Some(moment)
        {
            let problem = format!("clocks show {on_clock} twice, and EventBridge Scheduler runs at the first time");
            return Err(Error::invalid(problem).with_hint("use the time zone UTC for the second time").at_field("at"));
        }
        return Ok(whole_second(on_clock));
    }
    let at: DateTime = text.parse().map_err(|_| {
        Error::invalid(format!("the time {text:?} cannot be read"))
            .with_hint("write it as 2027-01-31T09:00, on the clock of the time zone")
            .at_field("at")
    })?;
    if let AmbiguousOffset::Gap { .. } = zone.to_ambiguous_timestamp(at).offset() {
        let problem = format!("clocks in the time zone never show {at}, because they go forward then");
        return Err(Error::invalid(problem).at_field("at"));
    }
    Ok(whole_second(at))
}

/// The time without a fraction of a second, which AWS cannot express.
fn whole_second(at: DateTime) -> DateTime {
    at.date().at(at.hour(), at.minute(), at.second(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(timing: &Timing, after: &str, count: usize) -> Vec<String> {
        timing.next(after.parse().unwrap(), Timestamp::UNIX_EPOCH, count).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_time_in_the_gap_is_skipped_and_a_repeated_one_runs_once() {
        let timing = Timing::parse(Some("30 2 * * *"), None, None, "Europe/Berlin").unwrap();
        assert_eq!(
            times(&timing, "2027-03-26T12:00:00Z", 2),
            ["2027-03-27T01:30:00Z", "2027-03-29T00:30:00Z"],
            "on 28 March there is no 02:30"
        );
        assert_eq!(
            times(&timing, "2027-10-30T12:00:00Z", 2),
            ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"],
            "on 31 October 02:30 comes twice"
        );
        // From within the second 02:00, the next time is that of the next day.
        assert_eq!(times(&timing, "2027-10-31T01:10:00Z", 1), ["2027-11-01T01:30:00Z"]);
    }

    #[test]
    fn days_are_found_as_aws_has_them() {
        for (cron, after, first) in [
            ("0 12 L * *", "2028-02-01T00:00:00Z", "2028-02-29T12:00:00Z"),
            ("0 12 1W * *", "2027-05-01T00:00:00Z", "2027-05-03T12:00:00Z"),
            ("0 12 31W * *", "2027-10-01T00:00:00Z", "2027-10-29T12:00:00Z"),
            ("0 12 ? * 6L *", "2027-01-01T00:00:00Z", "2027-01-29T12:00:00Z"),
            ("0 12 * * 5L", "2027-01-01T00:00:00Z", "2027-01-29T12:00:00Z"),
            ("0 12 ? * 2#1 *", "2027-01-01T00:00:00Z", "2027-01-04T12:00:00Z"),
            ("0 12 * * MON#5", "2027-01-01T00:00:00Z", "2027-03-29T12:00:00Z"),
            ("0 0 29 2 ? *", "2027-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("5/20 0 * * ? *", "2027-01-01T00:05:00Z", "2027-01-01T00:25:00Z"),
        ] {
            let timing = Timing::parse(Some(cron), None, None, "UTC").unwrap();
            assert_eq!(times(&timing, after, 1), [first], "{cron}");
        }
        let over = Timing::parse(Some("0 0 1 1 ? 2027"), None, None, "UTC").unwrap();
        assert_eq!(times(&over, "2027-06-01T00:00:00Z", 1), Vec::<String>::new());
    }

    #[test]
    fn a_rate_begins_at_once_and_counts_from_there() {
        let timing = Timing::parse(None, Some("rate(90 minutes)"), None, "UTC").unwrap();
        let begin: Timestamp = "2027-01-01T00:00:10Z".parse().unwrap();
        let before = begin.checked_sub(1.second()).unwrap();
        let next: Vec<String> = timing.next(before, begin, 3).iter().map(ToString::to_string).collect();
        assert_eq!(next, ["2027-01-01T00:00:10Z", "2027-01-01T01:30:10Z", "2027-01-01T03:00:10Z"]);
        assert_eq!(timing.aws_expression(), "rate(90 minutes)");
        for wrong in ["", "0 minutes", "5", "5 weeks", "-5 minutes", "+5 minutes", "5 minutes 3", "99999999 days"] {
            assert!(Timing::parse(None, Some(wrong), None, "UTC").is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_time_is_read_on_the_clock_of_its_zone() {
        let timing = |at: &str| Timing::parse(None, None, Some(at), "America/New_York");
        assert_eq!(times(&timing("2027-01-31T09:00").unwrap(), "2027-01-01T00:00:00Z", 2), ["2027-01-31T14:00:00Z"]);
        let moment = timing("2027-01-31T09:00:00Z").unwrap();
        assert_eq!(moment.aws_expression(), "at(2027-01-31T04:00:00)");
        assert!(timing("2027-03-14T02:30").unwrap_err().to_string().contains("go forward"));
        assert!(timing("tomorrow").is_err());
        assert!(Timing::parse(None, None, None, "UTC").is_err());
        assert_eq!(Timing::parse(Some("0 0 31 2 *"), None, None, "UTC").unwrap_err().field(), Some("cron"));
        assert_eq!(Timing::parse(Some("0 0 1 2 *"), None, None, "Mars/Base").unwrap_err().field(), Some("timezone"));
    }
}
