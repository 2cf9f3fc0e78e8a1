//! Estimates what a task has cost: the seconds that Fargate bills, times a price by region and architecture.

use std::time::Duration;

/// Prices of one hour in US dollars, of Linux tasks on x86, on demand ("AWS Fargate Pricing", as of November 2026).
#[derive(Clone, Copy, Debug)]
struct Price {
    regions: &'static [&'static str],
    /// One virtual CPU.
    cpu: f64,
    /// One GiB of memory.
    memory: f64,
}

/// The regions whose prices are known here. Others have no estimate.
const PRICES: [Price; 3] = [
    Price { regions: &["us-east-1", "us-east-2", "us-west-2", "eu-west-1"], cpu: 0.04048, memory: 0.004_445 },
    Price { regions: &["eu-central-1", "eu-west-2"], cpu: 0.04656, memory: 0.00511 },
    Price { regions: &["sa-east-1"], cpu: 0.0696, memory: 0.0076 },
];

/// The part of the price that ARM costs, in each of these regions.
const ARM: f64 = 0.8;
/// One hour of one GiB of disk beyond those that each task has.
const DISK: f64 = 0.000_111;
/// GiB of disk that each task has without a charge.
const FREE_DISK: u32 = 20;
/// The part of the price that Spot costs. It changes with demand; AWS promises "up to 70 %" less.
const SPOT: f64 = 0.3;
/// The shortest time that Fargate bills.
const SHORTEST: Duration = Duration::from_mins(1);

/// The size of a task, as ECS tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskSize {
    /// 1024 make one virtual CPU. 0 if ECS does not tell the size.
    pub cpu_units: u32,
    pub memory_mib: u32,
    /// GiB.
    pub disk: u32,
    pub is_arm: bool,
    pub is_spot: bool,
}

/// The estimate in US dollars, to a thousandth of a cent, for the time that Fargate bills. `None` for a region whose prices are not known
/// here.
pub(super) fn estimate(region: &str, usage: &TaskSize, billed: Duration) -> Option<f64> {
    if usage.cpu_units == 0 {
        return None;
    }
    let price = PRICES.iter().find(|price| price.regions.contains(&region))?;
    let hour = f64::from(usage.cpu_units) / 1024.0 * price.cpu + f64::from(usage.memory_mib) / 1024.0 * price.memory;
    let hour = if usage.is_arm { hour * ARM } else { hour };
    let hour = if usage.is_spot { hour * SPOT } else { hour };
    let hour = hour + f64::from(usage.disk.saturating_sub(FREE_DISK)) * DISK;
    let cost = billed.max(SHORTEST).as_secs_f64() / 3600.0 * hour;
    Some((cost * 100_000.0).round() / 100_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn the_cost_is_that_of_the_hours_the_size_and_the_architecture() {
        let size = TaskSize { cpu_units: 1024, memory_mib: 2048, ..TaskSize::default() };
        assert_eq!(estimate("us-east-1", &size, HOUR), Some(0.04937));
        assert_eq!(estimate("us-east-1", &TaskSize { is_arm: true, ..size }, HOUR), Some(0.0395));
        assert_eq!(estimate("us-east-1", &TaskSize { is_spot: true, ..size }, HOUR), Some(0.01481));
        assert_eq!(estimate("us-east-1", &TaskSize { disk: 120, ..size }, HOUR), Some(0.06047));
        assert_eq!(estimate("eu-central-1", &size, HOUR), Some(0.05678));
        assert_eq!(estimate("sa-east-1", &TaskSize { is_arm: true, ..size }, HOUR), Some(0.06784));
        assert_eq!(estimate("ap-southeast-2", &size, HOUR), None, "a price that is not known is no price");
        assert_eq!(estimate("us-east-1", &TaskSize::default(), HOUR), None, "nor is a size");
    }

    #[test]
    fn fargate_bills_a_minute_at_least() {
        let size = TaskSize { cpu_units: 256, memory_mib: 512, is_arm: true, ..TaskSize::default() };
        let cost = |seconds| estimate("us-east-1", &size, Duration::from_secs(seconds));
        assert_eq!(cost(5), cost(60));
        assert_eq!(cost(60), Some(0.00016));
    }
}
