//! Deletes what is kept of notifications that do not exist, and reports notifications of which nothing is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use runvoy_api_types::{NotificationsStatus, Severity};

use super::{Channel, NotificationState, email, key, record};
use crate::{App, Error, findings::Findings};

/// The age from which a key without a notification is an orphan: no invocation takes so long to make a notification.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);
/// The age up to which an orphan is deleted. Reconcile runs each hour, so an older one has had a notification. It is kept, because
/// that notification may come back: the table may have been restored to an earlier time.
const MEND_UNTIL: Duration = Duration::from_hours(24);

/// Compares the notifications with what is kept of them in SSM and SNS.
pub(crate) async fn check(app: &App, findings: &mut Findings) -> NotificationsStatus {
    let mut status = NotificationsStatus::default();
    // The keys are read first, so that the key of a notification that is made meanwhile is not taken for an orphan.
    let read = async {
        let keys: BTreeMap<_, _> = key::all(app).await?.into_iter().collect();
        Ok::<_, Error>((keys, record::all(app).await?))
    };
    let (keys, records) = match read.await {
        Ok(read) => read,
        Err(error) => {
            findings.failed("notification", &app.config.notifications_prefix, &error);
            return status;
        }
    };
    status.total_notifications = records.len();
    for record in &records {
        let name = record.notification.name.as_str();
        let lacks = match record.notification.channel {
            Channel::Webhook { .. } | Channel::Slack { .. } if !keys.contains_key(&record.id) => {
                // It may have been made or deleted after the keys were read.
                match key::read(app, &record.id).await {
                    Ok(None) => Some(("its key is gone, and nothing is sent", "delete it, and make another")),
                    Ok(Some(_)) => None,
                    Err(error) => {
                        findings.failed("notification", name, &error);
                        continue;
                    }
                }
            }
            Channel::Email { .. } if record.notification.state == NotificationState::Pending => {
                match email::has_topic(app, &record.id).await {
                    Ok(true) => None,
                    Ok(false) => {
                        Some(("its recipient was not asked to confirm the address", "try it: a test asks again"))
                    }
                    Err(error) => {
                        findings.failed("notification", name, &error);
                        continue;
                    }
                }
            }
            _ => None,
        };
        match lacks {
            None => status.verified_count += 1,
            Some((problem, action)) => match record::find_same(app, name, &record.id).await {
                Ok(None) => {}
                Err(error) => findings.failed("notification", name, &error),
                Ok(Some(_)) => {
                    status.incomplete_notifications.push(name.to_owned());
                    findings.note("notification", name, Severity::Error, problem, action);
                }
            },
        }
    }
    let known: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    let ago = |age| app.now().checked_sub(age).unwrap_or_default();
    let orphans = keys.iter().filter(|(id, _)| !known.contains(id.as_str()));
    for (id, written) in orphans.filter_map(|(id, written)| Some((id, (*written)?))) {
        if written >= ago(ABANDONED_AFTER) {
            continue;
        }
        if written < ago(MEND_UNTIL) {
            let problem = "a key is left of it, and it does not exist";
            findings.note(
                "notification",
                id,
                Severity::Warning,
                problem,
                "delete the parameter if no table is to be restored",
            );
            continue;
        }
        match key::delete(app, id).await {
            Ok(()) => {
                status.orphaned_keys_deleted += 1;
                findings.mended("notification", id, "a key was left of it, and it does not exist", "deleted the key");
            }
            Err(error) => findings.failed("notification", id, &error),
        }
    }
    status
}
