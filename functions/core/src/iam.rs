//! Asks IAM for a role.
//!
//! The SDK's crate for IAM has 170 operations, of which one is needed here, and takes longer to build than all of this crate. So the
//! request is made of the parts that the SDK has for an operation of any service: they sign it, repeat it, and bound its time.

use aws_config::SdkConfig;
use aws_runtime::{
    auth::{
        SigV4OperationSigningConfig,
        sigv4::{SCHEME_ID, SigV4AuthScheme},
    },
    retries::classifiers::AwsErrorCodeClassifier,
};
use aws_smithy_runtime::client::{
    orchestrator::operation::Operation,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{AuthSchemeOptionResolverParams, static_resolver::StaticAuthSchemeOptionResolver},
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        result::SdkError,
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::Layer, error::ErrorMetadata, retry::RetryConfig};
use aws_smithy_xml::decode::{Document, try_data};
use aws_types::{
    SigningName,
    region::{Region, SigningRegion},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Calls IAM as the function's own role.
#[derive(Clone, Debug)]
pub struct Client {
    get_role: Operation<String, (), ErrorMetadata>,
}

impl Client {
    pub(crate) fn new(sdk: &SdkConfig) -> Self {
        let (endpoint, region) = endpoint(sdk.region());
        let mut signing = Layer::new("signing");
        signing.store_put(AuthSchemeOptionResolverParams::new(()));
        signing.store_put(SigV4OperationSigningConfig {
            region: Some(SigningRegion::from(Region::from_static(region))),
            name: Some(SigningName::from_static("iam")),
            ..SigV4OperationSigningConfig::default()
        });
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
            .service_name("IAM")
            .operation_name("GetRole")
            .endpoint_url(sdk.endpoint_url().unwrap_or(endpoint))
            .standard_retry(&sdk.retry_config().cloned().unwrap_or_else(RetryConfig::standard))
            .retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
            .runtime_plugin(
                StaticRuntimePlugin::new().with_config(signing.freeze()).with_runtime_components(components),
            );
        if let Some(timeouts) = sdk.timeout_config() {
            operation = operation.timeout_config(timeouts.clone());
        }
        Self { get_role: operation.serializer(request).deserializer(outcome).build() }
    }

    /// Returns if there is a role of this name.
    ///
    /// # Errors
    /// What IAM answers otherwise: `NoSuchEntity` is the code where there is no such role, `AccessDenied` where the caller may not
    /// look at it ("GetRole", IAM API Reference). Or there was no answer.
    pub(crate) async fn get_role(&self, name: &str) -> Result<(), SdkError<ErrorMetadata, HttpResponse>> {
        self.get_role.invoke(name.to_owned()).await
    }
}

/// IAM's address and the region for which its requests are signed: one of each for all regions of a partition ("Service endpoints" of
/// IAM, AWS General Reference). The isolated partitions are left out: they have no function URLs, without which there is no stack.
fn endpoint(region: Option<&Region>) -> (&'static str, &'static str) {
    match region.map(Region::as_ref).unwrap_or_default() {
        region if region.starts_with("cn-") => ("https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        region if region.starts_with("eusc-") => ("https://iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        region if region.starts_with("us-gov-") => ("https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
        _ => ("https://iam.amazonaws.com", "us-east-1"),
    }
}

/// All characters but those that stand for themselves in a form (RFC 3986, section 2.3). Names of roles may hold others.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// GetRole in IAM's query protocol.
fn request(role: String) -> Result<HttpRequest, BoxError> {
    let role = utf8_percent_encode(&role, RESERVED);
    let request = http::Request::post("/")
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(SdkBody::from(format!("Action=GetRole&Version=2010-05-08&RoleName={role}")))?;
    Ok(request.try_into()?)
}

/// The role itself is of no use here, only that it exists.
fn outcome(answer: &HttpResponse) -> Result<(), OrchestratorError<ErrorMetadata>> {
    if answer.status().is_success() {
        return Ok(());
    }
    let text = answer.body().bytes().and_then(|body| str::from_utf8(body).ok()).unwrap_or_default();
    Err(OrchestratorError::operation(refusal(text)))
}

/// Reads `<ErrorResponse><Error><Code>…</Code><Message>…</Message></Error></ErrorResponse>`. Without a code where a proxy has answered.
fn refusal(text: &str) -> ErrorMetadata {
    let mut refusal = ErrorMetadata::builder();
    let mut document = Document::new(text);
    let Ok(mut root) = document.root_element() else { return refusal.build() };
    while let Some(mut error) = root.next_tag() {
        while let Some(mut field) = error.next_tag() {
            let name = field.start_el().local().to_owned();
            match (name.as_str(), try_data(&mut field)) {
                ("Code", Ok(code)) => refusal = refusal.code(code),
                ("Message", Ok(message)) => refusal = refusal.message(message),
                _ => {}
            }
        }
    }
    refusal.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_refusal_is_read_and_other_answers_have_none() {
        let text = "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
            <Code>NoSuchEntity</Code><Message>a &amp; b</Message></Error><RequestId>1</RequestId></ErrorResponse>";
        assert_eq!(refusal(text), ErrorMetadata::builder().code("NoSuchEntity").message("a & b").build());
        for text in ["", "<html><body>502</body>", "no XML", "<ErrorResponse/>", "<a><Code>"] {
            assert_eq!(refusal(text).code(), None, "{text}");
        }
    }

    #[test]
    fn a_partition_has_one_iam() {
        let of = |region: &'static str| endpoint(Some(&Region::from_static(region)));
        assert_eq!(of("eu-central-1"), ("https://iam.amazonaws.com", "us-east-1"));
        assert_eq!(of("cn-northwest-1").1, "cn-north-1");
        assert_eq!(of("us-gov-east-1").1, "us-gov-west-1");
    }
}
