//! Shows the audit.

use std::time::Duration;

use axum::{Json, extract::State, response::IntoResponse};
use jiff::Timestamp;
use runvoy_api_types::{Audit, Email};
use runvoy_core::{
    App, Error,
    audit::read::{self, Filter},
    auth::{Action, Resource},
    user,
};
use serde::Deserialize;

use super::{page, tags};
use crate::{
    error::{self, Result},
    extract::{Caller, Query},
};

/// Entries of a page for which no limit is asked.
const DEFAULT_LIMIT: usize = 100;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// An e-mail address, or the name of what acts without a user.
    actor: Option<String>,
    /// Such as `secrets:read`.
    action: Option<String>,
    /// Such as `secret:prod`.
    resource: Option<String>,
    #[param(value_type = Option<String>, pattern = "^(done|refused|failed)?$")]
    outcome: Option<String>,
    /// RFC 3339, or seconds since 1970. Entries from this time on.
    since: Option<String>,
    /// RFC 3339, or seconds since 1970. Entries before this time.
    until: Option<String>,
    /// The largest number of items; 100 by default, and 1000 at most.
    #[param(pattern = "^[0-9]{0,9}$")]
    limit: Option<String>,
    /// From the `Link` header of the previous page.
    cursor: Option<String>,
}

/// Shows who did what, or was refused it, newest first
///
/// One entry for each change, each value of a secret that was read, each image and secret that a run used, and each refusal. A page ends
/// after a second of work, even with nothing found; the header `Link: <…>; rel="next"` goes on from there.
#[utoipa::path(get, path = "/audit", operation_id = "audit", tag = tags::OPERATIONS, params(ListParameters),
    responses((status = 200, body = Audit, description = "Entries", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListParameters>,
) -> Result<impl IntoResponse> {
    caller.may(Action::ReadAudit, Resource::Account)?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut filter = Filter {
        // Addresses are kept in lower case.
        actor: given(&query.actor).map(|actor| Email::parse(&actor).map_or(actor, |email| email.to_string())),
        action: given(&query.action),
        resource: given(&query.resource),
        outcome: given(&query.outcome)
            .map(|outcome| {
                outcome.parse().map_err(|_| {
                    Error::invalid(format!("outcome {outcome:?} is none of done, refused, failed")).at_field("outcome")
                })
            })
            .transpose()?,
        since: given(&query.since).map(|time| time_of("since", &time)).transpose()?,
        until: given(&query.until).map(|time| time_of("until", &time)).transpose()?,
    };
    if filter.since.is_none() && filter.goes_through_days() {
        filter.since = Some(first_day(&app).await?);
    }
    let limit = page::limit(query.limit.as_deref())?.filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT);
    let cursor = page::cursor(query.cursor.as_deref())?;
    let (entries, next) = read::page(&app, &filter, limit, cursor.as_ref()).await?;
    let parameters = [
        ("actor", query.actor.as_deref()),
        ("action", query.action.as_deref()),
        ("resource", query.resource.as_deref()),
        ("outcome", query.outcome.as_deref()),
        ("since", query.since.as_deref()),
        ("until", query.until.as_deref()),
        ("limit", query.limit.as_deref()),
    ];
    let link = next.map(|next| page::link("/audit", &parameters, &next));
    Ok((link, Json(Audit { entries })))
}

fn time_of(name: &str, text: &str) -> Result<Timestamp> {
    let seconds = text.parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.or_else(|| text.parse().ok()).ok_or_else(|| {
        Error::invalid(format!("{name} must be a time such as 2026-01-31T12:00:00Z, or seconds since 1970"))
            .at_field(name)
            .into()
    })
}

/// The time at which a search begins that names none: the day before the first user was created. Days before that have entries of programs
/// only, which a search finds that says `since`.
async fn first_day(app: &App) -> Result<Timestamp> {
    let created = user::first_created_at(app).await?.unwrap_or_else(|| app.now());
    Ok(created.checked_sub(Duration::from_hours(24)).unwrap_or(created))
}
