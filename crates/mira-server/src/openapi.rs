//! Descriptions of Mira's own HTTP interfaces, as OpenAPI 3.1: made of what the routes say of themselves, so that none is forgotten.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// One thing that can be asked.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The method.
    pub method: &'static str,
    /// The path, its variable parts in braces.
    pub path: &'static str,
    /// What it does, in a line.
    pub does: &'static str,
    /// What else is to be known of it.
    pub notes: String,
    /// What is sent, and what comes back.
    pub exchange: Exchange,
}

/// What is sent with a request, and what comes back.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// What the query has: the schema of an object.
    pub query: Option<Value>,
    /// What the body has.
    pub takes: Option<Content>,
    /// What comes back where it was done.
    pub answers: Answer,
}

/// What comes back.
#[derive(Clone, Debug, Default)]
pub enum Answer {
    /// That it was done.
    #[default]
    Done,
    /// Something to be read.
    Content(Content),
    /// HTTP is left behind: what each side says then.
    Upgrade {
        /// The name of the protocol that is gone on with.
        protocol: &'static str,
        /// The schema of what is sent.
        sends: Value,
        /// The schema of each line that comes back.
        answers: Value,
    },
}

/// A body.
#[derive(Clone, Debug)]
pub struct Content {
    kind: &'static str,
    schema: Value,
}

impl Content {
    /// JSON of a type.
    #[must_use]
    pub fn json<T: JsonSchema>() -> Self {
        Self::of_schema(schema::<T>())
    }

    /// JSON that a schema describes.
    #[must_use]
    pub fn of_schema(schema: Value) -> Self {
        let kind = "application/json";
        Self { kind, schema }
    }

    /// A line of JSON for each value of a type.
    #[must_use]
    pub fn lines<T: JsonSchema>() -> Self {
        Self {
            kind: "application/x-ndjson",
            schema: schema::<T>(),
        }
    }

    /// Bytes.
    #[must_use]
    pub fn bytes() -> Self {
        Self {
            kind: "application/octet-stream",
            schema: json!({}),
        }
    }

    fn is_required(&self) -> bool {
        let fields = self.schema.get("required").and_then(Value::as_array);
        let optional = self.schema["type"] == "object" && fields.is_none_or(Vec::is_empty);
        !optional
    }

    fn described(self) -> Value {
        json!({self.kind: {"schema": self.schema}})
    }
}

/// Returns the JSON Schema of a type, whole in itself.
#[must_use]
pub fn schema<T: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// What an interface is.
#[derive(Clone, Debug)]
pub struct About {
    /// What it is called.
    pub title: &'static str,
    /// What is to be known before anything is asked.
    pub notes: &'static str,
    /// The schema of what comes back where something was not done.
    pub failure: Value,
    /// How who asks is known: the name of a security scheme, and the scheme.
    pub security: Option<(&'static str, Value)>,
}

/// Returns the description of an interface.
#[must_use]
pub fn document(about: About, operations: impl IntoIterator<Item = Operation>) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        let method = operation.method.to_ascii_lowercase();
        methods[method] = described(operation);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {"title": about.title, "version": "v1", "description": about.notes},
        "paths": paths,
        "components": {"schemas": {"Failure": about.failure}},
    });
    if let Some((name, scheme)) = about.security {
        document["security"] = json!([{name: []}]);
        document["components"]["securitySchemes"] = json!({name: scheme});
    }
    document
}

fn described(operation: Operation) -> Value {
    let Operation {
        path,
        does,
        notes,
        exchange,
        ..
    } = operation;
    let mut parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    parameters.extend(exchange.query.iter().flat_map(asked));
    let failure = Content::of_schema(json!({"$ref": "#/components/schemas/Failure"}));
    let mut described = json!({
        "summary": does,
        "description": notes,
        "parameters": parameters,
        "responses": {"default": {"description": "it was not done", "content": failure.described()}},
    });
    let (status, response) = match exchange.answers {
        Answer::Done => ("204", json!({"description": "done"})),
        Answer::Content(content) => (
            "200",
            json!({"description": "done", "content": content.described()}),
        ),
        Answer::Upgrade {
            protocol,
            sends,
            answers,
        } => {
            described["x-upgrade"] =
                json!({"protocol": protocol, "sends": sends, "answers": answers});
            (
                "101",
                json!({"description": format!("goes on as {protocol}")}),
            )
        }
    };
    described["responses"][status] = response;
    if let Some(content) = exchange.takes {
        described["requestBody"] =
            json!({"required": content.is_required(), "content": content.described()});
    }
    described
}

/// Returns the parameters of a query, by the schema of the object that they make.
fn asked(schema: &Value) -> Vec<Value> {
    let required = schema.get("required").and_then(Value::as_array);
    let fields = schema.get("properties").and_then(Value::as_object);
    let fields = fields.into_iter().flatten();
    fields
        .map(|(name, schema)| {
            let is_required = required.is_some_and(|names| names.iter().any(|one| one == name));
            json!({"name": name, "in": "query", "required": is_required, "schema": schema})
        })
        .collect()
}
