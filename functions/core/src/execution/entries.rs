//! Makes the audit's entries of a run: names only, and no value of a variable.

use super::{API, Asked, ExecutionId};
use crate::{
    App,
    audit::{Actor, Entry},
    auth::{Action, Resource},
    image::ImageId,
    secret::{self, Secret},
};

/// The start of a command.
pub(crate) fn of_run(app: &App, actor: &Actor, id: &ExecutionId, image: &ImageId, asked: &Asked) -> Entry {
    let resource = Resource::Execution { id: id.as_str(), owners: &[] }.name();
    Entry::done(app, actor, Action::Run, resource)
        .detail("image", image.to_string())
        .detail("variables", asked.variables.clone())
        .detail("secrets", asked.secrets.clone())
        .detail("git_repo", asked.git_repo.clone())
        .detail("git_ref", asked.git_ref.clone())
        .detail("timeout", asked.timeout)
        .detail("source", source(&asked.source))
}

/// The use of an image by a run.
pub(crate) fn of_image(app: &App, actor: &Actor, image: &ImageId, from: &str) -> Entry {
    let resource = Resource::Image { id: image.as_str(), owners: &[], shared_with: None }.name();
    Entry::done(app, actor, Action::UseImage, resource).detail("source", source(from))
}

/// The use of a secret by a run.
pub(crate) fn of_secret(app: &App, actor: &Actor, secret: &Secret, from: &str) -> Entry {
    Entry::done(app, actor, Action::UseSecret, secret::resource(secret).name())
        .detail("key_name", secret.key_name.clone())
        .detail("source", source(from))
}

/// Where a run came from, unless it came from the API as most do.
fn source(source: &str) -> Option<&str> {
    Some(source).filter(|source| *source != API)
}
