//! What an upgrade may change in a stack: docs/OPERATING.md, "Upgrades". That older data is read, `data_dir.rs` shows.

use std::collections::BTreeMap;

use local_shim::stack::Stack;
use serde_json::Value;

/// The tables of the oldest version that can be upgraded. A change of them is a change that no stack can make.
const OLDEST: &str = include_str!("../fixtures/tables-of-version-1.json");

fn index<'a>(table: &'a Value, name: &str) -> Option<&'a Value> {
    let lists = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"];
    lists.iter().filter_map(|list| table[list].as_array()).flatten().find(|index| index["IndexName"] == *name)
}

#[test]
fn tables_change_only_by_addition() {
    let oldest: BTreeMap<String, Value> = serde_json::from_str(OLDEST).unwrap();
    let stack = Stack::bundled(&Default::default()).unwrap();
    let tables: BTreeMap<String, _> = stack
        .tables()
        .into_iter()
        .map(|(table, time_to_live)| (table["TableName"].as_str().unwrap().to_owned(), (table, time_to_live)))
        .collect();
    let mut changed = Vec::new();
    for (name, before) in &oldest {
        let Some((now, time_to_live)) = tables.get(name) else {
            changed.push(format!("{name} is gone"));
            continue;
        };
        if now["KeySchema"] != before["KeySchema"] {
            changed.push(format!("{name} has another key"));
        }
        if before["TimeToLive"].as_str() != time_to_live.as_deref() {
            changed.push(format!("{name} forgets its items by another attribute"));
        }
        if !before["StreamViewType"].is_null()
            && now["StreamSpecification"]["StreamViewType"] != before["StreamViewType"]
        {
            changed.push(format!("{name} has another stream"));
        }
        let attributes = now["AttributeDefinitions"].as_array().unwrap();
        for attribute in before["AttributeDefinitions"].as_array().unwrap() {
            if !attributes.contains(attribute) {
                changed.push(format!("{name} has another attribute than {attribute}"));
            }
        }
        for (index_name, before) in before["Indexes"].as_object().unwrap() {
            let now = index(now, index_name);
            if now.is_none_or(|now| ["KeySchema", "Projection"].iter().any(|part| now[part] != before[part])) {
                changed.push(format!("the index {index_name} of {name} is another one, or gone"));
            }
        }
    }
    assert!(changed.is_empty(), "{changed:#?}");
    assert!(tables.len() > oldest.len(), "the tables of the oldest version are not read from the template of today");
}
