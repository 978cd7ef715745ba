//! The OpenAPI document of the admin API, made of the table of operations and of the types that
//! read requests and write answers. Served at `/openapi.json`.

use crate::admin::api::operations::{OPERATIONS, Operation, Takes, Verb};
use crate::admin::problem::ProblemDetails;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The document (OpenAPI 3.1).
pub(crate) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    // What is read may lack what it may lack; what is written has all but what is left out.
    let mut reads = SchemaGenerator::new(settings.clone().for_deserialize());
    let mut generator = SchemaGenerator::new(settings.for_serialize());
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let described = describe(operation, (&mut reads, &mut generator));
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[verb(operation)] = described;
    }
    let problem = generator.subschema_for::<ProblemDetails>();
    let mut schemas = generator.take_definitions(true);
    schemas.extend(reads.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Shardcast admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What operators see and do. See docs/admin.md.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Problem": {
                "description": "What is wrong (RFC 9457)",
                "content": { "application/problem+json": { "schema": problem } },
            } },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "token": [] }, {}],
    })
}

fn verb(operation: &Operation) -> &'static str {
    match operation.verb {
        Verb::Get => "get",
        Verb::Post => "post",
    }
}

fn describe(
    operation: &Operation,
    (generator, writes): (&mut SchemaGenerator, &mut SchemaGenerator),
) -> Value {
    let answer = (operation.gives)(writes);
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.about,
        "responses": {
            "200": {
                "description": "It is done",
                "content": { "application/json": { "schema": answer } },
            },
            "4XX": problem,
            "5XX": problem,
        },
    });
    let mut parameters = Vec::new();
    if let Some(name) = named_in(operation.path) {
        let schema = json!({ "type": "string", "minLength": 1 });
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    match operation.takes {
        Takes::Nothing => {}
        Takes::Parameters(schema_of) => {
            parameters.extend(parameters_of(&schema_of(generator), generator));
        }
        Takes::Body(schema_of) => {
            let schema = schema_of(generator);
            described["requestBody"] = json!({
                "required": named(&schema, generator).get("required").is_some(),
                "content": { "application/json": { "schema": schema } },
            });
        }
    }
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    described
}

/// The name in braces.
pub(crate) fn named_in(path: &str) -> Option<&str> {
    Some(path.split_once('{')?.1.trim_end_matches('}'))
}

/// The schema that a reference is to.
fn named<'s>(schema: &'s Schema, generator: &'s SchemaGenerator) -> &'s Value {
    let named = schema.get("$ref").and_then(Value::as_str);
    let named = named.and_then(|path| generator.definitions().get(path.rsplit('/').next()?));
    named.unwrap_or(schema.as_value())
}

/// Each field of a schema as a parameter behind the question mark.
fn parameters_of(schema: &Schema, generator: &SchemaGenerator) -> Vec<Value> {
    let fields = named(schema, generator)
        .get("properties")
        .and_then(Value::as_object);
    let fields = fields.into_iter().flatten();
    let parameters = fields.map(|(name, field)| {
        let mut field = field.clone();
        // An absent parameter is none: there is no word for null.
        if let Some(kinds) = field.get("type").and_then(Value::as_array) {
            let kind = kinds.iter().find(|kind| *kind != "null").cloned();
            field["type"] = kind.unwrap_or_default();
        }
        json!({ "name": name, "in": "query", "schema": field })
    });
    parameters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_call_stands_in_the_document_once_with_what_it_takes() {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let documented: usize = paths
            .values()
            .map(|path| path.as_object().map_or(0, Map::len))
            .sum();
        assert_eq!(documented, OPERATIONS.len());
        let ids: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
        assert_eq!(ids.len(), OPERATIONS.len());
        for operation in OPERATIONS {
            let described = &paths[operation.path][verb(operation)];
            assert_eq!(described["operationId"], operation.id);
            let takes_body = matches!(operation.takes, Takes::Body(_));
            assert_eq!(described["requestBody"].is_object(), takes_body);
            let named = named_in(operation.path);
            let parameters = described["parameters"].as_array();
            let in_path = parameters.and_then(|all| all.iter().find(|it| it["in"] == "path"));
            assert_eq!(in_path.and_then(|it| it["name"].as_str()), named);
        }
    }

    #[test]
    fn what_a_call_does_not_know_is_refused_by_its_schema_too() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        for operation in OPERATIONS {
            let Takes::Body(_) = operation.takes else {
                continue;
            };
            let described = &document["paths"][operation.path]["post"]["requestBody"];
            let schema = &described["content"]["application/json"]["schema"]["$ref"];
            let name = schema.as_str().and_then(|path| path.rsplit('/').next());
            let schema = &schemas[name.expect("a named schema")];
            assert_eq!(schema["additionalProperties"], false, "{name:?}");
        }
        let publish = &schemas["PublishCall"];
        let fields = publish["properties"].as_object().expect("fields").keys();
        let fields: BTreeSet<&str> = fields.map(String::as_str).collect();
        let known = [
            "room", "rooms", "user", "everyone", "event", "data", "key", "except",
        ];
        assert_eq!(fields, BTreeSet::from(known));
        assert_eq!(publish["required"], json!(["data"]));
        // Every name that the document refers to is in it.
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#/components/").skip(1) {
            let path = reference.split('"').next().expect("an end");
            let (kind, name) = path.split_once('/').expect("a kind and a name");
            assert!(document["components"][kind][name].is_object(), "{path}");
        }
    }
}
