//! `runvoy approve` and `runvoy deny`: shows what exactly would run, and decides.

use runvoy_api_types::{Decide, Decision, Execution, ExecutionInFull, Status, time::rfc3339};

use super::{context::Context, ids};
use crate::{
    api::segment,
    arguments::{Approve, Deny},
    failure::{Failure, Result},
    output::{self, Columns, ago, cell, names, or_dash},
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
    let answer = context.api.post(&format!("/executions/{}/{verb}", segment(id)), &Decide { comment }).await?;
    context.done(&answer)
}

/// Says on standard error what would run, with which values, and for whom.
async fn show_request(context: &Context, id: &str) -> Result<()> {
    let shown: ExecutionInFull = context.api.get(&format!("/executions/{}", segment(id))).await?.parse()?;
    let ExecutionInFull { execution, request, .. } = shown;
    if execution.status != Status::Waiting {
        return Err(Failure::new(format!("execution {id} does not wait for an approval: it is {}", execution.status)));
    }
    let asked = &execution.asked;
    say!("{} asked for by {}, in {}", cell(&asked.source), cell(&execution.created_by), cell(&execution.image_id));
    for line in execution.command.lines() {
        say!("  {line}");
    }
    for (name, value) in request.iter().flat_map(|request| &request.env) {
        say!("{name}={}", output::indented(value));
    }
    if !asked.secrets.is_empty() {
        say!("secrets: {}", names(&asked.secrets));
    }
    for (label, text) in [("repository", &asked.git_repo), ("ref", &asked.git_ref), ("folder", &asked.git_path)] {
        if let Some(text) = text {
            say!("{label}: {}", output::indented(text));
        }
    }
    if let Some(approval) = &execution.approval {
        for decision in &approval.given {
            say!("approved by {}", in_words(decision));
        }
        say!("needs {} in all, until {}", approval.count, rfc3339(approval.expires_at));
    }
    Ok(())
}

/// Characters of a comment that are shown.
const COMMENT_WIDTH: usize = 400;

/// Who has approved an execution, and what they have said, on one line.
pub(super) fn in_words(decision: &Decision) -> String {
    let comment = decision.comment.as_deref().unwrap_or_default();
    match output::short(&cell(comment), COMMENT_WIDTH) {
        comment if comment.is_empty() => cell(&decision.by),
        comment => format!("{}: {comment}", cell(&decision.by)),
    }
}

async fn waiting(context: &Context) -> Result<()> {
    let answer = context.api.get("/executions?waiting_for=me").await?;
    context.show(&answer, |executions: Vec<Execution>| {
        let mut columns = Columns::leaving_out(&["ID", "UNTIL", "ASKED", "ASKED BY", "WHAT"], &["ASKED", "ASKED BY"]);
        for execution in executions {
            columns.row([
                cell(&execution.execution_id),
                or_dash(execution.approval.as_ref().map(|approval| output::until(approval.expires_at))),
                ago(execution.started_at),
                cell(&execution.created_by),
                output::short(&cell(&execution.asked.source), 40),
            ]);
        }
        columns.print("nothing waits for your approval")
    })
}
