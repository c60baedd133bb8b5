//! One file, parsed: what it defines, uses and imports.
//!
//! The tree is walked with a cursor and never by recursion, so depth costs nothing. INVARIANT: hostile files end as files without symbols,
//! after a bounded amount of work that is the same on each machine.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;

use tree_sitter::{Node, ParseOptions, Parser, Tree};

use super::language::{LANGUAGES, Language, NAMES};
use super::walk::FILE_BYTES_MAX;

/// How often the parser reports progress before it is stopped.
// LIMIT: 1 MiB of ordinary code takes less; ambiguous code can take without end.
const STEPS_MAX: usize = 200_000;

/// The longest name that is kept, in bytes.
// LIMIT: longer ones are generated, and nobody looks for them.
const NAME_BYTES_MAX: usize = 200;

const OTHER: u8 = 0;
const NAME: u8 = 1;
const IMPORT: u8 = 2;
/// This and above: a definition, whose kind is at that place after it.
const DEFINITION: u8 = 3;

/// Something that a file defines.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) line: usize,
    pub(crate) end_line: usize,
}

/// What is in a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) language: Option<&'static Language>,
    pub(crate) symbols: Vec<Symbol>,
    /// Where each name is used: a line of text for each place, the first in each symbol, with its line and what is around it. A row for each
    /// place instead would be most of what an update costs.
    pub(crate) references: BTreeMap<String, String>,
    pub(crate) imports: Vec<(String, usize)>,
}

/// A parser of each language, made when it is first needed.
#[derive(Default)]
pub(crate) struct Parsers(Vec<Option<(Parser, Vec<u8>)>>);

impl Parsers {
    fn of(&mut self, at: usize) -> Option<&mut (Parser, Vec<u8>)> {
        self.0.resize_with(LANGUAGES.len(), || None);
        let slot = self.0.get_mut(at)?;
        if slot.is_none() {
            let language = LANGUAGES.get(at)?;
            let grammar = (language.grammar)();
            let mut kinds = vec![OTHER; grammar.node_kind_count()];
            let mut set = |kind: &str, what: u8| {
                // A grammar can have several nodes of one name.
                for (id, slot) in kinds.iter_mut().enumerate() {
                    let id = id as u16;
                    if grammar.node_kind_is_named(id) && grammar.node_kind_for_id(id) == Some(kind)
                    {
                        *slot = what;
                    }
                }
            };
            for name in NAMES {
                set(name, NAME);
            }
            for import in language.imports {
                set(import, IMPORT);
            }
            for (number, (kind, _)) in language.definitions.iter().enumerate() {
                set(kind, DEFINITION + number as u8);
            }
            let mut parser = Parser::new();
            parser.set_language(&grammar).ok()?;
            *slot = Some((parser, kinds));
        }
        slot.as_mut()
    }
}

/// Parses a file. What is too large, binary, too hard or of no known language has nothing in it.
pub(crate) fn parse(parsers: &mut Parsers, path: &str, bytes: &[u8]) -> Parsed {
    let Some((at, language)) = Language::of(path) else {
        return Parsed::default();
    };
    if bytes.len() > FILE_BYTES_MAX || bytes.iter().take(8000).any(|byte| *byte == 0) {
        return Parsed::default();
    }
    let Some((parser, kinds)) = parsers.of(at) else {
        return Parsed::default();
    };
    let Some(tree) = tree(parser, bytes) else {
        parser.reset();
        return Parsed::default();
    };
    let mut parsed = Parsed {
        language: Some(language),
        ..Parsed::default()
    };
    walk(&tree, bytes, language, kinds, &mut parsed);
    parsed
}

