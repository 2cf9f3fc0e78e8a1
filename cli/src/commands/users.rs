//! Does `runvoy users`: lists, creates and changes users.

use runvoy_api_types::{CreateUser, ListedUser, Me, RenewedClaim, RevokeUser, UpdateUser, UpdatedUser, User};
use serde_json::json;

use super::Context;
use crate::{
    api::{Answer, segment},
    arguments::Users,
    failure::Result,
    output::{self, Columns, ago, cell, or_dash},
};

pub(crate) async fn run(context: &Context, command: Users) -> Result<()> {
    match command {
        Users::List { search } => {
            let path = search.map_or_else(|| "/users".to_owned(), |search| format!("/users?q={}", segment(&search)));
            let table = |users: &[ListedUser]| {
                let mut columns = Columns::leaving_out(
                    &["EMAIL", "ROLE", "STATE", "CREATED", "LAST USED"],
                    &["CREATED", "LAST USED"],
                );
                for ListedUser { user, claimed } in users {
                    columns.row([
                        cell(&user.email),
                        cell(user.role),
                        if !user.revoked && !claimed && user.last_used.is_none() {
                            "has no key"
                        } else {
                            state_of(user)
                        }
                        .to_owned(),
                        ago(user.created_at),
                        or_dash(user.last_used.map(ago)),
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
            if confirmation.asks() {
                let me: Me = context.api.get("/me").await?.parse()?;
                confirmation.ask(&if me.email.as_str().eq_ignore_ascii_case(email.trim()) {
                    "This is you: your API keys stop working at once. Take away your own access?".to_owned()
                } else {
                    format!("Take away the access of {email}?")
                })?;
            }
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
    context.show(&answer, |UpdatedUser { user }| {
        output::print(&cell(format!("{}: {}, {}", user.email, user.role, state_of(&user))))
    })
}

fn state_of(user: &User) -> &'static str {
    if user.revoked { "revoked" } else { "active" }
}

/// Prints the link to the page on which a user gets the key.
fn show_claim(context: &Context, answer: &Answer, email: &str) -> Result<()> {
    context.show(answer, |RenewedClaim { claim_token, claim_url }| {
        say!("{email} gets the API key, once and within 15 minutes, on this page, or by this command:");
        say!("  runvoy claim {}", cell(claim_token));
        output::print(&cell(claim_url))
    })
}
