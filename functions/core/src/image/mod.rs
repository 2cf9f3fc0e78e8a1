//! Keeps the images that commands may run in.

mod id;
mod ownership;
mod reference;
mod register;
pub(crate) mod role;
pub(crate) mod size;
pub mod task_definition;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use ownership::{set_owners, set_sharing};
pub use reference::Reference;
pub use register::{Registration, delete, register};
pub use runvoy_api_types::{Image, ImageId, RuntimePlatform};

use crate::{
    App, Error, Result,
    auth::Resource,
    boxed,
    config::Config,
    page::{Page, PageRequest},
    table, time,
};

/// Bytes of a text that an image is looked for by. Ids are longer than names, by a hash.
const MAX_NAME: usize = 512;
/// The key of the item that points to the default image. There is one such item, so there is never a second default.
const DEFAULT_KEY: &str = "#default";

/// The key of the item that points to the latest registration of a name and tag.
fn name_key(reference: &Reference) -> String {
    format!("#name#{reference}")
}

/// The image with the family that it has in this stack. An item may be of a version that named families in another way, or come from
/// the backup of another stack.
fn in_stack(image: Image, config: &Config) -> Image {
    Image { task_definition_name: task_definition::family(&config.stack, &image.image_id), ..image }
}

/// The image as the policies see it.
pub fn resource(image: &Image) -> Resource<'_> {
    Resource::Image { id: image.image_id.as_str(), owners: &image.owned_by, shared_with: image.shared_with.as_deref() }
}

/// An item of the images table: an image under its own id, or a copy of it under a key that points to it.
#[derive(Debug, Serialize, Deserialize)]
struct ImageItem {
    image_id: String,
    image: Image,
}

impl ImageItem {
    fn own(image: &Image) -> Self {
        Self { image_id: image.image_id.to_string(), image: image.clone() }
    }

    fn pointer(key: impl Into<String>, image: &Image) -> Self {
        Self { image_id: key.into(), image: image.clone() }
    }
}

/// The images that one read finds for a text: the one with that id, the latest with that name, and the default image.
struct Candidates {
    by_id: Option<Image>,
    by_name: Option<Image>,
    default: Option<Image>,
}

impl Candidates {
    async fn read(app: &App, name: &str) -> Result<Self> {
        let alias = Reference::parse(name).ok().map(|reference| name_key(&reference));
        let keys = [Some(DEFAULT_KEY.to_owned()), Some(name.to_owned()).filter(|id| !id.is_empty()), alias.clone()];
        let items: Vec<ImageItem> =
            table::batch_get(app, &app.config.tables.images, "image_id", keys.into_iter().flatten()).await?;
        let mut found: HashMap<String, Image> =
            items.into_iter().map(|item| (item.image_id, in_stack(item.image, &app.config))).collect();
        let default = found.remove(DEFAULT_KEY);
        let mut pick = |key: Option<&str>| {
            let mut image = found.remove(key?)?;
            image.is_default = default.as_ref().is_some_and(|default| default.image_id == image.image_id);
            Some(image)
        };
        let by_id = pick(Some(name));
        let by_name = pick(alias.as_deref());
        let default = default.map(|image| Image { is_default: true, ..image });
        Ok(Self { by_id, by_name, default })
    }
}

/// The image that a run names by an id, or by a name with or without tag and registry; the default image if it names none.
///
/// # Errors
/// [`Error::Invalid`], saying how to register it, when there is none; also when the name fits images of several registries.
#[boxed]
pub async fn resolve(app: &App, name: Option<&str>) -> Result<Image> {
    match name {
        None => Candidates::read(app, "").await?.default.ok_or_else(|| {
            Error::invalid("there is no default image").with_hint("name one, or register one: POST /api/v1/images/register {\"image\":\"ubuntu:22.04\",\"is_default\":true}")
        }),
        Some(name) => find(app, name).await?.ok_or_else(|| {
            let image = serde_json::Value::from(name);
            Error::invalid(format!("image {image} is not registered")).with_hint(format!("register it first: POST /api/v1/images/register {{\"image\":{image}}}"))
        }),
    }
}

