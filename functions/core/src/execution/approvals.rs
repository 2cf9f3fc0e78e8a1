//! Writes who has approved an execution that waits.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use runvoy_api_types::Decision;

use super::{ExecutionId, Status, items::key};
use crate::{
    App, RequestId, Result,
    table::{string, to_item},
};

/// The write that makes these the approvals of an execution, if it still waits with those that were read, so that no one's can be written
/// twice.
pub(crate) fn write_approvals(
    app: &App,
    id: &ExecutionId,
    given: &[Decision],
    seen: &[Decision],
    request_id: &RequestId,
) -> Result<TransactWriteItem> {
    let update = Update::builder()
        .table_name(&app.config.tables.executions)
        .set_key(Some(key(id)))
        .update_expression("SET #approval.#given = :given, modified_by_request_id = :request")
        .condition_expression("#status = :waiting AND #approval.#given = :seen")
        .expression_attribute_names("#approval", "approval")
        .expression_attribute_names("#given", "given")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":given", decisions(given)?)
        .expression_attribute_values(":waiting", string(Status::Waiting))
        .expression_attribute_values(":seen", decisions(seen)?)
        .expression_attribute_values(":request", string(request_id.as_str()))
        .build()?;
    Ok(TransactWriteItem::builder().update(update).build())
}

fn decisions(given: &[Decision]) -> Result<AttributeValue> {
    let items = given.iter().map(|decision| Ok(AttributeValue::M(to_item(decision)?)));
    Ok(AttributeValue::L(items.collect::<Result<_>>()?))
}
