//! Does `runvoy users`: lists, creates and changes users.

use reqwest::{Method, StatusCode};
use runvoy_api_types::{
    CreateUser, Key, Keys, ListedUser, Me, RenewedClaim, RevokeUser, UpdateUser, UpdatedUser, User, Users as UserList,
    time::rfc3339,
};
use serde_json::{Value, json};

use super::context::Context;
use crate::{
    api::{Answer, Repeat, RequestError, segment},
    arguments::Users,
    failure::{Failure, Result},
    output::{self, Columns, Fields, ago, cell, or_dash},
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
                        state_in_list(user, *claimed).to_owned(),
                        ago(user.created_at),
                        or_dash(user.last_used.map(ago)),
                    ]);
                }
                columns.print("there are no users")
            };
            context.list(&path, "users", table).await
        }
        Users::Show { email } => show(context, &email).await,
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

/// Shows a user, and the keys for those who may see them. The list is searched, since the API has no other answer with the user alone.
async fn show(context: &Context, email: &str) -> Result<()> {
    let list = context.all(&format!("/users?q={}", segment(email.trim()))).await?;
    let is_meant = |one: &ListedUser| one.user.email.as_str().eq_ignore_ascii_case(email.trim());
    let mut found = None;
    for page in &list {
        let (listed, whole): (UserList, Value) = (page.parse()?, page.json()?);
        if let Some(at) = listed.users.iter().position(is_meant) {
            found = Some((listed.users[at].clone(), whole["users"][at].clone()));
        }
    }
    let Some((ListedUser { user, claimed }, whole)) = found else {
        return Err(
            Failure::new(format!("there is no user {}", email.trim())).remedy("`runvoy users list` lists the users")
        );
    };
    let path = format!("/keys?email={}", segment(user.email.as_str()));
    let keys = match context.api.send(Method::GET, &path, None, &[], Repeat::Safe).await {
        Ok(answer) => Some(answer),
        Err(RequestError::Refused { status: StatusCode::FORBIDDEN, .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if context.is_json() {
        let keys = keys.map(|answer| answer.json()).transpose()?.map(|answer| answer["keys"].clone());
        return output::print_json(&json!({"user": whole, "keys": keys}).to_string());
    }
    let keys = keys.map(|answer| answer.parse::<Keys>()).transpose()?;
    let mut fields = Fields::new("");
    fields.add("email", cell(&user.email));
    fields.add("role", cell(user.role));
    fields.add("state", state_in_list(&user, claimed).to_owned());
    fields.add("created", rfc3339(user.created_at));
    fields.add("last used", or_dash(user.last_used.map(rfc3339)));
    fields.add(
        "keys",
        keys.map(|keys| keys.keys.iter().map(key_in_words).collect::<Vec<_>>().join("\n")).unwrap_or_default(),
    );
    fields.add("request id", cell(&user.created_by_request_id));
    fields.add("changed by request", cell(&user.modified_by_request_id));
    output::print(&fields.render())
}

/// A key in one line: its id, its name, when it was used, and when it expires.
fn key_in_words(key: &Key) -> String {
    let used = key.last_used.map_or_else(|| "never used".to_owned(), |time| format!("used {}", ago(time)));
    let expires = key.expires_at.map(|time| match output::until(time).as_str() {
        "expired" => ", expired".to_owned(),
        until => format!(", expires {until}"),
    });
    format!("{}  {}, {used}{}", cell(&key.key_id), cell(&key.name), expires.unwrap_or_default())
}

async fn change(context: &Context, email: &str, body: &UpdateUser) -> Result<()> {
    let answer = context.api.put(&format!("/users/{}", segment(email)), body).await?;
    context.show(&answer, |UpdatedUser { user }| {
        output::print(&cell(format!("{}: {}, {}", user.email, user.role, state_of(&user))))
    })
}

/// The state of a user in words. One who never had a key has not claimed it yet.
fn state_in_list(user: &User, claimed: bool) -> &'static str {
    if !user.revoked && !claimed && user.last_used.is_none() { "has no key" } else { state_of(user) }
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
