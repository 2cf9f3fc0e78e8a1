//! Reads cron expressions, of five fields as crontab has them or of six as EventBridge Scheduler has them, and finds the days and times
//! that they name ("Cron-based schedules", EventBridge Scheduler User Guide).
//!
//! Each expression that is read can be written for AWS. A form of crontab that AWS cannot express is refused, with the reason.

use jiff::civil::{Date, Weekday};

use crate::{Error, Result};

/// Names of the months, as cron expressions may have them.
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
/// The days of the week by AWS's numbers, which begin with 1.
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// The years that AWS takes.
const YEARS: (u16, u16) = (1970, 2199);
/// crontab's names for expressions that are often used, and the expressions.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: Numbers,
    hours: Numbers,
    days: Days,
    months: Numbers,
    years: Numbers,
    /// The six fields as AWS takes them.
    fields: String,
}

/// The days of a month that an expression names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    Each,
    OfMonth(Numbers),
    /// `L`.
    LastOfMonth,
    /// `15W`: the weekday from Monday to Friday in the same month that is nearest to this day.
    WorkdayNear(u16),
    /// By AWS's numbers: 1 is Sunday.
    OfWeek(Numbers),
    /// `6L`: the last such day of the month.
    LastOfWeek(u16),
    /// `2#1`: the first Monday of the month.
    Nth(u16, u16),
}

/// The numbers that a field names, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbers {
    listed: Vec<u16>,
    /// Tells whether the field names each number that it can have.
    is_each: bool,
}

impl Numbers {
    fn has(&self, number: u16) -> bool {
        self.is_each || self.listed.binary_search(&number).is_ok()
    }

    fn has_i8(&self, number: i8) -> bool {
        u16::try_from(number).is_ok_and(|number| self.has(number))
    }
}

/// A field of an expression, and what it may hold.
struct Field {
    name: &'static str,
    range: (u16, u16),
    names: &'static [&'static str],
    /// The number of the first name.
    first_name: u16,
}

/// The fields of an expression, with the numbers and names that each may have.
const MINUTE: Field = Field { name: "minute", range: (0, 59), names: &[], first_name: 0 };
const HOUR: Field = Field { name: "hour", range: (0, 23), names: &[], first_name: 0 };
const DAY_OF_MONTH: Field = Field { name: "day of month", range: (1, 31), names: &[], first_name: 1 };
const MONTH: Field = Field { name: "month", range: (1, 12), names: &MONTHS, first_name: 1 };
const DAY_OF_WEEK: Field = Field { name: "day of week", range: (1, 7), names: &DAYS, first_name: 1 };
/// As crontab numbers the days: 0 and 7 are Sunday.
const CRONTAB_DAY: Field = Field { name: "day of week", range: (0, 7), names: &DAYS, first_name: 0 };
const YEAR: Field = Field { name: "year", range: YEARS, names: &[], first_name: 0 };

impl Field {
    fn refuse(&self, text: &str, why: impl std::fmt::Display) -> Error {
        Error::invalid(format!("the {} {text:?} {why}", self.name)).at_field("cron")
    }

