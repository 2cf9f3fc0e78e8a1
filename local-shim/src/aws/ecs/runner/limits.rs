//! Decides which limits of a task a container engine can keep. A task whose limits it cannot keep runs without them, and its log says
//! which.

use bollard::models::SystemInfo;

use super::spec::TaskSpec;

/// The limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Billionths of a CPU.
    pub(super) nano_cpus: Option<i64>,
    /// Bytes.
    pub(super) memory: Option<i64>,
    /// A sentence for each limit that is left out.
    pub(super) left_out: Vec<String>,
}

impl Limits {
    /// The limits of a task that an engine can keep, by what it says of itself.
    pub(super) fn of(task: &TaskSpec, engine: &SystemInfo) -> Self {
        let mut limits = Self {
            nano_cpus: Some(i64::from(task.cpu_units) * 1_000_000_000 / 1024),
            memory: Some(i64::from(task.memory_mib) * 1024 * 1024),
            left_out: Vec::new(),
        };
        let wanted = f64::from(task.cpu_units) / 1024.0;
        if engine.cpu_cfs_quota == Some(false) {
            limits.without_cpu("the engine has no cpu controller");
        } else if let Some(cpus) = engine.ncpu.filter(|cpus| *cpus > 0 && (*cpus as f64) < wanted) {
            // An engine refuses more CPUs than it has.
            limits.without_cpu(&format!("the image asks for {wanted} CPUs and the engine has {cpus}"));
        }
        if engine.memory_limit == Some(false) {
            limits.without_memory("the engine has no memory controller");
        }
        limits
    }

    /// These limits less one, for an engine that has refused a container. `None` if there is no limit.
    pub(super) fn fewer(&self, cause: &str) -> Option<Self> {
        let mut fewer = self.clone();
        if self.nano_cpus.is_some() {
            fewer.without_cpu(&format!("the engine said: {cause}"));
        } else {
            self.memory?;
            fewer.without_memory(&format!("the engine said: {cause}"));
        }
        Some(fewer)
    }

    fn without_cpu(&mut self, because: &str) {
        self.nano_cpus = None;
        self.left_out.push(format!("the command's CPUs are not limited: {because}"));
    }

    fn without_memory(&mut self, because: &str) {
        self.memory = None;
        self.left_out.push(format!("the command's memory is not limited: {because}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: i64 = 1024 * 1024 * 1024;

    fn limits(cpu_units: u32, engine: SystemInfo) -> Limits {
        let task = TaskSpec { id: "t".to_owned(), cpu_units, memory_mib: 1024, containers: Vec::new() };
        Limits::of(&task, &engine)
    }

    #[test]
    fn an_engine_gets_the_limits_that_it_can_keep() {
        let engine = || SystemInfo { ncpu: Some(2), cpu_cfs_quota: Some(true), ..SystemInfo::default() };
        let kept = limits(512, engine());
        assert_eq!((kept.nano_cpus, kept.memory, kept.left_out.len()), (Some(500_000_000), Some(GIB), 0));
        assert_eq!(limits(2048, engine()).nano_cpus, Some(2_000_000_000), "all that it has");
        let more = limits(4096, engine());
        assert_eq!((more.nano_cpus, more.memory), (None, Some(GIB)));
        assert_eq!(
            more.left_out,
            ["the command's CPUs are not limited: the image asks for 4 CPUs and the engine has 2"]
        );
        let rootless = SystemInfo { cpu_cfs_quota: Some(false), memory_limit: Some(false), ..engine() };
        let none = limits(512, rootless);
        assert_eq!((none.nano_cpus, none.memory, none.left_out.len()), (None, None, 2));
        // An engine that says nothing of itself is asked for both.
        assert_eq!(limits(512, SystemInfo::default()).left_out.len(), 0);
    }

    #[test]
    fn a_refused_container_is_tried_with_fewer_limits_until_there_are_none() {
        let all = limits(512, SystemInfo::default());
        let without_cpu = all.fewer("no").unwrap();
        assert_eq!((without_cpu.nano_cpus, without_cpu.memory), (None, Some(GIB)));
        let none = without_cpu.fewer("no").unwrap();
        assert_eq!((none.memory, none.left_out.len()), (None, 2));
        assert_eq!(none.fewer("no"), None);
    }
}
