//! Defines the limits that the API checks, for clients that check before they send.

/// Bytes of a request's body.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The longest timeout of a run in seconds: a week.
pub const MAX_TIMEOUT_SECONDS: u64 = 7 * 24 * 3600;
/// Characters that all overrides of a task may have, JSON included ("TaskOverride", Amazon ECS API Reference). A run's command,
/// variables and git settings are among them.
pub const MAX_OVERRIDES_CHARACTERS: usize = 8192;
/// About the characters of them that runvoy's own variables need, such as the request's and the image's ids, so that clients can say how much is left.
pub const OWN_OVERRIDES_CHARACTERS: usize = 290;
/// Bytes of a secret's value: the largest of a standard parameter ("AWS Systems Manager endpoints and quotas").
pub const MAX_SECRET_BYTES: usize = 4096;
/// Bytes of a secret's description: a few sentences.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;
/// Secrets of one run, so that the audit's entries of their use fit one transaction, of which DynamoDB takes 100 writes.
pub const MAX_SECRETS_OF_A_RUN: usize = 50;
/// The longest deadline of a run in seconds: 30 days.
pub const MAX_DEADLINE_SECONDS: u64 = 30 * 24 * 3600;
/// Executions that one run may wait for. Each is read when one of them ends.
pub const MAX_AFTER: usize = 20;
/// Executions that may hold a lock at the same time.
pub const MAX_SLOTS: u32 = 1000;
/// Attempts of one run. The execution's record lists them.
pub const MAX_ATTEMPTS_OF_A_RUN: u32 = 10;
/// Executions in a page where the caller names no limit.
pub const DEFAULT_EXECUTIONS_IN_A_PAGE: usize = 10;
/// Characters of an `Idempotency-Key`.
pub const MAX_IDEMPOTENCY_KEY_CHARS: usize = 255;

/// GiB of disk that a run may ask for ("EphemeralStorage", Amazon ECS API Reference). Each task has 20 without asking.
pub const DISK_GIB: std::ops::RangeInclusive<u32> = 21..=200;

/// CPU units of an image that names none; 1024 make one virtual CPU.
pub const DEFAULT_CPU: u32 = 256;
/// MiB of memory of an image that names none.
pub const DEFAULT_MEMORY: u32 = 512;
