//! Lists the names of variables that runs may not set.

/// Names that would change how the runner's scripts, the loader or the task's credentials work, and the last four, which every shell
/// sets itself (POSIX, "Shell Variables"). A command can still set most of them for itself (`PATH=… my-command`).
pub(super) const RESERVED: [&str; 12] = [
    "PATH",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "AWS_EXECUTION_ENV",
    "OPTIND",
    "PWD",
    "OLDPWD",
    "PPID",
];

/// The beginnings of names that runs may not set: of the scripts, of the dynamic linkers, of ECS, and of functions of bash.
pub(super) const RESERVED_PREFIXES: [&str; 6] = ["RUNVOY_", "LD_", "DYLD_", "ECS_", "AWS_CONTAINER_", "BASH_FUNC_"];
