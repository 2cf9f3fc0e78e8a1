//! Keeps an item once, however many indexes its table has.
//!
//! The library gives each index a table with a copy of what it projects, so an execution would be kept five times. Here, such an index is
//! a view of the table that is indexed, and SQLite's own index on the key attributes finds its entries. The library still inserts and
//! deletes entries. The entries follow from the items, so two triggers of the view ignore these changes. The library has no setting for
//! this, so the views are made through a connection of their own to the same SQLite database. This module knows the names and columns of
//! the library's tables, and how it writes a key; a test fails when a version of the library has others.

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use serde_json::Value;

use super::stream::BUSY_TIMEOUT;

/// Bytes of a page. An execution has more than 1 KB, so a page of SQLite's 4,096 bytes holds two, and a third of it stays empty.
const PAGE_BYTES: u32 = 8192;

/// The two kinds of indexes: the part of the definition that lists them, what the library puts between the names of table and index,
/// and its names of the columns for the index's key and for the table's.
const KINDS: [(&str, &str, [&str; 4]); 2] = [
    ("GlobalSecondaryIndexes", "gsi", ["gsi_pk", "gsi_sk", "table_pk", "table_sk"]),
    ("LocalSecondaryIndexes", "lsi", ["pk", "sk", "base_pk", "base_sk"]),
];

/// Sets the size of pages of a database that has no content yet. One with content keeps its own.
///
/// # Errors
/// The database cannot be written.
pub(super) fn set_page_size(path: &str) -> Result<()> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    // The size is that of the first page that is written.
    connection.execute_batch("VACUUM")?;
    Ok(())
}

/// Makes views of the indexes of these tables that are not views yet.
///
/// # Errors
/// The database cannot be read or written, or has no tables as this module knows them.
pub(super) fn make<'a>(path: &str, tables: impl Iterator<Item = &'a Value>) -> Result<()> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    for table in tables {
        for (list, kind, columns) in KINDS {
            for index in table[list].as_array().into_iter().flatten() {
                let Some(view) = View::of(table, index, kind, columns) else { continue };
                view.make(&mut connection).with_context(|| format!("the index {} cannot be made", view.name))?;
            }
        }
    }
    Ok(())
}

/// An index as a view.
struct View<'a> {
    /// The library's name of the index.
    name: String,
    table: &'a str,
    /// The index's key, then the table's.
    columns: [&'a str; 4],
    /// SQL expressions of the index's partition key and, if it has one, its sort key.
    keys: Vec<String>,
    /// The SQL expression of what the index projects.
    projected: String,
}

