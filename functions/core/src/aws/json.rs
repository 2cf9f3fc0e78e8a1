//! Speaks the AWS JSON protocol 1.1, in which a header names the operation ("AWS JSON 1.1 protocol", Smithy's documentation).

use std::fmt;

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::{
    client::orchestrator::{HttpResponse, OrchestratorError},
    http::Headers,
};
use aws_smithy_types::error::ErrorMetadata;
use aws_types::{region::SigningRegion, request_id::apply_request_id};
use http::{HeaderName, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

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
        // Without a region the name of the address is that of no host, and each call fails.
        let region = self.sdk.region().map_or("no-region", |region| region.as_ref());
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
/// is validated by FIPS 140. Dual-stack addresses and those of
/// `AWS_ENDPOINT_URL_SSM` and its like are not known; `AWS_ENDPOINT_URL` is. The isolated partitions are left out: they have no function URLs, without which there is no stack.
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
        return Err(OrchestratorError::operation(refusal(answer.headers(), body)));
    }
    parse(body).map(Unshown).map_err(OrchestratorError::other)
}

/// # Errors
/// The place at which an answer is not as expected. serde's own error may quote what is there, which may be a secret.
fn parse<O: DeserializeOwned>(body: &[u8]) -> Result<O, String> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| format!("the answer is not as expected at line {}, column {}", error.line(), error.column()))
}

/// Reads `{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"…"}` and what services write in its place: the type in a header
/// or in `code`, without its namespace, or followed by a colon and an address ("AWS JSON 1.1 protocol", Smithy's documentation). There
/// is no code where a proxy has answered.
fn refusal(headers: &Headers, body: &[u8]) -> ErrorMetadata {
    let fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_str());
    let mut refusal = apply_request_id(ErrorMetadata::builder(), headers);
    if let Some(kind) = headers.get("x-amzn-errortype").or_else(|| text(&["code", "__type"])) {
        let kind = kind.split(':').next().unwrap_or_default();
        refusal = refusal.code(kind.rsplit('#').next().unwrap_or_default());
    }
    if let Some(message) = text(&["message", "Message", "errorMessage"]) {
        refusal = refusal.message(message);
    }
    refusal.build()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn the_code_of_a_refusal_is_read_and_other_answers_have_none() {
        for (text, code, message) in [
            (r#"{"__type":"com.amazonaws.ssm#NotFound","message":"a"}"#, Some("NotFound"), Some("a")),
            (r#"{"__type":"Throttling","Message":"Rate exceeded"}"#, Some("Throttling"), Some("Rate exceeded")),
            (r#"{"__type":"NotFound:http://internal/x#y"}"#, Some("NotFound"), None),
            (r#"{"code":"NotFound","message":1,"Message":"a"}"#, Some("NotFound"), Some("a")),
            (r#"{"message":"Internal server error"}"#, None, Some("Internal server error")),
            (r#"{"__type":1}"#, None, None),
            ("<html><body>502</body>", None, None),
            ("", None, None),
        ] {
            let refusal = refusal(&Headers::new(), text.as_bytes());
            assert_eq!((refusal.code(), refusal.message()), (code, message), "{text}");
        }
        let mut headers = Headers::new();
        headers.insert("x-amzn-errortype", "NotFound:http://internal/x");
        headers.insert("x-amzn-requestid", "1-2-3");
        let refusal = refusal(&headers, b"");
        assert_eq!((refusal.code(), refusal.extra("aws_request_id")), (Some("NotFound"), Some("1-2-3")));
    }

    #[test]
    fn an_answer_that_is_not_as_expected_is_quoted_nowhere() {
        #[derive(Debug, Deserialize)]
        struct Parameter {
            #[serde(rename = "Value")]
            value: Option<u8>,
        }
        assert_eq!(parse::<Parameter>(b"").unwrap().value, None);
        for text in [r#""s3cret""#, r#"{"Value":"s3cret"}"#, r#"{"s3cret"}"#] {
            let error = parse::<Parameter>(text.as_bytes()).unwrap_err();
            assert!(
                error.starts_with("the answer is not as expected at line 1") && !error.contains("s3cret"),
                "{error}"
            );
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
