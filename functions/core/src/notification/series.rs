//! Tells which success is a recovery, and how long executions usually take.
//!
//! A series is what people take for one job: the executions of a playbook, of a schedule, or of one command of one user in one image. An
//! item for each series has its last end. What an end means is decided once, and stored in the same transaction that changes the series. An
//! event that comes again finds the stored decision, so the order and the number of events do not matter.

use std::time::Duration;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::Timestamp;
use runvoy_api_types::{Execution, ExecutionId, Status};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::delivery;
use crate::{
    App, Result,
    table::{self, Attempted, Item, number, string},
    time,
};

/// The time for which a series is remembered after its last end: 120 days, so that a job that runs once a quarter has one.
const REMEMBERED: Duration = Duration::from_hours(2880);
/// The number of times that an end is decided again because another end of the series came in between.
const ATTEMPTS: u32 = 12;
/// The usual time is a moving average, in which the newest success counts for one part of this many.
const WEIGHT: i64 = 4;

/// An end of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) execution_id: ExecutionId,
    #[serde(with = "time::as_rfc3339")]
    pub(super) at: Timestamp,
    succeeded: bool,
}

/// The last end of a series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Series {
    last: End,
    /// Tells whether the last end has been called a recovery.
    recovered: bool,
    /// Seconds that a success usually takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usual: Option<i64>,
    version: u64,
}

/// The meaning of an end for its series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Decision {
    /// The execution succeeded, and the one before it had failed.
    pub(super) recovered: bool,
    /// The later success that is a recovery because of this failure, of which the stream has told late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recovers: Option<End>,
}

/// The name of an execution's series.
fn name(execution: &Execution) -> String {
    match execution.asked.source.split_once(':') {
        Some(("playbook", name)) => format!("playbook:{}", name.split('@').next().unwrap_or_default()),
        Some(_) => execution.asked.source.clone(),
        None => {
            let repository = execution.asked.git_repo.as_deref().unwrap_or_default();
            let parts =
                [execution.created_by.as_str(), execution.image_id.as_str(), repository, execution.command.as_str()];
            let digest = Sha256::digest(parts.join("\0"));
            digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
        }
    }
}

fn key(execution: &Execution) -> (String, String) {
    (format!("#series#{}", name(execution)), "last".to_owned())
}

fn decision_key(id: &ExecutionId) -> (String, String) {
    (format!("#end#{id}"), "decision".to_owned())
}

async fn read(app: &App, (partition, sort): &(String, String)) -> Result<Option<Item>> {
    let get = app.aws.dynamodb.get_item().table_name(&app.config.tables.deliveries).consistent_read(true);
    Ok(get.key("notification_id", string(partition)).key("delivery", string(sort)).send().await?.item)
}

/// Seconds that executions of this one's series usually take, if any has succeeded.
pub(super) async fn usual(app: &App, execution: &Execution) -> Result<Option<i64>> {
    let series: Option<Series> = read(app, &key(execution)).await?.map(table::from_item).transpose()?;
    Ok(series.and_then(|series| series.usual))
}

/// Decides what the end of an execution means for its series, once.
///
/// # Errors
/// [`crate::Error::Aws`] when DynamoDB fails, or ends of the series come faster than they can be written.
pub(super) async fn decide(app: &App, execution: &Execution, at: Timestamp) -> Result<Decision> {
    let end =
        End { execution_id: execution.execution_id.clone(), at, succeeded: execution.status == Status::Succeeded };
    let (series_key, decision_key) = (key(execution), decision_key(&end.execution_id));
    for attempt in 0..ATTEMPTS {
        if let Some(decided) = read(app, &decision_key).await? {
            return table::from_item(decided);
        }
        let series: Option<Series> = read(app, &series_key).await?.map(table::from_item).transpose()?;
        let (next, decision) = after(series.as_ref(), &end, execution.duration_seconds);
        let writes = vec![
            put(app, &series_key, &next, REMEMBERED, series.as_ref().map(|series| series.version))?,
            put(app, &decision_key, &decision, delivery::KEPT, None)?,
        ];
        if table::transact_once(app, writes).await? == Attempted::Done {
            return Ok(decision);
        }
        app.sleep(table::pause(app, attempt)).await;
    }
    Err(table::too_much_contention("the series of an execution"))
}

