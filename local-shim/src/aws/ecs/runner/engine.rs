//! Finds where a Docker or Podman engine listens, in the places in which the `docker` command would look and those of its usual
//! substitutes, and asks it about itself and its containers.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error,
    models::{ContainerInspectResponse, SystemInfo},
};
use serde_json::Value;
use tokio::time::timeout;

use crate::aws::ecs::digest::hash;

/// The time that an engine may take to answer when it is looked for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// The time in which an engine that answers tells its version and its limits. Podman asks other programs for them, which takes seconds on
/// a busy machine.
const DESCRIBES_ITSELF_WITHIN: Duration = Duration::from_secs(20);

/// The time that the engine may take to begin its answer to a call, in seconds.
const CALL_SECONDS: u64 = 120;
/// The time in which Podman cleans up a container that has ended, on a busy machine.
const CLEANED_UP_WITHIN: Duration = Duration::from_secs(20);
/// The pause between two looks at such a container.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The user's environment, as far as it says where an engine is.
pub(super) struct Surroundings<'a> {
    /// The value of a variable that is set and not empty.
    pub(super) variable: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// The root folder, `/` except in tests.
    pub(super) root: PathBuf,
}

impl Surroundings<'_> {
    /// The addresses to try, in this order. `DOCKER_HOST` alone, if it is set; otherwise the current context of the `docker` command,
    /// and then the sockets of Docker, rootless Docker, Docker Desktop, Colima, Rancher Desktop, OrbStack, Lima and Podman.
    pub(super) fn addresses(&self) -> Vec<String> {
        if let Some(host) = (self.variable)("DOCKER_HOST") {
            return vec![host];
        }
        let home = (self.variable)("HOME").map(PathBuf::from).unwrap_or_default();
        let runtime = (self.variable)("XDG_RUNTIME_DIR").map(PathBuf::from);
        let in_runtime = |path: &str| runtime.as_ref().map(|runtime| runtime.join(path));
        let sockets = [
            Some(self.root.join("var/run/docker.sock")),
            in_runtime("docker.sock"),
            Some(home.join(".docker/run/docker.sock")),
            Some(home.join(".docker/desktop/docker.sock")),
            Some(home.join(".colima/default/docker.sock")),
            Some(home.join(".config/colima/default/docker.sock")),
            Some(home.join(".rd/docker.sock")),
            Some(home.join(".orbstack/run/docker.sock")),
            Some(home.join(".lima/docker/sock/docker.sock")),
            Some(home.join(".lima/default/sock/docker.sock")),
            in_runtime("podman/podman.sock"),
            Some(self.root.join("run/podman/podman.sock")),
            Some(home.join(".local/share/containers/podman/machine/podman.sock")),
        ];
        let exists = |socket: &PathBuf| socket.exists();
        let sockets = sockets.into_iter().flatten().filter(exists).map(|path| format!("unix://{}", path.display()));
        let mut addresses: Vec<String> = self.of_context(&home).into_iter().chain(sockets).collect();
        addresses.dedup();
        addresses
    }

    /// The address of the current context ("Docker contexts"). The default context has none.
    fn of_context(&self, home: &Path) -> Option<String> {
        let directory = (self.variable)("DOCKER_CONFIG").map_or_else(|| home.join(".docker"), PathBuf::from);
        let read = |path: PathBuf| serde_json::from_slice::<Value>(&std::fs::read(path).ok()?).ok();
        let named = (self.variable)("DOCKER_CONTEXT");
        let current = || Some(read(directory.join("config.json"))?["currentContext"].as_str()?.to_owned());
        let context = named.or_else(current).filter(|context| context != "default")?;
        // The folder of a context is named by the hash of its name.
        let context = read(directory.join("contexts/meta").join(hash(context.as_bytes())).join("meta.json"))?;
        Some(context["Endpoints"]["docker"]["Host"].as_str()?.to_owned())
    }
}

