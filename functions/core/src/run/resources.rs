//! Reads the image and the secrets of a run, and checks that they may be used and that the run fits them.

use crate::{
    App, Error, Result,
    auth::{Principal, policy},
    boxed,
    execution::{self, RunRequest},
    image::{self, Image},
    secret::{self, Secret},
};

/// Checks that a run can be started, before it is kept for later.
///
/// # Errors
/// [`Error::Invalid`] for sizes that cannot be, and for a command and variables that are too long to be carried to a task.
pub(crate) fn check_kept(app: &App, request: &RunRequest, image: &Image, principal: &Principal) -> Result<()> {
    check_size(app, request, image)?;
    execution::check_overrides(request, image, principal, app.now())
}

/// # Errors
/// [`Error::Invalid`] for a size that Fargate does not have, and for Spot where the stack does not have it.
pub(super) fn check_size(app: &App, request: &RunRequest, image: &Image) -> Result<()> {
    if request.cpu.is_some() || request.memory.is_some() {
        image::size::check(request.cpu.unwrap_or(image.cpu), request.memory.unwrap_or(image.memory))?;
    }
    if request.spot && !app.config.has_spot {
        return Err(Error::invalid("this runvoy has no Fargate Spot")
            .with_hint("have an admin deploy the stack with Spot=true, or leave spot out")
            .at_field("spot"));
    }
    Ok(())
}

/// The image and the secrets of a run.
#[derive(Clone, Debug)]
pub struct Resources {
    pub image: Image,
    pub secrets: Vec<Secret>,
}

/// Reads the image and the secrets that a run names, all at the same time. Does not check who may use them.
///
/// # Errors
/// [`Error::Invalid`] for an image or a secret that does not exist; [`Error::Aws`] when DynamoDB fails.
#[boxed]
pub async fn gather(app: &App, request: &RunRequest) -> Result<Resources> {
    let image = async { image::resolve(app, request.image.as_deref()).await.map_err(|error| error.at_field("image")) };
    let secrets = async {
        match request.secrets.as_slice() {
            [] => Ok(Vec::new()),
            names => secret::find_all(app, names).await,
        }
    };
    let (image, secrets) = tokio::join!(image, secrets);
    Ok(Resources { image: image?, secrets: secrets? })
}

impl Resources {
    /// # Errors
    /// [`Error::ForbiddenUse`] or [`Error::BeyondScope`] for the first that the principal may not use.
    pub fn check(&self, principal: &Principal) -> Result<()> {
        policy::authorize_use(principal, image::resource(&self.image))?;
        self.secrets.iter().try_for_each(|secret| policy::authorize_use(principal, secret::resource(secret)))
    }

    /// As [`check_kept`], with this image.
    ///
    /// # Errors
    /// As [`check_kept`].
    pub fn check_kept(&self, app: &App, request: &RunRequest, principal: &Principal) -> Result<()> {
        check_kept(app, request, &self.image, principal)
    }
}

/// The image and the secrets of a run, which the principal may use.
///
/// # Errors
/// Those of [`gather`] and [`Resources::check`].
pub(super) async fn resources(app: &App, request: &RunRequest, principal: &Principal) -> Result<Resources> {
    let resources = gather(app, request).await?;
    resources.check(principal)?;
    Ok(resources)
}
