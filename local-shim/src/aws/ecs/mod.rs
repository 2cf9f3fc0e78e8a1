//! Emulates ECS: task definitions, and tasks that run as processes or in Docker. `cluster.rs` and `transition.rs` are the model, which
//! `lifecycle.rs` drives with the containers of `runner`.

mod cluster;
mod definition;
mod launch;
mod lifecycle;
mod operations;
mod request;
pub mod runner;
mod size;
mod store;
mod task;
mod transition;

pub(super) use self::cluster::CONCURRENT_REGISTRATION;
pub use self::{
    cluster::{Answered, Cluster, Order, Settings},
    lifecycle::Ecs,
    store::Store,
    task::Task,
    transition::{Secret, Transition},
};
use super::{AwsError, page_token};

/// Items in one answer of ListTasks, ListTaskDefinitions and ListTaskDefinitionFamilies.
const MAX_LISTED: usize = 100;

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterException", message)
}

fn client(message: impl Into<String>) -> AwsError {
    AwsError::new("ClientException", message)
}

/// A page of names, and the token of the next one if there is one.
fn page<'a>(
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

/// The SHA-256 of these bytes, in hexadecimal digits.
fn hash(body: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}
