//! Makes API keys, and keeps the table that says whose each key is. No other module writes that table.

mod api_key;
mod record;

pub(crate) use api_key::token_hash;
pub use api_key::{ApiKey, ApiKeyHash};
pub(crate) use record::{find, note_use, put_new, revoke};
