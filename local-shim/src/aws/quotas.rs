//! How often operations may be called in an account and region. A laptop's user need not wait for that, so it applies with `--chaos`
//! and in tests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::AwsError;

/// Operations, the calls that may be made at once, and the calls a second that may be made for long.
///
/// Sources: "CloudWatch Logs quotas"; "AWS Systems Manager endpoints and quotas" (Parameter Store without higher throughput); "Request
/// throttling for the Amazon ECS API" (task definition modify actions); "AWS Fargate throttling quotas" (RunTask).
const QUOTAS: [(&str, f64, f64); 6] = [
    ("logs:FilterLogEvents", 5.0, 5.0),
    ("ssm:PutParameter", 3.0, 3.0),
    ("ssm:GetParameter", 40.0, 40.0),
    ("ecs:RunTask", 100.0, 20.0),
    ("ecs:RegisterTaskDefinition", 20.0, 1.0),
    ("ecs:DeregisterTaskDefinition", 20.0, 1.0),
];

/// The quotas of an account, or none.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Option<Arc<Account>>);

#[derive(Debug)]
struct Account {
    started: Instant,
    /// By operation, the calls that may be made at once, and when that was known.
    left: Mutex<HashMap<&'static str, (f64, Duration)>>,
}

impl Quotas {
    /// The quotas of a new account.
    pub fn of_new_account() -> Self {
        Self(Some(Arc::new(Account { started: Instant::now(), left: Mutex::default() })))
    }

    /// Counts a call that is made now.
    ///
    /// # Errors
    /// The service's own error when the quota does not allow it.
    pub(super) fn take(&self, operation: &str) -> Result<(), AwsError> {
        match &self.0 {
            Some(account) => self.take_at(operation, account.started.elapsed()),
            None => Ok(()),
        }
    }

    /// Counts a call that is made at this time, of any clock that does not run backwards.
    ///
    /// # Errors
    /// The service's own error when the quota does not allow it.
    pub fn take_at(&self, operation: &str, now: Duration) -> Result<(), AwsError> {
        let Some(account) = &self.0 else { return Ok(()) };
        let Some((name, burst, rate)) = QUOTAS.into_iter().find(|(name, ..)| *name == operation) else { return Ok(()) };
        let mut left = account.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, since) = left.entry(name).or_insert((burst, now));
        *calls = (*calls + now.saturating_sub(*since).as_secs_f64() * rate).min(burst);
        *since = now;
        if *calls < 1.0 {
            return Err(AwsError::new("ThrottlingException", "Rate exceeded"));
        }
        *calls -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_refills_and_other_operations_have_none() {
        let quotas = Quotas::of_new_account();
        let allowed = |operation: &str, at: u64| {
            (0..50).filter(|_| quotas.take_at(operation, Duration::from_millis(at)).is_ok()).count()
        };
        assert_eq!(allowed("logs:FilterLogEvents", 0), 5);
        assert_eq!(allowed("logs:FilterLogEvents", 400), 2);
        assert_eq!(allowed("logs:FilterLogEvents", 60_000), 5);
        assert_eq!(allowed("dynamodb:GetItem", 0), 50);
        assert!((0..50).all(|_| Quotas::default().take("logs:FilterLogEvents").is_ok()));
    }
}
