//! Registers and removes images.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};

use runvoy_api_types::limits::{DEFAULT_CPU, DEFAULT_MEMORY};

use super::{
    Candidates, DEFAULT_KEY, Image, ImageItem, Reference, RuntimePlatform, id, name_key, role,
    task_definition::{self, Needs},
};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    error::Service,
    table::{self, Transacted, string},
};

/// Security groups of a task ("AwsVpcConfiguration", Amazon ECS API Reference).
const MAX_SECURITY_GROUPS: usize = 5;
/// The number of times that a removal reads again what other writes have changed meanwhile.
const ATTEMPTS: u32 = 5;

/// The settings of a registration. An absent one means its default.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    pub image: String,
    pub is_default: Option<bool>,
    pub task_role_name: Option<String>,
    pub task_execution_role_name: Option<String>,
    pub security_groups: Vec<String>,
    pub cpu: Option<u32>,
    pub memory: Option<u32>,
    pub runtime_platform: Option<RuntimePlatform>,
}

/// Registers an image and its task definition. The same registration again changes at most which image is the default.
///
/// # Errors
/// [`Error::Invalid`] for a text that is no image name, a size that Fargate does not have, a role that does not exist, or a security group that
/// the stack does not name.
pub async fn register(app: &App, registration: Registration, by: &Email, actor: &Actor) -> Result<Image> {
    let reference = Reference::parse(&registration.image)?;
    let cpu = registration.cpu.unwrap_or(DEFAULT_CPU);
    let memory = registration.memory.unwrap_or(DEFAULT_MEMORY);
    super::size::check(cpu, memory)?;
    if let Some(role) = &registration.task_role_name {
        role::check_of_task(app, role).await.map_err(|error| error.at_field("task_role_name"))?;
    }
    if let Some(role) = &registration.task_execution_role_name {
        role::check(app, role).await.map_err(|error| error.at_field("task_execution_role_name"))?;
    }

    let mut security_groups = registration.security_groups;
    security_groups.sort_unstable();
    security_groups.dedup();
    check_security_groups(app, &security_groups)?;

    let runtime_platform = registration.runtime_platform.unwrap_or_default();
    let roles = [&registration.task_role_name, &registration.task_execution_role_name];
    let image_id =
        id::image_id(&reference, cpu, memory, runtime_platform, roles.map(Option::as_deref), &security_groups);
    let mut image = Image {
        task_definition_name: task_definition::family(&app.config.stack, &image_id),
        image_id,
        image: reference.pullable(),
        is_default: false,
        task_role_name: registration.task_role_name,
        task_execution_role_name: registration.task_execution_role_name,
        security_groups,
        cpu,
        memory,
        runtime_platform,
        image_registry: reference.registry.clone(),
        image_name: reference.name.clone(),
        image_tag: reference.tag_or_digest(),
        created_by: by.clone(),
        owned_by: vec![by.clone()],
        shared_with: None,
        created_at: app.now(),
        created_by_request_id: actor.request_id.clone(),
        modified_by_request_id: actor.request_id.clone(),
    };

    let existing = Candidates::read(app, image.image_id.as_str()).await?;
    let previous_default = existing.default;
    let become_default = registration.is_default.unwrap_or(previous_default.is_none());
    let known = existing.by_id;
    if let Some(known) = &known {
        image = known.clone();
    }
    image.is_default = become_default || image.is_default;
    if known.is_none() {
        task_definition::register(app, &image, Needs::NOTHING).await?;
    }
    let entry = Entry::done(app, actor, Action::RegisterImage, audit_name(&image.image_id))
        .detail("image", image.image.clone())
        .detail("default", become_default.then_some(true))
        .detail("task_role", image.task_role_name.clone())
        .detail("task_execution_role", image.task_execution_role_name.clone())
        .detail("security_groups", Some(image.security_groups.join(",")).filter(|groups| !groups.is_empty()));
    image.is_default =
        store(app, &image, &reference, become_default, registration.is_default.is_none(), &entry).await?;

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

/// Security groups open networks to commands, so an admin of the account names those that images may have.
fn check_security_groups(app: &App, groups: &[String]) -> Result<()> {
    if groups.len() > MAX_SECURITY_GROUPS {
        return Err(Error::invalid(format!("a task has {MAX_SECURITY_GROUPS} security groups at most"))
            .at_field("security_groups"));
    }
    match groups.iter().find(|group| !app.config.image_security_groups.contains(group)) {
        None => Ok(()),
        Some(group) => Err(Error::invalid(format!("images may not have the security group {group:?}"))
            .with_hint(
                "name it in the stack's parameter ImageSecurityGroupIds, or leave it out for the stack's own groups",
            )
            .at_field("security_groups")),
    }
}

/// The name of an image in entries of the audit.
fn audit_name(id: &super::ImageId) -> String {
    format!("image:{id}")
}

/// Writes the image, the pointer from its name, and the pointer from the default, all or none. Returns whether the image is the
/// default afterwards.
async fn store(
    app: &App,
    image: &Image,
    reference: &Reference,
    become_default: bool,
    only_if_there_is_none: bool,
    entry: &Entry,
) -> Result<bool> {
    const DEFAULT: usize = 2;
    let stored = Image { is_default: false, ..image.clone() };
    let writes = |with_default: bool| -> Result<Vec<TransactWriteItem>> {
        let mut writes = vec![
            put(app, &ImageItem::own(&stored), None)?,
            put(app, &ImageItem::pointer(name_key(reference), &stored), None)?,
        ];
        if with_default {
            let condition = only_if_there_is_none.then_some("attribute_not_exists(image_id)");
            writes.push(put(app, &ImageItem::pointer(DEFAULT_KEY, &stored), condition)?);
        }
        Ok(writes)
    };
    let entries = std::slice::from_ref(entry);
    match audit::transact(app, writes(become_default)?, entries).await? {
        // Another image became the first default between the read and this write.
        Transacted::Refused(DEFAULT) => audit::transact(app, writes(false)?, entries).await.map(|_| false),
        _ => Ok(image.is_default),
    }
}

fn put(app: &App, item: &ImageItem, condition: Option<&str>) -> Result<TransactWriteItem> {
    let put = Put::builder()
        .table_name(&app.config.tables.images)
        .set_item(Some(table::to_item(item)?))
        .set_condition_expression(condition.map(str::to_owned))
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// Removes an image and its task definitions. Running executions go on.
///
/// The task definitions are removed first. If the program dies after that, the image is still listed, so that a second attempt can
/// remove it, and reconcile registers its task definition again.
///
/// # Errors
/// [`Error::NotFound`] when another request has removed the image meanwhile.
pub async fn delete(app: &App, image: &Image, actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::DeleteImage, audit_name(&image.image_id));
    for family in task_definition::families(app, &image.task_definition_name).await? {
        if task_definition::belongs_to(&family, image) {
            task_definition::deregister(app, &family).await?;
        }
    }
    let reference = Reference::parse(&image.image)
        .map_err(|error| Error::internal_with("a registered image has a name that is none", error))?;
    let alias = name_key(&reference);
    for _ in 0..ATTEMPTS {
        let found = Candidates::read(app, &reference.to_string()).await?;
        let is_this = |other: &Image| other.image_id == image.image_id;
        let mut writes = vec![remove(app, image.image_id.as_str(), "attribute_exists(image_id)", None)?];
        if found.by_name.as_ref().is_some_and(is_this) {
            // The latest other registration of the same name is found by the name from now on.
            let heir = super::list(app).await?.into_iter().rfind(|other| other.image == image.image && !is_this(other));
            writes.push(match heir {
                Some(heir) => point(app, &alias, &heir, image.image_id.as_str())?,
                None => remove(app, &alias, POINTS_HERE, Some(image.image_id.as_str()))?,
            });
        }
        if found.default.as_ref().is_some_and(is_this) {
            writes.push(remove(app, DEFAULT_KEY, POINTS_HERE, Some(image.image_id.as_str()))?);
        }
        match audit::transact(app, writes, std::slice::from_ref(&entry)).await? {
            Transacted::Refused(0) => return Err(Error::not_found("image", image.image_id.as_str())),
            // Another request has moved a pointer meanwhile: read the pointers again.
            Transacted::Refused(_) => {}
            Transacted::Done => return Ok(()),
        }
    }
    Err(Error::unavailable(Service::DynamoDb, "the pointers to an image kept changing while it was removed"))
}

/// The condition that a pointer points to the image `:id`.
pub(super) const POINTS_HERE: &str = "image.image_id = :id";

fn remove(app: &App, key: &str, condition: &str, id: Option<&str>) -> Result<TransactWriteItem> {
    let delete = Delete::builder()
        .table_name(&app.config.tables.images)
        .key("image_id", string(key))
        .condition_expression(condition)
        .set_expression_attribute_values(id.map(|id| [(":id".to_owned(), string(id))].into()))
        .build()?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// Moves a pointer from the image `from` to another.
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

/// Brings the tags of an image's task definitions up to date. If that fails, the next reconcile does it.
async fn retag(app: &App, image: &Image) {
    let retagged = async {
        for needs in [Needs::NOTHING, Needs::GIT] {
            let family = task_definition::family_for(&app.config, image, needs);
            if let Some((definition, _)) = task_definition::describe(app, &family).await? {
                let arn = definition.task_definition_arn().unwrap_or_default();
                task_definition::retag(app, image, arn).await?;
            }
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = retagged.await {
        tracing::warn!(error = %error.chain(), image_id = %image.image_id, "the task definition's tags are out of date until the next reconcile");
    }
}