/// The image with this id, else the one registered last under this name. A name without a registry that is not found on Docker
/// Hub is looked for in the other registries.
///
/// # Errors
/// [`Error::Invalid`] with the candidates when a name without a registry fits images of several registries.
pub async fn find(app: &App, name: &str) -> Result<Option<Image>> {
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('#') {
        return Ok(None);
    }
    let candidates = Candidates::read(app, name).await?;
    match candidates.by_id.or(candidates.by_name) {
        Some(image) => Ok(Some(image)),
        None => find_in_any_registry(app, name).await,
    }
}

async fn find_in_any_registry(app: &App, name: &str) -> Result<Option<Image>> {
    let Ok(wanted) = Reference::parse(name) else { return Ok(None) };
    if wanted.names_registry(name) {
        return Ok(None);
    }
    let is_same = |image: &Image| image.image_name == wanted.name && image.image_tag == wanted.tag_or_digest();
    let images: Vec<Image> = list(app).await?.into_iter().filter(is_same).collect();
    let mut names: Vec<&str> = images.iter().map(|image| image.image.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => Ok(None),
        [only] => Ok(Candidates::read(app, only).await?.by_name),
        several => Err(Error::invalid(format!("image {name:?} is registered from several registries"))
            .with_hint(format!("name one of {}", several.join(", ")))),
    }
}

/// The image with this id, else the only one registered under this name, with or without tag and registry.
///
/// # Errors
/// [`Error::NotFound`] when there is none; [`Error::Invalid`] with the ids when the name fits several images.
pub async fn find_only(app: &App, name: &str) -> Result<Image> {
    let not_found = || Error::not_found("image", name);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('#') {
        return Err(not_found());
    }
    if let Some(image) = Candidates::read(app, name).await?.by_id {
        return Ok(image);
    }
    let images = list(app).await?;
    let wanted = Reference::parse(name).map_err(|_| not_found())?;
    let in_any_registry = !wanted.names_registry(name);
    let is_wanted = |image: &&Image| {
        image.image_name == wanted.name
            && image.image_tag == wanted.tag_or_digest()
            && (in_any_registry || image.image_registry == wanted.registry)
    };
    let found: Vec<&Image> = images.iter().filter(is_wanted).collect();
    match found.as_slice() {
        [] => Err(not_found()),
        [only] => Ok((*only).clone()),
        several => {
            let ids: Vec<&str> = several.iter().map(|image| image.image_id.as_str()).collect();
            let problem = format!("{} images have the name {name:?}", several.len());
            Err(Error::invalid(problem).with_hint(format!("name one by its id: {}", ids.join(", "))))
        }
    }
}

/// A page of the images, oldest first.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn page(app: &App, request: &PageRequest) -> Result<Page<Image>> {
    let key = |image: &Image| format!("{}#{}", time::rfc3339(image.created_at), image.image_id);
    request.of(list(app).await?, key, |image| format!("{} {}", image.image, image.image_id))
}

/// All images, oldest first.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn list(app: &App) -> Result<Vec<Image>> {
    let items: Vec<ImageItem> = table::scan(&app.aws.dynamodb, &app.config.tables.images).await?;
    let default = items.iter().find(|item| item.image_id == DEFAULT_KEY).map(|item| item.image.image_id.clone());
    let mut images: Vec<Image> = items
        .into_iter()
        .filter(|item| !item.image_id.starts_with('#'))
        .map(|item| Image {
            is_default: default.as_ref() == Some(&item.image.image_id),
            ..in_stack(item.image, &app.config)
        })
        .collect();
    images.sort_by(|a, b| (a.created_at, &a.image_id).cmp(&(b.created_at, &b.image_id)));
    Ok(images)
}
