//! Tests of `GET /openapi.json` and `GET /docs`.

use crate::client::System;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_describes_itself_without_a_key() {
    let system = System::start().await;
    let mut anybody = system.admin.clone();
    anybody.key.clear();
    let document = anybody.get("/openapi.json").await;
    assert_eq!((document.status.as_u16(), document.json()["openapi"].as_str()), (200, Some("3.1.0")));
    let page = anybody.get("/docs").await;
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    system.shim.shut_down().await;
}
