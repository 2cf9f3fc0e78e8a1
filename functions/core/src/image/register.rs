//! Registering and removing images.

use std::time::Duration;

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use sha2::{Digest, Sha256};

use super::{Candidates, DEFAULT_KEY, Image, ImageItem, Reference, name_key, role, task_definition};
use crate::{
    App, Error, Result,
    email::Email,
    table::{self, cancellation_codes, string},
};

/// Before a write that collided with another is tried again.
const BUSY: Duration = Duration::from_millis(20);
const DEFAULT_CPU: u32 = 256;
const DEFAULT_MEMORY: u32 = 512;
const PLATFORMS: [&str; 2] = ["Linux/ARM64", "Linux/X86_64"];

/// What an image is registered with; absent means the default.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    pub image: String,
    pub is_default: Option<bool>,
    pub task_role_name: Option<String>,
    pub task_execution_role_name: Option<String>,
    pub cpu: Option<u32>,
    pub memory: Option<u32>,
    pub runtime_platform: Option<String>,
}

/// Registers an image and its task definition. The same registration again changes at most which image is the default.
///
/// # Errors
/// [`Error::Invalid`] for what is no image name, no pair of Fargate's, no platform or no role.
pub async fn register(app: &App, registration: Registration, by: &Email, request_id: &str) -> Result<Image> {
    let reference = Reference::parse(&registration.image)?;
    let cpu = registration.cpu.unwrap_or(DEFAULT_CPU);
    let memory = registration.memory.unwrap_or(DEFAULT_MEMORY);
    check_size(cpu, memory)?;
    let runtime_platform = registration.runtime_platform.unwrap_or_else(|| PLATFORMS[0].to_owned());
    if !PLATFORMS.contains(&runtime_platform.as_str()) {
        return Err(Error::invalid(format!(
            "runtime_platform {runtime_platform:?} is neither {}",
            PLATFORMS.join(" nor ")
        )));
    }
    for role in [&registration.task_role_name, &registration.task_execution_role_name].into_iter().flatten() {
        role::check(app, role).await?;
    }

    let mut image = Image {
        image_id: String::new(),
        image: reference.pullable(),
        task_definition_name: String::new(),
        is_default: false,
        task_role_name: registration.task_role_name,
        task_execution_role_name: registration.task_execution_role_name,
        cpu,
        memory,
        runtime_platform,
        image_registry: reference.registry.clone(),
        image_name: reference.name.clone(),
        image_tag: reference.tag_or_digest(),
        created_by: by.clone(),
        owned_by: vec![by.clone()],
        created_at: app.now(),
        created_by_request_id: request_id.to_owned(),
        modified_by_request_id: request_id.to_owned(),
    };
    image.image_id = image_id(&reference, &image);
    image.task_definition_name = family(&image.image_id);

    let existing = Candidates::read(app, &image.image_id).await?;
    let previous_default = existing.default;
    let become_default = registration.is_default.unwrap_or(previous_default.is_none());
    let known = existing.by_id;
    if let Some(known) = &known {
        image = known.clone();
    }
    image.is_default = become_default || image.is_default;
    if known.is_none() {
        task_definition::register(app, &image, &image.task_definition_name, &[]).await?;
    }
    image.is_default = store(app, &image, &reference, become_default, registration.is_default.is_none()).await?;

    if image.is_default
        && let Some(previous) = previous_default.filter(|previous| previous.image_id != image.image_id)
    {
        retag(app, &Image { is_default: false, ..previous }).await;
        if known.is_some() {
            retag(app, &image).await;
        }
    }
    Ok(image)
}

