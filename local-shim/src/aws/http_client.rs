//! Passes the SDK's requests to the emulated AWS, as its HTTP client, in this process, without a socket.

use std::fmt;

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;

use super::{Aws, Request};

/// Takes the place of the network between the SDK and AWS.
#[derive(Clone)]
pub struct InProcess {
    pub aws: Aws,
    /// The name of the function that calls.
    pub caller: &'static str,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpClient for InProcess {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (aws, caller) = (self.aws.clone(), self.caller);
        HttpConnectorFuture::new(async move {
            let answer = aws
                .call(Request {
                    method: request.method(),
                    path: path_of(request.uri()),
                    query: request.uri().split_once('?').map_or("", |(_, query)| query),
                    target: request.headers().get("x-amz-target"),
                    caller: Some(caller),
                    invocation: request.headers().get("amz-sdk-invocation-id"),
                    body: request.body().bytes().unwrap_or_default(),
                })
                .await;
            let status = answer.status.try_into().map_err(|error| ConnectorError::user(Box::new(error)))?;
            let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
            response.headers_mut().insert("content-type", answer.content_type);
            Ok(response)
        })
    }
}

/// The path of an absolute URI, without the query.
pub fn path_of(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split_once('?').map_or(path, |(path, _)| path)
}
