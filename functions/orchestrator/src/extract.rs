//! Extracts what handlers need from a request: the caller, the path, the query and the body.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
};
use runvoy_api_types::{headers, limits::MAX_BODY_BYTES};
use runvoy_core::{
    App, Error, RequestId,
    audit::Actor,
    auth::{self, Action, Authenticated, NamedRefusal, Principal, Resource, policy},
    key::ApiKeyHash,
};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::{
    body,
    error::{ApiError, Denial},
    middleware::{KeyUses, client_address},
};

/// The address at which the caller reaches this API, such as `https://abc.lambda-url.us-east-1.on.aws`. Empty if the request does
/// not say it.
pub(crate) fn own_address(uri: &Uri) -> String {
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        _ => String::new(),
    }
}

/// The address of the pages that people read: the web app's, or the console's, which is the API's own.
pub(crate) fn web_url(app: &App, uri: &Uri) -> String {
    app.config.web_url.clone().unwrap_or_else(|| own_address(uri))
}

/// The user that a request comes from. A handler that takes this argument requires an API key.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// The caller as the audit names them.
    pub(crate) actor: Actor,
}

impl Caller {
    /// # Errors
    /// 403 unless the policies permit it. The answer carries the refusal to the audit.
    pub(crate) fn may(&self, action: Action, resource: Resource<'_>) -> Result<(), ApiError> {
        policy::authorize(&self.principal, action, resource).map_err(|error| {
            let (action, resource) = (action.permission(), resource.name());
            ApiError::Denied(error, Box::new(Denial { actor: self.actor.clone(), action, resource }))
        })
    }
}

impl Caller {
    /// The resource that a request names, if the caller may do this to it.
    ///
    /// # Errors
    /// 404 for one that does not exist, and for one that the caller may not see; 403 otherwise. The answer carries a refusal to the audit.
    pub(crate) fn may_named<T>(
        &self,
        action: Action,
        name: &str,
        found: runvoy_core::Result<T>,
        resource: impl Fn(&T) -> Resource<'_>,
    ) -> Result<T, ApiError> {
        let denied = |error, of: String| {
            let denial = Denial { actor: self.actor.clone(), action: action.permission(), resource: of };
            ApiError::Denied(error, Box::new(denial))
        };
        match found {
            // The fault is not the caller's, and says nothing about the name.
            Err(error) if error.code().status() >= 500 => Err(error.into()),
            Err(error) => match auth::authorize_named(&self.principal, action, name, None) {
                Err(NamedRefusal::Refused(refusal)) => Err(denied(refusal, action.resource_named(name))),
                _ => Err(error.into()),
            },
            Ok(found) => match auth::authorize_named(&self.principal, action, name, Some(resource(&found))) {
                Ok(()) => Ok(found),
                Err(NamedRefusal::Refused(error) | NamedRefusal::Hidden(error)) => {
                    Err(denied(error, resource(&found).name()))
                }
                Err(NamedRefusal::Missing) => Err(Error::internal("a resource that was found is missing").into()),
            },
        }
    }

    /// Tells whether the policies permit it, for lists that show a caller what they may see. A refusal is none for the audit.
    pub(crate) fn would_be_allowed(&self, action: Action, resource: Resource<'_>) -> bool {
        policy::authorize(&self.principal, action, resource).is_ok()
    }

    /// # Errors
    /// 403 if the caller's key is limited and does not reach what a run names, whether it exists or not.
    pub(crate) fn may_name(&self, image: Option<&str>, secrets: &[String]) -> Result<(), ApiError> {
        auth::check_scope_of_use(&self.principal, image, secrets).map_err(|error| self.denied_use(error))
    }

    /// The answer to a run that failed. If the caller may not use what the run names, it carries the refusal to the audit.
    pub(crate) fn denied_use(&self, error: Error) -> ApiError {
        let (Error::ForbiddenUse { kind, name } | Error::BeyondScope { used: Some((kind, name)), .. }) = &error else {
            return ApiError::Core(error);
        };
        let (action, resource) = (format!("{kind}s:use"), format!("{kind}:{name}"));
        ApiError::Denied(error, Box::new(Denial { actor: self.actor.clone(), action, resource }))
    }
}

