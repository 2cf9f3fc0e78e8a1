//! Environment variables that users name: those of a run, and those that secrets appear under.

use crate::{Error, Result};

/// Names that would change how the runner's scripts, the loader or the task's credentials work, and the last four, which every shell
/// sets itself (POSIX, "Shell Variables"). A command can still set most of them for itself (`PATH=… my-command`).
const RESERVED: [&str; 12] = [
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
const RESERVED_PREFIXES: [&str; 6] = ["RUNVOY_", "LD_", "DYLD_", "ECS_", "AWS_CONTAINER_", "BASH_FUNC_"];

/// Checks the name of a variable.
///
/// # Errors
/// [`Error::Invalid`] for a name that no shell accepts (POSIX allows letters, digits and underscores, and no digit first), for a
/// reserved one, and for one of more than 255 characters.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let well_formed = (1..=255).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if !well_formed {
        return Err(Error::invalid_unless(
            format!("{name:?} is not the name of an environment variable"),
            "use letters, digits and underscores, no digit first",
        ));
    }
    if RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Error::invalid_unless(
            format!("the environment variable {name} is reserved"),
            format!(
                "use another name, or set it within the command (reserved are {} and names that start with {})",
                RESERVED.join(", "),
                RESERVED_PREFIXES.join(", ")
            ),
        ));
    }
    Ok(())
}

/// Checks the value of a variable.
///
/// # Errors
/// [`Error::Invalid`] for a value with a NUL character. The message does not quote the value.
pub(crate) fn check_value(name: &str, value: &str) -> Result<()> {
    if value.contains('\0') {
        return Err(Error::invalid(format!(
            "the value of {name} contains a NUL character, which no variable can hold"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_names_pass_and_others_do_not() {
        for good in ["A", "_x", "DATABASE_URL", "a1", "AWS_REGION", "AWS_ACCESS_KEY_ID", "HOME"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1A",
            "A-B",
            "A B",
            "A=B",
            "Ä",
            "A\n",
            "$(id)",
            "PATH",
            "LD_PRELOAD",
            "RUNVOY_COMMAND",
            "IFS",
            "PPID",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "ECS_CONTAINER_METADATA_URI_V4",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
