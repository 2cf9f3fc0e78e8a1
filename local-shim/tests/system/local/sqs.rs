//! The emulated SQS keeps what SQS promises and refuses what SQS refuses.

use std::time::Duration;

use aws_sdk_sqs::{
    Client,
    types::{Message, SendMessageBatchRequestEntry},
};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use local_shim::Settings;

use crate::client::{MovedClock, System};

/// A queue that no function is a consumer of, and the queue of a function, of which messages are looked at before it takes them.
const DEAD: &str = "https://sqs.us-east-1.amazonaws.com/000000000000/runvoy-local-UnsentNotifications";

async fn start() -> (System, Client, MovedClock) {
    let clock = MovedClock::default();
    let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    let client = Client::new(system.shim.sdk());
    (system, client, clock)
}

async fn receive(sqs: &Client, most: i32, visibility: i32) -> Vec<Message> {
    let received = sqs.receive_message().queue_url(DEAD).max_number_of_messages(most).visibility_timeout(visibility);
    received.send().await.unwrap().messages.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_hidden_while_it_is_handled_comes_again_and_is_deleted_by_its_last_receipt() {
    let (system, sqs, clock) = start().await;
    sqs.send_message().queue_url(DEAD).message_body("late").delay_seconds(900).send().await.unwrap();
    sqs.send_message().queue_url(DEAD).message_body("now").send().await.unwrap();
    let first = receive(&sqs, 10, 60).await;
    assert_eq!(first.iter().map(|one| one.body().unwrap()).collect::<Vec<_>>(), ["now"]);
    assert!(receive(&sqs, 10, 60).await.is_empty(), "it is hidden");
    clock.move_on(Duration::from_secs(61));
    let second = receive(&sqs, 10, 60).await;
    assert_eq!((second.len(), second[0].message_id()), (1, first[0].message_id()));
    let receipt = |message: &Message| message.receipt_handle().unwrap().to_owned();
    sqs.delete_message().queue_url(DEAD).receipt_handle(receipt(&first[0])).send().await.unwrap();
    clock.move_on(Duration::from_secs(61));
    let third = receive(&sqs, 10, 60).await;
    assert_eq!(third.len(), 1, "an old receipt deletes nothing");
    let hide = |receipt: String, seconds| {
        sqs.change_message_visibility().queue_url(DEAD).receipt_handle(receipt).visibility_timeout(seconds).send()
    };
    hide(receipt(&third[0]), 5).await.unwrap();
    clock.move_on(Duration::from_secs(6));
    let late = hide(receipt(&third[0]), 5).await.unwrap_err();
    assert_eq!(late.code(), Some("MessageNotInflight"));
    let fourth = receive(&sqs, 10, 60).await;
    let too_long = hide(receipt(&fourth[0]), 43_201).await.unwrap_err();
    assert_eq!(too_long.code(), Some("InvalidParameterValue"));
    sqs.delete_message().queue_url(DEAD).receipt_handle(receipt(&fourth[0])).send().await.unwrap();
    clock.move_on(Duration::from_mins(15));
    assert_eq!(receive(&sqs, 10, 60).await[0].body(), Some("late"));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sqs_refuses_is_refused() {
    let (system, sqs, _) = start().await;
    let send = |body: String| sqs.send_message().queue_url(DEAD).message_body(body);
    let codes = [
        send("x".repeat(262_145)).send().await.unwrap_err().code().map(str::to_owned),
        send("x".to_owned()).delay_seconds(901).send().await.unwrap_err().code().map(str::to_owned),
        send("\u{1}".to_owned()).send().await.unwrap_err().code().map(str::to_owned),
        sqs.send_message()
            .queue_url("https://sqs/0/none")
            .message_body("x")
            .send()
            .await
            .unwrap_err()
            .code()
            .map(str::to_owned),
    ];
    let expected = ["InvalidParameterValue", "InvalidParameterValue", "InvalidMessageContents", "QueueDoesNotExist"];
    assert_eq!(codes.each_ref().map(|code| code.as_deref().unwrap()), expected);
    let entry = |id: &str| SendMessageBatchRequestEntry::builder().id(id).message_body("x").build().unwrap();
    let batch = |entries: Vec<_>| sqs.send_message_batch().queue_url(DEAD).set_entries(Some(entries)).send();
    let many = (0..11).map(|number| entry(&number.to_string())).collect();
    assert_eq!(batch(many).await.unwrap_err().code(), Some("TooManyEntriesInBatchRequest"));
    assert_eq!(batch(vec![entry("a"), entry("a")]).await.unwrap_err().code(), Some("BatchEntryIdsNotDistinct"));
    assert_eq!(batch(vec![entry("a b")]).await.unwrap_err().code(), Some("InvalidBatchEntryId"));
    assert_eq!(batch(vec![entry("a"), entry("b")]).await.unwrap().successful().len(), 2);
    assert!(sqs.receive_message().queue_url(DEAD).max_number_of_messages(11).send().await.is_err());
    system.shim.shut_down().await;
}

/// A message that cannot be handled is received as often as the template's redrive policy says, and then goes to the dead letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_handled_goes_to_the_dead_letters_and_outlives_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let clock = MovedClock::default();
    let settings = || Settings {
        clock: Some(SharedTimeSource::new(clock.clone())),
        data_dir: Some(folder.path().join("data")),
        ..Settings::ephemeral()
    };
    let system = System::start_with(settings()).await;
    let sqs = Client::new(system.shim.sdk());
    let queue = DEAD.replace("UnsentNotifications", "NotificationsQueue");
    sqs.send_message().queue_url(queue).message_body("no message of ours").send().await.unwrap();
    let mut dead = Vec::new();
    for _ in 0..1000 {
        clock.move_on(Duration::from_secs(10));
        dead = receive(&sqs, 1, 0).await;
        if !dead.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(dead[0].body(), Some("no message of ours"));
    system.shim.shut_down().await;
    let system = System::start_with(settings()).await;
    let sqs = Client::new(system.shim.sdk());
    assert_eq!(receive(&sqs, 1, 0).await[0].body(), Some("no message of ours"));
    system.shim.shut_down().await;
}
