//! Tells people and programs of changes of executions, by webhooks, Slack and e-mail.
//!
//! A change of an execution's status reaches [`change`] by the stream of the executions table. It puts a message for each notification
//! that wants to know into a queue, and [`send`] sends what the queue hands over. The same change has the same id however often it is
//! told, so that receivers recognize repetitions.

mod address;
mod backoff;
pub mod change;
mod check;
pub mod delivery;
mod email;
mod key;
mod message;
pub mod queue;
mod record;
pub mod send;
mod series;
mod share;
mod signature;
mod slack;
mod update;
pub mod webhook;

pub use check::NewNotification;
pub use record::{NotificationRecord, create, delete, find, page, resource};
pub use runvoy_api_types::{
    Channel, DEFAULT_EVENTS, Delivery, DeliveryState, Notification, NotificationEvent, NotificationFor,
    NotificationName, NotificationState,
};
pub use update::{NotificationChange, Rotated, rotate, try_out, update};
