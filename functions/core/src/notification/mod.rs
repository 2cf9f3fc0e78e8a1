//! Tells people and programs of changes of executions, by webhooks, Slack and e-mail.
//!
//! A change of an execution's status reaches [`change`] by the stream of the executions table. It puts a message for each notification
//! that wants to know into a queue, and [`send`] sends what the queue hands over. A change has the same id each time that the stream tells
//! of it, so that receivers recognize repetitions.
//!
//! A message that its receiver does not take stays in the queue, hidden until its next try. Each try is claimed by a conditional write
//! ([`delivery`]), so one invocation at a time sends it. If an invocation dies between the request and the result, another sends a second
//! request with the same id. A message that an execution is slow is queued at its start and held back until it would be slow; it is dropped
//! if the execution has ended by then.

mod backoff;
pub mod change;
mod check;
pub mod delivery;
mod email;
mod key;
mod message;
mod ownership;
pub mod queue;
mod reconcile;
mod record;
pub mod send;
mod series;
mod share;
mod signature;
mod slack;
mod update;
pub mod webhook;

pub use check::NewNotification;
pub use ownership::set_owners;
pub(crate) use reconcile::check;
pub use record::{NotificationRecord, create, delete, find, page, resource};
pub use runvoy_api_types::{
    Channel, DEFAULT_EVENTS, Delivery, DeliveryState, Notification, NotificationEvent, NotificationFor,
    NotificationName, NotificationState,
};
pub use update::{NotificationChange, Rotated, rotate, try_out, update};
