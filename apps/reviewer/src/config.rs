//! `.mira.yaml` of a repository: how its changes are reviewed. Read from the base branch only, for the head is the author's.
//!
//! One definition gives the parser, the checks and the published schema. INVARIANT: an unknown key is a fault, and all faults are told at once.

use ignore::gitignore::GitignoreBuilder;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::review::finding::Severity;

/// The longest file that is read.
// LIMIT: all keys with long lists are some KiB.
pub(crate) const FILE_BYTES_MAX: usize = 64 * 1024;

/// How deep its values go.
// LIMIT: the schema is three levels deep; what follows walks by calling itself.
const DEPTH_MAX: usize = 8;

/// How the reviewer reviews a repository.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = ".mira.yaml")]
pub(crate) struct Config {
    pub(crate) filter: Filter,
    pub(crate) review: Review,
    pub(crate) llm: Llm,
    pub(crate) index: Index,
    pub(crate) budget: Budget,
}

/// Which findings are posted, and which changes and files are looked at.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    /// Findings that the model is less sure of are left out.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) confidence_threshold: f64,
    /// At most so many suggestions and nitpicks are posted. Blockers and warnings always are.
    #[schemars(range(min = 0, max = 50))]
    pub(crate) max_comments: usize,
    /// Findings that are less grave are left out.
    pub(crate) min_severity: Severity,
    /// Files that are not looked at, as in `.gitignore`.
    pub(crate) exclude_patterns: Vec<String>,
    /// Changes of more files are reviewed in part, and the walkthrough says which.
    #[schemars(range(min = 1, max = 300))]
    pub(crate) max_files: usize,
    /// If any are named, only their pull requests are reviewed.
    pub(crate) allowed_authors: Vec<String>,
    /// Their pull requests are not reviewed.
    pub(crate) blocked_authors: Vec<String>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            confidence_threshold: 0.7,
            max_comments: 5,
            min_severity: Severity::Nitpick,
            exclude_patterns: Vec::new(),
            max_files: 50,
            allowed_authors: Vec::new(),
            blocked_authors: Vec::new(),
        }
    }
}

/// What a review takes in and says.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Review {
    /// Of all hunks together, in bytes. What goes beyond is left out, and the walkthrough says so.
    #[schemars(range(min = 1_000, max = 2_000_000))]
    pub(crate) max_diff_size: usize,
    /// The hunks of one file, in bytes.
    #[schemars(range(min = 1_000, max = 1_000_000))]
    pub(crate) max_file_size: usize,
    /// Whether the walkthrough lists what was looked at and what was left out.
    pub(crate) walkthrough: bool,
    /// Whether new commits of a pull request are reviewed by themselves.
    pub(crate) review_on_synchronize: bool,
    /// Whether drafts are reviewed.
    pub(crate) drafts: bool,
    /// What the repository's people want to be looked at. It is shown to the model as data of the repository.
    #[schemars(length(max = 4_000))]
    pub(crate) guidelines: String,
}

impl Default for Review {
    fn default() -> Self {
        Self {
            max_diff_size: 200_000,
            max_file_size: 60_000,
            walkthrough: true,
            review_on_synchronize: true,
            drafts: false,
            guidelines: String::new(),
        }
    }
}

/// What the model is asked with. Which service and key is the operator's choice, not the repository's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Llm {
    /// Left out, it is not sent: some models refuse it.
    #[schemars(range(min = 0, max = 2))]
    pub(crate) temperature: Option<f64>,
    /// The longest answer, in tokens.
    #[schemars(range(min = 256, max = 64_000))]
    pub(crate) max_tokens: Option<u32>,
}

/// What is indexed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Index {
    /// Files that are not indexed, as in `.gitignore`.
    pub(crate) exclude: Vec<String>,
}

/// What reviews may use. The operator's own limits hold besides.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Budget {
    /// Tokens of one pull request, in all its reviews.
    pub(crate) pull_request_tokens: Option<u64>,
    /// What one pull request costs, in all its reviews, at the operator's prices.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) pull_request_cost: Option<f64>,
    /// Tokens of the repository in a calendar month (UTC).
    pub(crate) month_tokens: Option<u64>,
    /// What the repository costs in a calendar month (UTC), at the operator's prices.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) month_cost: Option<f64>,
}