/// Writes the image, the name that stands for it, and the pointer to the default, all or none. Returns whether the image is
/// the default now.
async fn store(
    app: &App,
    image: &Image,
    reference: &Reference,
    become_default: bool,
    only_if_there_is_none: bool,
) -> Result<bool> {
    let put = |item: &ImageItem, condition: Option<&str>| -> Result<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&app.config.tables.images)
            .set_item(Some(table::to_item(item)?))
            .set_condition_expression(condition.map(str::to_owned))
            .build()?;
        Ok(TransactWriteItem::builder().put(put).build())
    };
    let stored = Image { is_default: false, ..image.clone() };
    let mut claim_default = become_default;
    for _ in 0..5 {
        let mut writes =
            vec![put(&ImageItem::own(&stored), None)?, put(&ImageItem::pointer(name_key(reference), &stored), None)?];
        if claim_default {
            let condition = only_if_there_is_none.then_some("attribute_not_exists(image_id)");
            writes.push(put(&ImageItem::pointer(DEFAULT_KEY, &stored), condition)?);
        }
        match app.aws.dynamodb.transact_write_items().set_transact_items(Some(writes)).send().await {
            Ok(_) => return Ok(claim_default || image.is_default && !become_default),
            Err(error) => match cancellation_codes(&error).get(2).map(String::as_str) {
                // Somebody else's image became the first default meanwhile.
                Some("ConditionalCheckFailed") => claim_default = false,
                _ if cancellation_codes(&error).iter().any(|code| code == "TransactionConflict") => {
                    app.sleep(BUSY).await;
                }
                _ => return Err(error.into()),
            },
        }
    }
    Err(Error::Database("the images table was too busy to register the image".to_owned()))
}

/// Removes an image by its exact id, with its task definitions. Running executions are not touched.
///
/// The task definitions go first: whatever is interrupted after that, a second attempt or reconcile puts right.
pub async fn delete(app: &App, image: &Image) -> Result<()> {
    for family in task_definition::families(app, &image.task_definition_name).await? {
        if task_definition::belongs_to(&family, image) {
            task_definition::deregister(app, &family).await?;
        }
    }
    let reference = Reference::parse(&image.image).map_err(|error| Error::Internal(error.to_string()))?;
    let alias = name_key(&reference);
    for _ in 0..5 {
        let found = Candidates::read(app, &reference.to_string()).await?;
        let is_this = |other: &Image| other.image_id == image.image_id;
        let mut writes = vec![remove(app, &image.image_id, "attribute_exists(image_id)", None)?];
        if found.by_name.as_ref().is_some_and(is_this) {
            // Another registration of the same name takes the name over.
            let heir = super::list(app).await?.into_iter().rfind(|other| other.image == image.image && !is_this(other));
            writes.push(match heir {
                Some(heir) => point(app, &alias, &heir, &image.image_id)?,
                None => remove(app, &alias, POINTS_HERE, Some(&image.image_id))?,
            });
        }
        if found.default.as_ref().is_some_and(is_this) {
            writes.push(remove(app, DEFAULT_KEY, POINTS_HERE, Some(&image.image_id))?);
        }
        match app.aws.dynamodb.transact_write_items().set_transact_items(Some(writes)).send().await {
            Ok(_) => return Ok(()),
            Err(error) => match cancellation_codes(&error).first().map(String::as_str) {
                Some("ConditionalCheckFailed") => return Err(Error::not_found("image", &image.image_id)),
                // Somebody else moved a pointer meanwhile: look again.
                Some(_) => app.sleep(BUSY).await,
                None => return Err(error.into()),
            },
        }
    }
    Err(Error::Database("the images table was too busy to delete the image".to_owned()))
}

/// That a pointer stands for the image `:id`.
const POINTS_HERE: &str = "image.image_id = :id";

