//! Cuts lists into pages. All lists of the API use the same parameters: `limit`, `cursor` and `q`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use crate::{Error, Result};

/// Bytes of JSON at which a page ends, whatever its limit. Lambda answers with 6 MB at most, and the JSON of the answer is more
/// than its items.
pub const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that a position in a list may have: a sort key of the longest kind, an image's time and id.
const MAX_CURSOR_BYTES: usize = 1024;

/// A place in a list: the sort key of the item before it. Callers see it as an opaque text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The place after the item with this sort key.
    pub fn after(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// # Errors
    /// [`Error::Invalid`] for a text that no page gave.
    pub fn parse(text: &str) -> Result<Self> {
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .filter(|key| (1..=MAX_CURSOR_BYTES).contains(&key.len()))
            .map(Self)
            .ok_or_else(|| {
                Error::invalid("invalid cursor parameter: take it from the Link header of the previous page")
                    .at_field("cursor")
            })
    }

    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// The sort key of the item before this place.
    pub fn key(&self) -> &str {
        &self.0
    }
}

/// The part of a list that a caller asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// The most items; `None` for as many as one answer carries.
    pub limit: Option<usize>,
    /// Where the previous page ended.
    pub cursor: Option<Cursor>,
    /// A part of the name of the items, in any case.
    pub q: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page starts, if there is one.
    pub next: Option<Cursor>,
    /// The number of items in all, those that `q` leaves out included.
    pub total: usize,
}

impl PageRequest {
    /// The page of a list that has been read as a whole, as those of users, images and secrets are. `key` is the sort key, which no
    /// two items share, and `name` is what `q` is looked for in.
    ///
    /// # Errors
    /// [`Error::Internal`] when an item cannot be serialized, which is a bug.
    pub fn of<T: Serialize>(
        &self,
        mut all: Vec<T>,
        key: impl Fn(&T) -> String,
        name: impl Fn(&T) -> String,
    ) -> Result<Page<T>> {
        let total = all.len();
        all.sort_by_cached_key(&key);
        let q = self.q.as_deref().unwrap_or_default().to_lowercase();
        let after = self.cursor.as_ref().map_or("", Cursor::key);
        let limit = self.limit.unwrap_or(usize::MAX);
        let (mut items, mut bytes, mut last) = (Vec::new(), 0, None);
        let wanted = all.into_iter().filter(|item| name(item).to_lowercase().contains(&q));
        for item in wanted {
            let place = key(&item);
            if place.as_str() <= after {
                continue;
            }
            if items.len() >= limit || bytes >= MAX_PAGE_BYTES {
                return Ok(Page { items, next: last.map(Cursor), total });
            }
            bytes += serde_json::to_vec(&item)
                .map_err(|error| Error::internal_with("an item of a list could not be serialized", error))?
                .len();
            last = Some(place);
            items.push(item);
        }
        Ok(Page { items, next: None, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(limit: Option<usize>, q: &str) -> PageRequest {
        PageRequest { limit, q: Some(q.to_owned()), cursor: None }
    }

    fn pages(mut request: PageRequest, all: &[String]) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        loop {
            let page = request.of(all.to_vec(), |item| item.chars().take(9).collect(), Clone::clone).unwrap();
            assert_eq!(page.total, all.len());
            pages.push(page.items);
            match page.next {
                Some(next) => request.cursor = Some(Cursor::parse(&next.encode()).unwrap()),
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_hold_every_item_once_in_order() {
        let all: Vec<String> = ["d", "b", "Ca", "e", "a"].map(str::to_owned).to_vec();
        assert_eq!(pages(request(Some(2), ""), &all), [vec!["Ca", "a"], vec!["b", "d"], vec!["e"]]);
        assert_eq!(pages(request(Some(5), ""), &all).len(), 1, "a full last page has no next one");
        assert_eq!(pages(request(None, "A"), &all), [["Ca", "a"]]);
        assert_eq!(pages(request(Some(1), "a"), &all), [["Ca"], ["a"]]);
    }

    #[test]
    fn a_page_ends_at_its_size_too() {
        let all: Vec<String> = (0..10).map(|n| format!("{n}{}", "x".repeat(1024 * 1024))).collect();
        let pages = pages(request(None, ""), &all);
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    }

    #[test]
    fn a_cursor_reads_back_and_nonsense_does_not() {
        let cursor = Cursor::after("2026-01-02T03:04:05.000Z#abc");
        assert_eq!(Cursor::parse(&cursor.encode()).unwrap(), cursor);
        for bad in ["", "!!", "é", "_w"] {
            assert!(matches!(Cursor::parse(bad), Err(Error::Invalid(_))), "{bad}");
        }
    }
}
