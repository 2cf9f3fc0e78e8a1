//! Does `runvoy keys`: lists, makes and deletes keys.

use runvoy_api_types::{CreateKey, CreatedKey, Key, KeyScope};

use super::context::Context;
use crate::{
    api::segment,
    arguments::Keys,
    failure::Result,
    output::{self, Columns, ago, cell, or_dash},
};

pub(crate) async fn run(context: &Context, command: Keys) -> Result<()> {
    match command {
        Keys::List { user } => {
            let of = user.map(|email| format!("?email={}", segment(&email))).unwrap_or_default();
            context
                .list(&format!("/keys{of}"), "keys", |keys: &[Key]| {
                    let mut columns = Columns::leaving_out(
                        &["ID", "NAME", "USER", "CREATED", "LAST USED", "EXPIRES"],
                        &["CREATED", "USER", "LAST USED"],
                    );
                    for key in keys {
                        columns.row([
                            cell(&key.key_id),
                            cell(&key.name),
                            cell(&key.email),
                            or_dash(key.created_at.map(ago)),
                            or_dash(key.last_used.map(ago)),
                            or_dash(key.expires_at.map(output::until)),
                        ]);
                    }
                    columns.print("there are no keys")
                })
                .await
        }
        Keys::Create { name, expires, actions, playbooks } => {
            let given = |names: Vec<String>| Some(names).filter(|names| !names.is_empty());
            let scope = KeyScope { actions: given(actions), playbooks: given(playbooks) };
            let body = CreateKey {
                name,
                expires_in: expires.filter(|seconds| *seconds > 0),
                scope: Some(scope).filter(|scope| *scope != KeyScope::default()),
            };
            let answer = context.api.post("/keys", &body).await?;
            context.show(&answer, |CreatedKey { key, api_key }| {
                say!("runvoy: keep this key, it is not shown again; its id is {}", cell(&key.key_id));
                output::print(&cell(api_key))
            })
        }
        Keys::Delete { key_id, confirmation } => {
            confirmation.ask(&format!("Delete the key {key_id}? It stops working at once."))?;
            let answer = context.api.delete(&format!("/keys/{}", segment(&key_id))).await?;
            context.done(&answer)
        }
    }
}