    fn number(&self, text: &str) -> Result<u16> {
        let (first, last) = self.range;
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named.and_then(|at| u16::try_from(at).ok()) {
            Some(at) => Some(at + self.first_name),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        number.filter(|number| (first..=last).contains(number)).ok_or_else(|| {
            let names = match (self.names.first(), self.names.last()) {
                (Some(first), Some(last)) => format!(", or {first} to {last}"),
                _ => String::new(),
            };
            self.refuse(text, format!("must be {first} to {last}{names}"))
        })
    }

    /// Reads a list of numbers, ranges and steps: `*`, `1,2`, `1-5`, `*/15`, `5/15`, `8-18/2`.
    fn numbers(&self, text: &str) -> Result<Numbers> {
        let (first, last) = self.range;
        let mut listed = Vec::new();
        for part in text.split(',') {
            let (span, step) = match part.split_once('/') {
                Some((span, step)) => {
                    let number = step.parse::<u16>().ok().filter(|step| (1..=last).contains(step));
                    let number = number.ok_or_else(|| self.refuse(part, format!("needs a step of 1 to {last}")))?;
                    (span, Some(number))
                }
                None => (part, None),
            };
            let (from, to) = match span.split_once('-') {
                _ if span == "*" => (first, last),
                Some((from, to)) => {
                    let from = self.number(from)?;
                    (from, self.range_end(from, to)?)
                }
                None if step.is_some() => (self.number(span)?, last),
                None => self.number(span).map(|one| (one, one))?,
            };
            if from > to {
                return Err(self
                    .refuse(part, "is a range that ends before it begins")
                    .with_hint("write two ranges, as in 22-23,0-2"));
            }
            listed.extend((from..=to).step_by(usize::from(step.unwrap_or(1))));
        }
        listed.sort_unstable();
        listed.dedup();
        Ok(Numbers { is_each: listed.len() == usize::from(last - first) + 1, listed })
    }

    /// The end of a range. In crontab, a range that begins with another day may end with Sunday.
    fn range_end(&self, from: u16, text: &str) -> Result<u16> {
        let number = self.number(text)?;
        let is_sunday = number == 0 && self.first_name == 0 && !self.names.is_empty();
        Ok(if is_sunday && from > 0 { 7 } else { number })
    }
}

impl Cron {
    /// Reads five fields, six fields, or a nickname such as `@daily`. `cron(…)` around them is the same.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the field, or says why AWS cannot express it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let inner = text.trim();
        let inner = inner.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(inner);
        let fields: Vec<&str> = inner.split_ascii_whitespace().collect();
        match fields.as_slice() {
            [nickname] if nickname.starts_with('@') => {
                let found = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(nickname));
                let (_, fields) = found.ok_or_else(|| {
                    let names: Vec<&str> = NICKNAMES.iter().map(|(name, _)| *name).collect();
                    Error::invalid(format!("no cron expression is named {nickname:?}"))
                        .with_hint(format!("use five or six fields, or one of {}", names.join(", ")))
                        .at_field("cron")
                })?;
                Self::parse(fields)
            }
            [minute, hour, day, month, weekday] => Self::of_crontab(minute, hour, day, month, weekday),
            [minute, hour, day, month, weekday, year] => {
                let days = days_of_aws(day, weekday)?;
                Self::new(minute, hour, days, (day, month, weekday), year)
            }
            fields => Err(Error::invalid(format!("a cron expression has five or six fields, not {}", fields.len()))
                .with_hint("five as in crontab (30 2 * * 1-5), or six as in AWS (30 2 ? * MON-FRI *)")
                .at_field("cron")),
        }
    }

    /// The six fields in the form of AWS, as `cron(…)` has them.
    pub(super) fn fields(&self) -> &str {
        &self.fields
    }

    fn of_crontab(minute: &str, hour: &str, day: &str, month: &str, weekday: &str) -> Result<Self> {
        let is_open = |field: &str| field == "*" || field == "?";
        let (days, day, weekday) = match (is_open(day), is_open(weekday)) {
            (true, true) => (Days::Each, "*".to_owned(), "?".to_owned()),
            (false, true) => (days_of_month(day)?, day.to_owned(), "?".to_owned()),
            (true, false) => {
                let (days, text) = crontab_weekdays(weekday)?;
                (days, "?".to_owned(), text)
            }
            (false, false) => {
                return Err(Error::invalid(
                    "a day of the month and a day of the week are given; crontab runs on either, and EventBridge Scheduler cannot express that",
                )
                .with_hint("make two schedules, each with a `*` in one of the two fields")
                .at_field("cron"));
            }
        };
        Self::new(minute, hour, days, (&day, month, &weekday), "*")
    }

    fn new(
        minute: &str,
        hour: &str,
        days: Days,
        (day, month, weekday): (&str, &str, &str),
        year: &str,
    ) -> Result<Self> {
        let cron = Self {
            minutes: MINUTE.numbers(minute)?,
            hours: HOUR.numbers(hour)?,
            days,
            months: MONTH.numbers(month)?,
            years: YEAR.numbers(year)?,
            fields: [minute, hour, day, month, weekday, year].join(" ").to_ascii_uppercase(),
        };
        Ok(cron)
    }

    /// Tells whether the expression names this day.
    pub(super) fn has_day(&self, date: Date) -> bool {
        self.has_month(date) && self.days.has(date)
    }

    /// Tells whether the expression names the year and the month of this day.
    pub(super) fn has_month(&self, date: Date) -> bool {
        u16::try_from(date.year()).is_ok_and(|year| self.years.has(year) && year <= YEARS.1)
            && self.months.has_i8(date.month())
    }

    /// The hours and minutes of a day that the expression names, in order.
    pub(super) fn times(&self) -> impl Iterator<Item = (i8, i8)> {
        let of = |numbers: &Numbers| -> Vec<i8> {
            numbers.listed.iter().filter_map(|one| i8::try_from(*one).ok()).collect()
        };
        let minutes = of(&self.minutes);
        of(&self.hours).into_iter().flat_map(move |hour| minutes.clone().into_iter().map(move |minute| (hour, minute)))
    }

    /// The last year that the expression names.
    pub(super) fn last_year(&self) -> i16 {
        self.years.listed.last().and_then(|year| i16::try_from(*year).ok()).unwrap_or_default()
    }
}

