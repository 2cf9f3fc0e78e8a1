//! Adds to each change of a playbook's schedule the write that refuses it once another request has published or deleted the playbook.

use aws_sdk_dynamodb::types::TransactWriteItem;

use crate::audit::Actor;

/// A change that is made for a playbook, together with others.
#[derive(Clone, Debug)]
pub(super) struct Beside {
    /// Refuses the change once another publication has come.
    pub(super) guard: TransactWriteItem,
    /// Tells the changes of one request apart.
    pub(super) number: usize,
}

impl Beside {
    /// The text that stands for the times that a schedule gets by a request.
    pub(super) fn timing_id(of: Option<&Self>, actor: &Actor) -> String {
        match of {
            None => actor.request_id.to_string(),
            Some(beside) => format!("{}-{}", actor.request_id, beside.number),
        }
    }

    pub(super) fn writes(of: Option<&Self>, write: TransactWriteItem) -> Vec<TransactWriteItem> {
        [write].into_iter().chain(of.map(|beside| beside.guard.clone())).collect()
    }
}
