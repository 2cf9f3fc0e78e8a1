//! Matches events with the patterns of EventBridge rules.

use serde_json::Value;

/// Tells whether an event matches a rule's pattern ("Amazon EventBridge event patterns"): it has each field that the pattern names, with
/// one of the values that the pattern lists.
pub(super) fn matches(pattern: &Value, event: &Value) -> bool {
    match pattern {
        Value::Object(fields) => fields.iter().all(|(name, pattern)| matches(pattern, &event[name])),
        Value::Array(values) => match event {
            Value::Array(several) => several.iter().any(|one| is_one_of(values, one)),
            one => is_one_of(values, one),
        },
        _ => false,
    }
}

/// Tells whether a value is one that the pattern lists, or one that it does not exclude by `anything-but`.
fn is_one_of(values: &[Value], value: &Value) -> bool {
    values.iter().any(|pattern| match &pattern["anything-but"] {
        Value::Array(excluded) => !value.is_null() && !excluded.contains(value),
        _ => pattern == value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pattern_matches_what_has_one_of_its_values_in_each_of_its_fields() {
        let pattern = json!({"source": ["aws.ecs"], "detail": {"lastStatus": ["RUNNING", "STOPPED"]}});
        assert!(matches(&pattern, &json!({"source": "aws.ecs", "detail": {"lastStatus": "STOPPED"}, "x": 1})));
        for other in
            [json!({}), json!({"source": "aws.ecs"}), json!({"source": "aws.ecs", "detail": {"lastStatus": "PENDING"}})]
        {
            assert!(!matches(&pattern, &other), "{other}");
        }
        let but = json!({"status": [{"anything-but": ["A", "B"]}]});
        assert!(matches(&but, &json!({"status": "C"})));
        assert!(!matches(&but, &json!({"status": "B"})) && !matches(&but, &json!({})));
    }
}
