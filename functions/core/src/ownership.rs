//! Reads whom a caller names as owners of a resource, and with whom a resource is to be shared.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, builders::UpdateBuilder};
use runvoy_api_types::Role;

use crate::{
    Email, Error, Result,
    audit::{Actor, Entry},
    table::string,
};

/// The most owners of a resource, and the most users and roles that it is shared with.
const MOST: usize = 100;
/// The beginning of a role's name among those with which a resource is shared.
const ROLE: &str = "role:";

/// The addresses that a caller names as owners, each once.
///
/// # Errors
/// [`Error::Invalid`] for none, for too many, and for a text that is no address.
pub(crate) fn owners(names: &[String]) -> Result<Vec<Email>> {
    let mut owners = names
        .iter()
        .map(|name| Email::parse(name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|problem| Error::from(problem).at_exact_field("owned_by"))?;
    owners.sort();
    owners.dedup();
    if owners.is_empty() || owners.len() > MOST {
        return Err(Error::invalid(format!("a resource has 1 to {MOST} owners")).at_field("owned_by"));
    }
    Ok(owners)
}

/// The users and roles with which a caller shares a resource, each once. An empty list leaves it to its owners, operators and admins.
///
/// # Errors
/// [`Error::Invalid`] for too many, and for a text that is neither an address nor `role:` with a role.
pub fn shared_with(names: &[String]) -> Result<Vec<String>> {
    let parsed = names.iter().map(|name| match name.trim().strip_prefix(ROLE) {
        Some(role) => Ok(format!("{ROLE}{}", role.parse::<Role>().map_err(Error::from)?)),
        None => Ok(Email::parse(name).map_err(Error::from)?.to_string()),
    });
    let mut names = parsed.collect::<Result<Vec<_>>>().map_err(|error| error.at_exact_field("shared_with"))?;
    names.sort();
    names.dedup();
    if names.len() > MOST {
        return Err(
            Error::invalid(format!("a resource is shared with at most {MOST} users and roles")).at_field("shared_with")
        );
    }
    Ok(names)
}

/// A change of who owns a resource, or of whom it is shared with.
pub(crate) struct OwnershipChange {
    /// The attribute of the resource's record.
    pub(crate) attribute: &'static str,
    /// The attribute is removed for `None`.
    pub(crate) value: Option<AttributeValue>,
    /// The owners for whom the change was permitted. It is refused when there are others by now.
    pub(crate) present: AttributeValue,
    pub(crate) entry: Entry,
}

/// The condition that a resource has the owners for whom a change was permitted, who are the value `:present`.
pub(crate) const OWNERS_AS_READ: &str = "owned_by = :present";

/// Owners as a record has them.
fn attribute(owners: &[Email]) -> AttributeValue {
    AttributeValue::L(owners.iter().map(|owner| string(owner.as_str())).collect())
}

/// The refusal of a change of a resource that has other owners by now, or was deleted.
pub(crate) fn has_changed(resource: &str) -> Error {
    Error::conflict(format!("{resource} has been changed or deleted meanwhile"))
        .with_hint("look at it again, and repeat the change if it is still wanted")
}

impl OwnershipChange {
    pub(crate) fn owners(owners: &[Email], present: &[Email], entry: Entry) -> Self {
        let entry = entry.detail("owned_by", owners.iter().map(Email::to_string).collect::<Vec<_>>());
        Self { attribute: "owned_by", value: Some(attribute(owners)), present: attribute(present), entry }
    }

    /// The write of the change. The update names the record and the condition, and `also` is set besides.
    pub(crate) fn write(&self, update: UpdateBuilder, also: &str, actor: &Actor) -> Result<TransactWriteItem> {
        let change = if self.value.is_some() { ", #attribute = :value" } else { " REMOVE #attribute" };
        let condition = match update.get_condition_expression() {
            Some(condition) => format!("{condition} AND {OWNERS_AS_READ}"),
            None => OWNERS_AS_READ.to_owned(),
        };
        let mut update = update
            .condition_expression(condition)
            .expression_attribute_values(":present", self.present.clone())
            .update_expression(format!("SET modified_by_request_id = :request{also}{change}"))
            .expression_attribute_names("#attribute", self.attribute)
            .expression_attribute_values(":request", string(actor.request_id.as_str()));
        if let Some(value) = &self.value {
            update = update.expression_attribute_values(":value", value.clone());
        }
        Ok(TransactWriteItem::builder().update(update.build()?).build())
    }

    /// `otherwise` says in the audit with whom a resource is shared that is shared by no list.
    pub(crate) fn sharing(shared_with: Option<&[String]>, otherwise: &str, present: &[Email], entry: Entry) -> Self {
        let value = shared_with.map(|names| AttributeValue::L(names.iter().map(string).collect()));
        let told = shared_with.map_or_else(|| vec![otherwise.to_owned()], <[String]>::to_vec);
        let entry = entry.detail("shared_with", told);
        Self { attribute: "shared_with", value, present: attribute(present), entry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_addresses_and_a_resource_has_at_least_one() {
        let parse = |names: &[&str]| owners(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let both = parse(&["b@example.com", "A@example.com", "b@example.com"]).unwrap();
        assert_eq!(both.iter().map(Email::as_str).collect::<Vec<_>>(), ["a@example.com", "b@example.com"]);
        assert!(parse(&[]).is_err() && parse(&["role:developer"]).is_err());
    }

    #[test]
    fn a_resource_is_shared_with_addresses_and_roles() {
        let parse = |names: &[&str]| shared_with(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&["role:developer", "A@example.com"]).unwrap(), ["a@example.com", "role:developer"]);
        assert!(parse(&[]).unwrap().is_empty());
        for bad in ["role:root", "role:", "developer", ""] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
