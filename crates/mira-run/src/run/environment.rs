//! The environment that a program is started with.
//!
//! INVARIANT: every entry is a single allocation of `NAME=value` and a NUL, made in its final size and wiped on drop, so
//! a value that passed through here is not left behind in freed memory.

use std::ffi::{CStr, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use mira_redact::NeedleSet;
use zeroize::Zeroizing;

/// The variables of a program about to start. `Debug` prints names only.
#[derive(Default)]
pub struct Environment {
    entries: Vec<Entry>,
}

struct Entry {
    name_bytes: usize,
    line: Zeroizing<Vec<u8>>,
}

/// Why a variable cannot be part of an environment. No variant holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The name is empty, or holds `=` or a NUL byte.
    #[error("{0:?} cannot be the name of an environment variable")]
    Name(OsString),
    /// The value holds a NUL byte, which ends a variable.
    #[error("the value of {0:?} holds a NUL byte, which no environment variable can carry")]
    Value(OsString),
}

impl Environment {
    /// Begins with the variables of the caller, which a surface takes from `std::env::vars_os`.
    ///
    /// They are passed on as they are, duplicates and odd names included.
    pub fn inherit(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let entries = variables
            .into_iter()
            .map(|(name, value)| {
                let value = Zeroizing::new(value.into_vec());
                Entry::new(name.as_bytes(), &value)
            })
            .collect();
        Self { entries }
    }

    /// Sets a variable in place of every one of that name.
    ///
    /// # Errors
    ///
    /// Refuses a name or value that the system could not carry; the environment is unchanged then.
    pub fn set(&mut self, name: &OsStr, value: &[u8]) -> Result<(), EnvironmentError> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.contains(&b'=') || bytes.contains(&0) {
            return Err(EnvironmentError::Name(name.to_owned()));
        }
        if value.contains(&0) {
            return Err(EnvironmentError::Value(name.to_owned()));
        }
        self.remove(name);
        self.entries.push(Entry::new(bytes, value));
        Ok(())
    }

    /// Removes every variable of that name.
    pub fn remove(&mut self, name: &OsStr) {
        self.entries.retain(|entry| entry.name() != name);
    }

    /// Returns whether a variable of that name is there.
    #[must_use]
    pub fn contains(&self, name: &OsStr) -> bool {
        self.entries.iter().any(|entry| entry.name() == name)
    }

    /// Returns the variables that hold a value of a set, each with the value's name.
    #[must_use]
    pub fn holding(&self, needles: &NeedleSet) -> Vec<(OsString, Arc<str>)> {
        let entries = self.entries.iter();
        let held = entries.filter_map(|entry| {
            let value = needles.held_by(entry.value())?;
            Some((entry.name().to_owned(), value))
        });
        held.collect()
    }

    /// Returns the value of the first variable of that name.
    pub(super) fn value(&self, name: &OsStr) -> Option<&[u8]> {
        let entry = self.entries.iter().find(|entry| entry.name() == name)?;
        Some(entry.value())
    }

    /// Returns the entries as `execve` takes them.
    pub(super) fn lines(&self) -> impl Iterator<Item = &CStr> {
        // An entry with a NUL inside could only be one that was inherited, where none can be.
        self.entries
            .iter()
            .filter_map(|entry| CStr::from_bytes_until_nul(&entry.line).ok())
    }
}

impl Entry {
    fn new(name: &[u8], value: &[u8]) -> Self {
        let mut line = Vec::with_capacity(name.len() + value.len() + "=\0".len());
        line.extend_from_slice(name);
        line.push(b'=');
        line.extend_from_slice(value);
        line.push(0);
        Self {
            name_bytes: name.len(),
            line: Zeroizing::new(line),
        }
    }

    fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.line.get(..self.name_bytes).unwrap_or_default())
    }

    fn value(&self) -> &[u8] {
        let value = self.name_bytes + 1..self.line.len().saturating_sub(1);
        self.line.get(value).unwrap_or_default()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.entries.iter().map(Entry::name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(environment: &Environment) -> Vec<&str> {
        environment
            .lines()
            .map(|line| line.to_str().unwrap())
            .collect()
    }

    #[test]
    fn set_replaces_every_variable_of_the_name_and_remove_takes_them_all() {
        let mut environment = Environment::inherit(
            [("A", "1"), ("B", "2"), ("A", "3"), ("", "odd")]
                .map(|(name, value)| (name.into(), value.into())),
        );
        assert_eq!(lines(&environment), ["A=1", "B=2", "A=3", "=odd"]);
        environment.set(OsStr::new("A"), b"4").unwrap();
        assert_eq!(lines(&environment), ["B=2", "=odd", "A=4"]);
        assert_eq!(environment.value(OsStr::new("A")), Some(&b"4"[..]));
        environment.remove(OsStr::new("B"));
        assert!(!environment.contains(OsStr::new("B")));
        assert_eq!(lines(&environment), ["=odd", "A=4"]);
    }

    #[test]
    fn what_the_system_cannot_carry_is_refused() {
        let mut environment = Environment::default();
        let mut check = |name: &str, value: &[u8]| environment.set(OsStr::new(name), value);
        assert_eq!(check("", b"v"), Err(EnvironmentError::Name("".into())));
        assert_eq!(
            check("A=B", b"v"),
            Err(EnvironmentError::Name("A=B".into()))
        );
        assert_eq!(
            check("A\0", b"v"),
            Err(EnvironmentError::Name("A\0".into()))
        );
        assert_eq!(check("A", b"v\0"), Err(EnvironmentError::Value("A".into())));
        assert_eq!(check("A", b"\xff\xfe"), Ok(()));
        assert!(lines_of_bytes(&environment).contains(&b"A=\xff\xfe".to_vec()));
    }

    fn lines_of_bytes(environment: &Environment) -> Vec<Vec<u8>> {
        environment
            .lines()
            .map(|line| line.to_bytes().to_vec())
            .collect()
    }

    #[test]
    fn debug_prints_names_only() {
        let mut environment = Environment::default();
        environment.set(OsStr::new("KEY"), b"sk-1").unwrap();
        assert_eq!(format!("{environment:?}"), r#"{"KEY"}"#);
    }

    #[test]
    fn variables_that_hold_a_value_are_found_and_short_values_only_by_themselves() {
        let mut needles = NeedleSet::builder();
        needles.add("KEY", b"sk-proj-0123456789");
        needles.add("PIN", b"4711");
        needles.add("ONE", b"1");
        let environment = Environment::inherit(
            [
                ("A", "sk-proj-0123456789"),
                ("B", "https://x:sk-proj-0123456789@host"),
                ("C", "c2stcHJvai0wMTIzNDU2Nzg5"),
                ("D", "4711"),
                ("E", "/tmp/4711"),
                ("F", "1"),
            ]
            .map(|(name, value)| (name.into(), value.into())),
        );
        let held = environment.holding(&needles.build());
        let held: Vec<_> = held
            .iter()
            .map(|(variable, name)| (variable.to_str().unwrap(), &**name))
            .collect();
        assert_eq!(
            held,
            [("A", "KEY"), ("B", "KEY"), ("C", "KEY"), ("D", "PIN")]
        );
    }
}
