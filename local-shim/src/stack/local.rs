//! Names the local stack, its account and its region.

/// The account of the emulated AWS, which is no real one.
pub const ACCOUNT: &str = "000000000000";
/// The region of the emulated AWS.
pub const REGION: &str = "us-east-1";
/// The name of the local stack.
pub const NAME: &str = "runvoy-local";
