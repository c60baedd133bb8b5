//! What a model found, as this program takes it: a closed set of words, read leniently, checked elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How bad a finding is; the worst is the greatest.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Severity {
    Nitpick,
    Suggestion,
    Warning,
    Blocker,
}

impl Severity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Nitpick => "nitpick",
            Self::Suggestion => "suggestion",
            Self::Warning => "warning",
            Self::Blocker => "blocker",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// The last line that it is about, in the new file.
    pub(crate) line: u32,
    /// The first one, where it is about several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start_line: Option<u32>,
    /// The code that it is about, as it stands in the diff.
    pub(crate) quote: String,
    pub(crate) severity: Severity,
    #[serde(default = "general")]
    pub(crate) category: String,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) body: String,
    /// What the quoted lines should be instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) suggestion: Option<String>,
    /// How sure the model is, from 0 to 1.
    #[serde(default = "sure")]
    pub(crate) confidence: f64,
}

fn general() -> String {
    "general".to_owned()
}

fn sure() -> f64 {
    1.0
}

/// All that a model says of a change.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) summary: String,
    /// From 1 to 5: how safe the change is to merge.
    pub(crate) confidence: u8,
    pub(crate) findings: Vec<Finding>,
    /// How many entries were no findings at all.
    pub(crate) unreadable: usize,
}

/// The name of the tool that the model calls.
pub(crate) const TOOL: &str = "report_review";

/// Returns the JSON Schema of the tool's arguments.
pub(crate) fn tool_schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "required": ["summary", "confidence", "findings"],
        "properties": {
            "summary": {"type": "string", "description": "What the change does, in two to six sentences."},
            "confidence": {"type": "integer", "minimum": 1, "maximum": 5, "description": "How safe the change is to merge: 5 is safe, 1 is not."},
            "findings": {"type": "array", "items": {
                "type": "object", "additionalProperties": false,
                "required": ["path", "line", "quote", "severity", "category", "title", "body", "confidence"],
                "properties": {
                    "path": {"type": "string", "description": "The file, as named in the diff."},
                    "line": {"type": "integer", "description": "The line number that stands before the line, or before the last of several lines."},
                    "start_line": {"type": "integer", "description": "The first line, if there are several."},
                    "quote": {"type": "string", "description": "The code of that line or those lines, verbatim, without number and sign."},
                    "severity": {"type": "string", "enum": ["blocker", "warning", "suggestion", "nitpick"]},
                    "category": {"type": "string", "description": "One word: bug, security, performance, style, test, docs."},
                    "title": {"type": "string"},
                    "body": {"type": "string", "description": "Why it matters and what to do, as Markdown."},
                    "suggestion": {"type": "string", "description": "The code that replaces the quoted lines, if you are sure of it."},
                    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                },
            }},
        },
    })
}

impl Report {
    /// Reads a model's answer; single entries that make no sense are counted and left out.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let list = fields.get("findings")?.as_array()?;
        let mut report = Self {
            summary: text(fields.get("summary")),
            confidence: fields
                .get("confidence")
                .and_then(Value::as_u64)
                .map_or(3, |number| number.clamp(1, 5) as u8),
            ..Self::default()
        };
        for entry in list {
            match serde_json::from_value::<Finding>(entry.clone()) {
                Ok(finding) if finding.confidence.is_finite() => report.findings.push(finding),
                _ => report.unreadable += 1,
            }
        }
        Some(report)
    }
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}
