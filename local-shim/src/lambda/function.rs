//! Invokes a function as Lambda does: with a deadline, with limits, and again where an event failed.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use lambda_runtime::{Context, LambdaEvent};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use super::{
    chaos::{Chaos, Fate},
    dead_letters::{Body, DeadLetters},
    function_log::FunctionLog,
    invoke_error::{FunctionError, InvokeError, MAX_PAYLOAD, NotHandled},
    kind::Kind,
};
use crate::stack::{ACCOUNT, FunctionSettings, REGION};

/// The pauses before an asynchronous event that failed is tried again. Lambda waits one minute and then two, which is too long for a
/// developer who watches.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Asynchronous invocations at the same time for each kind of event. Further ones wait.
const CONCURRENCY: usize = 100;

/// The code of a function. It takes the bytes of an event and returns the bytes of an answer.
pub type Handler =
    Arc<dyn Fn(LambdaEvent<Vec<u8>>) -> BoxFuture<'static, Result<Vec<u8>, FunctionError>> + Send + Sync>;

/// A deployed function.
#[derive(Clone)]
pub struct Function(Arc<Inner>);

struct Inner {
    arn: String,
    timeout: Duration,
    config: Arc<lambda_runtime::Config>,
    handler: Handler,
    /// The log of the function's own lines.
    log: Option<FunctionLog>,
    /// The places for asynchronous invocations, by [`Kind`].
    capacity: [Semaphore; 5],
    /// Keeps the events that failed each time.
    dead_letters: OnceLock<DeadLetters>,
    /// Asynchronous events that are being handled.
    events: TaskTracker,
    /// Disturbs deliveries on purpose, if it is there.
    chaos: Option<Chaos>,
}

impl Function {
    /// A function with the settings that the template gives it. With a `chaos_seed`, its deliveries are disturbed as the seed
    /// decides.
    pub fn new(
        name: &str,
        settings: &FunctionSettings,
        log: Option<FunctionLog>,
        chaos_seed: Option<u64>,
        handler: Handler,
    ) -> Self {
        Self(Arc::new(Inner {
            arn: format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"),
            timeout: settings.timeout,
            config: Arc::new(lambda_runtime::Config {
                function_name: name.to_owned(),
                memory: settings.memory_mb,
                version: "$LATEST".to_owned(),
                log_stream: format!("local/{name}"),
                log_group: format!("/aws/lambda/{name}"),
            }),
            handler,
            log,
            capacity: std::array::from_fn(|_| Semaphore::new(CONCURRENCY)),
            dead_letters: OnceLock::new(),
            events: TaskTracker::new(),
            chaos: chaos_seed.map(Chaos::new),
        }))
    }

    /// The function's name.
    pub(crate) fn name(&self) -> &str {
        &self.0.config.function_name
    }

    /// Tells whether an event may overtake the previous one.
    pub fn reorders(&self) -> bool {
        self.0.chaos.is_some()
    }

    /// Invokes the function and waits for its answer.
    ///
    /// # Errors
    /// The function failed, or the event or its answer is too large.
    pub async fn invoke(&self, request_id: &str, payload: Vec<u8>) -> Result<Vec<u8>, InvokeError> {
        let Inner { arn, timeout, config, handler, log, .. } = &*self.0;
        if payload.len() > MAX_PAYLOAD {
            return Err(InvokeError::RequestTooLarge(payload.len()));
        }
        let mut context = Context::default();
        request_id.clone_into(&mut context.request_id);
        arn.clone_into(&mut context.invoked_function_arn);
        context.deadline = deadline(*timeout);
        context.env_config = config.clone();
        let code = handler(LambdaEvent::new(payload, context));
        let code = match log.clone() {
            Some(log) => log.scope(code).boxed(),
            None => code,
        };
        let answer = AssertUnwindSafe(code).catch_unwind();
        match tokio::time::timeout(*timeout, answer).await {
            Err(_) => Err(InvokeError::TimedOut(*timeout)),
            Ok(Err(_)) => Err(InvokeError::Panicked),
            Ok(Ok(Err(error))) => Err(InvokeError::Failed(error)),
            Ok(Ok(Ok(answer))) if answer.len() > MAX_PAYLOAD => Err(InvokeError::ResponseTooLarge(answer.len())),
            Ok(Ok(Ok(answer))) => Ok(answer),
        }
    }

