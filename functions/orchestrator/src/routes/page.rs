//! Reads the parameters that all lists share, and names the next page in the header `Link`.

use axum::http::{HeaderName, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runvoy_core::{
    Error,
    page::{Cursor, PageRequest},
};
use serde::Deserialize;

use super::base::BASE;
use crate::error::Result;

/// The parameters of a list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParameters {
    /// The largest number of items; as many as one answer carries if absent or 0.
    #[param(pattern = "^[0-9]{0,9}$")]
    pub(super) limit: Option<String>,
    /// From the `Link` header of the previous page.
    cursor: Option<String>,
    /// A part of the name, in any case.
    q: Option<String>,
}

impl PageParameters {
    /// # Errors
    /// 400 for a limit that is no number, and for a cursor that no page gave.
    pub(super) fn request(&self) -> Result<PageRequest> {
        Ok(PageRequest {
            limit: limit(self.limit.as_deref())?.filter(|limit| *limit > 0),
            cursor: cursor(self.cursor.as_deref())?,
            q: self.q.clone().filter(|q| !q.is_empty()),
        })
    }

    /// The header that names the page after this one, if there is one. `path` is the list's path below the API's base.
    pub(super) fn link(&self, path: &str, next: Option<&Cursor>) -> Option<[(HeaderName, String); 1]> {
        let parameters = [("limit", self.limit.as_deref()), ("q", self.q.as_deref())];
        Some(link(path, &parameters, next?))
    }
}

/// A number of one to nine digits, without a sign: no limit, count or version is larger.
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = Some(text).filter(|text| text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok())
}

/// The limit of a page, if the caller sets one.
pub(super) fn limit(text: Option<&str>) -> Result<Option<usize>> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => {
            let limit = number(text).ok_or_else(|| Error::invalid("invalid limit parameter").at_field("limit"))?;
            Ok(Some(limit.try_into().unwrap_or(usize::MAX)))
        }
    }
}

/// The place at which a page starts, if the caller names one.
pub(super) fn cursor(text: Option<&str>) -> Result<Option<Cursor>> {
    Ok(text.filter(|text| !text.is_empty()).map(Cursor::parse).transpose()?)
}

/// The header by which a page names the next one, with those of the page's own parameters that it had.
pub(super) fn link(path: &str, parameters: &[(&str, Option<&str>)], next: &Cursor) -> [(HeaderName, String); 1] {
    let mut target = format!("{path}?cursor={}", next.encode());
    for (name, value) in parameters {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            target.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
    }
    self::next(&target)
}

/// The header that names this path below the API's base as that of the next page (RFC 8288).
pub(super) fn next(target: &str) -> [(HeaderName, String); 1] {
    [(header::LINK, format!("<{BASE}{target}>; rel=\"next\""))]
}
