//! Makes API keys, and keeps the table that says to which user each belongs. No other module writes that table.

mod api_key;
mod record;
mod usage;

pub(crate) use api_key::token_hash;
pub use api_key::{ApiKey, ApiKeyHash};
pub use record::NewKey;
pub(crate) use record::{ApiKeyRecord, change, delete, find, find_all, note_use, put_new, resource};
pub use runvoy_api_types::{Key, KeyScope};
pub use usage::KeyUse;
