//! Holds the settings and the clients of AWS that every handler is given, and the time and the random numbers that tests replace.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use aws_smithy_async::{
    rt::sleep::{AsyncSleep as _, SharedAsyncSleep, TokioSleep},
    time::SharedTimeSource,
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use jiff::Timestamp;
use runvoy_api_types::ExecutionId;

use crate::{
    aws,
    cache::Cache,
    config::{Config, ConfigError},
    receivers,
};

/// Settings, clients and clock, built once at start and shared by all invocations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    pub config: Arc<Config>,
    pub aws: Arc<aws::Clients>,
    /// Executions by the ids of their tasks. Whose a task is never changes.
    pub(crate) known_tasks: Cache<ExecutionId>,
    /// The client for receivers of notifications, which are outside AWS.
    pub(crate) receivers: SharedHttpConnector,
    clock: SharedTimeSource,
    sleep: SharedAsyncSleep,
}

impl App {
    /// Puts the parts together. Makes no AWS call.
    pub fn new(config: Config, sdk: &aws_config::SdkConfig) -> Self {
        let aws = Arc::new(aws::Clients::new(sdk, &config));
        let clock = sdk.time_source().unwrap_or_default();
        let sleep = sdk.sleep_impl().unwrap_or_else(|| SharedAsyncSleep::new(TokioSleep::new()));
        let receivers = receivers::connector(config.private_webhooks);
        Self { config: Arc::new(config), aws, known_tasks: Cache::default(), receivers, clock, sleep }
    }

    /// This application with another HTTP client for receivers of notifications.
    #[must_use]
    pub fn with_receivers(self, wrap: impl FnOnce(SharedHttpConnector) -> SharedHttpConnector) -> Self {
        Self { receivers: wrap(self.receivers.clone()), ..self }
    }

    /// As a Lambda function starts: settings from the environment, credentials and region from the SDK's own chain.
    ///
    /// # Errors
    /// Names the variable that is missing or bad.
    pub async fn from_environment() -> Result<Self, ConfigError> {
        let config = Config::from_environment()?;
        Ok(Self::new(config, &aws::sdk_settings().load().await))
    }

    /// The present moment by the SDK's clock, to the millisecond, because CloudWatch Logs and the tables know nothing finer.
    pub fn now(&self) -> Timestamp {
        let since = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).ok().and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or_default()
    }

    /// Waits, by the SDK's clock.
    pub async fn sleep(&self, time: Duration) {
        self.sleep.sleep(time).await;
    }

    /// A random part of a time, between a half and the whole, so that invocations that collided do not collide again. It follows from
    /// the clock, so that the same simulation has the same times.
    pub(crate) fn jitter(&self, time: Duration) -> Duration {
        let nanos = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        // The last step of SplitMix64, which spreads neighbouring times.
        let mixed = (nanos ^ (nanos >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let permille = (mixed >> 32) % 500;
        time * (500 + permille as u32) / 1000
    }

    /// The second at which DynamoDB may delete an item that lives this long from now, in seconds since 1970.
    pub(crate) fn expiry(&self, lifetime: Duration) -> i64 {
        self.now().as_second().saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX))
    }

    /// Tells whether an expiry (seconds since 1970) has passed. DynamoDB deletes expired items late, so every reader checks.
    pub(crate) fn is_past(&self, expires_at: i64) -> bool {
        self.now().as_second() >= expires_at
    }
}
