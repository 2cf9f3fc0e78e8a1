//! Offers the emulated AWS as an endpoint to other programs: the AWS CLI, other SDKs, and functions that run outside this process. Every
//! request must be signed with the program's own access key, because a caller can run commands with the user's rights.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request as HttpRequest, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};

use super::{aws_response::response, cloudformation::LocalStack, guard};
use crate::aws::{
    Aws, AwsError, Request,
    signature::{AccessKey, SignatureError, SignedRequest},
};

/// Bytes of the largest request. A batch of DynamoDB has 16 MB at most ("BatchWriteItem", DynamoDB API Reference).
const MAX_BODY: usize = 16 * 1024 * 1024;
/// The name by which a container reaches the machine that it runs on.
const HOST_OF_CONTAINERS: &str = "host.docker.internal";

/// The services that answer at the endpoint.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub aws: Aws,
    pub key: AccessKey,
    pub stack: Arc<LocalStack>,
}

/// The endpoint of all services. `listening` is its port, and its address besides the loopback address.
pub(crate) fn router(endpoint: Endpoint, listening: Option<(u16, Option<IpAddr>)>) -> Router {
    let address = listening.and_then(|(_, address)| address).map(|address| address.to_string());
    guarded(Router::new().fallback(answer), endpoint, address)
}

/// The endpoint of API Gateway's @connections, which is below the WebSocket endpoint.
pub(crate) fn connections(endpoint: Endpoint) -> Router {
    guarded(Router::new().route("/ws/@connections/{id}", any(answer)), endpoint, None)
}

fn guarded(router: Router<Endpoint>, endpoint: Endpoint, address: Option<String>) -> Router {
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(guard::same_site_only))
        .layer(middleware::from_fn(move |request, next| {
            let address = address.clone();
            async move { this_machine_only(address.as_deref(), request, next).await }
        }))
        .with_state(endpoint)
}

async fn answer(State(endpoint): State<Endpoint>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let headers = text_headers(&parts.headers);
    // Without a key and a time that fit, the body is not read.
    if let Err(refusal) = endpoint.key.check_head(&headers, jiff::Timestamp::now()) {
        return refuse(refusal, &headers);
    }
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return response(
            AwsError { status: 413, ..AwsError::new("RequestTooLarge", "the request is too large") }.into_answer(),
        );
    };
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let signed = SignedRequest { method: parts.method.as_str(), path, query, headers: &headers, body: &body };
    if let Err(refusal) = endpoint.key.check(&signed) {
        return refuse(refusal, &headers);
    }
    if let Some(name) = path.strip_prefix("/2015-03-31/functions/").and_then(|rest| rest.strip_suffix("/invocations")) {
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
        return endpoint.stack.invoke(&name, body).await;
    }
    if let Some(stack_name) = described_stack(&body) {
        return endpoint.stack.describe(&stack_name);
    }
    let header = |name: &str| headers.get(name).map(String::as_str);
    let answer = endpoint
        .aws
        .call(Request {
            method: parts.method.as_str(),
            path,
            query,
            target: header("x-amz-target"),
            caller: None,
            invocation: header("amz-sdk-invocation-id"),
            body: &body,
        })
        .await;
    response(answer)
}

/// The stack that a request of CloudFormation's DescribeStacks names.
fn described_stack(body: &Bytes) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let parameter = |name: &str| body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    (parameter("Action") == Some("DescribeStacks")).then(|| parameter("StackName").unwrap_or_default().to_owned())
}

fn text_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        texts
            .entry(name.as_str().to_owned())
            .and_modify(|text| {
                text.push(',');
                text.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    texts
}

/// Refuses a request as the service that it is for refuses it.
fn refuse(refusal: SignatureError, headers: &BTreeMap<String, String>) -> Response {
    const WHERE: &str = "this endpoint accepts the access key in functions.env of its data directory, by default \
        .runvoy-local/functions.env: set -a; . .runvoy-local/functions.env";
    let (code, query_code, what) = match refusal {
        SignatureError::MissingSignature => {
            ("MissingAuthenticationTokenException", "MissingAuthenticationToken", "the request is not signed")
        }
        SignatureError::UnknownKey => {
            ("UnrecognizedClientException", "InvalidClientTokenId", "the access key is not known")
        }
        SignatureError::WrongTime => {
            let what =
                "the signature is not of the last 15 minutes; check the clock of this machine and of the caller's";
            ("InvalidSignatureException", "RequestExpired", what)
        }
        SignatureError::WrongSignature => {
            ("InvalidSignatureException", "SignatureDoesNotMatch", "the signature does not fit the secret access key")
        }
    };
    let message = format!("{what}; {WHERE}");
    let is_query =
        headers.get("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if is_query {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{query_code}</Code><Message>{message}</Message></Error>\
             </ErrorResponse>"
        );
        return (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "text/xml")], body).into_response();
    }
    let is_dynamodb = headers.get("x-amz-target").is_some_and(|target| target.starts_with("DynamoDB"));
    let status = if is_dynamodb { 400 } else { 403 };
    response(AwsError { status, ..AwsError::new(code, message) }.into_answer())
}

/// Refuses a `Host` that is neither a loopback name, nor the name by which containers reach this machine, nor the address that the
/// endpoint listens on besides.
async fn this_machine_only(address: Option<&str>, request: HttpRequest, next: Next) -> Response {
    if let Some(refused) = guard::refuse_hosts(request.headers()) {
        return refused;
    }
    if guard::are_hosts(&request, |name| name == HOST_OF_CONTAINERS || address == Some(name)) {
        next.run(request).await
    } else {
        guard::loopback_only(request, next).await
    }
}