/// A client of the engine at an address, in the forms of `DOCKER_HOST`.
///
/// # Errors
/// A text that says why the address cannot be used, and what to do.
pub(super) fn client(address: &str) -> Result<Docker, String> {
    let client = match address.split_once("://") {
        Some(("unix", path)) if !Path::new(path).exists() => return Err("there is no such socket".to_owned()),
        Some(("unix", _)) => Docker::connect_with_unix(address, CALL_SECONDS, API_DEFAULT_VERSION),
        Some(("tcp" | "http", _)) if std::env::var_os("DOCKER_TLS_VERIFY").is_some_and(|verify| !verify.is_empty()) => {
            return Err("TLS is not supported: forward the engine's socket, for instance with ssh -L".to_owned());
        }
        Some(("tcp" | "http", _)) => Docker::connect_with_http(address, CALL_SECONDS, API_DEFAULT_VERSION),
        _ => {
            return Err(
                "only unix:// and tcp:// are supported: forward the engine's socket, for instance with `ssh -L \
                        /tmp/docker.sock:/var/run/docker.sock HOST`, and set DOCKER_HOST=unix:///tmp/docker.sock"
                    .to_owned(),
            );
        }
    };
    client.map_err(|error| error.to_string())
}

/// Asks an engine for its version and for facts about it, of which some tell none.
///
/// # Errors
/// A text that says why it cannot be used.
pub(super) async fn describe(docker: Docker) -> Result<(Docker, String, SystemInfo), String> {
    let answers = timeout(ANSWERS_WITHIN, docker.ping()).await.map_err(|_| "it does not answer")?;
    answers.map_err(|error| error.to_string())?;
    let description = async {
        let docker = docker.negotiate_version().await?;
        let version = docker.version().await?.version.unwrap_or_default();
        let info = docker.info().await.unwrap_or_default();
        Ok((docker, version, info))
    };
    let described = timeout(DESCRIBES_ITSELF_WITHIN, description).await;
    let described = described.map_err(|_| "it answers and does not tell its version")?;
    described.map_err(|error: Error| error.to_string())
}

/// Describes a container. Between a container's end and its clean-up, Podman names a state that Docker's API does not have, and this call
/// waits until that has passed.
///
/// # Errors
/// The engine's.
pub(super) async fn inspect(docker: &Docker, name: &str) -> Result<ContainerInspectResponse, Error> {
    let until = Instant::now() + CLEANED_UP_WITHIN;
    loop {
        match docker.inspect_container(name, None).await {
            Err(Error::JsonDataError { .. }) if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
            described => return described,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixListener,
    };

    use super::*;

    fn addresses(root: &Path, variables: &[(&str, &str)]) -> Vec<String> {
        let variable =
            |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
        Surroundings { variable: &variable, root: root.to_owned() }.addresses()
    }

    #[test]
    fn an_engine_is_looked_for_where_the_docker_command_would() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let make = |path: &str, text: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        };
        let home = root.join("home");
        let home = ("HOME", home.to_str().unwrap());
        let socket = |path: &str| format!("unix://{}", root.join(path).display());
        assert_eq!(addresses(root, &[home]), [""; 0]);
        make("home/.colima/default/docker.sock", "");
        make("run/user/podman/podman.sock", "");
        let runtime = root.join("run/user");
        let runtime = ("XDG_RUNTIME_DIR", runtime.to_str().unwrap());
        let found = [socket("home/.colima/default/docker.sock"), socket("run/user/podman/podman.sock")];
        assert_eq!(addresses(root, &[home, runtime]), found);
        make("var/run/docker.sock", "");
        assert_eq!(addresses(root, &[home])[0], socket("var/run/docker.sock"));

        make("home/.docker/config.json", &json!({"currentContext": "mine"}).to_string());
        assert_eq!(addresses(root, &[home])[0], socket("var/run/docker.sock"), "a context that does not exist");
        let folder = hash(b"mine");
        let context = json!({"Name": "mine", "Endpoints": {"docker": {"Host": "tcp://127.0.0.1:2375"}}});
        make(&format!("home/.docker/contexts/meta/{folder}/meta.json"), &context.to_string());
        assert_eq!(addresses(root, &[home])[0], "tcp://127.0.0.1:2375");
        assert_eq!(addresses(root, &[home, ("DOCKER_CONTEXT", "default")])[0], socket("var/run/docker.sock"));
        assert_eq!(addresses(root, &[home, ("DOCKER_HOST", "unix:///x")]), ["unix:///x"]);
    }

    #[tokio::test]
    async fn a_state_that_only_podman_has_is_waited_out() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let engine = tokio::spawn(async move {
            for state in ["stopped", "exited"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let body = json!({"State": {"Status": state, "ExitCode": 3}}).to_string();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let docker = client(&format!("unix://{}", socket.display())).unwrap();
        let state = inspect(&docker, "one").await.unwrap().state.unwrap();
        assert_eq!(state.exit_code, Some(3));
        engine.await.unwrap();
    }
}
