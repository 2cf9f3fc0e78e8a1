//! Checks that a playbook can run with the rights of the user who published it: at publication, and again at each run.

use std::collections::BTreeMap;

use super::Playbook;
use crate::{
    App, Error, Result,
    auth::{Action, Principal, Resource, policy},
    environment,
    execution::{KeptSecret, RunRequest, ValidRun, kept_secret},
    image::{self, Image},
    redaction::says_secret,
    run,
    secret::{self, Secret},
};

/// The image and the secrets that the runs of a playbook use.
#[derive(Debug)]
pub struct Usable {
    pub image: Image,
    pub secrets: Vec<Secret>,
}

/// Refuses a playbook with a secret in its variables or its repository, because everyone who sees the playbook can read them.
fn check_readable(playbook: &Playbook) -> Result<()> {
    match kept_secret(&playbook.env, playbook.git_repo.as_deref()) {
        None => Ok(()),
        Some(KeptSecret::Variable(name)) => Err(Error::invalid(format!(
            "the name of the variable {name} says that its value is a secret, and a playbook is readable"
        ))
        .with_hint("use a secret in its place")
        .at_field(format!("env.{name}"))),
        Some(KeptSecret::Repository) => Err(Error::invalid("git_repo has credentials, and a playbook is readable")
            .with_hint("use a secret whose variable is GIT_TOKEN")
            .at_field("git_repo")),
    }
}

/// The least variables of a run of a playbook: the value of a parameter without a default is empty here.
fn least_variables(playbook: &Playbook) -> Result<BTreeMap<String, String>> {
    let mut variables = playbook.env.clone();
    for parameter in &playbook.parameters {
        let value = parameter.default.as_ref().map_or(Ok(String::new()), |_| parameter.value(None))?;
        variables.insert(parameter.name.clone(), value);
    }
    Ok(variables)
}

/// Checks a playbook with all that it names, and that this user may use it. It is the publisher, and not the caller of a run, whose rights
/// count.
///
/// # Errors
/// [`Error::Invalid`] with the field that is wrong, [`Error::ForbiddenUse`] for an image or a secret that the publisher may not use.
pub async fn usable(app: &App, playbook: &Playbook, publisher: &Principal) -> Result<Usable> {
    playbook.check()?;
    for (at, parameter) in playbook.parameters.iter().enumerate() {
        let field = format!("parameters[{at}].name");
        environment::check_shared_name(&parameter.name).map_err(|error| error.at_field(field.clone()))?;
        if says_secret(&parameter.name.to_ascii_uppercase()) {
            return Err(Error::invalid(format!(
                "the name of the parameter {} says that it is a secret",
                parameter.name
            ))
            .with_hint("values of parameters are kept and shown: use a secret, or another name")
            .at_field(field));
        }
    }
    check_readable(playbook)?;
    let with_env = request(playbook, playbook.env.clone())?;
    let with_defaults = request(playbook, least_variables(playbook)?)?;
    policy::authorize(publisher, Action::Run, Resource::Account)?;
    let secrets = async {
        match playbook.secrets.as_slice() {
            [] => Ok(Vec::new()),
            names => secret::find_all(app, names).await,
        }
    };
    let (image, secrets) = tokio::try_join!(image::resolve(app, playbook.image.as_deref()), secrets)
        .map_err(|error| error.at_field("image"))?;
    policy::authorize_use(publisher, image::resource(&image))?;
    run::check_kept(app, &with_env, &image, publisher)?;
    run::check_kept(app, &with_defaults, &image, publisher).map_err(|error| error.at_exact_field("parameters"))?;
    for (at, schedule) in playbook.schedules.iter().enumerate() {
        let field = format!("schedules[{at}].parameters");
        let request = self::request(playbook, playbook.variables(&schedule.parameters)?)
            .map_err(|error| error.at_exact_field(field.clone()))?;
        run::check_kept(app, &request, &image, publisher).map_err(|error| error.at_exact_field(field))?;
    }
    for secret in &secrets {
        policy::authorize_use(publisher, secret::resource(secret))?;
        let is_its_variable = |parameter: &runvoy_api_types::Parameter| parameter.name == secret.key_name;
        if let Some(at) = playbook.parameters.iter().position(is_its_variable) {
            let problem =
                format!("the parameter {} would take the place of the secret {}", secret.key_name, secret.name);
            return Err(Error::invalid(problem).at_field(format!("parameters[{at}].name")));
        }
    }
    Ok(Usable { image, secrets })
}

/// Makes and checks the run of a playbook with these values of its variables.
///
/// # Errors
/// [`Error::Invalid`] with the field that is wrong.
pub(super) fn request(playbook: &Playbook, variables: BTreeMap<String, String>) -> Result<ValidRun> {
    ValidRun::try_from(RunRequest {
        command: playbook.command(),
        image: playbook.image.clone(),
        env: variables,
        secrets: playbook.secrets.clone(),
        timeout: playbook.timeout.map(|timeout| timeout.0),
        git_repo: playbook.git_repo.clone(),
        git_ref: playbook.git_ref.clone(),
        git_path: playbook.git_path.clone(),
        cpu: playbook.cpu,
        memory: playbook.memory,
        disk: playbook.disk,
        spot: playbook.spot,
        deadline: playbook.deadline.map(|deadline| deadline.0),
        lock: playbook.lock.clone(),
        slots: playbook.slots,
        on_conflict: playbook.on_conflict,
        retry: playbook.retry.clone(),
        ..RunRequest::default()
    })
}
