//! Builds conditional updates of items: what they set, and what must hold before.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use crate::{
    Result,
    table::{Item, number},
};

/// An update of one item, as a part of a transaction. Attributes are named as they are; no name is a reserved word.
#[derive(Clone, Debug)]
pub(crate) struct ItemUpdate {
    table: String,
    key: Item,
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl ItemUpdate {
    pub(crate) fn new(table: &str, key: impl Into<Item>) -> Self {
        Self {
            table: table.to_owned(),
            key: key.into(),
            set: Vec::new(),
            add: Vec::new(),
            remove: Vec::new(),
            conditions: Vec::new(),
            names: HashMap::new(),
            values: HashMap::new(),
        }
    }

    fn name(&mut self, attribute: &str) -> String {
        let name = format!("#{attribute}");
        self.names.insert(name.clone(), attribute.to_owned());
        name
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let name = format!(":v{}", self.values.len());
        self.values.insert(name.clone(), value);
        name
    }

    pub(crate) fn set(mut self, attribute: &str, value: AttributeValue) -> Self {
        let (name, value) = (self.name(attribute), self.value(value));
        self.set.push(format!("{name} = {value}"));
        self
    }

    /// Sets an attribute unless the item has it.
    pub(crate) fn set_default(mut self, attribute: &str, value: AttributeValue) -> Self {
        let (name, value) = (self.name(attribute), self.value(value));
        self.set.push(format!("{name} = if_not_exists({name}, {value})"));
        self
    }

    /// Adds to a number, which is 0 if the item lacks it.
    pub(crate) fn add(mut self, attribute: &str, by: i64) -> Self {
        let (name, value) = (self.name(attribute), self.value(number(by)));
        self.add.push(format!("{name} {value}"));
        self
    }

    /// Adds a text to a set of texts.
    pub(crate) fn add_to_set(mut self, attribute: &str, text: &str) -> Self {
        let (name, value) = (self.name(attribute), self.value(AttributeValue::Ss(vec![text.to_owned()])));
        self.add.push(format!("{name} {value}"));
        self
    }

    /// Names a value for [`ItemUpdate::only_if_expression`].
    pub(crate) fn with_value(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    /// The update is made only if this holds.
    pub(crate) fn only_if_expression(mut self, expression: &str) -> Self {
        self.conditions.push(expression.to_owned());
        self
    }

    pub(crate) fn remove(mut self, attribute: &str) -> Self {
        let name = self.name(attribute);
        self.remove.push(name);
        self
    }

    /// The update is made only if the attribute has one of these values.
    pub(crate) fn only_if(mut self, attribute: &str, values: impl IntoIterator<Item = AttributeValue>) -> Self {
        let name = self.name(attribute);
        let values: Vec<String> = values.into_iter().map(|value| self.value(value)).collect();
        self.conditions.push(format!("{name} IN ({})", values.join(", ")));
        self
    }

    pub(crate) fn only_if_present(mut self, attribute: &str) -> Self {
        let name = self.name(attribute);
        self.conditions.push(format!("attribute_exists({name})"));
        self
    }

    pub(crate) fn only_if_absent(mut self, attribute: &str) -> Self {
        let name = self.name(attribute);
        self.conditions.push(format!("attribute_not_exists({name})"));
        self
    }

    pub(crate) fn build(self) -> Result<Update> {
        let part = |word: &str, list: &[String]| {
            if list.is_empty() { String::new() } else { format!("{word} {} ", list.join(", ")) }
        };
        let expression = [part("SET", &self.set), part("ADD", &self.add), part("REMOVE", &self.remove)]
            .concat()
            .trim_end()
            .to_owned();
        let condition = Some(self.conditions.join(" AND ")).filter(|text| !text.is_empty());
        Ok(Update::builder()
            .table_name(self.table)
            .set_key(Some(self.key))
            .update_expression(expression)
            .set_condition_expression(condition)
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(Some(self.values).filter(|values| !values.is_empty()))
            .build()?)
    }

    pub(crate) fn write(self) -> Result<TransactWriteItem> {
        Ok(TransactWriteItem::builder().update(self.build()?).build())
    }
}
