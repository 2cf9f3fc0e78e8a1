//! Registers, lists, shows and deletes images.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use runvoy_api_types::{ImageAnswer, Images, RegisterImage};
use runvoy_core::{
    App, Error,
    auth::{Action, Resource},
    image::{self, Image, Registration},
};

use super::{page::PageParameters, tags};
use crate::{
    error::{self, Result},
    extract::{Caller, JsonBody, Path, Query},
};

/// Lists images, oldest first
///
/// When there is more, the header `Link: <…>; rel="next"` names the next page.
#[utoipa::path(get, path = "/images", operation_id = "list_images", tag = tags::IMAGES, params(PageParameters),
    responses((status = 200, body = Images, description = "Images", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PageParameters>,
) -> Result<impl IntoResponse> {
    caller.may(Action::ListImages, Resource::Account)?;
    let page = image::page(&app, &query.request()?).await?;
    Ok((query.link("/images", page.next.as_ref()), Json(Images { images: page.items })))
}

/// The image that a path names, if the caller may do this to it.
pub(super) async fn permitted(app: &App, caller: &Caller, name: &str, action: Action) -> Result<Image> {
    let found = image::find(app, name).await.and_then(|found| found.ok_or_else(|| Error::not_found("image", name)));
    caller.may_named(action, name, found, image::resource)
}

/// Shows one image
#[utoipa::path(get, path = "/images/{image}", operation_id = "show_image", tag = tags::IMAGES,
    params(("image" = String, Path, description = "Id or name, with or without tag and registry; its slashes may be encoded or not")),
    responses((status = 200, body = Image, description = "The image"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn show(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<Image>> {
    Ok(Json(permitted(&app, &caller, &name, Action::ReadImage).await?))
}

/// Registers an image, so that commands may run in it
///
/// The first one becomes the default. The same registration again is the same image.
#[utoipa::path(post, path = "/images/register", operation_id = "register_image", tag = tags::IMAGES, request_body = RegisterImage,
    responses((status = 201, body = ImageAnswer, description = "Done"), error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn register(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<RegisterImage>,
) -> Result<(StatusCode, Json<ImageAnswer>)> {
    caller.may(Action::RegisterImage, Resource::Account)?;
    let registration = Registration {
        image: body.image.clone(),
        is_default: body.is_default,
        task_role_name: present(body.task_role_name),
        task_execution_role_name: present(body.task_execution_role_name),
        security_groups: body.security_groups.unwrap_or_default(),
        cpu: body.cpu.filter(|cpu| *cpu > 0),
        memory: body.memory.filter(|memory| *memory > 0),
        runtime_platform: present(body.runtime_platform).map(|platform| platform.parse()).transpose()?,
    };
    let image = image::register(&app, registration, &caller.principal.email, &caller.actor).await?;
    tracing::info!(image_id = %image.image_id, by = %caller.principal.email, "image registered");
    let image_id = image.image_id;
    Ok((
        StatusCode::CREATED,
        Json(ImageAnswer { image: body.image, image_id, message: "Image registered successfully".to_owned() }),
    ))
}

/// An optional field that is empty means the same as an absent one.
fn present(field: Option<String>) -> Option<String> {
    field.filter(|text| !text.is_empty())
}

/// Removes an image
#[utoipa::path(delete, path = "/images/{image}", operation_id = "delete_image", tag = tags::IMAGES,
    params(("image" = String, Path, description = "Id of the image, or a name that only one image has")),
    responses((status = 200, body = ImageAnswer, description = "Done"), error::Malformed, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn delete(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<ImageAnswer>> {
    let found = image::find_only(&app, &name).await;
    let image = caller.may_named(Action::DeleteImage, &name, found, image::resource)?;
    image::delete(&app, &image, &caller.actor).await?;
    let image_id = image.image_id;
    tracing::info!(%image_id, by = %caller.principal.email, "image deleted");
    Ok(Json(ImageAnswer { image: name, image_id, message: "Image deleted successfully".to_owned() }))
}