impl<'a> View<'a> {
    /// The view of an index. `None` for an index whose key is no text, because the library writes numbers in a way of its own.
    fn of(table: &'a Value, index: &'a Value, kind: &str, columns: [&'a str; 4]) -> Option<Self> {
        let name = table["TableName"].as_str()?;
        let attributes = table["AttributeDefinitions"].as_array()?;
        let attributes_of = |keys: &'a Value| -> Option<Vec<&'a str>> {
            keys.as_array()?.iter().map(|key| key["AttributeName"].as_str()).collect()
        };
        let (of_table, of_index) = (attributes_of(&table["KeySchema"])?, attributes_of(&index["KeySchema"])?);
        let is_text =
            |key: &&str| attributes.iter().any(|one| one["AttributeName"] == **key && one["AttributeType"] == "S");
        if !of_index.iter().all(is_text) {
            return None;
        }
        let key = |attribute: &&str| match of_table.iter().position(|key| key == attribute) {
            Some(0) => "pk".to_owned(),
            Some(_) => "sk".to_owned(),
            None => format!(r#"'S:' || json_extract(item_json, '$."{attribute}"."S"')"#),
        };
        let projection = &index["Projection"];
        let projected = if projection["ProjectionType"] == "ALL" {
            "item_json".to_owned()
        } else {
            let more = projection["NonKeyAttributes"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let names: Vec<String> =
                of_table.iter().chain(&of_index).copied().chain(more).map(|name| format!("'{name}'")).collect();
            let names = names.join(", ");
            format!("(SELECT json_group_object(key, json(value)) FROM json_each(item_json) WHERE key IN ({names}))")
        };
        Some(Self {
            name: format!("{name}::{kind}::{}", index["IndexName"].as_str()?),
            table: name,
            columns,
            keys: of_index.iter().map(key).collect(),
            projected,
        })
    }

    fn make(&self, connection: &mut Connection) -> Result<()> {
        let Self { name, table, columns: [pk, sk, table_pk, table_sk], keys, projected } = self;
        let is_table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
        if connection.query_row(is_table, [name], |_| Ok(())).optional()?.is_none() {
            return Ok(());
        }
        let sort_key = keys.get(1).map_or("''", String::as_str);
        let partition_key = &keys[0];
        // SQLite drops a condition that always holds, such as `pk IS NOT NULL`, from queries of the view, and then does not use an index
        // that has it.
        let may_lack = keys.iter().filter(|key| !["pk", "sk"].contains(&key.as_str()));
        let has_key = may_lack.map(|key| format!("{key} IS NOT NULL")).collect::<Vec<_>>().join(" AND ");
        let has_key = if has_key.is_empty() { has_key } else { format!("WHERE {has_key}") };
        let mut indexed = keys.clone();
        indexed.extend(["pk", "sk"].map(str::to_owned).into_iter().filter(|column| !keys.contains(column)));
        let indexed = indexed.join(", ");
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(&format!(
            r#"DROP TABLE "{name}";
            CREATE INDEX "{name}::key" ON "{table}" ({indexed}) {has_key};
            CREATE VIEW "{name}" AS SELECT {partition_key} AS {pk}, {sort_key} AS {sk}, pk AS {table_pk}, sk AS {table_sk},
                {projected} AS item_json FROM "{table}" {has_key};
            CREATE TRIGGER "{name}::insert" INSTEAD OF INSERT ON "{name}" BEGIN SELECT 1; END;
            CREATE TRIGGER "{name}::delete" INSTEAD OF DELETE ON "{name}" BEGIN SELECT 1; END;"#
        ))?;
        change.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dynoxide::Database;
    use serde_json::{Map, json};

    use super::*;
    use crate::{
        aws::dynamodb::{DynamoDb, answer, request},
        stack::Stack,
    };

    /// A sequence of numbers that look random and are the same each time.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % end
        }
    }

    fn names(keys: &Value) -> Vec<&str> {
        keys.as_array().unwrap().iter().map(|key| key["AttributeName"].as_str().unwrap()).collect()
    }

    /// An attribute that is one of few, so that keys meet again.
    fn attribute(table: &Value, name: &str, numbers: &mut Numbers) -> Value {
        let number = numbers.below(4);
        let is_number = |one: &Value| one["AttributeName"] == *name && one["AttributeType"] == "N";
        if table["AttributeDefinitions"].as_array().unwrap().iter().any(is_number) {
            json!({"N": number.to_string()})
        } else {
            json!({"S": format!("{name} \"é\" {number}")})
        }
    }

    /// A definition of a table, a database as the library keeps it, and one with views.
    fn both(table: &Value) -> (Database, DynamoDb) {
        let library = Database::memory().unwrap();
        library.create_table(request(table.clone()).unwrap()).unwrap();
        let stack = Stack::bundled(&Default::default()).unwrap();
        (library, DynamoDb::open(None, &stack, false).unwrap())
    }

    #[test]
    fn views_answer_as_the_librarys_own_indexes_whatever_is_written() {
        let stack = Stack::bundled(&Default::default()).unwrap();
        let mut queries = 0;
        for (table, _) in stack.tables() {
            let name = table["TableName"].as_str().unwrap();
            let (library, views) = both(&table);
            let mut numbers = Numbers(1);
            let same = |operation: &str, body: &Value| -> Value {
                let body = body.to_string();
                let expected: Value =
                    serde_json::from_slice(&answer(&library, operation, body.as_bytes()).body).unwrap();
                let found: Value = serde_json::from_slice(&views.call(operation, body.as_bytes()).body).unwrap();
                assert_eq!(found, expected, "{operation} {body}");
                found
            };
            let key_names = names(&table["KeySchema"]);
            for _ in 0..150 {
                let key: Map<String, Value> =
                    key_names.iter().map(|name| ((*name).to_owned(), attribute(&table, name, &mut numbers))).collect();
                if numbers.below(4) == 0 {
                    same("DeleteItem", &json!({"TableName": name, "Key": key}));
                    continue;
                }
                let mut item = key;
                item.insert("command".to_owned(), json!({"M": {"a\n\"b\"": {"L": [{"N": "1.50"}, {"NULL": true}]}}}));
                for one in table["AttributeDefinitions"].as_array().unwrap() {
                    let attribute_name = one["AttributeName"].as_str().unwrap();
                    if !key_names.contains(&attribute_name) && numbers.below(4) > 0 {
                        item.insert(attribute_name.to_owned(), attribute(&table, attribute_name, &mut numbers));
                    }
                }
                for attribute_name in ["lines", "description", "owned_by"].into_iter().take(numbers.below(4) as usize) {
                    item.insert(attribute_name.to_owned(), json!({"SS": ["x", "y"]}));
                }
                same("PutItem", &json!({"TableName": name, "Item": item}));
            }
            for (list, ..) in KINDS {
                for index in table[list].as_array().into_iter().flatten() {
                    let partition_key = names(&index["KeySchema"])[0];
                    let mut queried = json!({"TableName": name, "IndexName": index["IndexName"]});
                    same("Scan", &queried);
                    queried["KeyConditionExpression"] = json!("#k = :k");
                    queried["ExpressionAttributeNames"] = json!({"#k": partition_key});
                    queried["Limit"] = json!(2);
                    for number in 0..4 {
                        queried["ExpressionAttributeValues"] =
                            json!({":k": attribute(&table, partition_key, &mut Numbers(number))});
                        queried["ScanIndexForward"] = json!(number % 2 == 0);
                        queried["ExclusiveStartKey"] = Value::Null;
                        loop {
                            let mut page = same("Query", &queried);
                            queries += usize::from(page["Count"] != 0);
                            queried["ExclusiveStartKey"] = page["LastEvaluatedKey"].take();
                            if queried["ExclusiveStartKey"].is_null() {
                                break;
                            }
                        }
                    }
                }
            }
        }
        assert!(queries > 30, "{queries} queries have found items");
    }

    #[test]
    fn an_entry_is_found_by_its_key_and_takes_no_room_but_its_keys() {
        let directory = tempfile::tempdir().unwrap();
        let stack = Stack::bundled(&Default::default()).unwrap();
        drop(DynamoDb::open(Some(directory.path()), &stack, false).unwrap());
        let connection = Connection::open(directory.path().join(crate::aws::dynamodb::DATABASE)).unwrap();
        let size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
        assert_eq!(size, PAGE_BYTES);
        let mut indexes = 0;
        for (table, _) in stack.tables() {
            for (list, kind, [pk, sk, table_pk, table_sk]) in KINDS {
                for index in table[list].as_array().into_iter().flatten() {
                    let name = format!(
                        "{}::{kind}::{}",
                        table["TableName"].as_str().unwrap(),
                        index["IndexName"].as_str().unwrap()
                    );
                    // As the library asks for the next page of a query.
                    let sql = format!(
                        "EXPLAIN QUERY PLAN SELECT {pk}, {sk}, item_json FROM \"{name}\" WHERE {pk} = ?1 \
                         AND ({sk}, {table_pk}, {table_sk}) < (?2, ?3, ?4) ORDER BY {sk} DESC, {table_pk} DESC, {table_sk} DESC LIMIT 10"
                    );
                    let mut plan = connection.prepare(&sql).unwrap();
                    let lines = plan.query_map([""; 4], |row| row.get::<_, String>(3)).unwrap();
                    let plan = lines.map(Result::unwrap).collect::<Vec<_>>().join("; ");
                    assert!(plan.contains(&format!("USING INDEX {name}::key (")), "{plan}");
                    indexes += 1;
                }
            }
        }
        assert!(indexes > 10, "{indexes}");
    }
}