/// A caller whose key has not been looked up yet: for a handler that reads what the request is about at the same time.
pub(crate) struct Presented {
    key: ApiKeyHash,
    request_id: RequestId,
    source_address: Option<String>,
    key_uses: Option<KeyUses>,
}

impl<S: Send + Sync> FromRequestParts<S> for Presented {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self {
            key: auth::presented(api_key(&parts.headers))?,
            request_id: parts.extensions.get::<RequestId>().cloned().unwrap_or_default(),
            source_address: client_address(&parts.extensions),
            key_uses: parts.extensions.get::<KeyUses>().cloned(),
        })
    }
}

impl Presented {
    /// Looks the key up.
    ///
    /// # Errors
    /// 401, and 503 when DynamoDB fails.
    pub(crate) async fn caller(self, app: &App) -> Result<Caller, ApiError> {
        let Self { key, request_id, source_address, key_uses } = self;
        let actor_of = |principal: &Principal| Actor::user(principal, &request_id, source_address.clone());
        let (principal, key_use) = match auth::authenticate_hash(app, key).await? {
            Authenticated::Yes(principal, key_use) => (principal, key_use),
            Authenticated::No(principal, error) => {
                let actor = actor_of(&principal);
                let resource = format!("key:{}", actor.key_id.clone().unwrap_or_default());
                let denial = Denial { actor, action: "keys:use".to_owned(), resource };
                return Err(ApiError::Denied(error, Box::new(denial)));
            }
        };
        let actor = actor_of(&principal);
        let span = tracing::Span::current();
        span.record("user", actor.name.as_str());
        span.record("key_id", actor.key_id.as_deref());
        tracing::debug!(role = %principal.role, "authenticated");
        if let Some((key_use, key_uses)) = key_use.zip(key_uses) {
            // The receiver lives as long as the request.
            let _ = key_uses.send(key_use);
        }
        Ok(Caller { principal, actor })
    }

    /// Looks the key up while `read` runs, so that both take one round trip. What was read says nothing to a caller whom the key, or the
    /// policies afterwards, refuse.
    ///
    /// # Errors
    /// As [`Presented::caller`].
    pub(crate) async fn and<T>(self, app: &App, read: impl Future<Output = T>) -> Result<(Caller, T), ApiError> {
        let (caller, read) = tokio::join!(self.caller(app), read);
        Ok((caller?, read))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        Presented::from_request_parts(parts, app).await?.caller(app).await
    }
}

/// The API key that a request presents.
pub(crate) fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get(headers::API_KEY).and_then(|key| key.to_str().ok())
}

/// The variable part of the path, decoded.
pub(crate) struct Path(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(text)| Self(text))
            .map_err(|_| Error::invalid("the path is not valid percent-encoded UTF-8").into())
    }
}

/// The parameters of the query.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(parameters)| Self(parameters)).map_err(|_| {
            Error::invalid("the query parameters cannot be read").with_hint("give each once, percent-encoded").into()
        })
    }
}

/// The body of a request that has no fields. Another body would be one for another route, or for a later version.
#[derive(serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct NoFields {}

/// A JSON body, with any content type. If a `POST` has none, it means the same as an empty object.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned + ToSchema, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let encoding = request.headers().get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
        if encoding.is_some_and(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")) {
            return Err(ApiError::EncodedBody);
        }
        let is_post = request.method() == Method::POST;
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge { limit: MAX_BODY_BYTES },
            _ => Error::invalid("the body could not be read").into(),
        })?;
        // A POST of which everything is optional needs no body. Any other change says what something becomes.
        let bytes =
            if is_post && matches!(bytes.trim_ascii(), b"" | b"null") { Bytes::from_static(b"{}") } else { bytes };
        Ok(Self(body::parse(&bytes)?))
    }
}
