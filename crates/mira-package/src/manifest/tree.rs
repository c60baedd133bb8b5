//! YAML as a tree with places: what the file says, before it is asked what that means.
//!
//! It is built from the parser's events rather than taken from a library's loader: so depth is bounded while reading, an alias is
//! refused and never followed, and all duplicate keys are found, each with its place.
//!
//! INVARIANT: a tree is not deeper than [`DEPTH_MAX`], and no map has a key twice.

use std::collections::BTreeMap;

use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use super::fault::{Fault, Place, called};

// LIMIT: a manifest is six levels deep; what follows walks the tree by calling itself.
const DEPTH_MAX: usize = 16;

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) data: Data,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Data {
    /// Nothing, or `null`.
    Nothing,
    /// A boolean, and how it is written.
    Boolean(bool, String),
    /// A whole number, and how it is written.
    Integer(i64, String),
    /// Another number, as it is written.
    Float(String),
    /// Text, and whether it is written without quotes.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that a fault was recorded for already.
    Broken,
}

/// A key of a map, and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Node {
    /// Returns the value of a key.
    pub(super) fn key(&self, key: &str) -> Option<&Node> {
        match &self.data {
            Data::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }
}

/// Reads the one document of a file. Faults that leave a tree to look at are added to `faults`.
///
/// # Errors
///
/// Returns the fault after which there is no tree.
pub(super) fn read(text: &str, faults: &mut Vec<Fault>) -> Result<Node, Fault> {
    let mut builder = Builder {
        open: Vec::new(),
        root: None,
        faults,
    };
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| no_yaml(text, &error))?;
        let place = place(&span.start);
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    builder.faults.push(
                        Fault::new(place, "", "a second document begins here").with(
                            "a manifest is one document: take `---` and what follows away"
                                .to_owned(),
                        ),
                    );
                    break;
                }
            }
            Event::Alias(_) => {
                builder.refuse(
                    place,
                    "an alias (`*name`) is not followed",
                    "write the value out",
                );
                builder.value(place, Data::Broken);
            }
            Event::Scalar(text, style, anchor, tag) => {
                builder.marks(place, anchor, tag.is_some());
                let plain = style == ScalarStyle::Plain;
                let data = match plain {
                    true => resolved(&text),
                    false => Data::Text {
                        text: text.into_owned(),
                        plain,
                    },
                };
                builder.value(place, data);
            }
            Event::SequenceStart(anchor, tag) => {
                builder.marks(place, anchor, tag.is_some());
                builder.open(Open {
                    place,
                    what: What::List(Vec::new()),
                })?;
            }
            Event::MappingStart(anchor, tag) => {
                builder.marks(place, anchor, tag.is_some());
                builder.open(Open {
                    place,
                    what: What::Map {
                        entries: Vec::new(),
                        seen: BTreeMap::new(),
                        key: None,
                    },
                })?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }
    match builder.root {
        Some(root) if !matches!(root.data, Data::Nothing) => Ok(root),
        _ => Err(Fault::new(Place::START, "", "the file says nothing").with(
            "begin it with `kind: mira.app/v1`; `mira new` writes one to start from".to_owned(),
        )),
    }
}

/// A list or map that is not closed yet.
struct Open {
    place: Place,
    what: What,
}

enum What {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: BTreeMap<String, usize>,
        key: Option<(Option<String>, Place)>,
    },
}

struct Builder<'a> {
    open: Vec<Open>,
    root: Option<Node>,
    faults: &'a mut Vec<Fault>,
}

