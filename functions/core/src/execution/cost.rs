//! Estimates what a task has cost: the seconds that Fargate bills, times a price by region and architecture.

use std::time::Duration;

/// Prices of one hour in US dollars, of Linux tasks on demand ("AWS Fargate Pricing", as of November 2026).
#[derive(Clone, Copy, Debug)]
struct Price {
    region: &'static str,
    /// One virtual CPU: x86, and ARM.
    cpu: [f64; 2],
    /// One GiB of memory: x86, and ARM.
    memory: [f64; 2],
}

const fn price(region: &'static str, x86: (f64, f64), arm: (f64, f64)) -> Price {
    Price { region, cpu: [x86.0, arm.0], memory: [x86.1, arm.1] }
}

/// The regions that have an estimate.
const PRICES: [Price; 8] = [
    price("us-east-1", (0.04048, 0.004_445), (0.03238, 0.00356)),
    price("us-east-2", (0.04048, 0.004_445), (0.03238, 0.00356)),
    price("us-west-2", (0.04048, 0.004_445), (0.03238, 0.00356)),
    price("eu-west-1", (0.04048, 0.004_445), (0.03238, 0.00356)),
    price("eu-central-1", (0.04656, 0.00511), (0.03725, 0.00409)),
    price("ap-southeast-1", (0.05056, 0.00553), (0.04045, 0.00442)),
    price("ap-southeast-2", (0.04856, 0.00532), (0.03885, 0.00426)),
    price("ap-northeast-1", (0.05056, 0.00553), (0.04045, 0.00442)),
];

/// One hour of one GiB of disk beyond those that each task has.
const DISK: f64 = 0.000_111;
/// GiB of disk that each task has without a charge.
const FREE_DISK: u32 = 20;
/// The part of the price that Spot costs. It changes with demand; AWS promises "up to 70 %" less.
const SPOT: f64 = 0.3;
/// The shortest time that Fargate bills.
const SHORTEST: Duration = Duration::from_secs(60);

/// What a task has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// 1024 make one virtual CPU.
    pub(super) cpu_units: u32,
    pub(super) memory_mib: u32,
    /// GiB.
    pub(super) disk: u32,
    pub(super) is_arm: bool,
    pub(super) is_spot: bool,
    /// From the first pull of an image to the task's end.
    pub(super) billed: Duration,
}

/// The estimate in US dollars, to a thousandth of a cent. `None` for a region whose prices are not known here.
pub(super) fn estimate(region: &str, usage: &Usage) -> Option<f64> {
    let price = PRICES.iter().find(|price| price.region == region)?;
    let of = usize::from(usage.is_arm);
    let hour = f64::from(usage.cpu_units) / 1024.0 * price.cpu[of]
        + f64::from(usage.memory_mib) / 1024.0 * price.memory[of];
    let hour = if usage.is_spot { hour * SPOT } else { hour };
    let hour = hour + f64::from(usage.disk.saturating_sub(FREE_DISK)) * DISK;
    let cost = usage.billed.max(SHORTEST).as_secs_f64() / 3600.0 * hour;
    Some((cost * 100_000.0).round() / 100_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_is_that_of_the_hours_the_size_and_the_architecture() {
        let hour = Usage { cpu_units: 1024, memory_mib: 2048, billed: Duration::from_secs(3600), ..Usage::default() };
        assert_eq!(estimate("us-east-1", &hour), Some(0.04937));
        assert_eq!(estimate("us-east-1", &Usage { is_arm: true, ..hour }), Some(0.0395));
        assert_eq!(estimate("us-east-1", &Usage { is_spot: true, ..hour }), Some(0.01481));
        assert_eq!(estimate("us-east-1", &Usage { disk: 120, ..hour }), Some(0.06047));
        assert_eq!(estimate("eu-central-1", &hour), Some(0.05678));
        assert_eq!(estimate("sa-east-1", &hour), None, "a price that is not known is no price");
    }

    #[test]
    fn fargate_bills_a_minute_at_least() {
        let usage = |seconds| Usage {
            cpu_units: 256,
            memory_mib: 512,
            is_arm: true,
            billed: Duration::from_secs(seconds),
            ..Usage::default()
        };
        assert_eq!(estimate("us-east-1", &usage(5)), estimate("us-east-1", &usage(60)));
        assert_eq!(estimate("us-east-1", &usage(60)), Some(0.00016));
    }
}
