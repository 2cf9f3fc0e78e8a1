//! Reads from a type's JSON schema which fields a part of a body has, which of them it needs, and the values that each takes.

use serde_json::{Map, Value};
use utoipa::{ToSchema, openapi::RefOr};

use super::path::Step;

/// The schema of a type, with those that it refers to.
pub(super) struct Document {
    root: Value,
    named: Map<String, Value>,
}

/// A part of a schema: the schemas of which a value fits one. `null` is none of them.
pub(super) struct Part<'a> {
    document: &'a Document,
    alternatives: Vec<&'a Value>,
}

impl Document {
    pub(super) fn of<T: ToSchema>() -> Self {
        let mut named: Vec<(String, RefOr<utoipa::openapi::Schema>)> = Vec::new();
        T::schemas(&mut named);
        // A schema is JSON, and can always be written as such.
        let json = |schema: RefOr<utoipa::openapi::Schema>| serde_json::to_value(schema).unwrap_or_default();
        Self { root: json(T::schema()), named: named.into_iter().map(|(name, schema)| (name, json(schema))).collect() }
    }

    pub(super) fn whole(&self) -> Part<'_> {
        self.part(&self.root)
    }

    fn part<'a>(&'a self, schema: &'a Value) -> Part<'a> {
        let mut alternatives = Vec::new();
        self.collect(schema, &mut alternatives);
        Part { document: self, alternatives }
    }

    fn collect<'a>(&'a self, schema: &'a Value, into: &mut Vec<&'a Value>) {
        if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
            if let Some(named) = self.named.get(name) {
                self.collect(named, into);
            }
            return;
        }
        let parts = ["oneOf", "anyOf", "allOf"].iter().find_map(|key| schema[*key].as_array());
        match parts {
            Some(parts) => parts.iter().for_each(|part| self.collect(part, into)),
            None if schema["type"] == "null" => {}
            None => into.push(schema),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// Tells whether there is a value that may mean the same as an absent one.
pub(super) fn has_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(has_empty),
        Value::Array(values) => values.iter().any(has_empty),
        value => is_empty(value),
    }
}

impl<'a> Part<'a> {
    /// The part for a field of an object, or for an entry of a list.
    pub(super) fn below(&self, step: &Step) -> Part<'a> {
        let mut alternatives = Vec::new();
        for schema in &self.alternatives {
            let found = match step {
                Step::Key(key) => schema["properties"]
                    .get(key)
                    .or_else(|| schema.get("additionalProperties").filter(|others| others.is_object())),
                Step::Index(_) => schema.get("items"),
            };
            if let Some(found) = found {
                self.document.collect(found, &mut alternatives);
            }
        }
        Part { document: self.document, alternatives }
    }

    pub(super) fn at(&self, steps: &[Step]) -> Part<'a> {
        let whole = Part { document: self.document, alternatives: self.alternatives.clone() };
        steps.iter().fold(whole, |part, step| part.below(step))
    }

    /// The names of an object's fields.
    pub(super) fn fields(&self) -> Vec<&'a str> {
        let properties = self.alternatives.iter().filter_map(|schema| schema["properties"].as_object());
        properties.flat_map(Map::keys).map(String::as_str).collect()
    }

    /// Tells whether an object has the fields that are named, and no others.
    pub(super) fn has_fixed_fields(&self) -> bool {
        let is_fixed =
            |schema: &&Value| schema["properties"].is_object() && !schema["additionalProperties"].is_object();
        !self.alternatives.is_empty() && self.alternatives.iter().all(is_fixed)
    }

    /// The names of the fields of which an object has exactly one, where it is a choice between objects of one field each.
    pub(super) fn kinds(&self) -> Option<Vec<&'a str>> {
        let is_kind = |schema: &&Value| schema["properties"].as_object().is_some_and(|fields| fields.len() == 1);
        (self.alternatives.len() > 1 && self.alternatives.iter().all(is_kind)).then(|| self.fields())
    }

    pub(super) fn required(&self) -> impl Iterator<Item = &'a str> {
        let lists = self.alternatives.iter().filter_map(|schema| schema["required"].as_array());
        lists.flatten().filter_map(Value::as_str).collect::<Vec<_>>().into_iter()
    }

    /// The only texts that there can be. None if there can be others.
    pub(super) fn choices(&self) -> Vec<&'a str> {
        self.alternatives
            .iter()
            .filter_map(|schema| schema["enum"].as_array())
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// An example of a value, as its documentation gives one.
    pub(super) fn example(&self) -> Option<&'a str> {
        self.alternatives.iter().find_map(|schema| schema["example"].as_str())
    }

    /// The types of the values, in words.
    pub(super) fn types(&self) -> Vec<&'static str> {
        let mut words = Vec::new();
        for schema in &self.alternatives {
            let names = match &schema["type"] {
                Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                name => Vec::from_iter(name.as_str()),
            };
            words.extend(names.into_iter().filter_map(|name| match name {
                "string" => Some("a text"),
                "integer" if schema["minimum"].as_f64().is_some_and(|least| least >= 0.0) => {
                    Some("a whole number that is not negative")
                }
                "integer" => Some("a whole number"),
                "number" => Some("a number"),
                "boolean" => Some("true or false"),
                "array" => Some("a list"),
                "object" => Some("an object"),
                _ => None,
            }));
        }
        words
    }

    /// Drops optional fields that are empty: `null`, 0 where a number must be positive, and the empty text where none can be. They mean the
    /// same as absent ones.
    pub(super) fn drop_empty(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let (known, required): (Vec<&str>, Vec<&str>) = (self.fields(), self.required().collect());
                fields.retain(|name, value| {
                    let part = self.below(&Step::Key(name.clone()));
                    let is_optional = known.contains(&name.as_str()) && !required.contains(&name.as_str());
                    part.drop_empty(value);
                    !(is_optional && is_empty(value) && part.means_absent(value))
                });
            }
            Value::Array(values) => {
                let part = self.below(&Step::Index(0));
                values.iter_mut().for_each(|value| part.drop_empty(value));
            }
            _ => {}
        }
    }

    /// Tells whether an empty value stands for none, since the field itself has no such value.
    fn means_absent(&self, empty: &Value) -> bool {
        match empty {
            Value::String(_) => {
                let is_choice = |schema: &Value| schema.get("enum").is_some() || schema["minLength"] == 1;
                let takes_any = |schema: &&Value| {
                    let is_text = match &schema["type"] {
                        Value::Array(names) => names.iter().any(|name| name == "string"),
                        Value::Null => true,
                        name => name == "string",
                    };
                    is_text && !is_choice(schema)
                };
                // One name or a list of names: there is no name that is empty.
                self.alternatives.len() > 1 || !self.alternatives.iter().any(takes_any)
            }
            _ => true,
        }
    }
}
