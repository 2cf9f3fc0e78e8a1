//! Reads optional numbers that are positive: 0 means the same as none.

use serde::{Deserialize, Deserializer};

/// # Errors
/// The value is no number of this type.
pub fn optional<'de, D: Deserializer<'de>, N: Deserialize<'de> + Default + PartialEq>(
    deserializer: D,
) -> Result<Option<N>, D::Error> {
    Ok(Option::<N>::deserialize(deserializer)?.filter(|number| *number != N::default()))
}
