//! Cuts lists of names into pages, as ECS does.

use super::refusal::invalid;
use crate::aws::{AwsError, page_token};

/// Items in one answer of ListTasks, ListTaskDefinitions and ListTaskDefinitionFamilies.
const MAX_LISTED: usize = 100;

/// A page of names, and the token of the next one if there is one.
pub(super) fn page<'a>(
    names: impl Iterator<Item = &'a str>,
    max_results: Option<usize>,
    next_token: Option<String>,
) -> Result<(Vec<&'a str>, Option<String>), AwsError> {
    let after =
        next_token.map(|token| page_token::read(&token).ok_or_else(|| invalid("Invalid token."))).transpose()?;
    let limit = max_results.unwrap_or(MAX_LISTED);
    if !(1..=MAX_LISTED).contains(&limit) {
        return Err(invalid(format!("maxResults must be 1 to {MAX_LISTED}.")));
    }
    let mut names: Vec<&str> = names.filter(|name| after.as_deref().is_none_or(|after| *name > after)).collect();
    names.sort_unstable();
    let is_last = names.len() <= limit;
    names.truncate(limit);
    let next = names.last().filter(|_| !is_last).map(|last| page_token::after(last));
    Ok((names, next))
}
