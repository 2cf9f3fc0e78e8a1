//! Hands over the API key of a claim.

use axum::{
    Extension, Json,
    extract::State,
    http::{Extensions, HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use runvoy_api_types::Claimed;
use runvoy_core::{App, Error, RequestId, claim, user};

use super::tags;
use crate::{
    error::{self, Result},
    extract::Path,
    middleware::client_address,
};

/// Hands over a new user's API key
///
/// Works once, within 15 minutes of the user's creation. Of two claims at once exactly one wins. HEAD and a browser's prefetch say
/// whether the claim is open, and claim nothing.
#[utoipa::path(get, path = "/claim/{token}", operation_id = "claim_key", tag = tags::USERS, security(()),
    params(("token" = String, Path, description = "From the answer that created the user")),
    responses((status = 200, body = Claimed, description = "The key; it is not shown again"), error::Malformed, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn claim(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    method: Method,
    headers: HeaderMap,
    extensions: Extensions,
    Path(token): Path,
) -> Result<Response> {
    if method == Method::HEAD {
        claim::check(&app, &token).await?;
        return Ok(StatusCode::OK.into_response());
    }
    if is_prefetch(&headers) {
        return Err(Error::invalid("a prefetch claims no key").with_hint("open the link itself").into());
    }
    let (key, user_email) = user::redeem(&app, &token, &id, client_address(&extensions)).await?;
    let message = "Keep this key: it is not shown again. Send it as the X-API-Key header.".to_owned();
    Ok(Json(Claimed { api_key: key.expose().to_owned(), user_email, message }).into_response())
}

/// Tells whether a browser loads the link before its user opens it ("Sec-Purpose", Fetch standard, and its older forms).
fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"].iter().any(|name| {
        headers.get(*name).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("prefetch") || value.contains("prerender") || value.contains("preview")
        })
    })
}
