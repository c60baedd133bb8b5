//! JSON with comments, as editors have it.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};

use super::Tree;

pub(super) struct Json(CstRootNode);

impl Json {
    /// Parses a text; an error is the place of what is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, usize> {
        let root = CstRootNode::parse(text, &ParseOptions::default());
        root.map(Self).map_err(|error| error.range().start)
    }

    fn table(&self, at: &[String]) -> Option<CstObject> {
        let root = self.0.object_value()?;
        at.iter()
            .try_fold(root, |table, name| table.object_value(name))
    }
}

impl Tree for Json {
    fn keys(&self, at: &[String]) -> Vec<String> {
        let properties = self.table(at).map(|table| table.properties());
        let properties = properties.into_iter().flatten();
        properties
            .filter_map(|property| property.decoded_name())
            .collect()
    }

    fn text(&self, at: &[String], key: &str) -> Option<String> {
        let value = self.table(at)?.get(key)?.value()?;
        value.as_string_lit()?.decoded_value().ok()
    }

    fn texts(&self, at: &[String], key: &str) -> Option<Vec<String>> {
        let elements = self.table(at)?.array_value(key)?.elements().into_iter();
        elements
            .map(|element| element.as_string_lit()?.decoded_value().ok())
            .collect()
    }

    fn set_text(&mut self, at: &[String], key: &str, value: &str) {
        let root = self.0.object_value_or_set();
        let table = at
            .iter()
            .fold(root, |table, name| table.object_value_or_set(name));
        set(&table, key, value.into());
    }

    fn set_texts(&mut self, at: &[String], key: &str, values: &[String]) {
        if let Some(table) = self.table(at) {
            set(&table, key, values.to_vec().into());
        }
    }

    fn remove(&mut self, at: &[String], key: &str) {
        if let Some(property) = self.table(at).and_then(|table| table.get(key)) {
            property.remove();
        }
    }

    fn render(&self) -> String {
        self.0.to_string()
    }
}

fn set(table: &CstObject, key: &str, value: CstInputValue) {
    match table.get(key) {
        Some(property) => property.set_value(value),
        None => drop(table.append(key, value)),
    }
}
