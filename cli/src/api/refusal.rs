//! Tells users why the API refuses a request, and which command helps. Decides by the error's code and field.

use reqwest::StatusCode;
use runvoy_api_types::{ErrorBody, ErrorCode, Role};
use strum::VariantArray;

use super::answer::Answer;
use crate::failure::Failure;

/// The caller, as far as it matters for the words of a refusal.
pub(super) struct Caller<'a> {
    pub(super) endpoint: &'a str,
    pub(super) has_key: bool,
    /// Why the environment's key is not sent, where there is no other.
    pub(super) withheld: Option<&'a str>,
}

pub(crate) struct Refusal {
    /// The path of the wrong input, such as `env.PORT`.
    pub(crate) field: Option<String>,
    pub(crate) failure: Failure,
}

impl Refusal {
    /// Reads the answer to a request for `path`.
    pub(super) fn read(answer: &Answer, path: &str, caller: &Caller<'_>) -> Self {
        let body: ErrorBody = serde_json::from_str(&answer.text).unwrap_or_default();
        if body.error.is_empty() {
            let failure = Failure::new(format!("{} answers {}", caller.endpoint, answer.status))
                .remedy("check the endpoint: `runvoy config list`");
            return Self { field: None, failure };
        }
        let has_key = caller.has_key;
        let code = body.code.as_deref().and_then(|code| code.parse().ok());
        if let (Some(ErrorCode::Unauthorized), Some(reason)) = (code, caller.withheld) {
            let failure = Failure::new(reason)
                .remedy("give the profile a key of its own: `runvoy configure --profile NAME --endpoint URL`");
            return Self { field: body.field, failure };
        }
        let failure = match code {
            Some(ErrorCode::Unauthorized) if !has_key => Failure::new("no API key is configured"),
            Some(ErrorCode::Forbidden) => Failure::new(what_is_forbidden(&body)),
            _ => Failure::new(body.error.clone()),
        };
        let remedy = remedy(answer.status, path, code, &body, has_key);
        let failure = if remedy.is_empty() { failure } else { failure.remedy(remedy) };
        Self { field: body.field, failure }
    }
}

/// The details of a refusal without the hint at their end. The error itself is one word.
fn what_is_forbidden(body: &ErrorBody) -> String {
    let details = body.details.as_deref().unwrap_or_default();
    let hint = body.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    let message = details.strip_suffix(&hint).unwrap_or(details);
    if message.is_empty() { body.error.clone() } else { message.to_owned() }
}

