//! Does what both functions need, by subject. A subject owns its types, its rules and its table.
//!
//! No module here knows where it runs: each calls AWS through the real SDK, and the caller that builds the [`App`] decides
//! which AWS answers.

mod app;
pub mod approval;
pub mod audit;
pub mod auth;
pub mod aws;
pub mod backoff;
mod cache;
pub mod claim;
pub mod config;
mod digest;
mod environment;
pub mod error;
pub mod execution;
mod findings;
pub mod image;
mod item_update;
pub mod key;
pub mod lock;
pub mod logs;
pub mod notification;
pub mod ownership;
pub mod page;
pub mod playbook;
pub mod publication;
pub mod random;
mod receivers;
pub mod reconcile;
pub mod redaction;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod startup;
mod table;
pub mod telemetry;
pub mod time;
pub mod trace;
pub mod user;
pub mod websocket;

pub use app::App;
/// Makes an `async fn` return a boxed future. The compiler makes the code of any other future again in each crate that awaits it, and in each
/// unit into which it divides a crate. So the large functions that many others await are boxed: our own crates take a quarter less
/// time to build, and futures need less of a thread's stack.
pub use async_recursion::async_recursion as boxed;
pub use error::{Error, Result};
pub use runvoy_api_types::{Email, RequestId};
