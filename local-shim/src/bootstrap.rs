//! The first start: an admin to call the API as, and images to run commands in.

use std::io::Write;

use anyhow::{Context, Result};
use runvoy_core::{
    App, Error,
    auth::{self, ApiKey, Role},
    email::Email,
    image::{self, Registration},
    user::{self, NewUser},
};

use crate::{aws::state_file::private, data_dir::DataDir};

const ADMIN: &str = "admin@runvoy.local";
const KEY_FILE: &str = "admin-key";
/// The same image under the two names that the documentation uses; the first is the default.
const IMAGES: [&str; 2] = ["ubuntu:22.04", "public.ecr.aws/docker/library/ubuntu:22.04"];
/// What the first start's changes are traced to.
const REQUEST: &str = "local-shim";

pub struct Bootstrapped {
    pub admin_key: ApiKey,
    pub is_first_start: bool,
}

pub async fn run(app: &App, data: &DataDir) -> Result<Bootstrapped> {
    let path = data.persistent().map(|directory| directory.join(KEY_FILE));
    let kept = match &path {
        Some(path) if path.exists() => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
            Some(
                ApiKey::presented(text.trim())
                    .with_context(|| format!("{} does not hold an API key", path.display()))?,
            )
        }
        _ => None,
    };
    if let Some(admin_key) = &kept {
        match auth::authenticate(app, Some(admin_key.expose())).await {
            Ok(_) | Err(Error::RevokedApiKey) => {
                return Ok(Bootstrapped { admin_key: admin_key.clone(), is_first_start: false });
            }
            // The start that made the file was interrupted before it made the admin.
            Err(Error::UnknownApiKey) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let is_kept = kept.is_some();
    let admin_key = match kept {
        Some(key) => key,
        None => {
            let key = ApiKey::generate()?;
            if let Some(path) = &path {
                writeln!(private(path)?, "{}", key.expose())?;
            }
            key
        }
    };
    let email = Email::parse(ADMIN)?;
    let new = NewUser { email: email.clone(), role: Role::Admin, key: Some(&admin_key), request_id: REQUEST };
    match user::create(app, new).await {
        Ok(_) => {}
        Err(Error::Conflict(_)) => {
            if let Some(path) = path.filter(|_| !is_kept) {
                let _ = std::fs::remove_file(path);
            }
            anyhow::bail!(
                "{ADMIN} exists, and {KEY_FILE} in the data directory does not hold its key; put the key there, or \
                 remove the data directory to start afresh (with AWS_ENDPOINT_URL, name another by --data-dir)"
            );
        }
        Err(error) => return Err(error).context("the admin could not be made"),
    }
    let runtime_platform = if cfg!(target_arch = "aarch64") { "Linux/ARM64" } else { "Linux/X86_64" };
    for name in IMAGES {
        let registration = Registration {
            image: name.to_owned(),
            is_default: (name != IMAGES[0]).then_some(false),
            runtime_platform: Some(runtime_platform.to_owned()),
            ..Registration::default()
        };
        image::register(app, registration, &email, REQUEST)
            .await
            .with_context(|| format!("image {name} could not be registered"))?;
    }
    Ok(Bootstrapped { admin_key, is_first_start: true })
}