fn remove(app: &App, key: &str, condition: &str, id: Option<&str>) -> Result<TransactWriteItem> {
    let delete = Delete::builder()
        .table_name(&app.config.tables.images)
        .key("image_id", string(key))
        .condition_expression(condition)
        .set_expression_attribute_values(id.map(|id| [(":id".to_owned(), string(id))].into()))
        .build()?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// Makes a pointer that stands for the image `from` stand for another.
fn point(app: &App, key: &str, to: &Image, from: &str) -> Result<TransactWriteItem> {
    let item = ImageItem::pointer(key, &Image { is_default: false, ..to.clone() });
    let put = Put::builder()
        .table_name(&app.config.tables.images)
        .set_item(Some(table::to_item(&item)?))
        .condition_expression(POINTS_HERE)
        .expression_attribute_values(":id", string(from))
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// Brings the tags of a task definition up to date. A failure is mended by the next reconcile.
async fn retag(app: &App, image: &Image) {
    let retagged = async {
        match task_definition::describe(app, &image.task_definition_name).await? {
            Some((definition, _)) => {
                let arn = definition.task_definition_arn().unwrap_or_default();
                task_definition::retag(app, image, arn).await
            }
            None => Ok(()),
        }
    };
    if let Err(error) = retagged.await {
        tracing::warn!(%error, image_id = image.image_id, "the task definition's tags are out of date until the next reconcile");
    }
}

/// Fargate's sizes ("Task CPU and memory", Amazon ECS Developer Guide), in CPU units and MiB.
fn check_size(cpu: u32, memory: u32) -> Result<()> {
    let (from, to, step) = match cpu {
        256 if memory == 512 => return Ok(()),
        256 => (1024, 2048, 1024),
        512 => (1024, 4096, 1024),
        1024 => (2048, 8192, 1024),
        2048 => (4096, 16_384, 1024),
        4096 => (8192, 30_720, 1024),
        8192 => (16_384, 61_440, 4096),
        16_384 => (32_768, 122_880, 8192),
        _ => return Err(Error::invalid(format!("cpu {cpu} is none of 256, 512, 1024, 2048, 4096, 8192, 16384"))),
    };
    if (from..=to).contains(&memory) && memory.is_multiple_of(step) {
        return Ok(());
    }
    let also = if cpu == 256 { "512, or " } else { "" };
    Err(Error::invalid(format!(
        "with cpu {cpu}, memory must be {also}{from} to {to} MiB in steps of {step}, not {memory}"
    )))
}

fn image_id(reference: &Reference, image: &Image) -> String {
    let mut hash = Sha256::new();
    for part in [
        &reference.to_string(),
        &image.cpu.to_string(),
        &image.memory.to_string(),
        &image.runtime_platform,
        image.task_role_name.as_deref().unwrap_or_default(),
        image.task_execution_role_name.as_deref().unwrap_or_default(),
    ] {
        hash.update(part);
        hash.update([0]);
    }
    let digest = hash.finalize();
    let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{}-{hex}", image.image_name, image.image_tag)
}

/// A family name takes letters, digits, hyphens and underscores, 255 at most; the id's hash keeps it unique.
fn family(image_id: &str) -> String {
    let safe: String = image_id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let keep = safe.len().saturating_sub(200);
    format!("{}{}", task_definition::FAMILY_PREFIX, safe[keep..].trim_start_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fargates_pairs_of_cpu_and_memory_are_taken() {
        for (cpu, memory) in [(256, 512), (256, 2048), (512, 3072), (4096, 30_720), (8192, 20_480), (16_384, 122_880)] {
            assert!(check_size(cpu, memory).is_ok(), "{cpu} {memory}");
        }
        for (cpu, memory) in
            [(0, 512), (256, 513), (256, 4096), (512, 512), (1024, 2500), (8192, 17_408), (u32::MAX, 1)]
        {
            assert!(check_size(cpu, memory).is_err(), "{cpu} {memory}");
        }
    }

    #[test]
    fn a_family_is_a_name_that_ecs_takes() {
        assert_eq!(family("docker/library/ubuntu:22.04-0a1b2c3d"), "runvoy-image-docker-library-ubuntu-22-04-0a1b2c3d");
        assert!(family(&format!("{}-0a1b2c3d", "x".repeat(300))).len() <= 255);
    }
}
