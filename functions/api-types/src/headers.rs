//! Names the headers of the API that are not HTTP's own, in lower case.

/// Carries the caller's API key.
pub const API_KEY: &str = "x-api-key";
/// Carries a text that the caller chooses for one run, so that the run can be asked for again without a second start.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Carries the id of the request in every answer.
pub const REQUEST_ID: &str = "x-request-id";
/// Carries the version of the server in every answer, so that a client of another version can say so.
pub const VERSION: &str = "x-runvoy-version";
/// Carries, beside the link to the next page of executions, the start of the last execution that this page has looked at. A page that
/// searches may have found nothing, and says so how far it came.
pub const SEARCHED_SINCE: &str = "x-searched-since";
