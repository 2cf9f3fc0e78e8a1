//! Defines approvals: who must agree before an execution starts, and who has.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Email, ExecutionId, Problem, Role, Status, positive, span::Span, time};

/// The most people who must approve.
const MAX_COUNT: u32 = 10;
/// The most names of people and roles who may.
const MAX_NAMES: usize = 100;
/// The shortest and the longest time that an execution waits, in seconds: a minute and a week.
const EXPIRES: std::ops::RangeInclusive<u64> = 60..=7 * 24 * 3600;
/// Seconds that an execution waits if the playbook does not say: a day.
const DEFAULT_EXPIRES: u64 = 24 * 3600;

/// The approvals that runs of a playbook need before they start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approvals {
    /// The number of people who must approve; 1 if absent. The one who asks for the run is never one of them.
    #[serde(default = "one", deserialize_with = "one_or_more")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 10))]
    pub count: u32,
    /// E-mail addresses, and roles as `role:operator`. Admins may approve in any case.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 100, example = json!(["role:operator", "ada@example.com"])))]
    pub by: Vec<String>,
    /// Seconds, or a duration such as `2h`, after which an execution that waits has failed; a day if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "2h"))]
    pub expires: Option<Span>,
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(positive::optional(deserializer)?.unwrap_or_else(one))
}

fn one() -> u32 {
    1
}

impl Approvals {
    /// # Errors
    /// A count, a name or a time that cannot be, at its field.
    pub fn check(&self) -> Result<(), Problem> {
        if !(1..=MAX_COUNT).contains(&self.count) {
            return Err(Problem::new(format!("count must be 1 to {MAX_COUNT}")).at_field("count"));
        }
        if self.by.len() > MAX_NAMES {
            return Err(Problem::new(format!("at most {MAX_NAMES} users and roles may approve")).at_field("by"));
        }
        let mut has_role = false;
        for (at, name) in self.by.iter().enumerate() {
            let parsed = match name.strip_prefix("role:") {
                Some(role) => role.parse::<Role>().map(|_| has_role = true),
                None => Email::parse(name).map(drop),
            };
            parsed.map_err(|problem| Problem { field: Some(format!("by[{at}]")), ..problem })?;
        }
        if !has_role && !self.by.is_empty() && self.by.len() < self.count as usize {
            return Err(Problem::new("fewer people are named than must approve").at_field("count"));
        }
        if self.expires.is_some_and(|span| !EXPIRES.contains(&span.0)) {
            return Err(Problem::new("expires must be a minute to a week").at_field("expires"));
        }
        Ok(())
    }

    /// The wait of an execution that is asked for now.
    pub fn begin(&self, now: Timestamp) -> Approval {
        let seconds = self.expires.map_or(DEFAULT_EXPIRES, |span| span.0);
        let expires_at = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| now.checked_add(jiff::SignedDuration::from_secs(seconds)).ok());
        Approval {
            count: self.count,
            by: self.by.iter().map(|name| name.to_lowercase()).collect(),
            expires_at: expires_at.unwrap_or(now),
            given: Vec::new(),
        }
    }
}

/// The approvals of an execution: those that it needs, and those that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approval {
    pub count: u32,
    /// E-mail addresses, and roles as `role:operator`.
    #[serde(default)]
    pub by: Vec<String>,
    /// The execution has failed if it still waits then.
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub expires_at: Timestamp,
    #[serde(default)]
    pub given: Vec<Decision>,
}

impl Approval {
    /// Tells whether as many have approved as must.
    pub fn is_complete(&self) -> bool {
        self.given.len() >= self.count as usize
    }
}

/// The decision of a person about an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decision {
    pub by: Email,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A request to approve or to deny.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decide {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 1024))]
    pub comment: Option<String>,
}

/// An execution after a decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decided {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub execution_id: ExecutionId,
    pub status: Status,
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approvals_name_people_and_roles_that_there_can_be() {
        let with = |count, by: &[&str], expires| Approvals {
            count,
            by: by.iter().map(|name| (*name).to_owned()).collect(),
            expires: Some(Span(expires)),
        };
        let field = |approvals: Approvals| approvals.check().err().and_then(|problem| problem.field);
        assert_eq!(field(with(2, &["role:operator"], 7200)), None);
        assert_eq!(field(with(1, &[], 60)), None, "admins only");
        for (approvals, expected) in [
            (with(0, &[], 60), "count"),
            (with(2, &["a@example.com"], 60), "count"),
            (with(1, &["role:operator", "root"], 60), "by[1]"),
            (with(1, &["role:root"], 60), "by[0]"),
            (with(1, &["role:admin"], 59), "expires"),
        ] {
            assert_eq!(field(approvals).as_deref(), Some(expected));
        }
    }
}
