//! Prints the API's OpenAPI document, as `docs/openapi.json` keeps it.

fn main() {
    println!("{}", orchestrator::openapi());
}
