//! Does what only the first start needs: creates an admin, who can call the API, and registers images to run commands in.

use anyhow::{Context, Result, bail};
use runvoy_core::{
    App, Email, Error, RequestId,
    audit::Actor,
    auth::{self, Role},
    image::{self, Registration, RuntimePlatform},
    key::ApiKey,
    user::{self, NewUser},
};

use crate::data_dir::{ADMIN_KEY, DataDir};

/// The user whose key a first start prints.
const ADMIN: &str = "admin@runvoy.local";
/// An image under both names that the documentation uses. The first becomes the default image.
const IMAGES: [&str; 2] = ["ubuntu:22.04", "public.ecr.aws/docker/library/ubuntu:22.04"];
/// The request id of everything that the first start creates.
const REQUEST: &str = "local-shim";

pub(crate) struct Bootstrapped {
    pub(crate) admin_key: ApiKey,
    pub(crate) is_first_start: bool,
}

/// Reads the admin's key, or creates the admin. A key that was put into a new folder before its first start is refused. The key file is
/// written last, so that it exists only when everything else does.
pub(crate) async fn run(app: &App, data: &DataDir) -> Result<Bootstrapped> {
    let kept = read_key(data)?;
    if let Some(admin_key) = &kept {
        match auth::authenticate(app, Some(admin_key.expose())).await {
            Ok(_) => {
                data.end_first_start()?;
                return Ok(Bootstrapped { admin_key: admin_key.clone(), is_first_start: false });
            }
            // The key is the folder's own, and this AWS does not have the admin yet. The admin is created with it.
            Err(Error::UnknownApiKey) if data.has_state() => {}
            Err(Error::UnknownApiKey) => bail!(
                "{ADMIN_KEY} was in the data directory before its first start, which makes a key of its own; remove the file, or name \
                 another directory with --data-dir"
            ),
            Err(error) => return Err(failed(error, "the admin's key could not be checked")),
        }
    }
    let admin_key = match kept {
        Some(key) => key,
        None => ApiKey::generate()?,
    };
    let (email, actor) = (Email::parse(ADMIN)?, Actor::program(REQUEST, &RequestId::new(REQUEST)));
    let new = NewUser { email: email.clone(), role: Role::Admin, actor: &actor };
    match user::create_with_key(app, new, &admin_key).await {
        Ok(_) => {}
        Err(Error::Conflict(_)) => bail!(
            "{ADMIN} exists, and {ADMIN_KEY} in the data directory does not hold its key; put the key there, or remove the data \
             directory to start afresh (with AWS_ENDPOINT_URL, name another one with --data-dir)"
        ),
        Err(error) => return Err(failed(error, "the admin could not be created")),
    }
    for name in IMAGES {
        let registration = Registration {
            image: name.to_owned(),
            is_default: (name != IMAGES[0]).then_some(false),
            runtime_platform: Some(this_platform()),
            ..Registration::default()
        };
        image::register(app, registration, &email, &actor)
            .await
            .map_err(|error| failed(error, &format!("image {name} could not be registered")))?;
    }
    data.write(ADMIN_KEY, &format!("{}\n", admin_key.expose()))?;
    data.end_first_start()?;
    Ok(Bootstrapped { admin_key, is_first_start: true })
}

fn read_key(data: &DataDir) -> Result<Option<ApiKey>> {
    let Some(path) = data.persistent().map(|directory| directory.join(ADMIN_KEY)) else { return Ok(None) };
    if !path.exists() {
        return Ok(None);
    }
    let name = path.display();
    let text = std::fs::read_to_string(&path).with_context(|| format!("{name} cannot be read"))?;
    if text.trim().is_empty() {
        bail!("{name} is empty; put the admin's key back, or move the data directory away to start afresh");
    }
    ApiKey::presented(text.trim()).map(Some).with_context(|| {
        format!("{name} does not hold an API key; put the key back, or move the data directory away to start afresh")
    })
}

/// An error with all its causes, which `anyhow` would not show for those that name their cause themselves.
fn failed(error: Error, what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what}: {}", error.chain())
}

fn this_platform() -> RuntimePlatform {
    if cfg!(target_arch = "aarch64") { RuntimePlatform::LinuxArm64 } else { RuntimePlatform::LinuxX8664 }
}