/// Returns the JSON Schema of the file.
pub(crate) fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Returns all that is wrong with it, each with the key it is about.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<String>> {
        if text.len() > FILE_BYTES_MAX {
            return Err(vec![format!(
                "the file has more than {FILE_BYTES_MAX} bytes"
            )]);
        }
        if text.contains(" &") || text.contains(" *") && text.contains('&') {
            return Err(vec![
                "anchors and aliases are not taken: write the values out".to_owned(),
            ]);
        }
        let documents =
            Yaml::load_from_str(text).map_err(|error| vec![format!("it is no YAML: {error}")])?;
        let value = match documents.as_slice() {
            [] => return Ok(Self::default()),
            [one] => json(one, 0).map_err(|fault| vec![fault])?,
            _ => return Err(vec!["it has more than one document".to_owned()]),
        };
        if value.is_null() {
            return Ok(Self::default());
        }
        let mut faults = Vec::new();
        check(&value, &schema(), "", &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let config: Self =
            serde_json::from_value(value).map_err(|error| vec![error.to_string()])?;
        let lists = [
            ("filter.exclude_patterns", &config.filter.exclude_patterns),
            ("index.exclude", &config.index.exclude),
        ];
        for (key, patterns) in lists {
            for (number, pattern) in patterns.iter().enumerate() {
                let mut builder = GitignoreBuilder::new("");
                // A class without an end would be taken as it stands, and is a slip.
                builder.allow_unclosed_class(false);
                if let Err(error) = builder.add_line(None, pattern) {
                    faults.push(format!("{key}[{number}]: it is no pattern: {error}"));
                }
            }
        }
        match faults.is_empty() {
            true => Ok(config),
            false => Err(faults),
        }
    }
}

fn json(yaml: &Yaml<'_>, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err("it is nested too deeply".to_owned());
    }
    Ok(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => Value::Bool(*flag),
        Yaml::Value(Scalar::Integer(number)) => Value::from(*number),
        Yaml::Value(Scalar::FloatingPoint(number)) => Value::from(number.into_inner()),
        Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        Yaml::Sequence(list) => {
            let list: Result<_, _> = list.iter().map(|one| json(one, depth + 1)).collect();
            Value::Array(list?)
        }
        Yaml::Mapping(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                let key = key.as_str().ok_or("a key is no text")?;
                out.insert(key.to_owned(), json(value, depth + 1)?);
            }
            Value::Object(out)
        }
        _ => return Err("tags and aliases are not taken".to_owned()),
    })
}

/// Compares a value with the parts of JSON Schema that [`schema`] uses.
fn check(value: &Value, schema: &Value, at: &str, faults: &mut Vec<String>) {
    let named = if at.is_empty() { "the file" } else { at };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = kinds.is_empty()
        || kinds
            .iter()
            .any(|one| *one == kind || (*one == "number" && kind == "integer"));
    if !fits {
        faults.push(format!(
            "{named}: expected {}, found {kind}",
            kinds.join(" or ")
        ));
        return;
    }
    if let Some(words) = schema["enum"]
        .as_array()
        .filter(|words| !words.contains(value))
    {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        faults.push(format!("{named}: expected one of {}", words.join(", ")));
    }
    if let Some(number) = value.as_f64() {
        let below = schema["minimum"]
            .as_f64()
            .is_some_and(|least| number < least);
        let above = schema["maximum"].as_f64().is_some_and(|most| number > most);
        if below || above {
            faults.push(format!(
                "{named}: expected {} to {}",
                schema["minimum"], schema["maximum"]
            ));
        }
    }
    if let (Some(text), Some(most)) = (value.as_str(), schema["maxLength"].as_u64())
        && text.chars().count() as u64 > most
    {
        faults.push(format!("{named}: longer than {most} characters"));
    }
    for (number, one) in value.as_array().into_iter().flatten().enumerate() {
        check(one, &schema["items"], &format!("{at}[{number}]"), faults);
    }
    for (key, one) in value.as_object().into_iter().flatten() {
        let path = if at.is_empty() {
            key.clone()
        } else {
            format!("{at}.{key}")
        };
        match schema["properties"].get(key) {
            Some(inner) => check(one, inner, &path, faults),
            None => faults.push(format!("{path}: there is no such key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = Config::read("filter:\n  max_comments: many\n  confidence_threshold: 7\n  min_severity: bad\nreview: {colour: red}\nextra: 1\n").unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(
            faults
                .iter()
                .any(|fault| fault.starts_with("review.colour: there is no such key"))
        );
        assert!(Config::read("a: [").is_err() && Config::read("- 1").is_err());
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(Config::read(&deep).is_err());
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_a_fault() {
        let faults =
            Config::read("filter: {exclude_patterns: ['ok/', '[']}\nindex: {exclude: ['{a']}\n");
        let faults = faults.unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("filter.exclude_patterns[1]: it is no pattern"));
        assert!(faults[1].starts_with("index.exclude[0]: it is no pattern"));
    }

    #[test]
    fn keys_that_are_left_out_have_their_defaults() {
        let config =
            Config::read("filter: {min_severity: warning}\nllm: {temperature: 0}\n").unwrap();
        assert_eq!(config.filter.min_severity, Severity::Warning);
        assert_eq!(
            (config.filter.max_files, config.llm.temperature),
            (50, Some(0.0))
        );
        assert_eq!(Config::read("").unwrap(), Config::default());
    }

    #[test]
    fn the_published_schema_is_this_one() {
        let published: Value =
            serde_json::from_str(include_str!("../mira-yaml.schema.json")).unwrap();
        assert_eq!(
            published,
            schema(),
            "run `reviewer schema > mira-yaml.schema.json`"
        );
    }
}
