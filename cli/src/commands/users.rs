//! `runvoy users`.

use serde_json::json;

use super::Context;
use crate::{
    arguments::Users,
    failure::{Failure, Result},
    output::{self, Columns, ago, field},
};

pub(crate) async fn run(context: &Context, command: Users) -> Result<()> {
    match command {
        Users::List => {
            let answer = context.api.get("/users").await?;
            context.show(&answer, |list| {
                let mut columns = Columns::new(&["EMAIL", "ROLE", "STATE", "CREATED", "LAST USED"]);
                for user in list["users"].as_array().into_iter().flatten() {
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
            })
        }
        Users::Create { email, role } => {
            let answer = context.api.post("/users/create", &json!({"email": email, "role": role})).await?;
            context.show(&answer, |created| {
                say!("{email} gets the API key, once and within 15 minutes, on this page, or by this command:");
                say!("  runvoy claim {}", field(&created, "claim_token"));
                match created["claim_url"].as_str() {
                    Some(url) => output::print(&crate::escape::text(url)),
                    None => {
                        Err(Failure::new("the answer has no link").remedy("check the endpoint: `runvoy config list`"))
                    }
                }
            })
        }
        Users::Revoke { email } => {
            let answer = context.api.post("/users/revoke", &json!({"email": email})).await?;
            context.done(&answer)
        }
    }
}