impl Days {
    fn has(&self, date: Date) -> bool {
        let weekday = u16::from(date.weekday().to_sunday_one_offset().unsigned_abs());
        let day = u16::from(date.day().unsigned_abs());
        let last = u16::from(date.days_in_month().unsigned_abs());
        match self {
            Self::Each => true,
            Self::OfMonth(days) => days.has(day),
            Self::LastOfMonth => day == last,
            Self::WorkdayNear(near) => *near <= last && workday_near(date, *near, last) == Some(day),
            Self::OfWeek(days) => days.has(weekday),
            Self::LastOfWeek(wanted) => weekday == *wanted && day + 7 > last,
            Self::Nth(wanted, nth) => weekday == *wanted && day.div_ceil(7) == *nth,
        }
    }
}

/// The weekday that is nearest to a day, in the month of `date`.
fn workday_near(date: Date, day: u16, last: u16) -> Option<u16> {
    let near = date.with().day(i8::try_from(day).ok()?).build().ok()?;
    Some(match near.weekday() {
        Weekday::Saturday if day == 1 => 3,
        Weekday::Saturday => day - 1,
        Weekday::Sunday if day == last => day - 2,
        Weekday::Sunday => day + 1,
        _ => day,
    })
}

/// The days that the two fields of AWS's form name. One of the fields is `?`.
fn days_of_aws(day: &str, weekday: &str) -> Result<Days> {
    match (day, weekday) {
        ("?", "?") => {
            Err(Error::invalid("one of day of month and day of week must be given; both are `?`").at_field("cron"))
        }
        ("?", "*") | ("*", "?") => Ok(Days::Each),
        ("?", weekday) => weekdays(weekday, &DAY_OF_WEEK),
        (day, "?") => days_of_month(day),
        _ => Err(Error::invalid("day of month and day of week are both given")
            .with_hint("with six fields, one of the two is `?`, as in 0 2 ? * MON *")
            .at_field("cron")),
    }
}

fn days_of_month(text: &str) -> Result<Days> {
    let upper = text.to_ascii_uppercase();
    if upper == "L" {
        return Ok(Days::LastOfMonth);
    }
    if let Some(day) = upper.strip_suffix('W').filter(|day| *day != "L") {
        return DAY_OF_MONTH.number(day).map(Days::WorkdayNear);
    }
    if upper.contains(['L', 'W']) {
        return Err(
            DAY_OF_MONTH.refuse(text, "cannot be expressed: `L` stands alone, and `W` after one day, as in 15W")
        );
    }
    Ok(match DAY_OF_MONTH.numbers(text)? {
        numbers if numbers.is_each => Days::Each,
        numbers => Days::OfMonth(numbers),
    })
}

fn weekdays(text: &str, field: &Field) -> Result<Days> {
    let upper = text.to_ascii_uppercase();
    if let Some((day, nth)) = upper.split_once('#') {
        let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
        let nth = nth.ok_or_else(|| field.refuse(text, "needs one number from 1 to 5 after `#`, and no second day"))?;
        return Ok(Days::Nth(field.number(day)?, nth));
    }
    if upper == "L" {
        // The last day of the week.
        return Ok(Days::OfWeek(Numbers { listed: vec![7], is_each: false }));
    }
    if let Some(day) = upper.strip_suffix('L').filter(|day| !day.contains([',', '-', '/'])) {
        return field.number(day).map(Days::LastOfWeek);
    }
    if upper.contains('/') && field.first_name == 1 {
        return Err(field
            .refuse(text, "has a step, which AWS does not take here")
            .with_hint("list the days, as in MON,WED,FRI"));
    }
    Ok(match field.numbers(&upper)? {
        numbers if numbers.is_each => Days::Each,
        numbers => Days::OfWeek(numbers),
    })
}

/// Reads crontab's days of the week, and writes them with AWS's names, because AWS has other numbers.
fn crontab_weekdays(text: &str) -> Result<(Days, String)> {
    let name = |aws: u16| DAYS[usize::from(aws - 1)];
    // 0 and 7 are Sunday, which is 1 in AWS.
    let aws = |crontab: u16| crontab % 7 + 1;
    if text.eq_ignore_ascii_case("L") {
        return Err(CRONTAB_DAY
            .refuse(text, "alone means different days in crontab and AWS")
            .with_hint("name the day: SAT, or SATL for the last one of the month"));
    }
    Ok(match weekdays(text, &CRONTAB_DAY)? {
        Days::Nth(day, nth) => (Days::Nth(aws(day), nth), format!("{}#{nth}", name(aws(day)))),
        Days::LastOfWeek(day) => (Days::LastOfWeek(aws(day)), format!("{}L", name(aws(day)))),
        Days::OfWeek(days) => {
            let mut listed: Vec<u16> = days.listed.into_iter().map(aws).collect();
            listed.sort_unstable();
            listed.dedup();
            let text = listed.iter().map(|day| name(*day)).collect::<Vec<_>>().join(",");
            if listed.len() == DAYS.len() {
                (Days::Each, "*".to_owned())
            } else {
                (Days::OfWeek(Numbers { listed, is_each: false }), text)
            }
        }
        _ => (Days::Each, "*".to_owned()),
    })
}

#[cfg(test)]
mod tests;