    /// Keeps events that failed each time in these dead letters.
    pub(crate) fn keep_failed(&self, dead_letters: DeadLetters) {
        // A function has one queue of dead letters.
        let _ = self.0.dead_letters.set(dead_letters);
    }

    /// Sends an asynchronous event, which is handled in the background and tried twice more if that fails. After that it is kept in the
    /// dead letters. The future, which need not be awaited, ends when the event has been handled, at once or from the dead letters.
    ///
    /// # Errors
    /// The future fails when the event is given up, or when the program ends before it is handled.
    pub fn send(&self, kind: Kind, payload: Vec<u8>) -> BoxFuture<'static, Result<(), NotHandled>> {
        let copies = self.0.chaos.as_ref().map_or(1, Chaos::copies);
        let handled: Vec<_> = (0..copies)
            .map(|_| {
                let (function, payload) = (self.clone(), payload.clone());
                self.0.events.spawn(async move { function.try_or_keep(kind, payload).await })
            })
            .collect();
        Box::pin(async move {
            for handled in handled {
                match handled.await {
                    Ok(None) => {}
                    Ok(Some(later)) => later.await.map_err(|_| NotHandled)?,
                    Err(_) => return Err(NotHandled),
                }
            }
            Ok(())
        })
    }

    /// Handles an event. If it is kept in the dead letters, returns a channel on which its later success is told.
    async fn try_or_keep(&self, kind: Kind, payload: Vec<u8>) -> Option<oneshot::Receiver<()>> {
        let error = self.attempt(kind, payload.clone()).await.err()?;
        Some(match self.0.dead_letters.get() {
            Some(dead_letters) => dead_letters.keep(kind, Body::payload(payload), &error),
            None => oneshot::channel().1,
        })
    }

    /// Delivers an asynchronous event as often as chaos repeats it, and tries each delivery as often as Lambda does.
    pub(super) async fn attempt_copies(&self, kind: Kind, payload: Vec<u8>) -> Result<(), InvokeError> {
        let copies = self.0.chaos.as_ref().map_or(1, Chaos::copies);
        let attempts = (0..copies).map(|_| self.attempt(kind, payload.clone()));
        futures_util::future::join_all(attempts).await.into_iter().collect()
    }

    /// Invokes the function for an event that is delivered again if this fails, unless `is_last`. The last delivery is not
    /// disturbed.
    pub(super) async fn deliver(
        &self,
        request_id: &str,
        payload: Vec<u8>,
        is_last: bool,
    ) -> Result<Vec<u8>, InvokeError> {
        let _under_way = self.0.events.token();
        let Some(chaos) = &self.0.chaos else { return self.invoke(request_id, payload).await };
        tokio::time::sleep(chaos.delay()).await;
        match chaos.fate() {
            Fate::FailsBefore if !is_last => Err(InvokeError::Disturbed("did not begin")),
            Fate::FailsAfter if !is_last => {
                self.invoke(request_id, payload).await?;
                Err(InvokeError::Disturbed("did its work, and its answer was lost"))
            }
            _ => self.invoke(request_id, payload).await,
        }
    }

    /// Handles an asynchronous event, and tries it twice more if that fails.
    ///
    /// # Errors
    /// The error of the last try.
    pub(super) async fn attempt(&self, kind: Kind, payload: Vec<u8>) -> Result<(), InvokeError> {
        let _under_way = self.0.events.token();
        // All tries of an event have the same request id.
        let request_id = request_id();
        let mut retries = RETRY_AFTER.into_iter();
        loop {
            let result = self.try_once(kind, &request_id, payload.clone(), retries.len() == 0).await;
            let Err(error) = result else { return Ok(()) };
            let Some(pause) = retries.next() else { return Err(error) };
            tracing::warn!(request_id, event = %kind, %error, "an event failed and is tried again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Handles an asynchronous event that the dead letters kept.
    pub(super) async fn try_again(&self, kind: Kind, payload: Vec<u8>) -> Result<(), InvokeError> {
        self.try_once(kind, &request_id(), payload, true).await
    }

    async fn try_once(&self, kind: Kind, request_id: &str, payload: Vec<u8>, is_last: bool) -> Result<(), InvokeError> {
        // The semaphores are never closed.
        let _permit = self.0.capacity[kind as usize].acquire().await;
        self.deliver(request_id, payload, is_last).await.map(drop)
    }

    /// Waits until no event is being handled and none is waiting.
    pub async fn settle(&self) {
        self.0.events.close();
        self.0.events.wait().await;
        self.0.events.reopen();
    }

    /// Tells whether no event is being handled and none is waiting.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.events.is_empty()
    }
}

/// A new request id, which in Lambda is a UUID.
pub fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Milliseconds since 1970 at which an invocation ends.
fn deadline(timeout: Duration) -> u64 {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    now.saturating_add(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn function(
        timeout: Duration,
        handler: impl Fn(LambdaEvent<Vec<u8>>) -> BoxFuture<'static, Result<Vec<u8>, FunctionError>> + Send + Sync + 'static,
    ) -> Function {
        let settings = FunctionSettings { timeout, ..FunctionSettings::default() };
        Function::new("test", &settings, None, None, Arc::new(handler))
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_next_invocation_works() {
        let calls = AtomicU32::new(0);
        let function = function(Duration::from_secs(1), move |event| {
            let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
            Box::pin(async move {
                assert!(!first, "planted");
                Ok(event.payload)
            })
        });
        assert!(matches!(function.invoke("1", vec![1]).await, Err(InvokeError::Panicked)));
        assert_eq!(function.invoke("2", vec![2]).await.unwrap(), [2]);
    }

    #[tokio::test]
    async fn an_invocation_ends_at_its_deadline() {
        let function = function(Duration::from_millis(20), |_| Box::pin(std::future::pending()));
        assert!(matches!(function.invoke("1", Vec::new()).await, Err(InvokeError::TimedOut(_))));
    }

    #[tokio::test]
    async fn batches_of_lines_that_take_all_their_places_hold_up_no_other_event() {
        let function = function(Duration::from_mins(1), |event| {
            if event.payload == b"stuck" {
                return Box::pin(std::future::pending());
            }
            Box::pin(async move { Ok(event.payload) })
        });
        for _ in 0..2 * CONCURRENCY {
            drop(function.send(Kind::LogBatch, b"stuck".to_vec()));
        }
        for kind in [Kind::EventBridge, Kind::WebSocket, Kind::Schedule, Kind::StreamRecords] {
            function.send(kind, b"other".to_vec()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn neither_request_nor_answer_passes_six_megabytes() {
        let function =
            function(Duration::from_secs(5), |event| Box::pin(async move { Ok(vec![0; event.payload.len() + 1]) }));
        let error = function.invoke("1", vec![0; MAX_PAYLOAD + 1]).await;
        assert!(matches!(error, Err(InvokeError::RequestTooLarge(_))));
        assert!(matches!(function.invoke("1", vec![0; MAX_PAYLOAD]).await, Err(InvokeError::ResponseTooLarge(_))));
    }

    #[tokio::test]
    async fn an_asynchronous_event_is_tried_three_times_with_one_request_id() {
        let tried = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = tried.clone();
        let function = function(Duration::from_secs(1), move |event| {
            seen.lock().unwrap().push(event.context.request_id.clone());
            Box::pin(async { Err(FunctionError { error_type: "T".to_owned(), message: "planted".to_owned() }) })
        });
        assert!(function.send(Kind::Schedule, Vec::new()).await.is_err());
        function.settle().await;
        let tried = tried.lock().unwrap();
        assert_eq!(tried.len(), 3);
        assert!(tried.iter().all(|id| *id == tried[0]));
    }
}
