//! `runvoy approve` and `runvoy deny`: shows what exactly would run, and decides.

use serde_json::{Value, json};

use super::{Context, ids};
use crate::{
    api::segment,
    arguments::{Approve, Deny},
    escape,
    failure::{Failure, Result},
    output::{self, Columns, ago, field},
};

/// Approves an execution, or lists those that wait for the user.
pub(super) async fn approve(context: &Context, approve: Approve) -> Result<()> {
    let Some(id) = approve.id else { return waiting(context).await };
    let id = ids::execution_id(context, &id).await?;
    show_request(context, &id).await?;
    approve.confirmation.ask("Approve this?")?;
    decide(context, &id, "approve", approve.comment).await
}

pub(super) async fn deny(context: &Context, deny: Deny) -> Result<()> {
    let id = ids::execution_id(context, &deny.id).await?;
    decide(context, &id, "deny", deny.comment).await
}

async fn decide(context: &Context, id: &str, verb: &str, comment: Option<String>) -> Result<()> {
    let body = comment.map_or_else(|| json!({}), |comment| json!({"comment": comment}));
    let answer = context.api.post(&format!("/executions/{}/{verb}", segment(id)), &body).await?;
    context.done(&answer)
}

/// Says on standard error what would run, with which values, and for whom.
async fn show_request(context: &Context, id: &str) -> Result<()> {
    let execution = context.api.get(&format!("/executions/{}", segment(id))).await?.json()?;
    if execution["status"] != "WAITING" {
        return Err(Failure::new(format!(
            "execution {id} does not wait for an approval: it is {}",
            field(&execution, "status")
        )));
    }
    say!(
        "{} asked for by {}, in {}",
        field(&execution, "source"),
        field(&execution, "created_by"),
        field(&execution, "image_id")
    );
    for line in execution["command"].as_str().unwrap_or_default().lines() {
        say!("  {line}");
    }
    for (name, value) in execution["request"]["env"].as_object().into_iter().flatten() {
        say!("{name}={}", value.as_str().unwrap_or_default());
    }
    for (label, name) in
        [("secrets", "secrets"), ("repository", "git_repo"), ("ref", "git_ref"), ("folder", "git_path")]
    {
        if execution[name].as_array().is_none_or(|list| !list.is_empty()) && !execution[name].is_null() {
            say!("{label}: {}", field(&execution, name));
        }
    }
    let approval = &execution["approval"];
    for decision in approval["given"].as_array().into_iter().flatten() {
        say!("approved by {}", field(decision, "by"));
    }
    say!("needs {} in all, until {}", field(approval, "count"), field(approval, "expires_at"));
    Ok(())
}

async fn waiting(context: &Context) -> Result<()> {
    let answer = context.api.get("/executions?waiting_for=me").await?;
    context.show(&answer, |executions: Value| {
        let mut columns = Columns::new(&["ID", "WHAT", "ASKED BY", "ASKED", "UNTIL"]);
        for execution in executions.as_array().into_iter().flatten() {
            let cell = |name| field(execution, name);
            columns.row([
                cell("execution_id"),
                output::short(&escape::text(&cell("source")), 40),
                cell("created_by"),
                ago(&cell("started_at")),
                field(&execution["approval"], "expires_at"),
            ]);
        }
        columns.print("nothing waits for your approval")
    })
}
