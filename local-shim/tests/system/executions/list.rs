//! Tests of `GET /executions`: pages and filters.

use serde_json::json;

use crate::{
    cases::Cases,
    client::{System, id, next_page},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_list_every_execution_once_newest_first() {
    let system = System::start().await;
    let mut ids = Vec::new();
    for at in 0..7 {
        let (id, _) = system.admin.run_to_end(json!({"command": format!("exit {}", at % 2)})).await;
        ids.insert(0, id);
    }
    let pages = async |first: &str| {
        let mut path = first.to_owned();
        let mut listed = Vec::new();
        loop {
            let page = system.admin.get(&path).await;
            let items = page.json();
            listed.push(items.as_array().unwrap().iter().map(id).collect::<Vec<_>>());
            match next_page(&page) {
                Some(next) => path = next,
                None => return listed,
            }
        }
    };
    // A page says how far it has looked.
    let page = system.admin.get("/executions?limit=3").await;
    assert_eq!(page.headers["x-searched-since"].to_str().unwrap(), page.json()[2]["started_at"].as_str().unwrap());
    assert!(!system.admin.get("/executions?limit=7").await.headers.contains_key("x-searched-since"));
    assert_eq!(pages("/executions?limit=3").await, ids.chunks(3).map(<[_]>::to_vec).collect::<Vec<_>>());
    assert_eq!(pages("/executions?limit=7").await, [ids.clone()]);
    assert_eq!(pages("/executions?limit=0").await, [ids.clone()]);
    let failed: Vec<String> = ids.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(pages("/executions?limit=2&status=FAILED").await.concat(), failed);
    assert_eq!(pages("/executions?limit=2&status=FAILED,SUCCEEDED").await.concat(), ids);
    assert_eq!(pages("/executions?status=RUNNING").await.concat(), Vec::<String>::new());
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_are_found_by_user_image_time_and_words() {
    let system = System::start().await;
    let other = system.user("operator", "other@example.com").await;
    assert_eq!(system.admin.post("/images/register", &json!({"image": "acme/tool:1"})).await.status, 201);
    let mut ids = Vec::new();
    for (caller, command, image) in [
        (&system.admin, "echo Deploy the site", "ubuntu:22.04"),
        (&other, "echo deploy the docs", "ubuntu:22.04"),
        (&system.admin, "echo backup", "acme/tool:1"),
        (&other, "exit 3", "acme/tool:1"),
    ] {
        ids.push(caller.run_to_end(json!({"command": command, "image": image})).await.0);
    }
    let listed = system.admin.get("/executions").await.json();
    let image_id = listed[0]["image_id"].as_str().unwrap().to_owned();
    let third = listed[1]["started_at"].as_str().unwrap().to_owned();
    let found = async |query: &str| {
        let mut path = Some(format!("/executions?{query}"));
        let mut found = Vec::new();
        while let Some(next) = path {
            let page = other.get(&next).await;
            assert_eq!(page.status, 200, "{query}: {}", page.text);
            found.extend(page.json().as_array().unwrap().iter().map(id));
            path = next_page(&page);
        }
        found
    };
    let of = |numbers: &[usize]| numbers.iter().map(|number| ids[*number].clone()).collect::<Vec<_>>();
    let mut checked = Cases::default();
    for limit in ["limit=1", "limit=2", "limit=0"] {
        for (query, expected) in [
            ("user=me", vec![3, 1]),
            ("user=other@example.com&status=FAILED", vec![3]),
            ("created_by=other%40example.com&q=deploy", vec![1]),
            ("q=DEPLOY%20the", vec![1, 0]),
            ("command=site", vec![0]),
            ("image=acme/tool", vec![3, 2]),
            ("image=acme/tool:1&user=me", vec![3]),
            (&format!("image={image_id}"), vec![3, 2]),
            (&format!("image={image_id}&status=SUCCEEDED"), vec![2]),
            (&format!("since={third}"), vec![3, 2]),
            (&format!("until={third}"), vec![2, 1, 0]),
            (&format!("since={third}&until={third}&status=SUCCEEDED"), vec![2]),
            ("since=0&until=1", vec![]),
            ("since=3&until=1", vec![]),
            ("source=api", vec![3, 2, 1, 0]),
            ("source=schedule:x", vec![]),
        ] {
            let query = format!("{query}&{limit}");
            checked.equal(&query, found(&query).await, of(&expected));
        }
    }
    checked.all_hold();
    for (bad, field) in [("user=nobody", "user"), ("since=soon", "since"), ("until=2026", "until")] {
        let refused = other.get(&format!("/executions?{bad}")).await;
        if bad == "until=2026" {
            assert_eq!(refused.status, 200, "seconds since 1970: {}", refused.text);
        } else {
            assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!(field)), "{bad}");
        }
    }
    system.shim.shut_down().await;
}