impl Builder<'_> {
    fn refuse(&mut self, place: Place, message: &str, suggestion: &str) {
        self.faults
            .push(Fault::new(place, "", message).with(suggestion.to_owned()));
    }

    /// Refuses what may stand before a value.
    fn marks(&mut self, place: Place, anchor: usize, tag: bool) {
        if anchor > 0 {
            self.refuse(
                place,
                "an anchor (`&name`) is not read",
                "take it away, and write repeated values out",
            );
        }
        if tag {
            self.refuse(
                place,
                "a tag (`!name`) is not read",
                "take it away; put text in quotes",
            );
        }
    }

    fn open(&mut self, open: Open) -> Result<(), Fault> {
        if self.open.len() == DEPTH_MAX {
            return Err(Fault::new(
                open.place,
                "",
                format!("lists and maps are nested more than {DEPTH_MAX} deep"),
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) {
        let Some(Open { place, what }) = self.open.pop() else {
            return;
        };
        let data = match what {
            What::List(items) => Data::List(items),
            What::Map { entries, .. } => Data::Map(entries),
        };
        self.value(place, data);
    }

    /// Puts a finished value where it belongs.
    fn value(&mut self, place: Place, data: Data) {
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(Node { place, data });
            return;
        };
        match &mut open.what {
            What::List(items) => items.push(Node { place, data }),
            What::Map { entries, seen, key } => match key.take() {
                None => {
                    let name = key_text(&data);
                    if name.is_none() && !matches!(data, Data::Broken) {
                        self.faults.push(
                            Fault::new(place, "", "a key is a word").with(
                                "write `key: value`, the key in quotes if it is no plain word"
                                    .to_owned(),
                            ),
                        );
                    }
                    *key = Some((name, place));
                }
                Some((None, _)) => {}
                Some((Some(name), key_place)) => {
                    if let Some(first) = seen.get(&name) {
                        let message = format!("{} is there twice", called("the key", &name));
                        self.faults.push(
                            Fault::new(key_place, "", message)
                                .with(format!("the first is in line {first}: keep one of them")),
                        );
                        return;
                    }
                    seen.insert(name.clone(), key_place.line);
                    entries.push(Entry {
                        key: name,
                        place: key_place,
                        value: Node { place, data },
                    });
                }
            },
        }
    }
}

/// Returns a key's text: what could be a number or a boolean elsewhere is a word here, if it is written as one.
fn key_text(data: &Data) -> Option<String> {
    match data {
        Data::Text { text, .. } if text.is_empty() => None,
        Data::Text { text, .. }
        | Data::Boolean(_, text)
        | Data::Integer(_, text)
        | Data::Float(text) => Some(text.clone()),
        _ => None,
    }
}

/// Returns what text without quotes is, by YAML's core schema.
fn resolved(text: &str) -> Data {
    if text.is_empty() {
        return Data::Nothing;
    }
    match Scalar::parse_from_cow(text.into()) {
        Scalar::Null => Data::Nothing,
        Scalar::Boolean(value) => Data::Boolean(value, text.to_owned()),
        Scalar::Integer(value) => Data::Integer(value, text.to_owned()),
        Scalar::FloatingPoint(_) => Data::Float(text.to_owned()),
        Scalar::String(text) => Data::Text {
            text: text.into_owned(),
            plain: true,
        },
    }
}

fn place(marker: &Marker) -> Place {
    Place {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// Returns what a person can do about a file that is no YAML.
fn no_yaml(text: &str, error: &ScanError) -> Fault {
    let at = place(error.marker());
    let line = text.lines().nth(at.line - 1).unwrap_or_default();
    let indentation: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    if indentation.contains('\t') {
        let column = 1 + indentation.chars().take_while(|&c| c != '\t').count();
        return Fault::new(
            Place {
                line: at.line,
                column,
            },
            "",
            "a tab is used to indent",
        )
        .with("use spaces: YAML allows no tabs there".to_owned());
    }
    if error.info().contains("unknown anchor") {
        return Fault::new(at, "", "an alias (`*name`) is not followed")
            .with("write the value out, or put the text in quotes".to_owned());
    }
    Fault::new(at, "", format!("this is not YAML: {}", error.info())).with(
        "look at this line and the one before: a missing quote, colon or bracket, or another indentation".to_owned(),
    )
}
