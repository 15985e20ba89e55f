//! The JSON Schema for editors: the one that is generated from the types, opened for what the loader accepts besides:
//! variables in place of numbers, texts with commas in place of lists, keys without a value.

use super::schema;
use serde_json::{Map, Value as Json, json};

/// The schema as text.
pub fn schema_text() -> String {
    let mut schema = schema::json();
    open(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "RoadRunner configuration".into());
        root.insert("additionalProperties".into(), true.into());
    }
    format!("{schema:#}\n")
}

fn open(schema: &mut Json) {
    match schema {
        Json::Array(items) => items.iter_mut().for_each(open),
        Json::Object(object) => {
            unwrap_optional(object);
            object.values_mut().for_each(open);
            object.remove("x-zero");
            object.remove("x-clamp");
            if let Some(Json::Object(aliases)) = object.remove("x-aliases")
                && let Some(Json::Object(properties)) = object.get_mut("properties")
            {
                for (alias, name) in aliases {
                    let known = name.as_str().and_then(|name| properties.get(name)).cloned();
                    properties.insert(alias, known.unwrap_or(Json::Bool(true)));
                }
            }
            if object.contains_key("oneOf") && object["oneOf"].pointer("/0/properties/driver").is_some() {
                // `config` may be absent, and its keys may stand beside it.
                if let Some(drivers) = object["oneOf"].as_array_mut() {
                    for driver in drivers {
                        driver["required"] = json!(["driver"]);
                    }
                }
            } else if object.contains_key("properties") && !object.contains_key("additionalProperties") {
                let driver = object["properties"]
                    .get("driver")
                    .is_some_and(|d| d.get("const").is_some());
                object.insert("additionalProperties".into(), driver.into());
            }
            let wider = match object.get("type").and_then(Json::as_str) {
                Some("integer") => json!(["integer", "string", "boolean", "null"]),
                Some("number") => json!(["number", "string", "null"]),
                Some("boolean") => json!(["boolean", "string", "integer", "null"]),
                Some("array") => json!(["array", "string", "number", "null"]),
                // Free names may also come as a list of small mappings.
                Some("object") if !object.contains_key("properties") => json!(["object", "array", "null"]),
                Some("object") => json!(["object", "null"]),
                Some("string") if !object.contains_key("const") && !object.contains_key("enum") => {
                    json!(["string", "number", "boolean", "null"])
                }
                _ => return,
            };
            object.insert("type".into(), wider);
        }
        _ => {}
    }
}

/// "This or null" becomes "this": editors then name what is wrong inside instead of "matches none".
fn unwrap_optional(object: &mut Map<String, Json>) {
    let Some(Json::Array(choices)) = object.get_mut("anyOf") else {
        return;
    };
    let before = choices.len();
    choices.retain(|choice| choice.get("type").is_none_or(|t| t != "null"));
    if choices.len() == 1
        && before == 2
        && let Some(Json::Object(only)) = choices.pop()
    {
        object.remove("anyOf");
        object.extend(only);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// CFG-09.
    #[test]
    fn the_schema_is_closed_for_keys_and_open_for_variables() {
        let schema: Json = serde_json::from_str(&schema_text()).unwrap();
        let pool = schema.pointer("/$defs/Pool").unwrap();
        assert_eq!(pool["additionalProperties"], false);
        assert_eq!(pool["properties"]["num_workers"]["maximum"], 500);
        assert!(
            pool["properties"]["num_workers"]["type"]
                .as_array()
                .unwrap()
                .contains(&json!("string"))
        );
        assert_eq!(pool["properties"]["supervisor"]["$ref"], "#/$defs/PoolSupervisor");
        assert!(schema.pointer("/$defs/Acme/properties/certs_dir").is_some());
        let text = schema.to_string();
        assert!(!text.contains("x-zero") && !text.contains("x-clamp") && !text.contains("x-aliases"));
    }
}
