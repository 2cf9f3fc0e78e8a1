//! Runs the code of an invocation, which may be killed, and hands its calls to the simulated AWS.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use local_shim::aws::{Request, http_client::path_of};

use crate::world::World;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The number of the invocation whose code is running.
pub fn current() -> usize {
    CURRENT.get()
}

/// An invocation's code, which is dropped when one of its calls is chosen to kill it.
pub struct Invocation<F> {
    world: World,
    number: usize,
    code: Pin<Box<F>>,
}

impl<F: Future> Invocation<F> {
    pub fn new(world: World, number: usize, code: F) -> Self {
        Self { world, number, code: Box::pin(code) }
    }
}

impl<F: Future> Future for Invocation<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let before = CURRENT.replace(self.number);
        let polled = self.code.as_mut().poll(context);
        CURRENT.set(before);
        if self.world.has_crashed(self.number) { Poll::Ready(None) } else { polled.map(Some) }
    }
}

/// The HTTP client of the SDK.
#[derive(Clone)]
pub struct Http(pub World);

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A call of an invocation.
pub struct OwnedRequest {
    method: String,
    pub uri: String,
    target: Option<String>,
    pub body: Vec<u8>,
}

impl OwnedRequest {
    pub fn borrow(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: path_of(&self.uri),
            query: self.uri.split_once('?').map_or("", |(_, query)| query),
            target: self.target.as_deref(),
            caller: None,
            invocation: None,
            body: &self.body,
        }
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let world = self.0.clone();
        let request = OwnedRequest {
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            target: request.headers().get("x-amz-target").map(str::to_owned),
            body: request.body().bytes().unwrap_or_default().to_vec(),
        };
        HttpConnectorFuture::new(async move {
            let answer = world.call(request).await;
            let mut response = HttpResponse::new(answer.status.try_into().unwrap(), SdkBody::from(answer.body));
            response.headers_mut().insert("content-type", answer.content_type);
            Ok(response)
        })
    }
}
