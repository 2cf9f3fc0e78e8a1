//! The IAM actions that calls need ("Service Authorization Reference"), so that a test can compare the roles of the template with the
//! calls of the functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

/// The actions that each caller has needed.
#[derive(Clone, Default)]
pub struct Needed(Arc<Mutex<BTreeMap<&'static str, BTreeSet<String>>>>);

impl Needed {
    pub(super) fn note(&self, caller: &'static str, service: &str, operation: &str, body: &[u8]) {
        let actions = actions(service, operation, body);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(caller).or_default().extend(actions);
    }

    /// The actions that this caller has needed so far.
    pub(crate) fn by(&self, caller: &str) -> BTreeSet<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(caller).cloned().unwrap_or_default()
    }
}

fn actions(service: &str, operation: &str, body: &[u8]) -> Vec<String> {
    let own = format!("{service}:{operation}");
    let request = || serde_json::from_slice::<Value>(body).unwrap_or_default();
    let has = |field: &str| request()[field].as_array().is_some_and(|list| !list.is_empty());
    match (service, operation) {
        // A transaction needs the actions of its parts.
        ("dynamodb", "TransactWriteItems") => request()["TransactItems"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|part| part.as_object()?.keys().next().cloned())
            .map(|kind| {
                if kind == "ConditionCheck" {
                    "dynamodb:ConditionCheckItem".to_owned()
                } else {
                    format!("dynamodb:{kind}Item")
                }
            })
            .collect(),
        ("execute-api", _) => vec!["execute-api:ManageConnections".to_owned()],
        ("ssm", "PutParameter") => {
            let tags = has("Tags").then(|| "ssm:AddTagsToResource".to_owned());
            let key = request()["KeyId"].is_string().then(|| "kms:Encrypt".to_owned());
            [Some(own), tags, key].into_iter().flatten().collect()
        }
        ("ssm", "GetParameter") => vec![own, "kms:Decrypt".to_owned()],
        ("ecs", "RunTask" | "RegisterTaskDefinition") => {
            let tags = has("tags").then(|| "ecs:TagResource".to_owned());
            [Some(own), Some("iam:PassRole".to_owned()), tags].into_iter().flatten().collect()
        }
        _ => vec![own],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_needs_what_its_parts_need() {
        let body = br#"{"TransactItems": [{"Put": {}}, {"Update": {}}, {"ConditionCheck": {}}]}"#;
        let expected = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"];
        assert_eq!(actions("dynamodb", "TransactWriteItems", body), expected);
    }
}
