//! Does `runvoy secrets`: lists, shows, makes and changes secrets.

use std::{
    fs,
    io::{self, Read},
};

use runvoy_api_types::{CreateSecret, Secret, SecretAnswer, UpdateSecret};

use super::context::Context;
use crate::{
    api::segment,
    arguments::{Secrets, ValueSource},
    failure::{Failure, Result},
    hidden_line,
    output::{self, Columns, ago, cell},
};

pub(crate) async fn run(context: &Context, command: Secrets) -> Result<()> {
    match command {
        Secrets::List { search } => {
            let path =
                search.map_or_else(|| "/secrets".to_owned(), |search| format!("/secrets?q={}", segment(&search)));
            let table = |secrets: &[Secret]| {
                let mut columns = Columns::new(&["NAME", "VARIABLE", "CHANGED", "BY", "DESCRIPTION"]);
                for secret in secrets {
                    columns.row([
                        cell(&secret.name),
                        cell(&secret.key_name),
                        ago(secret.updated_at),
                        cell(&secret.updated_by),
                        secret.description.as_ref().map_or_else(|| "-".to_owned(), cell),
                    ]);
                }
                columns.print("there are no secrets: `runvoy secrets create NAME VARIABLE`")
            };
            context.list(&path, "secrets", table).await
        }
        Secrets::Get { name } => {
            let answer = context.api.get(&format!("/secrets/{}", segment(&name))).await?;
            let read: SecretAnswer = answer.parse()?;
            context.show(&answer, |_: SecretAnswer| match &read.secret.value {
                Some(value) => output::print_value(value),
                None => Err(Failure::new("the answer has no value of the secret")
                    .remedy("check the endpoint: `runvoy config list`")),
            })
        }
        Secrets::Create { name, key_name, value, description, source } => {
            let value = match read_value(value, source)? {
                Some(value) => value,
                None => ask(&name).await?,
            };
            let body = CreateSecret { name, key_name, value, description };
            let answer = context.api.post("/secrets", &body).await?;
            context.done(&answer)
        }
        Secrets::Update { name, key_name, value, description, source } => {
            let value = match read_value(value, source)? {
                Some(value) if value.is_empty() => Some(ask(&name).await?),
                value => value,
            };
            let body = UpdateSecret { description, key_name, value };
            if body.description.is_none() && body.key_name.is_none() && body.value.is_none() {
                return Err(
                    Failure::new("nothing is to be changed").remedy("give --value, --key-name or --description")
                );
            }
            let answer = context.api.put(&format!("/secrets/{}", segment(&name)), &body).await?;
            context.done(&answer)
        }
        Secrets::Delete { name, confirmation } => {
            confirmation.ask(&format!("Delete the secret {name}?"))?;
            let answer = context.api.delete(&format!("/secrets/{}", segment(&name))).await?;
            context.done(&answer)
        }
    }
}

/// The value from where the user says it is. `None` if the user does not say.
fn read_value(value: Option<String>, source: ValueSource) -> Result<Option<String>> {
    match (value, source.value_file) {
        (Some(_), Some(_)) => {
            Err(Failure::new("the value is given twice").remedy("give one of VALUE and --value-file"))
        }
        (None, Some(path)) => {
            let failed = |error| Failure::new(format!("{} cannot be read: {error}", path.display()));
            fs::read_to_string(&path).map(|text| Some(without_line_end(text))).map_err(failed)
        }
        (Some(value), None) if value == "-" => {
            let mut text = String::new();
            let read = io::stdin().read_to_string(&mut text);
            read.map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
            Ok(Some(without_line_end(text)))
        }
        (value, None) => Ok(value),
    }
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// Asks for a value on the terminal, without showing it.
async fn ask(name: &str) -> Result<String> {
    let value =
        hidden_line::read(&format!("Value of {name}: "), "give --value-file FILE, or - for standard input").await?;
    if value.is_empty() {
        return Err(Failure::new("the value is empty").remedy("a secret has at least one character"));
    }
    Ok(value)
}
