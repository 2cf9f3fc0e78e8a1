//! Sends mails by SNS: a topic for each notification, with one subscription, which the recipient confirms.

use aws_sdk_sns::operation::publish::PublishError;
use runvoy_api_types::Email;

use super::webhook::ReceiverAnswer;
use crate::{App, Error, Result, error::Service};

/// The text that SNS lists in place of a subscription's ARN until the recipient confirms it ("ListSubscriptionsByTopic", Amazon SNS API
/// Reference).
const PENDING: &str = "PendingConfirmation";
/// The most characters of a subject, which are ASCII and do not begin with a space: SNS takes less than 100 ("Publish").
pub(super) const MAX_SUBJECT: usize = 99;

fn topic(app: &App, id: &str) -> String {
    format!("{}{id}", app.config.notification_topics)
}

/// Asks the recipient to confirm the address, again if they have been asked before. SNS makes neither a topic nor a subscription twice.
pub(super) async fn subscribe(app: &App, id: &str, address: &Email) -> Result<()> {
    let topic = topic(app, id);
    let name = topic.rsplit(':').next().unwrap_or_default();
    app.aws.sns.create_topic().name(name).send().await.map_err(Error::aws(Service::Sns))?;
    let subscribe = app.aws.sns.subscribe().topic_arn(topic).protocol("email").endpoint(address.as_str());
    subscribe.send().await.map(drop).map_err(Error::aws(Service::Sns))
}

/// Tells whether the recipient has confirmed the address.
pub(super) async fn is_confirmed(app: &App, id: &str) -> Result<bool> {
    match app.aws.sns.list_subscriptions_by_topic().topic_arn(topic(app, id)).send().await {
        Ok(listed) => {
            let arns = listed.subscriptions().iter().filter_map(|subscription| subscription.subscription_arn());
            Ok(arns.into_iter().any(|arn| arn.starts_with("arn:") && arn != PENDING))
        }
        Err(error) if error.as_service_error().is_some_and(aws_sdk_sns::operation::list_subscriptions_by_topic::ListSubscriptionsByTopicError::is_not_found_exception) => Ok(false),
        Err(error) => Err(Error::aws(Service::Sns)(error)),
    }
}

/// Tells whether there is a topic, as there is once the recipient has been asked.
pub(super) async fn has_topic(app: &App, id: &str) -> Result<bool> {
    use aws_sdk_sns::operation::list_subscriptions_by_topic::ListSubscriptionsByTopicError as Refusal;
    match app.aws.sns.list_subscriptions_by_topic().topic_arn(topic(app, id)).send().await {
        Ok(_) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(Refusal::is_not_found_exception) => Ok(false),
        Err(error) => Err(Error::aws(Service::Sns)(error)),
    }
}

/// Deletes the topic with its subscription, if there is one.
pub(super) async fn delete_topic(app: &App, id: &str) -> Result<()> {
    match app.aws.sns.delete_topic().topic_arn(topic(app, id)).send().await {
        Ok(_) => Ok(()),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(aws_sdk_sns::operation::delete_topic::DeleteTopicError::is_not_found_exception) =>
        {
            Ok(())
        }
        Err(error) => Err(Error::aws(Service::Sns)(error)),
    }
}

/// Sends a mail.
pub(super) async fn publish(app: &App, id: &str, subject: &str, text: String) -> ReceiverAnswer {
    let subject: String = subject
        .trim_start()
        .chars()
        .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
        .take(MAX_SUBJECT)
        .collect();
    match app.aws.sns.publish().topic_arn(topic(app, id)).subject(subject).message(text).send().await {
        Ok(sent) => ReceiverAnswer {
            status_code: Some(200),
            text: format!("SNS took it: {}", sent.message_id().unwrap_or_default()),
            is_slow: false,
        },
        Err(error) => ReceiverAnswer::none(match error.as_service_error() {
            Some(PublishError::NotFoundException(_)) => "the topic of the notification is gone".to_owned(),
            _ => format!("SNS did not take it: {}", Error::aws(Service::Sns)(error)),
        }),
    }
}
