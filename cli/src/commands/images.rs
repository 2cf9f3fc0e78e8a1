//! `runvoy images`.

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};

use super::Context;
use crate::{
    api::{Repeat, RequestError, segment},
    arguments::Images,
    failure::{Failure, Result},
    output::{self, Columns, Fields, field},
};

pub(crate) async fn run(context: &Context, command: Images) -> Result<()> {
    match command {
        Images::List { search } => {
            let path = search.map_or_else(|| "/images".to_owned(), |search| format!("/images?q={}", segment(&search)));
            let table = |images: &[serde_json::Value]| {
                let mut columns = Columns::leaving_out(
                    &["IMAGE", "CPU", "MEMORY", "PLATFORM", "DEFAULT", "ID"],
                    &["MEMORY", "CPU", "PLATFORM"],
                );
                for image in images {
                    let cell = |name| field(image, name);
                    let default = if image["is_default"] == true { "yes" } else { "" };
                    columns.row([
                        cell("image"),
                        cell("cpu"),
                        cell("memory"),
                        cell("runtime_platform"),
                        default.to_owned(),
                        cell("image_id"),
                    ]);
                }
                columns.print("there are no images: `runvoy images register IMAGE`")
            };
            context.list(&path, "images", table).await
        }
        Images::Show { image } => {
            let answer = context.api.get(&format!("/images/{}", segment(&image))).await?;
            context.show(&answer, |image| fields(&image))
        }
        Images::Register { image, cpu, memory, runtime_platform, set_default, task_role, task_exec_role } => {
            let mut body = Map::from_iter([("image".to_owned(), image.into())]);
            let values = [
                ("cpu", cpu.map(Value::from)),
                ("memory", memory.map(Value::from)),
                ("runtime_platform", runtime_platform.map(Value::from)),
                ("is_default", set_default.map(Value::from)),
                ("task_role_name", task_role.map(Value::from)),
                ("task_execution_role_name", task_exec_role.map(Value::from)),
            ];
            body.extend(values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            let answer = context.api.post("/images/register", &Value::from(body)).await?;
            let message = answer.message()?;
            context.show(&answer, |answer| {
                let id = Some(field(&answer, "image_id")).filter(|id| id != "-");
                let id = id.map(|id| format!(" as {id}")).unwrap_or_default();
                output::print(&format!("{}: {}{id}", field(&answer, "image"), crate::escape::text(&message)))
            })
        }
        Images::Unregister { image_id, confirmation } => {
            confirmation.ask(&format!("Remove the image {image_id}?"))?;
            let delete = |id: &str| format!("/images/{}", segment(id));
            let answer = match context.api.send(Method::DELETE, &delete(&image_id), None, &[], Repeat::Safe).await {
                Err(RequestError::Refused { status: StatusCode::NOT_FOUND, failure, .. }) => {
                    let id = only_id_of(context, &image_id, failure).await?;
                    context.api.delete(&delete(&id)).await?
                }
                answer => answer?,
            };
            context.done(&answer)
        }
    }
}

/// The id of the only image that has this name, for a server that deletes images by their id only.
async fn only_id_of(context: &Context, name: &str, failure: Failure) -> Result<String> {
    let list = context.api.get("/images").await?.json()?;
    let ids: Vec<&str> = list["images"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|image| image["image"] == name)
        .filter_map(|image| image["image_id"].as_str())
        .collect();
    match ids.as_slice() {
        [] => Err(failure),
        [id] => Ok((*id).to_owned()),
        ids => Err(Failure::new(format!("{} images have the name {name:?}", ids.len()))
            .remedy(format!("name one by its id: {}", ids.join(", ")))),
    }
}

/// Prints every field of an object on a line.
pub(crate) fn fields(value: &Value) -> Result<()> {
    let mut fields = Fields::new("");
    for (name, _) in value.as_object().into_iter().flatten() {
        fields.add(&crate::escape::text(name), field(value, name));
    }
    output::print(&fields.render())
}
