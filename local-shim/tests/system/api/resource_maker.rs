//! Makes resources of each kind, and gives them to other owners.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;

use crate::client::Caller;

/// The kind of resource that a route is about.
#[derive(Clone, Copy, PartialEq)]
pub enum About {
    Account,
    Execution,
    /// An execution that waits for an operator's approval.
    Waiting,
    Image,
    Secret,
    Playbook,
    /// A playbook that is shared with developers and runners.
    SharedPlaybook,
    Notification,
    Schedule,
}

/// Creates resources, and gives them to other owners.
pub struct Maker<'a> {
    pub admin: &'a Caller,
    /// Asks for executions that wait.
    pub asker: &'a Caller,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub execution: String,
    pub made: usize,
}

impl Maker<'_> {
    /// A resource of this kind whose only owner is this user.
    pub async fn make(&mut self, about: About, owner: &str) -> String {
        self.made += 1;
        let number = self.made;
        let mut version = None;
        let (table, key, id, owners) = match about {
            About::Account => return number.to_string(),
            About::Execution => ("executions", "execution_id", self.execution.clone(), "owned_by"),
            About::Waiting => {
                let started = self.asker.post("/playbooks/waits/run", &json!({})).await;
                assert_eq!(started.status, 202, "{}", started.text);
                ("executions", "execution_id", crate::client::id(&started.json()), "owned_by")
            }
            About::Image => {
                let image = json!({"image": format!("made:{number}"), "is_default": false});
                assert_eq!(self.admin.post("/images/register", &image).await.status, 201);
                let image = self.admin.get(&format!("/images/made:{number}")).await.json();
                ("images", "image_id", image["image_id"].as_str().unwrap().to_owned(), "image.owned_by")
            }
            About::Secret => {
                let secret = json!({"name": format!("made-{number}"), "key_name": "MADE", "value": "v"});
                assert_eq!(self.admin.post("/secrets", &secret).await.status, 201);
                ("secrets", "name", format!("made-{number}"), "owned_by")
            }
            About::Playbook | About::SharedPlaybook => {
                let name = format!("made-{number}");
                let published = self.admin.put(&format!("/playbooks/{name}"), &json!({"commands": ["true"]})).await;
                assert_eq!(published.status, 200, "{}", published.text);
                if about == About::SharedPlaybook {
                    let sharing = json!({"shared_with": ["role:developer", "role:runner"]});
                    assert_eq!(self.admin.put(&format!("/playbooks/{name}/sharing"), &sharing).await.status, 200);
                }
                version = Some(AttributeValue::N("0".to_owned()));
                ("playbooks", "name", name, "owned_by")
            }
            About::Notification => {
                let channel = json!({"webhook": {"url": "https://example.com"}});
                let notification = json!({"name": format!("made-{number}"), "channel": channel});
                assert_eq!(self.admin.post("/notifications", &notification).await.status, 201);
                ("notifications", "name", format!("made-{number}"), "owned_by")
            }
            About::Schedule => {
                let name = format!("made-{number}");
                let schedule = json!({"name": name, "cron": "0 0 1 1 *", "run": {"command": "true"}});
                assert_eq!(self.admin.post("/schedules", &schedule).await.status, 201);
                ("schedules", "name", name, "owned_by")
            }
        };
        let mut key = std::collections::HashMap::from([(key.to_owned(), AttributeValue::S(id.clone()))]);
        key.extend(version.map(|version| ("version".to_owned(), version)));
        self.dynamodb
            .update_item()
            .table_name(format!("runvoy-local-{table}"))
            .set_key(Some(key))
            .update_expression(format!("SET {owners} = :owners"))
            .expression_attribute_values(":owners", AttributeValue::L(vec![AttributeValue::S(owner.to_owned())]))
            .send()
            .await
            .unwrap();
        id
    }
}
