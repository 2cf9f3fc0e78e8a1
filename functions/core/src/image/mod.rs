//! Images that commands may run in.

pub mod reference;
pub mod register;
pub mod role;
pub mod task_definition;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use reference::Reference;
pub use register::{Registration, delete, register};

use crate::{
    App, Error, Result,
    email::Email,
    table::{self, string},
    time,
};

/// The item that names the default image: one pointer, so that there is never a second default.
const DEFAULT_KEY: &str = "#default";

/// The key of the item that stands for a name and tag, whichever registration of it came last.
fn name_key(reference: &Reference) -> String {
    format!("#name#{reference}")
}

/// A registered image, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Image {
    /// `name:tag-xxxxxxxx`; the same registration twice has the same id.
    pub image_id: String,
    /// The image as ECS pulls it.
    pub image: String,
    /// Family of the ECS task definition.
    pub task_definition_name: String,
    #[serde(default)]
    pub is_default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_role_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_execution_role_name: Option<String>,
    /// CPU units, 1024 to the virtual CPU.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// `Linux/ARM64` or `Linux/X86_64`.
    pub runtime_platform: String,
    pub image_registry: String,
    pub image_name: String,
    pub image_tag: String,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    #[serde(with = "time::as_rfc3339")]
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    pub created_by_request_id: String,
    pub modified_by_request_id: String,
}

/// An item of the images table: an image under its own id, or under a key that stands for it.
#[derive(Debug, Serialize, Deserialize)]
struct ImageItem {
    image_id: String,
    image: Image,
}

impl ImageItem {
    fn own(image: &Image) -> Self {
        Self { image_id: image.image_id.clone(), image: image.clone() }
    }

    fn pointer(key: impl Into<String>, image: &Image) -> Self {
        Self { image_id: key.into(), image: image.clone() }
    }
}

/// What one read finds out about a name: the image with that id, the one with that name, the default.
struct Candidates {
    by_id: Option<Image>,
    by_name: Option<Image>,
    default: Option<Image>,
}

impl Candidates {
    async fn read(app: &App, name: &str) -> Result<Self> {
        let alias = Reference::parse(name).ok().map(|reference| name_key(&reference));
        let keys = [Some(DEFAULT_KEY.to_owned()), Some(name.to_owned()).filter(|id| !id.is_empty()), alias.clone()];
        let mut found = batch_get(app, keys.into_iter().flatten()).await?;
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

async fn batch_get(app: &App, keys: impl Iterator<Item = String>) -> Result<HashMap<String, Image>> {
    let keys = keys.map(|key| HashMap::from([("image_id".to_owned(), string(key))])).collect();
    let mut wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build()?;
    let mut found = HashMap::new();
    for _ in 0..8 {
        let answer = app.aws.dynamodb.batch_get_item().request_items(&app.config.tables.images, wanted).send().await?;
        for item in answer.responses.unwrap_or_default().into_values().flatten() {
            let item: ImageItem = table::from_item(item)?;
            found.insert(item.image_id, item.image);
        }
        match answer.unprocessed_keys.and_then(|keys| keys.into_values().next()) {
            Some(rest) => wanted = rest,
            None => return Ok(found),
        }
    }
    Err(Error::Database("a batch of images stayed unprocessed".to_owned()))
}

/// The image that a run names: a full id, a name with or without tag and registry, or, unnamed, the default.
///
/// # Errors
/// [`Error::Invalid`], saying how to register it, when there is none.
pub async fn resolve(app: &App, name: Option<&str>) -> Result<Image> {
    match name {
        None => Candidates::read(app, "").await?.default.ok_or_else(|| {
            Error::invalid("there is no default image; name one, or register one: POST /api/v1/images/register {\"image\":\"ubuntu:22.04\",\"is_default\":true}")
        }),
        Some(name) => find(app, name).await?.ok_or_else(|| {
            let image = serde_json::Value::from(name);
            Error::invalid(format!(
                "image {image} is not registered; register it first: POST /api/v1/images/register {{\"image\":{image}}}"
            ))
        }),
    }
}

/// The image with this id, else the one last registered under this name.
pub async fn find(app: &App, name: &str) -> Result<Option<Image>> {
    if name.is_empty() || name.len() > 512 || name.starts_with('#') {
        return Ok(None);
    }
    let candidates = Candidates::read(app, name).await?;
    Ok(candidates.by_id.or(candidates.by_name))
}

/// All images, oldest first.
pub async fn list(app: &App) -> Result<Vec<Image>> {
    let items: Vec<ImageItem> = table::scan(&app.aws.dynamodb, &app.config.tables.images).await?;
    let default = items.iter().find(|item| item.image_id == DEFAULT_KEY).map(|item| item.image.image_id.clone());
    let mut images: Vec<Image> = items
        .into_iter()
        .filter(|item| !item.image_id.starts_with('#'))
        .map(|item| Image { is_default: default.as_ref() == Some(&item.image_id), ..item.image })
        .collect();
    images.sort_by(|a, b| (a.created_at, &a.image_id).cmp(&(b.created_at, &b.image_id)));
    Ok(images)
}