/// The command that helps, or the API's own words where no command does.
fn remedy(status: StatusCode, path: &str, code: Option<ErrorCode>, body: &ErrorBody, has_key: bool) -> String {
    let field = body.field.as_deref().unwrap_or_default();
    // The run and the playbook of a schedule have the fields of any other.
    let field = field.strip_prefix("run.").or_else(|| field.strip_prefix("playbook.")).unwrap_or(field);
    let command = match (code, field.split('[').next().unwrap_or_default()) {
        (Some(ErrorCode::Unauthorized), _) if !has_key => Some("run `runvoy configure`, or set RUNVOY_API_KEY"),
        (Some(ErrorCode::Unauthorized | ErrorCode::InvalidApiKey | ErrorCode::ApiKeyRevoked), _) => {
            Some("run `runvoy configure` with another key, or ask an admin for a new claim link")
        }
        // The API's own hint says more than the list of permissions does.
        (Some(ErrorCode::Forbidden), _) if body.hint.is_none() => Some("`runvoy whoami` shows what you may do"),
        (Some(ErrorCode::SecretAlreadyExists), _) => {
            Some("change it: `runvoy secrets update NAME`, or choose another name")
        }
        (Some(ErrorCode::InvalidRequest), "secrets") if !field.contains('[') => Some(
            "`runvoy secrets list` shows secrets and variables; `runvoy secrets update NAME --key-name VARIABLE` changes one",
        ),
        (Some(ErrorCode::SecretNotFound), _) | (_, "secrets") => Some("`runvoy secrets list` lists the secrets"),
        (Some(ErrorCode::NotFound), _) => list_of(path),
        (Some(ErrorCode::InvalidRequest), "image") if !path.starts_with("/images") => {
            Some("`runvoy images list` lists the images, and `runvoy images register NAME` adds one")
        }
        (Some(ErrorCode::RunningLimitReached), _) => Some("wait for a place with `--queue`, or try again later"),
        (Some(ErrorCode::CapacityUnavailable), _) => {
            Some("try again in a few minutes, or let the run wait for a place with `--queue`")
        }
        (Some(ErrorCode::Conflict), "lock") => {
            Some("`--queue` waits in line, and `runvoy locks list` shows who holds it and who waits")
        }
        (Some(ErrorCode::Conflict), "slots") => {
            Some("leave `--slots` out, or change those of the lock: `runvoy locks set NAME --slots SLOTS`")
        }
        (Some(ErrorCode::Conflict), "name") if path.starts_with("/notifications") => {
            Some("choose another name, or delete that one: `runvoy notifications delete NAME`")
        }
        (Some(ErrorCode::Conflict), "name") if path.starts_with("/schedules") => {
            Some("choose another name, or delete that one: `runvoy schedules delete NAME`")
        }
        (Some(ErrorCode::Conflict), _) if path == "/users/create" => Some(
            "`runvoy users show EMAIL` shows the user; `users restore` lets one in again, `users claim` makes a new link",
        ),
        (Some(ErrorCode::Conflict), _) if path.starts_with("/users/") && path.ends_with("/claim") => {
            Some("let the user in again: `runvoy users restore EMAIL`")
        }
        (Some(ErrorCode::InvalidRequest), "git_repo") => Some(
            "take the https:// address; a private repository needs a secret whose variable is GIT_TOKEN: `--secret NAME`",
        ),
        (Some(ErrorCode::InvalidRequest), "command") => {
            Some("put a long script into a repository, and name it with `--git-repo`")
        }
        (Some(ErrorCode::InvalidRequest), "after") => Some("`runvoy list` lists the executions with their ids"),
        (Some(ErrorCode::InvalidRequest), "scope.actions") => Some("`runvoy whoami` lists the actions that you may do"),
        (Some(ErrorCode::InvalidRequest), "name") if path.starts_with("/schedules") && is_of_playbook(body) => {
            Some("`runvoy playbook list` lists the playbooks")
        }
        (_, "timeout") => Some("give a duration such as 90s, 10m, 1h30m or 1d"),
        _ => None,
    };
    if let Some(command) = command {
        return command.to_owned();
    }
    if body.field.as_deref() == Some("role") {
        let roles: Vec<String> = Role::VARIANTS.iter().map(ToString::to_string).collect();
        return format!("the roles are {}", roles.join(", "));
    }
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        return "this is a fault of runvoy: report it, with the request id that `--verbose` shows".to_owned();
    }
    if let Some(hint) = &body.hint {
        return hint.clone();
    }
    // `details` repeats the error where there is nothing to add.
    let details = body.details.as_deref().unwrap_or_default();
    let addition = details.strip_prefix(&body.error).unwrap_or(details);
    addition.trim_start_matches([':', ';', '.', ' ']).to_owned()
}

/// Tells whether the wrong input is a part of a schedule's playbook.
fn is_of_playbook(body: &ErrorBody) -> bool {
    body.field.as_deref().is_some_and(|field| field.starts_with("playbook."))
}

/// The command that lists the kind of resource that a path names.
fn list_of(path: &str) -> Option<&'static str> {
    let kind = path.split(['/', '?']).nth(1)?;
    Some(match kind {
        "executions" => "`runvoy list` lists the executions",
        "images" => "`runvoy images list` lists the images",
        "secrets" => "`runvoy secrets list` lists the secrets",
        "users" => "`runvoy users list` lists the users",
        "keys" => "`runvoy keys list` lists the keys",
        "locks" => "`runvoy locks list` lists the locks",
        "playbooks" => "`runvoy playbook list` lists the playbooks",
        "schedules" => "`runvoy schedules list` lists the schedules",
        "notifications" => "`runvoy notifications list` lists the notifications",
        "claim" => "ask an admin for a new link",
        _ => return None,
    })
}
