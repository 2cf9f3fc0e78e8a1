//! What both functions share, by subject. A subject owns its types, its rules and its table.
//!
//! Nothing here knows where it runs: every module speaks to AWS through the real SDK, and whoever builds the
//! [`App`] decides what answers.

pub mod auth;
pub mod aws;
pub mod config;
pub mod email;
pub mod error;
pub mod execution;
pub mod image;
pub mod logs;
pub mod secret;
pub mod table;
pub mod telemetry;
pub mod time;
pub mod user;
pub mod websocket;

use std::sync::Arc;

pub use error::{Error, Result};

/// Everything a handler needs, built once at start and shared by all invocations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    pub config: Arc<config::Config>,
    pub aws: Arc<aws::Clients>,
    pub policies: auth::policy::Policies,
}

impl App {
    /// Puts the parts together. Makes no AWS call.
    pub fn new(config: config::Config, sdk: &aws_config::SdkConfig) -> Self {
        let aws = Arc::new(aws::Clients::new(sdk, &config));
        Self { config: Arc::new(config), aws, policies: auth::policy::Policies::bundled() }
    }

    /// As a Lambda function starts: settings from the environment, credentials and region from the SDK's own chain.
    pub async fn from_environment() -> std::result::Result<Self, config::ConfigError> {
        let config = config::Config::from_environment()?;
        Ok(Self::new(config, &aws::sdk_config().await))
    }
}
