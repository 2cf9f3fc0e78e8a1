//! Checks the names of environment variables that users give: those of a run, and those that secrets appear under.

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
/// The beginnings of names that runs may not set: of the scripts, of the dynamic linkers, of ECS, and of functions of bash.
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

/// Names that make programs load code, run another program, trust other certificates or reach another host, with the reason that an
/// error gives. A name that ends with `*` stands for all that begin so. Compared without regard to case, because the names of proxies
/// are read in both.
///
/// A user who sets one of these in the run of another user acts with that user's secrets. A caller's own `env` may have them, because it
/// reaches only the caller's own command.
const STEERING: [(&str, &[&str]); 8] = [
    ("git takes commands, hosts and configuration from it", &["GIT_*", "SSH_ASKPASS", "SSH_AUTH_SOCK", "SUDO_ASKPASS"]),
    (
        "it sends traffic through another host",
        &[
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "FTP_PROXY",
            "NO_PROXY",
            "HOSTALIASES",
            "LOCALDOMAIN",
            "RES_OPTIONS",
            "RESOLV_HOST_CONF",
            "AWS_ENDPOINT_URL*",
            "DOCKER_HOST",
            "NPM_CONFIG_*",
            "PIP_*",
            "UV_INDEX*",
            "UV_DEFAULT_INDEX",
            "UV_EXTRA_INDEX_URL",
            "GOPROXY",
            "GOSUMDB",
            "GONOSUMDB",
            "GONOSUMCHECK",
            "COREPACK_NPM_REGISTRY",
            "YARN_REGISTRY",
            "YARN_NPM_REGISTRY_SERVER",
            "RUBYGEMS_HOST",
            "GH_HOST",
            "RSYNC_PROXY",
            "AWS_EC2_METADATA_*",
            "VAULT_ADDR",
            "VAULT_PROXY_ADDR",
            "VAULT_AGENT_ADDR",
        ],
    ),
    (
        "it decides which certificates are trusted, or where keys of connections are written",
        &[
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "SSLKEYLOGFILE",
            "CURL_CA_BUNDLE",
            "REQUESTS_CA_BUNDLE",
            "AWS_CA_BUNDLE",
            "OPENSSL_*",
            "NODE_EXTRA_CA_CERTS",
            "NODE_TLS_REJECT_UNAUTHORIZED",
            "DENO_CERT",
            "CARGO_HTTP_*",
            "PGSSL*",
            "PYTHONHTTPSVERIFY",
            "VAULT_CACERT",
            "VAULT_CAPATH",
            "VAULT_SKIP_VERIFY",
            "DENO_TLS_CA_STORE",
        ],
    ),
    (
        "an interpreter loads code that it names",
        &[
            "PERL5*",
            "PERLLIB",
            "NODE_OPTIONS",
            "NODE_PATH",
            "NODE_REPL_EXTERNAL_MODULE",
            "PYTHONSTARTUP",
            "PYTHONPATH",
            "PYTHONHOME",
            "PYTHONUSERBASE",
            "PYTHONBREAKPOINT",
            "PYTHONINSPECT",
            "PYTHONWARNINGS",
            "PYTHONEXECUTABLE",
            "PYTHONPLATLIBDIR",
            "PYTHONPYCACHEPREFIX",
            "PYTHONCASEOK",
            "RUBYOPT",
            "RUBYLIB",
            "GEM_HOME",
            "GEM_PATH",
            "BUNDLE_GEMFILE",
            "JAVA_TOOL_OPTIONS",
            "_JAVA_OPTIONS",
            "JDK_JAVA_OPTIONS",
            "CLASSPATH",
            "MAVEN_OPTS",
            "GRADLE_OPTS",
            "PHPRC",
            "PHP_INI_SCAN_DIR",
            "LUA_INIT*",
            "LUA_PATH*",
            "LUA_CPATH*",
            "ZDOTDIR",
            "FPATH",
            "DOTNET_STARTUP_HOOKS",
            "DOTNET_ADDITIONAL_DEPS",
            "CORECLR_*",
            "COR_*",
            "COMPLUS_*",
            "ERL_*",
            "ELIXIR_ERL_OPTIONS",
            "R_PROFILE*",
            "R_ENVIRON*",
            "R_LIBS*",
            "JULIA_LOAD_PATH",
            "JULIA_DEPOT_PATH",
            "GUILE_LOAD_PATH",
            "TCLLIBPATH",
            "PERL_MM_OPT",
            "PERL_MB_OPT",
            "JAVA_OPTS",
            "ANT_OPTS",
            "SBT_OPTS",
            "BASH_LOADABLES_PATH",
            "PSMODULEPATH",
            "MAKEFILES",
            "GNUMAKEFLAGS",
            "PYTEST_ADDOPTS",
            "PYTEST_PLUGINS",
            "ANSIBLE_*",
            "IBM_JAVA_OPTIONS",
            "OPENJ9_JAVA_OPTIONS",
            "CATALINA_OPTS",
            "HADOOP_*",
            "KAFKA_OPTS",
            "JVM_OPTS",
            "JAVA_HOME",
            "JRE_HOME",
            "GOROOT",
            "GOPATH",
            "GTK_*",
            "QT_*",
            "SASL_PATH",
            "IRBRC",
            "PRYRC",
            "MAVEN_ARGS",
            "YARN_PLUGINS",
            "YARN_YARN_PATH",
            "CLOUDSDK_PYTHON*",
            "TF_REATTACH_PROVIDERS",
            "EMACSLOADPATH",
        ],
    ),
    (
        "the C library takes its settings and modules from it",
        &["GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "NLSPATH", "MALLOC_*", "TZDIR"],
    ),
    (
        "programs look for their configuration where it points",
        &[
            "HOME",
            "XDG_*",
            "TMPDIR",
            "CURL_HOME",
            "WGETRC",
            "NETRC",
            "INPUTRC",
            "TERMINFO*",
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "DOCKER_CONFIG",
            "CARGO_HOME",
            "RUSTUP_HOME",
            "GOENV",
            "GNUPGHOME",
            "KUBECONFIG",
            "KRB5_CONFIG",
            "MYSQL_HOME",
            "PGSERVICEFILE",
            "PGSYSCONFDIR",
            "HGRCPATH",
            "TF_CLI_CONFIG_FILE",
            "TF_DATA_DIR",
            "APT_CONFIG",
            "GEMRC",
            "NIX_CONFIG",
            "NIX_PATH",
            "ODBCINI",
            "ODBCSYSINI",
            "TNS_ADMIN",
            "RCLONE_CONFIG",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "LESSKEY*",
            "SCREENRC",
            "TMUX_TMPDIR",
            "CARGO_ALIAS_*",
            "MAILCAPS",
            "TF_PLUGIN_CACHE_DIR",
            "HELM_*",
            "CLOUDSDK_CONFIG",
            "AZURE_CONFIG_DIR",
            "AZURE_EXTENSION_DIR",
            "GH_CONFIG_DIR",
            "GRADLE_USER_HOME",
            "COMPOSER",
            "COMPOSER_HOME",
            "BUNDLE_PATH",
            "BUNDLE_APP_CONFIG",
            "YARN_RC_FILENAME",
            "DENO_DIR",
            "RIPGREP_CONFIG_PATH",
        ],
    ),
    (
        "a program runs the command that it holds",
        &[
            "SHELL",
            "EDITOR",
            "VISUAL",
            "PAGER",
            "MANPAGER",
            "LESSOPEN",
            "LESSCLOSE",
            "BROWSER",
            "AWS_PAGER",
            "RESTIC_PASSWORD_COMMAND",
            "RCLONE_PASSWORD_COMMAND",
            "BORG_RSH",
            "BORG_PASSCOMMAND",
            "BORG_REMOTE_PATH",
            "SVN_EDITOR",
            "FCEDIT",
            "CMAKE_*",
            "RUSTDOC",
            "RUSTDOCFLAGS",
            "CARGO_ENCODED_*",
            "PKG_CONFIG*",
            "AR",
            "LD",
            "AS",
            "NM",
            "CPP",
            "CFLAGS",
            "CXXFLAGS",
            "CPPFLAGS",
            "LDFLAGS",
            "CONFIG_SHELL",
            "MAKE",
            "YACC",
            "LEX",
            "KUBE_EDITOR",
            "GH_EDITOR",
            "GH_PAGER",
            "GH_BROWSER",
            "SYSTEMD_EDITOR",
            "SYSTEMD_PAGER",
            "FZF_DEFAULT_COMMAND",
            "FZF_DEFAULT_OPTS",
            "PROMPT_COMMAND",
            "PS0",
            "CDPATH",
            "GLOBIGNORE",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC",
            "RUSTFLAGS",
            "MAKEFLAGS",
            "GOFLAGS",
            "GOTOOLCHAIN",
            "CARGO_BUILD_*",
            "CARGO_TARGET_*",
            "CC",
            "CXX",
            "TAR_OPTIONS",
            "RSYNC_RSH",
            "RSYNC_CONNECT_PROG",
            "CVS_RSH",
            "SVN_SSH",
            "HGEDITOR",
            "PSQLRC",
            "PSQL_*",
            "TF_CLI_ARGS*",
            "VIMINIT",
            "EXINIT",
        ],
    ),
    ("the shell reads it", &["PATH", "IFS", "ENV", "BASH_ENV", "POSIXLY_CORRECT"]),
];
/// Names of the tokens with which the sidecar clones. They hold a credential and steer nothing.
const GIT_TOKENS: [&str; 3] = ["GITHUB_TOKEN", "GITLAB_TOKEN", "GIT_TOKEN"];

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
    let is_named = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(prefix) => upper.starts_with(prefix),
        None => upper == **pattern,
    };
    match STEERING.iter().find(|(_, names)| names.iter().any(&is_named)) {
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
        ] {
            assert!(check_shared_name(good).is_ok(), "{good}");
        }
    }
}
