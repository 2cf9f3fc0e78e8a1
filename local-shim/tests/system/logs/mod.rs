//! Tests of the lines of an execution: `GET /executions/{id}/logs`, and WebSockets.

pub mod kept_lines;
mod lines;
mod read;
mod viewers;
