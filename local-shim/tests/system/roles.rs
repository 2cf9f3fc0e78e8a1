//! Every role on every route, for its own and for others' resources, through HTTP. The policies have a table of their own in
//! core; these tests show that each route asks for the right action on the right resource.

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::Method;
use serde_json::json;

use crate::client::{Caller, System, id};

/// What a route is about.
#[derive(Clone, Copy, PartialEq)]
enum About {
    Account,
    Execution,
    Image,
    Secret,
}

/// Method, path, what `{}` in the path stands for, body, the status for an allowed caller, and whether an operator, a developer
/// and a viewer are allowed without owning the resource.
type Row = (Method, &'static str, About, &'static str, u16, [bool; 3]);

fn rows() -> Vec<Row> {
    use About::*;
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    const YES: [bool; 3] = [true; 3];
    const NO: [bool; 3] = [false; 3];
    let new_secret = r#"{"name": "new-{}", "key_name": "NEW", "value": "v"}"#;
    let new_user = r#"{"email": "new-{}@example.com", "role": "viewer"}"#;
    vec![
        (get.clone(), "/health", Account, "", 200, YES),
        (get.clone(), "/openapi.json", Account, "", 200, YES),
        (get.clone(), "/docs", Account, "", 200, YES),
        (get.clone(), "/claim/unknown", Account, "", 404, YES),
        (post.clone(), "/run", Account, r#"{"command": "true"}"#, 202, [true, true, false]),
        (post.clone(), "/run", Image, r#"{"command": "true", "image": "{}"}"#, 202, [true, true, false]),
        (post.clone(), "/run", Secret, r#"{"command": "true", "secrets": ["{}"]}"#, 202, [true, true, false]),
        (get.clone(), "/executions", Account, "", 200, YES),
        (get.clone(), "/executions/{}", Execution, "", 200, YES),
        (get.clone(), "/executions/{}/status", Execution, "", 200, [true, false, true]),
        (get.clone(), "/executions/{}/logs", Execution, "", 200, [true, false, false]),
        (delete.clone(), "/executions/{}", Execution, "", 204, [true, false, false]),
        (get.clone(), "/users", Account, "", 200, [true, false, false]),
        (post.clone(), "/users/create", Account, new_user, 201, NO),
        (post.clone(), "/users/revoke", Account, r#"{"email": "unknown@example.com"}"#, 404, NO),
        (get.clone(), "/images", Account, "", 200, [true, true, false]),
        (get.clone(), "/images/{}", Image, "", 200, [true, true, false]),
        (post.clone(), "/images/register", Account, r#"{"image": "x:{}"}"#, 201, [true, false, false]),
        (delete.clone(), "/images/{}", Image, "", 200, [true, false, false]),
        (get.clone(), "/secrets", Account, "", 200, [true, true, false]),
        (get.clone(), "/secrets/{}", Secret, "", 200, [true, false, false]),
        (post.clone(), "/secrets", Account, new_secret, 201, [true, true, false]),
        (put, "/secrets/{}", Secret, r#"{"value": "w"}"#, 200, [true, false, false]),
        (delete, "/secrets/{}", Secret, "", 200, [true, false, false]),
        (post, "/health/reconcile", Account, "", 200, [true, false, false]),
        (get, "/trace/unknown", Account, "", 200, NO),
    ]
}

/// Creates resources, and gives them to other owners.
struct Maker<'a> {
    admin: &'a Caller,
    dynamodb: aws_sdk_dynamodb::Client,
    execution: String,
    made: usize,
}

impl Maker<'_> {
    /// A resource of this kind whose only owner is this user.
    async fn make(&mut self, about: About, owner: &str) -> String {
        self.made += 1;
        let number = self.made;
        let (table, key, id, owners) = match about {
            About::Account => return number.to_string(),
            About::Execution => ("executions", "execution_id", self.execution.clone(), "owned_by"),
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
        };
        self.dynamodb
            .update_item()
            .table_name(format!("runvoy-local-{table}"))
            .key(key, AttributeValue::S(id.clone()))
            .update_expression(format!("SET {owners} = :owners"))
            .expression_attribute_values(":owners", AttributeValue::L(vec![AttributeValue::S(owner.to_owned())]))
            .send()
            .await
            .unwrap();
        id
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_may_do_on_every_route_what_the_contract_says_and_owners_more() {
    let system = System::start().await;
    let (execution, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let mut maker = Maker { admin: &system.admin, dynamodb, execution, made: 0 };
    let roles = ["operator", "developer", "viewer"];
    for (at, role) in roles.into_iter().enumerate() {
        let email = format!("{role}@example.com");
        let caller = system.user(role, &email).await;
        for (method, path, about, body, status, may) in rows() {
            for owned in [false, true] {
                if owned && about == About::Account {
                    continue;
                }
                let thing = maker.make(about, if owned { &email } else { "other@example.com" }).await;
                // Owning an image or a secret is not enough to run a command: the role must allow runs, too.
                let allowed = may[at] || owned && path != "/run";
                let expected = if allowed { status } else { 403 };
                let (path, body) = (path.replace("{}", &thing), body.replace("{}", &thing));
                let answer = caller.request(method.clone(), &path, &[], body).await;
                assert_eq!(answer.status, expected, "{role} {method} {path} owned: {owned}: {}", answer.text);
                if expected == 403 {
                    let refusal = answer.json();
                    assert_eq!((&refusal["error"], &refusal["code"]), (&json!("Forbidden"), &json!("FORBIDDEN")));
                }
            }
        }
    }
    // An admin may do everything to what others own.
    for (method, path, about, body, status, _) in rows() {
        let thing = maker.make(about, "other@example.com").await;
        let (path, body) = (path.replace("{}", &thing), body.replace("{}", &thing));
        let answer = system.admin.request(method.clone(), &path, &[], body).await;
        assert_eq!(answer.status, status, "admin {method} {path}: {}", answer.text);
    }
    system.shim.shut_down().await;
}

/// Without a key, only health, claims and the description of the API are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_but_the_public_ones_answers_without_a_key() {
    let system = System::start().await;
    let mut anonymous = system.admin.clone();
    anonymous.key.clear();
    for (method, path, _, body, status, may) in rows() {
        let answer = anonymous.request(method.clone(), &path.replace("{}", "x"), &[], body).await;
        let is_public = may == [true; 3] && !path.starts_with("/executions");
        assert_eq!(answer.status.as_u16(), if is_public { status } else { 401 }, "{method} {path}: {}", answer.text);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_reach_their_own_executions() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let id = id(&developer.run("sleep 60").await);
    developer.wait_for(&id, "RUNNING").await;
    assert_eq!(developer.get(&format!("/executions/{id}/logs")).await.status, 200);
    assert_eq!(developer.delete(&format!("/executions/{id}")).await.status, 200);
    developer.wait_for(&id, "STOPPED").await;
    system.shim.shut_down().await;
}
