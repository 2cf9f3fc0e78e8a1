//! `runvoy users`.

use runvoy_api_types::{CreateUser, RevokeUser, UpdateUser};
use serde_json::json;

use super::Context;
use crate::{
    api::{Answer, segment},
    arguments::Users,
    failure::{Failure, Result},
    output::{self, Columns, ago, field},
};

pub(crate) async fn run(context: &Context, command: Users) -> Result<()> {
    match command {
        Users::List { search } => {
            let path = search.map_or_else(|| "/users".to_owned(), |search| format!("/users?q={}", segment(&search)));
            let table = |users: &[serde_json::Value]| {
                let mut columns = Columns::leaving_out(
                    &["EMAIL", "ROLE", "STATE", "CREATED", "LAST USED"],
                    &["CREATED", "LAST USED"],
                );
                for user in users {
                    let cell = |name| field(user, name);
                    let state = if user["revoked"] == true { "revoked" } else { "active" };
                    columns.row([
                        cell("email"),
                        cell("role"),
                        state.to_owned(),
                        ago(&cell("created_at")),
                        ago(&cell("last_used")),
                    ]);
                }
                columns.print("there are no users")
            };
            context.list(&path, "users", table).await
        }
        Users::Create { email, role } => {
            let answer =
                context.api.post("/users/create", &CreateUser { email: email.clone(), role, api_key: None }).await?;
            show_claim(context, &answer, &email)
        }
        Users::Revoke { email, confirmation } => {
            confirmation.ask(&format!("Take away the access of {email}?"))?;
            let answer = context.api.post("/users/revoke", &RevokeUser { email }).await?;
            context.done(&answer)
        }
        Users::Restore { email } => change(context, &email, &UpdateUser { role: None, revoked: Some(false) }).await,
        Users::Role { email, role } => change(context, &email, &UpdateUser { role: Some(role), revoked: None }).await,
        Users::Claim { email } => {
            let answer = context.api.post(&format!("/users/{}/claim", segment(&email)), &json!({})).await?;
            show_claim(context, &answer, &email)
        }
    }
}

async fn change(context: &Context, email: &str, body: &UpdateUser) -> Result<()> {
    let answer = context.api.put(&format!("/users/{}", segment(email)), body).await?;
    context.show(&answer, |answer| {
        let user = if answer["user"].is_object() { &answer["user"] } else { &answer };
        let state = if user["revoked"] == true { "revoked" } else { "active" };
        output::print(&format!("{}: {}, {state}", field(user, "email"), field(user, "role")))
    })
}

/// Prints the link to the page on which a user gets the key.
fn show_claim(context: &Context, answer: &Answer, email: &str) -> Result<()> {
    context.show(answer, |created| {
        say!("{email} gets the API key, once and within 15 minutes, on this page, or by this command:");
        say!("  runvoy claim {}", field(&created, "claim_token"));
        match created["claim_url"].as_str() {
            Some(url) => output::print(&crate::escape::text(url)),
            None => Err(Failure::new("the answer has no link").remedy("check the endpoint: `runvoy config list`")),
        }
    })
}
