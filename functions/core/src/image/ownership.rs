//! Changes who owns an image, and with whom it is shared.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::{Candidates, DEFAULT_KEY, Image, Reference, name_key, register::POINTS_HERE};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    error::Service,
    ownership::{self, OWNERS_AS_READ, OwnershipChange},
    table::{Transacted, string},
};

/// The number of times that a change reads again what other writes have changed meanwhile.
const ATTEMPTS: u32 = 5;

/// Gives an image to other owners.
///
/// # Errors
/// [`Error::Conflict`] when another request has removed it or changed its owners meanwhile.
pub async fn set_owners(app: &App, image: &Image, owners: &[Email], actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::OwnImage, super::resource(image).name());
    set(app, image, OwnershipChange::owners(owners, &image.owned_by, entry)).await
}

/// Says with whom an image is shared; with everyone whose role allows it for `None`.
///
/// # Errors
/// As [`set_owners`].
pub async fn set_sharing(app: &App, image: &Image, shared_with: Option<&[String]>, actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::ShareImage, super::resource(image).name());
    set(app, image, OwnershipChange::sharing(shared_with, "everyone", &image.owned_by, entry)).await
}

/// Sets an attribute of an image, or removes it, in all of its copies at once.
async fn set(app: &App, image: &Image, change: OwnershipChange) -> Result<()> {
    let OwnershipChange { attribute, value, present, entry } = change;
    let id = image.image_id.as_str();
    let reference = Reference::parse(&image.image)
        .map_err(|error| Error::internal_with("a registered image has a name that is none", error))?;
    let update = |key: &str, owners_as_read: Option<&AttributeValue>| -> Result<TransactWriteItem> {
        let expression = if value.is_some() { "SET image.#attribute = :value" } else { "REMOVE image.#attribute" };
        let update = Update::builder()
            .table_name(&app.config.tables.images)
            .key("image_id", string(key))
            .update_expression(expression)
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":id", string(id));
        let update = match owners_as_read {
            Some(present) => update
                .condition_expression(format!("{POINTS_HERE} AND image.{OWNERS_AS_READ}"))
                .expression_attribute_values(":present", present.clone()),
            None => update.condition_expression(POINTS_HERE),
        };
        let update = match &value {
            Some(value) => update.expression_attribute_values(":value", value.clone()),
            None => update,
        };
        Ok(TransactWriteItem::builder().update(update.build()?).build())
    };
    for _ in 0..ATTEMPTS {
        let found = Candidates::read(app, &reference.to_string()).await?;
        let is_this = |other: &Image| other.image_id == image.image_id;
        // The record decides. A pointer whose copy differs from it gets the record's owners again.
        let mut writes = vec![update(id, Some(&present))?];
        if found.by_name.as_ref().is_some_and(is_this) {
            writes.push(update(&name_key(&reference), None)?);
        }
        if found.default.as_ref().is_some_and(is_this) {
            writes.push(update(DEFAULT_KEY, None)?);
        }
        match audit::transact(app, writes, std::slice::from_ref(&entry)).await? {
            Transacted::Done => return Ok(()),
            Transacted::Refused(0) => return Err(ownership::has_changed(&format!("the image {id}"))),
            // Another request has moved a pointer meanwhile: read the pointers again.
            Transacted::Refused(_) => {}
        }
    }
    Err(Error::unavailable(Service::DynamoDb, "the pointers to an image kept changing"))
}
