//! Refuses query parameters that a route does not have. A misspelt filter would otherwise list everything.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::{Query, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use runvoy_core::Error;
use utoipa::openapi::{
    RefOr,
    path::{Operation, ParameterIn},
};

use crate::{body, error::ApiError};

/// The most characters of a parameter's name that an error shows.
const MAX_CHARS: usize = 64;

/// The names of a route's parameters. They are read from its description at the first request that has a query.
pub(crate) struct Known {
    names: OnceLock<Vec<String>>,
    describe: fn() -> Operation,
}

impl Known {
    /// The parameters that the description of a handler names.
    pub(crate) fn of<D: utoipa::Path>() -> Arc<Self> {
        Arc::new(Self { names: OnceLock::new(), describe: D::operation })
    }

    fn names(&self) -> &[String] {
        self.names.get_or_init(|| {
            let parameters = (self.describe)().parameters.unwrap_or_default().into_iter();
            let named = parameters.filter_map(|one| match one {
                RefOr::T(one) => Some(one),
                RefOr::Ref(_) => None,
            });
            named.filter(|one| one.parameter_in == ParameterIn::Query).map(|one| one.name).collect()
        })
    }

    fn refuse(&self, unknown: &str) -> Error {
        let names: Vec<&str> = self.names().iter().map(String::as_str).collect();
        let hint = match body::nearest(unknown, &names) {
            Some(name) => format!("did you mean {name}?"),
            None if names.is_empty() => "leave it out: this path takes no parameters".to_owned(),
            None => format!("the parameters are {}", names.join(", ")),
        };
        let shown: String = unknown.chars().take(MAX_CHARS).collect();
        Error::invalid(format!("there is no parameter {shown:?}")).with_hint(hint).at_field(shown)
    }
}

/// Passes a request on if the route has all of its query parameters. One that is empty is as if it were absent.
pub(crate) async fn refuse_unknown(known: Arc<Known>, request: Request, next: Next) -> Response {
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        // A query that cannot be read is for the handler to refuse.
        let given = Query::<Vec<(String, String)>>::try_from_uri(request.uri()).map(|Query(given)| given);
        let given = given.unwrap_or_default();
        if let Some((unknown, _)) =
            given.iter().find(|(name, value)| !value.is_empty() && !known.names().contains(name))
        {
            return ApiError::from(known.refuse(unknown)).into_response();
        }
    }
    next.run(request).await
}
