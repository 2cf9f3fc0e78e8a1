//! Limits how often operations may be called in an account and region. A laptop's user need not wait for that, so it applies with
//! `--chaos` and in tests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::AwsError;

/// The region with the smallest quotas. A stack may be deployed there, so tests and `--chaos` take its quotas.
pub const STRICTEST_REGION: &str = "eu-central-1";

/// A bucket of tokens, from which each call of its operations takes one.
#[derive(Clone, Copy, Debug)]
struct Quota {
    operations: &'static [&'static str],
    /// The calls that may be made at once.
    burst: f64,
    /// The calls a second that may be made for long.
    rate: f64,
}

const fn quota(operations: &'static [&'static str], burst: f64, rate: f64) -> Quota {
    Quota { operations, burst, rate }
}

/// The quotas that are the same in each region. A call that several name takes a token of each.
///
/// Sources: "AWS Systems Manager endpoints and quotas" (Parameter Store without higher throughput); "Request throttling for the Amazon
/// ECS API", whose groups of operations share a bucket; "AWS Fargate throttling quotas" (RunTask: 20 calls a second, burst and sustained;
/// 100 tasks at once do not matter to calls that start one each).
const QUOTAS: [Quota; 8] = [
    quota(&["ssm:PutParameter"], 3.0, 3.0),
    quota(&["ssm:GetParameter"], 40.0, 40.0),
    quota(&["ecs:RunTask"], 20.0, 20.0),
    quota(&["ecs:RunTask", "ecs:StopTask"], 100.0, 40.0),
    quota(&["ecs:DescribeTasks", "ecs:ListTasks"], 100.0, 20.0),
    quota(&["ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition"], 20.0, 1.0),
    quota(&["ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ecs:ListTaskDefinitionFamilies"], 50.0, 20.0),
    quota(&["ecs:TagResource"], 20.0, 10.0),
];

/// Calls of FilterLogEvents a second ("Amazon CloudWatch Logs endpoints and quotas").
fn filter_log_events(region: &str) -> Quota {
    let rate = match region {
        "us-east-1" => 25.0,
        "ap-northeast-3" | "ap-southeast-3" | "ca-west-1" | "eu-central-1" | "il-central-1" => 5.0,
        _ => 10.0,
    };
    quota(&["logs:FilterLogEvents"], rate, rate)
}

/// The quotas of an account, or none.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Option<Arc<Account>>);

#[derive(Debug)]
struct Account {
    started: Instant,
    quotas: Vec<Quota>,
    /// By the place of a quota, the calls that may be made at once, and when that was known.
    left: Mutex<HashMap<usize, (f64, Duration)>>,
    /// By operation, the number of calls that were refused.
    refused: Mutex<HashMap<String, u64>>,
}

impl Quotas {
    /// The quotas of a new account in a region.
    pub fn of_new_account(region: &str) -> Self {
        let quotas = QUOTAS.into_iter().chain([filter_log_events(region)]).collect();
        Self(Some(Arc::new(Account {
            started: Instant::now(),
            quotas,
            left: Mutex::default(),
            refused: Mutex::default(),
        })))
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
        let mut left = account.left.lock().unwrap_or_else(PoisonError::into_inner);
        let concerned = || account.quotas.iter().enumerate().filter(|(_, quota)| quota.operations.contains(&operation));
        let mut is_allowed = true;
        for (place, quota) in concerned() {
            let (calls, since) = left.entry(place).or_insert((quota.burst, now));
            *calls = (*calls + now.saturating_sub(*since).as_secs_f64() * quota.rate).min(quota.burst);
            *since = now;
            is_allowed &= *calls >= 1.0;
        }
        if !is_allowed {
            let mut refused = account.refused.lock().unwrap_or_else(PoisonError::into_inner);
            *refused.entry(operation.to_owned()).or_default() += 1;
            return Err(AwsError::new("ThrottlingException", "Rate exceeded"));
        }
        for (place, _) in concerned() {
            if let Some((calls, _)) = left.get_mut(&place) {
                *calls -= 1.0;
            }
        }
        Ok(())
    }

    /// The number of calls of an operation that were refused so far.
    pub fn refused(&self, operation: &str) -> u64 {
        let refused = self.0.as_ref().map(|account| account.refused.lock().unwrap_or_else(PoisonError::into_inner));
        refused.and_then(|refused| refused.get(operation).copied()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(quotas: &Quotas, operation: &str, at: u64) -> usize {
        (0..200).filter(|_| quotas.take_at(operation, Duration::from_millis(at)).is_ok()).count()
    }

    #[test]
    fn a_quota_refills_and_other_operations_have_none() {
        let quotas = Quotas::of_new_account(STRICTEST_REGION);
        assert_eq!(allowed(&quotas, "logs:FilterLogEvents", 0), 5);
        assert_eq!(allowed(&quotas, "logs:FilterLogEvents", 400), 2);
        assert_eq!(allowed(&quotas, "logs:FilterLogEvents", 60_000), 5);
        assert_eq!(quotas.refused("logs:FilterLogEvents"), 588);
        assert_eq!(allowed(&quotas, "dynamodb:GetItem", 0), 200);
        assert!((0..50).all(|_| Quotas::default().take("logs:FilterLogEvents").is_ok()));
    }

    #[test]
    fn a_region_has_its_own_rate_of_reading_logs() {
        for (region, rate) in
            [("us-east-1", 25), ("eu-central-1", 5), ("il-central-1", 5), ("eu-west-1", 10), ("us-west-2", 10)]
        {
            assert_eq!(allowed(&Quotas::of_new_account(region), "logs:FilterLogEvents", 0), rate, "{region}");
        }
    }

    #[test]
    fn operations_of_one_group_share_its_calls() {
        let quotas = Quotas::of_new_account(STRICTEST_REGION);
        // Fargate starts 20 tasks a second, and ECS takes 100 calls that start or stop tasks at once.
        assert_eq!(allowed(&quotas, "ecs:RunTask", 0), 20);
        assert_eq!(allowed(&quotas, "ecs:StopTask", 0), 80);
        assert_eq!(allowed(&quotas, "ecs:RunTask", 0), 0);
        assert_eq!(allowed(&quotas, "ecs:RunTask", 1000), 20);
        assert_eq!(allowed(&quotas, "ecs:StopTask", 1000), 20);
        assert_eq!(allowed(&quotas, "ecs:RegisterTaskDefinition", 0), 20);
        assert_eq!(allowed(&quotas, "ecs:DeregisterTaskDefinition", 2000), 2);
    }
}
