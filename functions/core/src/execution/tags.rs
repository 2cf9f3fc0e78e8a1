//! Makes the tags of a task, from which the record of its execution can be made.

use aws_sdk_ecs::types::Tag;

use super::{Attempt, RunContext, RunRequest};
use crate::image::Image;

/// Keys of tags that a record is made from.
pub(super) const CREATED_BY: &str = "CreatedBy";
pub(super) const IMAGE_ID: &str = "ImageId";
pub(super) const SOURCE: &str = "Source";
pub(super) const KEY_ID: &str = "KeyId";
pub(super) const SOURCE_ADDRESS: &str = "SourceAddress";
pub(super) const REQUEST_ID: &str = "RequestId";
pub(super) const IDEMPOTENCY_KEY: &str = "IdempotencyKey";
pub(super) const REQUEST_HASH: &str = "RequestHash";

/// The tags of a task. They hold all that [`recover`](super::recover::recover) needs to make the execution's record.
pub(super) fn of_task(
    request: &RunRequest,
    image: &Image,
    context: RunContext<'_>,
    attempt: Option<&Attempt>,
) -> Vec<Tag> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let mut tags = vec![
        tag("Application", "runvoy"),
        tag("ManagedBy", "runvoy"),
        tag(CREATED_BY, context.principal.email.as_str()),
        tag(IMAGE_ID, image.image_id.as_str()),
        tag(REQUEST_ID, context.request_id.as_str()),
        tag(SOURCE, context.source),
        tag("HasGitRepo", if request.git_repo.is_some() { "true" } else { "false" }),
    ];
    for (key, value) in [(KEY_ID, context.principal.key_id.as_deref()), (SOURCE_ADDRESS, context.source_address)] {
        tags.extend(value.map(|value| tag(key, value)));
    }
    if let Some(attempt) = attempt {
        tags.push(tag("ExecutionId", attempt.execution_id.as_str()));
        tags.push(tag("Attempt", &attempt.number.to_string()));
    }
    if let Some(idempotency) = context.idempotency {
        tags.push(tag(IDEMPOTENCY_KEY, &idempotency.key));
        tags.push(tag(REQUEST_HASH, &idempotency.request_hash));
    }
    tags
}