/// The series after an end, and what the end means.
fn after(series: Option<&Series>, end: &End, took: Option<i64>) -> (Series, Decision) {
    let took = took.filter(|_| end.succeeded);
    let Some(series) = series else {
        return (Series { last: end.clone(), recovered: false, usual: took, version: 1 }, Decision::default());
    };
    let usual = match (series.usual, took) {
        (Some(usual), Some(took)) => Some((usual * (WEIGHT - 1) + took).div_euclid(WEIGHT)),
        (usual, took) => usual.or(took),
    };
    let version = series.version + 1;
    let is_later = (end.at, end.execution_id.as_str()) > (series.last.at, series.last.execution_id.as_str());
    if is_later {
        let recovered = end.succeeded && !series.last.succeeded;
        return (Series { last: end.clone(), recovered, usual, version }, Decision { recovered, recovers: None });
    }
    let recovers = !end.succeeded && series.last.succeeded && !series.recovered;
    let decision = Decision { recovered: false, recovers: recovers.then(|| series.last.clone()) };
    (Series { recovered: series.recovered || recovers, usual, version, last: series.last.clone() }, decision)
}

/// The write of an item, which fails unless the stored one has this version; for `None`, unless there is none.
fn put(
    app: &App,
    (partition, sort): &(String, String),
    value: &impl Serialize,
    kept: Duration,
    version: Option<u64>,
) -> Result<TransactWriteItem> {
    let mut item = table::to_item(value)?;
    item.insert("notification_id".to_owned(), string(partition));
    item.insert("delivery".to_owned(), string(sort));
    item.insert("expires_at".to_owned(), number(app.expiry(kept)));
    let put = Put::builder().table_name(&app.config.tables.deliveries).set_item(Some(item));
    let put = match version {
        None => put.condition_expression("attribute_not_exists(notification_id)"),
        Some(version) => {
            put.condition_expression("version = :version").expression_attribute_values(":version", number(version))
        }
    };
    Ok(TransactWriteItem::builder().put(put.build()?).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(number: i64, succeeded: bool) -> End {
        let id = format!("{number:032x}").parse().unwrap();
        End { execution_id: id, at: Timestamp::from_second(number).unwrap(), succeeded }
    }

    /// The recoveries that are told when these ends come in this order.
    fn told(ends: &[(i64, bool)]) -> Vec<i64> {
        let mut series = None;
        let mut told = Vec::new();
        for (number, succeeded) in ends {
            let end = end(*number, *succeeded);
            let (next, decision) = after(series.as_ref(), &end, Some(10));
            told.extend(decision.recovered.then_some(end.at.as_second()));
            told.extend(decision.recovers.map(|later| later.at.as_second()));
            series = Some(next);
        }
        told.sort_unstable();
        told
    }

    #[test]
    fn a_success_after_a_failure_is_a_recovery_whichever_is_told_first() {
        assert!(told(&[(1, true), (2, true)]).is_empty());
        assert_eq!(told(&[(1, false), (2, true), (3, true)]), [2]);
        assert_eq!(told(&[(2, true), (1, false)]), [2]);
        assert_eq!(told(&[(3, true), (1, false), (2, false)]), [3], "once");
        assert_eq!(told(&[(2, false), (1, true), (3, true)]), [3]);
    }

    #[test]
    fn the_usual_time_follows_the_successes_slowly() {
        let (first, _) = after(None, &end(1, true), Some(100));
        let (second, _) = after(Some(&first), &end(2, true), Some(200));
        let (third, _) = after(Some(&second), &end(3, false), Some(9000));
        assert_eq!([first.usual, second.usual, third.usual], [Some(100), Some(125), Some(125)]);
    }
}
