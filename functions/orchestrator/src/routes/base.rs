//! Says where the API is.

/// The path below which the API is served.
pub(super) const BASE: &str = "/api/v1";
