//! Defines a playbook: commands with what they need and the parameters that callers fill in.
//!
//! Its fields have the same names in a file (YAML) and in the API (JSON). The server, the command line and, through the server, the
//! console check playbooks and values by the rules here.

mod check;
mod check_parts;
#[cfg(feature = "yaml")]
mod fault;
#[cfg(feature = "yaml")]
mod file;
mod parameter;
mod parts;
#[cfg(feature = "yaml")]
mod place;
mod requests;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de};

#[cfg(feature = "yaml")]
pub use file::{FileError, MAX_FILE_BYTES, from_yaml};
pub use parameter::{Parameter, ParameterType};
pub use parts::{BroughtSchedule, PlaybookNotification, PlaybookSchedule, ScheduleOutcome};
#[cfg(feature = "yaml")]
pub use place::line_of;
pub use requests::{
    CheckPlaybook, CheckedPlaybook, DeletedPlaybook, PlaybookAnswer, PlaybookVersions, Playbooks, RunPlaybook,
};

use crate::{
    Approvals, Email, OnConflict, PlaybookName, Problem, RequestId, Retry, object, positive, span::Span, time,
};

/// Commands with what they need, and the parameters that callers fill in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Playbook {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_length = 1024))]
    pub description: String,
    /// An image id or name; the default image if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_repo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_path: Option<String>,
    /// Names of secrets, which the command gets in their variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Environment variables of each run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Seconds, or a duration such as `15m`, after which the command is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "15m"))]
    pub timeout: Option<Span>,
    /// CPU units of each run; 1024 make one virtual CPU. The image's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// MiB of memory of each run. The image's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// GiB of disk, 21 to 200. If absent, the 20 that each task has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u32>,
    /// Runs on Fargate Spot, which costs about a third and may be taken away at any time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    /// Seconds, or a duration such as `2h`, after the request within which a run must have ended, waiting included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "2h"))]
    pub deadline: Option<Span>,
    /// A lock that each run holds until it ends, or a list of them. The text of one is taken, too.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::OneOrMore, example = json!(["tf-production"])))]
    pub lock: Vec<String>,
    /// The number of runs that may hold the lock at the same time; 1 by default.
    #[serde(default, deserialize_with = "positive::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 1000))]
    pub slots: Option<u32>,
    /// The fate of a run that cannot start at once. By default, it is refused. With `queue` it waits as `QUEUED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// The number of attempts of each run, and the ends after which another one follows.
    #[serde(default, deserialize_with = "object::optional", skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Who must approve each run before it starts; nobody if absent.
    #[serde(default, deserialize_with = "object::optional", skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// The notifications that are told of each run of the published playbook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<PlaybookNotification>,
    /// The schedules that run the published playbook. They are made, changed and deleted with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<PlaybookSchedule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Run one after the other by one shell, which ends at the first that fails.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, example = json!(["systemctl restart \"$SERVICE\""])))]
    pub commands: Vec<String>,
}

/// Reads one text, or a list of texts.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a name or a list of names")
        }

        fn visit_str<E>(self, name: &str) -> Result<Vec<String>, E> {
            Ok(if name.is_empty() { Vec::new() } else { vec![name.to_owned()] })
        }

        fn visit_unit<E>(self) -> Result<Vec<String>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some(name) = list.next_element()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    deserializer.deserialize_any(Visitor)
}

impl Playbook {
    /// The commands as a script, each as it is written.
    pub fn command(&self) -> String {
        self.commands.iter().map(|command| command.strip_suffix('\n').unwrap_or(command)).collect::<Vec<_>>().join("\n")
    }

    /// The variables of a run: those of the playbook, and the values of its parameters, which come before them.
    ///
    /// # Errors
    /// The first value that is missing, unknown or wrong, at `parameters.NAME`.
    pub fn variables(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Problem> {
        if let Some(unknown) = given.keys().find(|name| !self.parameters.iter().any(|one| one.name == **name)) {
            let known: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let shown: String = unknown.chars().take(64).collect();
            return Err(Problem::new(format!("the playbook has no parameter {shown:?}"))
                .with_hint(if known.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("its parameters are {}", known.join(", "))
                })
                .at_field(format!("parameters.{shown}")));
        }
        let mut variables = self.env.clone();
        for parameter in &self.parameters {
            let value = parameter.value(given.get(&parameter.name).map(String::as_str))?;
            variables.insert(parameter.name.clone(), value);
        }
        Ok(variables)
    }
}

/// A playbook as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublishedPlaybook {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: PlaybookName,
    #[serde(flatten)]
    pub version: PlaybookVersion,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    /// Users and roles (`role:runner`) that may see and run it. If absent, everyone whose role allows it, which the role runner does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_with: Option<Vec<String>>,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub created_at: Timestamp,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_by_request_id: RequestId,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub modified_by_request_id: RequestId,
    #[serde(flatten)]
    pub playbook: Playbook,
}

/// A version of a playbook: who published it, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaybookVersion {
    /// Counts from 1.
    pub version: u64,
    /// The user with whose rights its runs use the image and the secrets.
    pub published_by: Email,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub published_at: Timestamp,
}

/// A playbook in the list of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaybookSummary {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: PlaybookName,
    #[serde(flatten)]
    pub version: PlaybookVersion,
    #[serde(default)]
    pub description: String,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_with: Option<Vec<String>>,
}
