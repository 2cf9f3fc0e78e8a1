//! Asks IAM for a role, in IAM's query protocol.

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
};
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_xml::decode::{Document, try_data};
use aws_types::region::{Region, SigningRegion};
use http::header::CONTENT_TYPE;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::operation::{Endpoint, Failure, operation, post};

/// Calls IAM as the function's own role.
#[derive(Clone, Debug)]
pub struct Client {
    get_role: Operation<String, (), ErrorMetadata>,
}

impl Client {
    pub(super) fn new(sdk: &SdkConfig) -> Self {
        let (url, region) = endpoint(sdk.region());
        let region = SigningRegion::from(Region::from_static(region));
        let endpoint = Endpoint { service: "iam", region, url: url.to_owned() };
        Self { get_role: operation(sdk, endpoint, "GetRole").serializer(request).deserializer(outcome).build() }
    }

    /// Returns if there is a role of this name.
    ///
    /// # Errors
    /// What IAM answers otherwise: `NoSuchEntity` is the code where there is no such role, `AccessDenied` where the caller may not
    /// look at it ("GetRole", IAM API Reference). Or there was no answer.
    pub(crate) async fn get_role(&self, name: &str) -> Result<(), Failure> {
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

fn request(role: String) -> Result<HttpRequest, BoxError> {
    let role = utf8_percent_encode(&role, RESERVED);
    let headers = [(CONTENT_TYPE, "application/x-www-form-urlencoded")];
    post(&headers, format!("Action=GetRole&Version=2010-05-08&RoleName={role}"))
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
