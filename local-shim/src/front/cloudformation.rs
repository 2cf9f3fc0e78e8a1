//! Emulates CloudFormation and Lambda of the local stack, as far as the recipes of the justfile use them: DescribeStacks and Invoke.

use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::aws_response::response;
use crate::{
    aws::AwsError,
    lambda::{Function, InvokeError, function::request_id},
    stack::{ACCOUNT, NAME, REGION, physical_name},
};

/// The functions of the local stack and its outputs.
pub(crate) struct LocalStack {
    pub functions: Vec<Function>,
    /// With a slash at its end, as a Function URL has it.
    pub api_url: String,
}

impl LocalStack {
    /// Answers DescribeStacks for the local stack, whose name is `runvoy-local`.
    pub(super) fn describe(&self, stack_name: &str) -> Response {
        if ![NAME, ""].contains(&stack_name) {
            let message = format!("Stack with id {stack_name} does not exist; the local stack is {NAME}");
            let body = format!(
                "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
                 <Code>ValidationError</Code><Message>{}</Message></Error></ErrorResponse>",
                message.replace('&', "&amp;").replace('<', "&lt;")
            );
            return xml(StatusCode::BAD_REQUEST, body);
        }
        let outputs: String =
            [("ApiUrl", self.api_url.clone()), ("EventProcessor", physical_name(crate::EVENT_PROCESSOR))]
                .into_iter()
                .map(|(key, value)| {
                    format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
                })
                .collect();
        let body = format!(
            "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
             <Stacks><member><StackName>{NAME}</StackName>\
             <StackId>arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{NAME}/local</StackId>\
             <StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>\
             <Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
        );
        xml(StatusCode::OK, body)
    }

    /// Answers Invoke: the function's answer or, with the header `X-Amz-Function-Error`, its failure.
    pub(super) async fn invoke(&self, name: &str, payload: Bytes) -> Response {
        let name = name.rsplit(':').next().unwrap_or_default();
        let Some(function) = self.functions.iter().find(|function| function.name() == name) else {
            let message = format!("Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
            let error = AwsError { status: 404, ..AwsError::new("ResourceNotFoundException", message) };
            return response(error.into_answer());
        };
        let payload = if payload.is_empty() { b"{}".to_vec() } else { payload.to_vec() };
        match function.invoke(&request_id(), payload).await {
            Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
            Err(error) => {
                let error_type = match &error {
                    InvokeError::Failed(failure) => failure.error_type.clone(),
                    _ => "Runtime.Error".to_owned(),
                };
                let body = json!({"errorType": error_type, "errorMessage": error.to_string()}).to_string();
                let mark = (HeaderName::from_static("x-amz-function-error"), HeaderValue::from_static("Unhandled"));
                ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), mark], body).into_response()
            }
        }
    }
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}
