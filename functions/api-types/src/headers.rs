//! Names the headers of the API that are not HTTP's own, in lower case.

/// Carries the caller's API key.
pub const API_KEY: &str = "x-api-key";
/// Carries a text that the caller chooses for one run, so that the run can be asked for again without a second start.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Carries the id of the request in every answer.
pub const REQUEST_ID: &str = "x-request-id";
