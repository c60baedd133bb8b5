//! TOML, as Codex has it.

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use super::Tree;

pub(super) struct Toml(DocumentMut);

impl Toml {
    /// Parses a text; an error is the place of what is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, usize> {
        let document = text.parse::<DocumentMut>();
        document
            .map(Self)
            .map_err(|error| error.span().map_or(0, |span| span.start))
    }

    fn table(&self, at: &[String]) -> Option<&dyn TableLike> {
        let root: &dyn TableLike = self.0.as_table();
        at.iter()
            .try_fold(root, |table, name| table.get(name)?.as_table_like())
    }

    fn table_mut(&mut self, at: &[String]) -> Option<&mut dyn TableLike> {
        let root: &mut dyn TableLike = self.0.as_table_mut();
        at.iter()
            .try_fold(root, |table, name| table.get_mut(name)?.as_table_like_mut())
    }
}

impl Tree for Toml {
    fn keys(&self, at: &[String]) -> Vec<String> {
        let pairs = self.table(at).map(|table| table.iter());
        pairs
            .into_iter()
            .flatten()
            .map(|(key, _)| key.to_owned())
            .collect()
    }

    fn text(&self, at: &[String], key: &str) -> Option<String> {
        self.table(at)?.get(key)?.as_str().map(ToOwned::to_owned)
    }

    fn texts(&self, at: &[String], key: &str) -> Option<Vec<String>> {
        let values = self.table(at)?.get(key)?.as_array()?.iter();
        values
            .map(|value| value.as_str().map(ToOwned::to_owned))
            .collect()
    }

    fn set_text(&mut self, at: &[String], key: &str, text: &str) {
        if let ([above @ .., name], true) = (at, self.table(at).is_none())
            && let Some(table) = self.table_mut(above)
        {
            table.insert(name, Item::Table(Table::new()));
        }
        self.set(at, key, value(text));
    }

    fn set_texts(&mut self, at: &[String], key: &str, values: &[String]) {
        self.set(at, key, value(values.iter().collect::<Array>()));
    }

    fn remove(&mut self, at: &[String], key: &str) {
        if let Some(table) = self.table_mut(at) {
            table.remove(key);
        }
    }

    fn render(&self) -> String {
        self.0.to_string()
    }
}

impl Toml {
    /// Sets a value; the blanks and comments around the one before stay.
    fn set(&mut self, at: &[String], key: &str, mut item: Item) {
        let Some(table) = self.table_mut(at) else {
            return;
        };
        let before = table
            .get(key)
            .and_then(Item::as_value)
            .map(|value| value.decor().clone());
        if let (Some(decor), Some(value)) = (before, item.as_value_mut()) {
            *value.decor_mut() = decor;
        }
        table.insert(key, item);
    }
}
