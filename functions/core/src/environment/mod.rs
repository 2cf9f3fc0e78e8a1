//! Checks the names of environment variables that users give: those of a run, and those that secrets appear under.

mod reserved;
mod steering;

use self::{
    reserved::{RESERVED, RESERVED_PREFIXES},
    steering::STEERING,
};
use crate::{Error, Result};

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
        return Err(Error::invalid(format!("{name:?} is not the name of an environment variable"))
            .with_hint("use letters, digits and underscores, no digit first"));
    }
    if RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Error::invalid(format!("the environment variable {name} is reserved")).with_hint(format!(
            "use another name, or set it within the command (reserved are {} and names that start with {})",
            RESERVED.join(", "),
            RESERVED_PREFIXES.join(", ")
        )));
    }
    Ok(())
}

/// Names of the variables by which a secret gives the sidecar a token for a repository. They hold a credential and steer nothing.
/// `image/sidecar.sh` knows the same.
pub(crate) const GIT_TOKENS: [&str; 4] = ["GIT_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN"];

/// Checks the name of a variable whose value one user sets in the runs of others: that of a secret, or a playbook's parameter.
///
/// # Errors
/// As [`check_name`], and [`Error::Invalid`] with the reason for a name that steers programs.
pub(crate) fn check_shared_name(name: &str) -> Result<()> {
    check_name(name)?;
    let upper = name.to_ascii_uppercase();
    if GIT_TOKENS.contains(&name) {
        return Ok(());
    }
    let is_named = |pattern: &str| match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(prefix), _) => upper.starts_with(prefix),
        (_, Some(suffix)) => upper.ends_with(suffix),
        _ => upper == pattern,
    };
    match STEERING.iter().find(|(_, names)| names.split_whitespace().any(is_named)) {
        None => Ok(()),
        Some((reason, _)) => Err(Error::invalid(format!(
            "the environment variable {name} steers programs, and would do so in the runs of other users: {reason}"
        ))
        .with_hint(
            "use another name, and set the variable within the command (SECURITY.md says which names these are)",
        )),
    }
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

    #[test]
    fn names_that_steer_programs_are_free_for_ones_own_run_only() {
        for steering in [
            "GIT_CONFIG_PARAMETERS",
            "PSModulePath",
            "GNUMAKEFLAGS",
            "PGSSLROOTCERT",
            "HELM_PLUGINS",
            "AWS_PAGER",
            "https_proxy",
            "PERL5OPT",
            "NODE_OPTIONS",
            "PYTHONSTARTUP",
            "HOME",
            "GLIBC_TUNABLES",
            "ZIPOPT",
            "spark_submit_opts",
            "DELTA_PAGER",
            "CGO_LDFLAGS",
            "KUBECTL_EXTERNAL_DIFF",
            "SSH_ASKPASS",
            "SSH_SK_PROVIDER",
            "CURL_CA_BUNDLE",
            "SYSTEM_WGETRC",
            "PYTHON_PRESITE",
            "NODE_COMPILE_CACHE",
            "PERLIO",
            "RUBYSHELL",
            "GRADLE_HOME",
            "GOAUTH",
            "GOCACHEPROG",
            "COMPOSE_FILE",
            "DOCKER_CERT_PATH",
            "AWS_METADATA_SERVICE_ENDPOINT",
            "TG_AUTH_PROVIDER_CMD",
            "TF_WORKSPACE",
            "ANSIBLE_CONFIG",
            "MAKEFILES",
            "MAILPATH",
            "C_INCLUDE_PATH",
            "LIBRARY_PATH",
            "LESS",
            "VIMRUNTIME",
            "DBUS_SESSION_BUS_ADDRESS",
        ] {
            assert!(check_name(steering).is_ok(), "{steering}");
            let refused = check_shared_name(steering).unwrap_err().to_string();
            assert!(refused.contains(steering) && refused.contains(": "), "{refused}");
        }
        for reserved in ["LD_PRELOAD", "PATH", "IFS", "ENV", "BASH_ENV"] {
            assert!(check_shared_name(reserved).is_err(), "{reserved}");
        }
        for good in [
            "GIT_TOKEN",
            "GITHUB_TOKEN",
            "GITLAB_TOKEN",
            "PYTHON_INDEX_TOKEN",
            "NODE_AUTH_TOKEN",
            "DATABASE_URL",
            "AWS_REGION",
            "FEATURE_FLAGS",
            "ZIP_CODE",
            "GOOGLE_API_KEY",
            "SSH_PRIVATE_KEY",
            "TF_VAR_DB_PASSWORD",
            "DOCKER_AUTH_CONFIG",
            "CARGO_REGISTRIES_INTERNAL_TOKEN",
            "COMPOSER_AUTH",
            "NUGET_API_KEY",
            "VAULT_TOKEN",
            "RSYNC_PASSWORD",
            "TZ",
            "LANG",
            "COMMAND",
        ] {
            assert!(check_shared_name(good).is_ok(), "{good}");
        }
    }
}
