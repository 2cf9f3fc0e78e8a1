//! Makes operations of services of whose API few operations are needed.
//!
//! The SDK has a crate for each service, with all its operations, and those for IAM, SSM and CloudWatch Logs take longer to build than
//! everything of runvoy. So their requests are made of the parts that the SDK has for an operation of any service: they sign it, repeat
//! it, and bound its time.

use std::fmt;

use aws_config::SdkConfig;
use aws_runtime::{
    auth::{
        SigV4OperationSigningConfig,
        sigv4::{SCHEME_ID, SigV4AuthScheme},
    },
    invocation_id::InvocationIdInterceptor,
    recursion_detection::RecursionDetectionInterceptor,
    request_info::RequestInfoInterceptor,
    retries::classifiers::AwsErrorCodeClassifier,
    service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor},
};
use aws_smithy_runtime::client::{
    orchestrator::operation::{Operation, OperationBuilder},
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{AuthSchemeOptionResolverParams, static_resolver::StaticAuthSchemeOptionResolver},
        orchestrator::{HttpRequest, HttpResponse, SensitiveOutput},
        result::SdkError,
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::Layer, error::ErrorMetadata, retry::RetryConfig};
use aws_types::{SigningName, region::SigningRegion};

/// Why an operation has no result: the service refused it, with a code, or there was no answer.
pub type Failure = SdkError<ErrorMetadata, HttpResponse>;

/// Where requests for a service go, and what they are signed for.
pub(super) struct Endpoint {
    pub(super) service: &'static str,
    pub(super) region: SigningRegion,
    pub(super) url: String,
}

/// An operation that lacks its serializer and its deserializer.
pub(super) fn operation(sdk: &SdkConfig, endpoint: Endpoint, name: &'static str) -> OperationBuilder {
    let mut settings = Layer::new("an operation of runvoy's own");
    settings.store_put(AuthSchemeOptionResolverParams::new(()));
    settings.store_put(SigV4OperationSigningConfig {
        region: Some(endpoint.region),
        name: Some(SigningName::from_static(endpoint.service)),
        ..SigV4OperationSigningConfig::default()
    });
    // The SDK's trace leaves answers out: they may hold a secret.
    settings.store_put(SensitiveOutput);
    let mut components = RuntimeComponentsBuilder::new("of the SDK")
        .with_http_client(sdk.http_client())
        .with_sleep_impl(sdk.sleep_impl())
        .with_time_source(sdk.time_source())
        .with_identity_cache(sdk.identity_cache())
        .with_auth_scheme(SigV4AuthScheme::new())
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])));
    if let Some(credentials) = sdk.credentials_provider() {
        components = components.with_identity_resolver(SCHEME_ID, credentials);
    }
    let mut operation = Operation::builder()
        .service_name(endpoint.service)
        .operation_name(name)
        .endpoint_url(sdk.endpoint_url().unwrap_or(&endpoint.url))
        .standard_retry(&sdk.retry_config().cloned().unwrap_or_else(RetryConfig::standard))
        .retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
        .retry_classifier(HttpStatusCodeClassifier::default())
        .retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
        .retry_classifier(ServiceClockSkewClassifier::<ErrorMetadata>::new())
        .interceptor(ServiceClockSkewInterceptor::new())
        .interceptor(RequestInfoInterceptor::new())
        .interceptor(InvocationIdInterceptor::new())
        .interceptor(RecursionDetectionInterceptor::new())
        .with_connection_poisoning()
        .runtime_plugin(StaticRuntimePlugin::new().with_config(settings.freeze()).with_runtime_components(components));
    if let Some(version) = sdk.behavior_version() {
        operation = operation.behavior_version(version);
    }
    match sdk.timeout_config() {
        Some(timeouts) => operation.timeout_config(timeouts.clone()),
        None => operation,
    }
}

/// A request to the only path that services with these protocols have.
pub(super) fn post(headers: &[(http::HeaderName, &str)], body: String) -> Result<HttpRequest, BoxError> {
    let mut request = http::Request::post("/").header(http::header::USER_AGENT, "runvoy");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    Ok(request.body(SdkBody::from(body))?.try_into()?)
}

/// What is sent or answered. The SDK wants it to have a debug format, which may be logged. The body that is made of it is logged at the
/// level of traces, which `telemetry` keeps from the SDK's crates.
pub(super) struct Unshown<T>(pub(super) T);

impl<T> fmt::Debug for Unshown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
