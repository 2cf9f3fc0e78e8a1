//! Keeps what a run was asked with, so that it can be asked for again: the values of its variables, which the record does not have.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use runvoy_api_types::{AskedAgain, ImageId};
use serde::{Deserialize, Serialize};

use super::{ExecutionId, ExecutionRecord, RunRequest};
use crate::{App, Result, redaction::says_secret, table};

/// An item of the requests table. A run without variables has none, because its record has the rest.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    execution_id: ExecutionId,
    /// Without the variables whose names say that their values are secrets.
    env: BTreeMap<String, String>,
    /// Seconds since 1970, for DynamoDB's TTL.
    expires_at: i64,
}

/// The values that are kept of a request. `None` if there are none.
fn kept(app: &App, id: &ExecutionId, request: &RunRequest) -> Option<Kept> {
    let env: BTreeMap<String, String> =
        request.env.iter().filter(|(name, _)| !says_secret(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    let expires_at = app.expiry(app.config.log_retention);
    Some(Kept { execution_id: id.clone(), env, expires_at }).filter(|kept| !kept.env.is_empty())
}

/// Keeps a request for as long as the log. When that fails, the run goes on, and can be repeated without the values only.
pub(super) async fn keep(app: &App, id: &ExecutionId, request: &RunRequest) {
    let Some(kept) = kept(app, id, request) else { return };
    let written = async {
        let item = table::to_item(&kept)?;
        app.aws.dynamodb.put_item().table_name(&app.config.tables.requests).set_item(Some(item)).send().await?;
        Ok::<_, crate::Error>(())
    };
    if let Err(error) = written.await {
        tracing::warn!(execution_id = %id, error = %error.chain(), "what was asked could not be kept");
    }
}

/// The write that keeps a request, in the transaction that makes an execution which is started later.
pub(super) fn write(app: &App, id: &ExecutionId, request: &RunRequest) -> Result<Option<TransactWriteItem>> {
    let Some(kept) = kept(app, id, request) else { return Ok(None) };
    let put = Put::builder().table_name(&app.config.tables.requests).set_item(Some(table::to_item(&kept)?)).build()?;
    Ok(Some(TransactWriteItem::builder().put(put).build()))
}

/// The request that a waiting execution is started with.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) when the time for which values are kept is over.
pub(crate) async fn to_start(app: &App, record: &ExecutionRecord) -> Result<RunRequest> {
    let AskedAgain {
        command,
        image,
        env,
        left_out,
        secrets,
        timeout,
        git_repo,
        git_ref,
        git_path,
        cpu,
        memory,
        disk,
        spot,
        deadline,
        retry,
    } = again(app, record).await?;
    if let Some(name) = left_out.first() {
        return Err(crate::Error::invalid(format!("the value of {name} is not kept any more")));
    }
    Ok(RunRequest {
        command,
        image,
        env,
        secrets,
        timeout,
        git_repo,
        git_ref,
        git_path,
        cpu,
        memory,
        disk,
        spot,
        deadline,
        retry,
        ..RunRequest::default()
    })
}

/// The request by which an execution can be asked for again. For its owners and for those who may read all executions, because it has
/// the values of variables.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn again(app: &App, record: &ExecutionRecord) -> Result<AskedAgain> {
    let execution = &record.execution;
    let asked = &execution.asked;
    let kept: Option<Kept> = if asked.variables.is_empty() {
        None
    } else {
        table::get(&app.aws.dynamodb, &app.config.tables.requests, "execution_id", execution.execution_id.as_str())
            .await?
    };
    let env = kept.filter(|kept| !app.is_past(kept.expires_at)).map(|kept| kept.env).unwrap_or_default();
    Ok(AskedAgain {
        command: execution.command.clone(),
        image: Some(execution.image_id.to_string()).filter(|id| id != ImageId::NONE),
        left_out: asked.variables.iter().filter(|name| !env.contains_key(*name)).cloned().collect(),
        env,
        secrets: asked.secrets.clone(),
        timeout: asked.timeout,
        git_repo: asked.git_repo.clone(),
        git_ref: asked.git_ref.clone(),
        git_path: asked.git_path.clone(),
        cpu: asked.cpu,
        memory: asked.memory,
        disk: asked.disk,
        spot: asked.spot,
        deadline: asked.deadline,
        retry: asked.retry.clone(),
    })
}
