//! Notes whether a try of RunTask has failed in a way in which ECS may start the task all the same. The SDK tries a call again after that,
//! and what ECS answers to the last try, such as that there is no room, may not hold for the ones before it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aws_sdk_ecs::{config, operation::run_task::RunTaskError};
use aws_smithy_runtime_api::client::{
    interceptors::context::InterceptorContext,
    retries::classifiers::{ClassifyRetry, RetryAction},
};

/// The tries of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Tries(Arc<AtomicBool>);

impl Tries {
    /// The settings of the call whose tries are noted.
    pub(super) fn noted(&self) -> config::Builder {
        config::Builder::new().retry_classifier(self.clone())
    }

    /// Tells whether a try has failed without an answer, or with an error of ECS's own. One that did not reach ECS counts, too.
    pub(super) fn are_uncertain(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Decides nothing about a further try.
impl ClassifyRetry for Tries {
    fn classify_retry(&self, call: &InterceptorContext) -> RetryAction {
        let failed = call.output_or_error().and_then(Result::err);
        let is_refused = failed.and_then(|error| error.as_operation_error()?.downcast_ref::<RunTaskError>()).is_some();
        let is_its_own = call.response().is_some_and(|answer| answer.status().is_server_error());
        if failed.is_some() && (!is_refused || is_its_own) {
            self.0.store(true, Ordering::Relaxed);
        }
        RetryAction::NoActionIndicated
    }

    fn name(&self) -> &'static str {
        "notes uncertain tries"
    }
}