fn tree(parser: &mut Parser, bytes: &[u8]) -> Option<Tree> {
    let mut steps = 0;
    let mut progress = |_: &tree_sitter::ParseState| {
        steps += 1;
        match steps > STEPS_MAX {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    let mut read = |at: usize, _| bytes.get(at..).unwrap_or_default();
    parser.parse_with_options(&mut read, None, Some(options))
}

/// Where a name is used, and in which symbols that was: by where those end.
#[derive(Default)]
struct Uses {
    places: String,
    inside: HashSet<usize>,
}

fn walk(tree: &Tree, bytes: &[u8], language: &Language, kinds: &[u8], parsed: &mut Parsed) {
    let mut cursor = tree.walk();
    // The symbols around the cursor: where each ends, and its name.
    let mut around: Vec<(usize, String)> = Vec::new();
    let mut names_of_definitions: HashSet<usize> = HashSet::new();
    let mut uses: HashMap<&[u8], Uses> = HashMap::new();
    loop {
        let node = cursor.node();
        while around
            .last()
            .is_some_and(|(end, _)| *end <= node.start_byte())
        {
            around.pop();
        }
        let kind = kinds
            .get(usize::from(node.kind_id()))
            .copied()
            .unwrap_or(OTHER);
        let mut descend = true;
        match kind {
            OTHER => {}
            NAME => {
                let text = bytes.get(node.byte_range()).unwrap_or_default();
                let line = node.start_position().row + 1;
                let (end, inside) = around
                    .last()
                    .map_or((0, ""), |(end, name)| (*end, name.as_str()));
                if (2..=NAME_BYTES_MAX).contains(&text.len())
                    && !names_of_definitions.contains(&node.start_byte())
                {
                    let uses = uses.entry(text).or_default();
                    if uses.inside.insert(end) {
                        // Writing to text does not fail; a name has no line break, it is one word of the grammar.
                        writeln!(uses.places, "{line} {inside}").ok();
                    }
                }
                descend = false;
            }
            IMPORT => {
                let text = lossy(bytes.get(node.byte_range()).unwrap_or_default());
                let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
                parsed.imports.push((
                    text.chars().take(NAME_BYTES_MAX).collect(),
                    node.start_position().row + 1,
                ));
            }
            definition => {
                if let Some(name) = name_of(node, kinds)
                    && (1..=NAME_BYTES_MAX).contains(&name.byte_range().len())
                {
                    names_of_definitions.insert(name.start_byte());
                    let text = lossy(bytes.get(name.byte_range()).unwrap_or_default());
                    let kind = language
                        .definitions
                        .get(usize::from(definition - DEFINITION));
                    around.push((node.end_byte(), text.clone()));
                    parsed.symbols.push(Symbol {
                        name: text,
                        kind: kind.map_or("", |(_, kind)| kind),
                        line: node.start_position().row + 1,
                        end_line: node.end_position().row + 1,
                    });
                }
            }
        }
        if descend && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                // In order, so that the rows are the same on each machine.
                for (name, uses) in BTreeMap::from_iter(uses) {
                    let places = parsed.references.entry(lossy(name)).or_default();
                    places.push_str(&uses.places);
                }
                return;
            }
        }
    }
}

/// Returns the name of what a node defines: its field `name`, or what its declarators lead to, as in C.
fn name_of<'t>(node: Node<'t>, kinds: &[u8]) -> Option<Node<'t>> {
    let is_name = |node: &Node<'_>| kinds.get(usize::from(node.kind_id())) == Some(&NAME);
    // A struct that is only named is no definition.
    if node.kind().ends_with("_specifier") && node.child_by_field_name("body").is_none() {
        return None;
    }
    let mut node = node;
    // LIMIT: pointers to functions that return functions are some declarators deep.
    for _ in 0..8 {
        let next = node
            .child_by_field_name("name")
            .or_else(|| node.child_by_field_name("declarator"))?;
        if is_name(&next) {
            return Some(next);
        }
        node = next;
    }
    None
}

fn lossy(bytes: &[u8]) -> String {
    // Postgres takes no NUL in text.
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => text.to_owned(),
        _ => String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}"),
    }
}
