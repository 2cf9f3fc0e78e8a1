//! Finds the execution that a user means by the beginning of an id, or by `@last`.

use runvoy_api_types::{Execution, Me};

use super::context::Context;
use crate::{
    api::WithStatus,
    failure::{Failure, Result},
};

/// The last execution that the caller started.
const LAST: &str = "@last";
/// Characters of an id.
const ID: usize = 32;
/// Characters of the shortest beginning of an id that is looked for.
const MIN_PREFIX: usize = 4;
/// Executions of a page in which a beginning of an id is looked for: as many as the API gives at once.
const SEARCHED: usize = 1000;

/// The id of the execution that a text means. Texts that can be no beginning of an id are left to the API.
///
/// # Errors
/// There is no such execution, or more than one.
pub(super) async fn execution_id(context: &Context, text: &str) -> Result<String> {
    if text == LAST {
        return last(context).await;
    }
    let is_prefix = (MIN_PREFIX..ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !is_prefix {
        return Ok(text.to_owned());
    }
    let (ids, searched) = with_beginning(context, text).await?;
    match ids.as_slice() {
        [id] => Ok(id.clone()),
        [] => Err(Failure::new(format!("none of the {searched} executions has an id that begins with {text}"))
            .remedy("`runvoy list` lists the executions")),
        ids => {
            Err(Failure::new(format!("{} executions have ids that begin with {text}", ids.len()))
                .remedy(ids.join("\n  ")))
        }
    }
}

/// The ids with this beginning, and how many executions were looked at. Ids are random, so that the API cannot look one up by its
/// beginning. The newest [`SEARCHED`] are compared, so that a beginning which two of them have is refused; older ones only until one has it.
async fn with_beginning(context: &Context, text: &str) -> Result<(Vec<String>, usize)> {
    let (mut found, mut searched) = (Vec::new(), 0);
    pages(context, &format!("/executions?limit={SEARCHED}"), |page, is_last| {
        searched += page.len();
        let ids = page.iter().map(|execution| execution.execution_id.to_string());
        found.extend(ids.filter(|id| id.starts_with(text)));
        if found.is_empty() && searched == page.len() && !is_last {
            say!(
                "runvoy: none of the newest {searched} executions has an id that begins with {text}; looking further back"
            );
        }
        searched < SEARCHED || found.is_empty()
    })
    .await?;
    Ok((found, searched))
}

async fn last(context: &Context) -> Result<String> {
    let me: Me = context.api.get("/me").await?.parse()?;
    let mut found = None;
    walk(context, "/executions?limit=100&user=me", SEARCHED, |execution| {
        if found.is_none() && execution.created_by == me.email {
            found = Some(execution.execution_id.to_string());
        }
        found.is_none()
    })
    .await?;
    found.ok_or_else(|| Failure::new("you have not started an execution lately").remedy("`runvoy list` lists them"))
}

/// Calls `visit` with each execution of the pages, newest first, until it returns false or `most` have been visited.
pub(super) async fn walk(
    context: &Context,
    path: &str,
    most: usize,
    mut visit: impl FnMut(&Execution) -> bool,
) -> Result<()> {
    let mut visited = 0;
    let one_by_one = |page: &[WithStatus<Execution>], _| {
        page.iter().all(|execution| {
            visited += 1;
            visited <= most && visit(execution)
        })
    };
    pages(context, path, one_by_one).await
}

/// Calls `visit` with each page, newest first, and with whether it is the last one, until it returns false.
async fn pages(
    context: &Context,
    path: &str,
    mut visit: impl FnMut(&[WithStatus<Execution>], bool) -> bool,
) -> Result<()> {
    let mut path = path.to_owned();
    loop {
        let answer = context.api.get(&path).await?;
        let page: Vec<WithStatus<Execution>> = answer.parse()?;
        let next = answer.next_page();
        if !visit(&page, next.is_none()) {
            return Ok(());
        }
        match next {
            Some(next) => path = next,
            None => return Ok(()),
        }
    }
}
