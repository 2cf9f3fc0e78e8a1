//! Speaks the AWS JSON protocol 1.1, in which a header names the operation ("AWS JSON 1.1 protocol", Smithy's documentation).

use std::fmt;

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_types::error::ErrorMetadata;
use aws_types::region::SigningRegion;
use http::{HeaderName, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::operation::{Endpoint, Failure, Unshown, operation, post};

/// A service with an address in each region.
pub(super) struct Service<'a> {
    pub(super) sdk: &'a SdkConfig,
    /// The service in its address and in signatures.
    pub(super) name: &'static str,
    /// The service and its version where a header names an operation.
    pub(super) target: &'static str,
}

impl Service<'_> {
    /// The operation of this name.
    pub(super) fn operation<I, O>(&self, name: &'static str) -> JsonOperation<I, O>
    where
        I: Serialize + Send + Sync + 'static,
        O: DeserializeOwned + Send + Sync + 'static,
    {
        let region = self.sdk.region().map_or("us-east-1", |region| region.as_ref());
        let endpoint = Endpoint {
            service: self.name,
            region: SigningRegion::from(aws_config::Region::new(region.to_owned())),
            url: url(self.name, region, self.sdk.use_fips().unwrap_or_default()),
        };
        let target = format!("{}.{name}", self.target);
        let operation = operation(self.sdk, endpoint, name)
            .serializer(move |Unshown(request): Unshown<I>| {
                let headers = [
                    (CONTENT_TYPE, "application/x-amz-json-1.1"),
                    (HeaderName::from_static("x-amz-target"), target.as_str()),
                ];
                post(&headers, serde_json::to_string(&request)?)
            })
            .deserializer(answer::<O>)
            .build();
        JsonOperation(operation)
    }
}

/// The service's address in a region ("Service endpoints", AWS General Reference). The regions of GovCloud have one address, which
/// is validated by FIPS 140. The isolated partitions are left out: they have no function URLs, without which there is no stack.
fn url(service: &str, region: &str, fips: bool) -> String {
    let suffix = match region {
        region if region.starts_with("cn-") => "amazonaws.com.cn",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    let fips = if fips && !region.starts_with("us-gov-") { "-fips" } else { "" };
    format!("https://{service}{fips}.{region}.{suffix}")
}

/// An operation whose request is an `I` and whose answer is an `O`, each in JSON.
pub(super) struct JsonOperation<I, O>(Operation<Unshown<I>, Unshown<O>, ErrorMetadata>);

impl<I, O> Clone for JsonOperation<I, O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I, O> fmt::Debug for JsonOperation<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<I: Send + Sync + 'static, O: Send + Sync + 'static> JsonOperation<I, O> {
    pub(super) async fn invoke(&self, request: I) -> Result<O, Failure> {
        self.0.invoke(Unshown(request)).await.map(|Unshown(answer)| answer)
    }
}

fn answer<O: DeserializeOwned>(answer: &HttpResponse) -> Result<Unshown<O>, OrchestratorError<ErrorMetadata>> {
    let body = answer.body().bytes().unwrap_or_default();
    if !answer.status().is_success() {
        return Err(OrchestratorError::operation(refusal(body)));
    }
    // The error names the place and what was expected there, and quotes no text.
    serde_json::from_slice(body).map(Unshown).map_err(|error| OrchestratorError::response(error.into()))
}

/// Reads `{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"…"}`. Some services leave the namespace out, and some write
/// `Message`. Without a code where a proxy has answered.
fn refusal(body: &[u8]) -> ErrorMetadata {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        kind: Option<String>,
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let Refusal { kind, message } = serde_json::from_slice(body).unwrap_or_default();
    let mut refusal = ErrorMetadata::builder();
    if let Some(kind) = kind {
        refusal = refusal.code(kind.rsplit('#').next().unwrap_or_default());
    }
    if let Some(message) = message {
        refusal = refusal.message(message);
    }
    refusal.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_refusal_is_read_and_other_answers_have_none() {
        for (text, code, message) in [
            (r#"{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"a"}"#, Some("ParameterNotFound"), Some("a")),
            (
                r#"{"__type":"ThrottlingException","Message":"Rate exceeded"}"#,
                Some("ThrottlingException"),
                Some("Rate exceeded"),
            ),
            (r#"{"__type":"InvalidNextToken"}"#, Some("InvalidNextToken"), None),
            (r#"{"message":"Internal server error"}"#, None, Some("Internal server error")),
            (r#"{"__type":1}"#, None, None),
            ("<html><body>502</body>", None, None),
            ("", None, None),
        ] {
            let refusal = refusal(text.as_bytes());
            assert_eq!((refusal.code(), refusal.message()), (code, message), "{text}");
        }
    }

    #[test]
    fn a_service_has_an_address_in_each_region() {
        for (region, fips, expected) in [
            ("eu-central-1", false, "https://ssm.eu-central-1.amazonaws.com"),
            ("us-west-2", true, "https://ssm-fips.us-west-2.amazonaws.com"),
            ("us-gov-east-1", true, "https://ssm.us-gov-east-1.amazonaws.com"),
            ("cn-north-1", false, "https://ssm.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", false, "https://ssm.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(url("ssm", region, fips), expected);
        }
    }
}
