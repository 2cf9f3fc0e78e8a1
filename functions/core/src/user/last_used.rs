//! Writes down when a key and its user were used last, beside the request's own work.

use std::time::Duration;

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use jiff::Timestamp;

use crate::{
    App, Email, Error, Result,
    key::{self, KeyUse},
    table::string,
    time,
};

/// The time that a request may wait for this write after its own work is done.
const REFRESH_TIMEOUT: Duration = Duration::from_millis(500);

/// Writes down when a key was used, on the user and on the key. A failure or a slow table is logged and costs the request half
/// a second at most. The caller awaits it, because Lambda freezes an instance once the answer is sent.
pub async fn note_use(app: &App, key_use: &KeyUse) {
    let written = tokio::select! {
        written = write_use(app, key_use) => written,
        () = app.sleep(REFRESH_TIMEOUT) => Err(Error::internal("the write took too long")),
    };
    if let Err(error) = written {
        tracing::debug!(error = %error.chain(), "last_used was not refreshed");
    }
}

async fn write_use(app: &App, key_use: &KeyUse) -> Result<()> {
    app.aws
        .dynamodb
        .transact_write_items()
        .transact_items(on_user(app, &key_use.email, key_use.at)?)
        .transact_items(key::note_use(app, &key_use.key_hash, key_use.at)?)
        .send()
        .await?;
    Ok(())
}

/// The write that notes when a user was last active.
fn on_user(app: &App, email: &Email, at: Timestamp) -> Result<TransactWriteItem> {
    let update = Update::builder()
        .table_name(&app.config.tables.users)
        .key("email", string(email.as_str()))
        .update_expression("SET last_used = :now")
        .condition_expression("attribute_exists(email)")
        .expression_attribute_values(":now", string(time::rfc3339(at)))
        .build()?;
    Ok(TransactWriteItem::builder().update(update).build())
}
