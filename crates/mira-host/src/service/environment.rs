//! The environment of a service: made from nothing, in this one place.
//!
//! INVARIANT: nothing of the supervisor's own environment gets in but what the surface handed over by name.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use mira_secret::{SecretName, SecretValue};

use super::check::file_variable;
use super::{Folders, InstanceSpec, ServiceSpec, Value};

/// Where programs are looked for where the user has no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// Returns what every service's environment begins with; `user` are the variables of the user, of which the path to
/// programs, the language and the time zone are taken.
pub fn base_environment(
    user: impl IntoIterator<Item = (OsString, OsString)>,
    folders: &Folders,
    instance: &str,
    service: &str,
) -> Vec<(OsString, OsString)> {
    let taken = |name: &OsStr| {
        ["PATH", "LANG", "TZ"].iter().any(|known| name == *known)
            || name.as_encoded_bytes().starts_with(b"LC_")
    };
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    for (name, value) in user {
        if taken(&name) && !variables.iter().any(|(known, _)| *known == name) {
            variables.push((name, value));
        }
    }
    if !variables.iter().any(|(name, _)| name == "PATH") {
        variables.push(("PATH".into(), PATH_DEFAULT.into()));
    }
    let own: [(&str, &OsStr); 4] = [
        ("HOME", folders.home.as_os_str()),
        ("TMPDIR", folders.tmp.as_os_str()),
        ("MIRA_INSTANCE", instance.as_ref()),
        ("MIRA_SERVICE", service.as_ref()),
    ];
    variables.extend(own.map(|(name, value)| (name.into(), value.into())));
    variables
}

/// A secret on its way to a service.
pub(crate) type Delivered<'a> = (&'a SecretName, &'a SecretValue);

impl ServiceSpec {
    /// Returns the variables that are no secrets: its own, and the paths of its secret files.
    pub(crate) fn variables(
        &self,
        spec: &InstanceSpec,
        folder: &Path,
    ) -> Vec<(OsString, OsString)> {
        let files = self.files(spec).into_iter();
        let paths = files.map(|(name, _)| (file_variable(name), folder.join(name.as_str()).into()));
        self.env.iter().cloned().chain(paths).collect()
    }

    /// Returns the secrets that it gets as variables.
    pub(crate) fn secrets<'a>(&self, spec: &'a InstanceSpec) -> Vec<Delivered<'a>> {
        delivered(&self.env_secrets, &spec.values)
    }

    /// Returns the secrets that it gets as files.
    pub(crate) fn files<'a>(&self, spec: &'a InstanceSpec) -> Vec<Delivered<'a>> {
        delivered(&self.file_secrets, &spec.values)
    }
}

fn delivered<'a>(names: &[SecretName], values: &'a [Value]) -> Vec<Delivered<'a>> {
    let asked = |value: &&Value| names.contains(&value.name);
    let wanted = values.iter().filter(asked);
    wanted.map(|value| (&value.name, &value.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_users_variables_only_a_few_are_taken() {
        let folders = Folders {
            package: "/p".into(),
            home: "/h".into(),
            tmp: "/t".into(),
            logs: "/l".into(),
            runtime_secrets: "/s".into(),
        };
        let check = |user: &[(&str, &str)], expect: &[(&str, &str)]| {
            let user = user.iter().map(|(name, value)| (name.into(), value.into()));
            let made = base_environment(user, &folders, "app-1", "web");
            let own = [
                ("HOME", "/h"),
                ("TMPDIR", "/t"),
                ("MIRA_INSTANCE", "app-1"),
                ("MIRA_SERVICE", "web"),
            ];
            let expect: Vec<(OsString, OsString)> = expect
                .iter()
                .chain(&own)
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
            assert_eq!(made, expect);
        };
        check(&[], &[("PATH", PATH_DEFAULT)]);
        check(
            &[
                ("HOME", "/me"),
                ("PATH", "/bin"),
                ("PATH", "/evil"),
                ("LC_ALL", "C"),
                ("AWS_SECRET_ACCESS_KEY", "x"),
                ("TZ", "UTC"),
            ],
            &[("PATH", "/bin"), ("LC_ALL", "C"), ("TZ", "UTC")],
        );
    }
}
