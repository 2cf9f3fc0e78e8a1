//! Defines a request to a service and its answer.

/// A request to any service.
pub struct Request<'a> {
    pub method: &'a str,
    /// Percent-encoded, without the query.
    pub path: &'a str,
    /// Percent-encoded, without the question mark.
    pub query: &'a str,
    /// The header `X-Amz-Target`, which names service and operation in the JSON protocols.
    pub target: Option<&'a str>,
    /// The function that calls; absent for a caller outside this process.
    pub caller: Option<&'static str>,
    /// The header `amz-sdk-invocation-id`.
    pub invocation: Option<&'a str>,
    pub body: &'a [u8],
}

/// The answer of any service.
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(body: Vec<u8>) -> Self {
        Self { status: 200, content_type: "application/x-amz-json-1.1", body }
    }
}
