//! `runvoy keys`.

use serde_json::json;

use super::Context;
use crate::{
    api::segment,
    arguments::Keys,
    failure::{Failure, Result},
    output::{self, Columns, ago, field},
};

pub(crate) async fn run(context: &Context, command: Keys) -> Result<()> {
    match command {
        Keys::List { user } => {
            let of = user.map(|email| format!("?email={}", segment(&email))).unwrap_or_default();
            context
                .list(&format!("/keys{of}"), "keys", |keys| {
                    let mut columns = Columns::leaving_out(
                        &["ID", "NAME", "USER", "CREATED", "LAST USED", "EXPIRES"],
                        &["CREATED", "USER", "LAST USED"],
                    );
                    for key in keys {
                        let cell = |name| field(key, name);
                        columns.row([
                            cell("key_id"),
                            cell("name"),
                            cell("email"),
                            ago(&cell("created_at")),
                            ago(&cell("last_used")),
                            output::until(&cell("expires_at")),
                        ]);
                    }
                    columns.print("there are no keys")
                })
                .await
        }
        Keys::Create { name, expires, actions, playbooks } => {
            let mut body = json!({"name": name});
            if let Some(seconds) = expires.filter(|seconds| *seconds > 0) {
                body["expires_in"] = seconds.into();
            }
            if !actions.is_empty() || !playbooks.is_empty() {
                body["scope"] = json!({});
            }
            for (field, values) in [("actions", actions), ("playbooks", playbooks)] {
                if !values.is_empty() {
                    body["scope"][field] = values.into();
                }
            }
            let answer = context.api.post("/keys", &body).await?;
            context.show(&answer, |created| {
                say!("runvoy: keep this key, it is not shown again; its id is {}", field(&created["key"], "key_id"));
                match created["api_key"].as_str() {
                    Some(key) => output::print(&crate::escape::text(key)),
                    None => {
                        Err(Failure::new("the answer has no key").remedy("check the endpoint: `runvoy config list`"))
                    }
                }
            })
        }
        Keys::Delete { key_id, confirmation } => {
            confirmation.ask(&format!("Delete the key {key_id}? It stops working at once."))?;
            let answer = context.api.delete(&format!("/keys/{}", segment(&key_id))).await?;
            context.done(&answer)
        }
    }
}
