//! The definition of `mira.yaml`: its keys, words, defaults and limits, each with its documentation.
//!
//! It is the one source of three things: what the parser accepts, the published JSON Schema, and the reference page. It knows the
//! shape of the file only; what the parts mean to each other is checked in `check`.
//!
//! INVARIANT: no value is `null`, and no key is unknown: `shape` reads both from the schema that is made of these structs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

// LIMIT: more than any app has that one person starts; each service is two processes.
pub(super) const SERVICES_MAX: usize = 32;
// LIMIT: a person is asked for each.
pub(super) const SECRETS_MAX: usize = 128;
// LIMIT: lists that a person reads before the app starts.
pub(super) const LIST_MAX: usize = 64;
// LIMIT: the environment and the command line of one process, far below what systems take.
pub(super) const WORDS_MAX: usize = 256;
// LIMIT: one line of a terminal or two.
pub(super) const LINE_CHARS_MAX: usize = 200;
// LIMIT: a paragraph.
pub(super) const TEXT_CHARS_MAX: usize = 1000;

/// `mira.yaml` says what an app is: which programs it runs, which secrets and settings they get, what they keep, and where they
/// may call.
///
/// It is a YAML 1.2 file of at most 256 KiB, in UTF-8, at the top of the app's folder. It has one document, no anchors, no aliases and
/// no tags. A key that is not on this page is an error. Text that some YAML readers take for something else (`no`, `on`, `1.0`) is
/// written in quotes.
///
/// The words of `command` and the values of `env` may refer to what is known only when the app runs:
///
/// - `${port:NAME}`: the number of a port of the same service
/// - `${port:SERVICE/NAME}`: the number of a port of another service
/// - `${volume:NAME}`: the folder of a volume
/// - `${package}`: the folder of the unpacked package, which is read-only
/// - `${setting:NAME}`: the value of a setting
/// - `$$`: a dollar sign
///
/// Secrets are never put into text. A service has them in its environment, or as files.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "mira.yaml", extend("$id" = "mira.app/v1"))]
pub(super) struct Document {
    /// The format of the file.
    #[schemars(example = &"mira.app/v1")]
    pub(super) kind: Format,
    /// The app's identity: a domain name of yours, written backwards, and a name. Lower-case letters, digits and hyphens, with dots
    /// between; two parts at least, 100 characters at most. It stays the same over all versions.
    #[schemars(
        length(max = 100),
        regex(pattern = r"^[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)+$"),
        example = &"org.example.readlater"
    )]
    pub(super) id: String,
    /// The app's name, for people.
    #[schemars(length(min = 1, max = LINE_CHARS_MAX), example = &"Read later")]
    pub(super) name: String,
    /// The app's version, by [Semantic Versioning](https://semver.org).
    #[schemars(
        length(max = 100),
        regex(pattern = r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"),
        example = &"1.2.0"
    )]
    pub(super) version: String,
    /// What the app is for, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = LINE_CHARS_MAX))]
    pub(super) description: Option<String>,
    /// Who publishes the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) publisher: Option<Publisher>,
    /// The programs that make up the app, at most 32.
    #[schemars(length(min = 1, max = SERVICES_MAX))]
    pub(super) services: Vec<Service>,
    /// The secrets that the app asks for, at most 128. Only names stand here, never a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = SECRETS_MAX))]
    pub(super) secrets: Vec<Secret>,
    /// Values that are no secrets. Each becomes a variable in the environment of all services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = SECRETS_MAX))]
    pub(super) settings: Vec<Setting>,
    /// What the app keeps.
    #[serde(default, skip_serializing_if = "State::is_empty")]
    pub(super) state: State,
    /// Where the app calls.
    #[serde(default, skip_serializing_if = "Network::is_empty")]
    pub(super) network: Network,
    /// Verified events that the app takes from outside, by `mira serve --hooks`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LIST_MAX))]
    pub(super) webhooks: Vec<Webhook>,
    /// What the app may do on GitHub, as the App that `mira github setup` saves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) github: Option<Github>,
    /// Where the app tells the desk how it fares: a service and a path, as `service/path`, which is asked for on the service's first port
    /// and answers with tables and series as JSON (docs/formats/report.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TEXT_CHARS_MAX), example = &"web/report")]
    pub(super) report: Option<String>,
}

/// The format of the file.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub(super) enum Format {
    /// An app, version 1 of the format
    #[serde(rename = "mira.app/v1")]
    AppV1,
}

/// Who publishes the app.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Publisher {
    /// The publisher's name, for people.
    #[schemars(length(min = 1, max = LINE_CHARS_MAX))]
    pub(super) name: String,
    /// The publisher's minisign public key: the second line of its file.
    #[schemars(regex(pattern = "^RW[A-Za-z0-9+/]{54}$"))]
    pub(super) key: String,
}

/// A program that is started, watched and stopped.
///
/// Its environment is built from nothing: `PATH`, `HOME` (a private folder of the instance), `TMPDIR`, the language and time zone of
/// the person, `MIRA_INSTANCE`, `MIRA_SERVICE`, then `env`, the settings and its secrets. Its working folder is the unpacked package.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Service {
    /// The service's name: a lower-case letter, then lower-case letters, digits and hyphens, 31 characters at most.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,30}$"), example = &"web")]
    pub(super) name: String,
    /// The program and its arguments. The program is looked up in `PATH`, or in the package where it has a slash. No shell reads it.
    #[schemars(length(min = 1, max = WORDS_MAX), example = json!(["python3", "web.py"]))]
    pub(super) command: Vec<String>,
    /// Variables for the service's environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = WORDS_MAX), example = json!({"PORT": "${port:http}"}))]
    pub(super) env: BTreeMap<String, String>,
    /// TCP ports on 127.0.0.1 that the service listens on. Each gets a number at the first start and keeps it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LIST_MAX))]
    pub(super) ports: Vec<Port>,
    /// How to tell that the service works. Without it, it counts as up once it is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) health: Option<Health>,
    /// Services that have to be up before this one is started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = SERVICES_MAX), example = json!(["redis"]))]
    pub(super) depends_on: Vec<String>,
    /// What happens when the service ends by itself.
    #[serde(default)]
    pub(super) restart: Restart,
    /// How the service is stopped.
    #[serde(default)]
    pub(super) stop: Stop,
}

/// A TCP port of a service.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Port {
    /// The port's name, spelled as a service's.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,30}$"), example = &"http")]
    pub(super) name: String,
    /// The number that it gets if that is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), example = 8080)]
    pub(super) prefer: Option<u16>,
    /// Whether the port is shown to the person, as an address to open in a browser.
    #[serde(default)]
    pub(super) open: bool,
}

/// How to tell that a service works: exactly one of `http`, `tcp` and `command`, asked again and again.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("oneOf" = [{"required": ["http"]}, {"required": ["tcp"]}, {"required": ["command"]}]))]
pub(super) struct Health {
    /// A path that answers with a status from 200 to 399.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TEXT_CHARS_MAX), regex(pattern = "^/"), example = &"/healthz")]
    pub(super) http: Option<String>,
    /// The port that `http` is asked on. It may be left out where the service has one port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"http")]
    pub(super) port: Option<String>,
    /// A port that accepts connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"redis")]
    pub(super) tcp: Option<String>,
    /// A program that ends with 0, written as the service's own command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = WORDS_MAX))]
    pub(super) command: Option<Vec<String>>,
    /// How long to wait between two tries: 100ms to 1h.
    #[serde(default = "Health::interval")]
    #[schemars(regex(pattern = DURATION), example = &"10s")]
    pub(super) interval: String,
    /// How long a try may take: 100ms to 10m.
    #[serde(default = "Health::timeout")]
    #[schemars(regex(pattern = DURATION), example = &"10s")]
    pub(super) timeout: String,
    /// How many tries in a row fail before the service counts as broken.
    #[serde(default = "Health::retries")]
    #[schemars(range(min = 1, max = 100))]
    pub(super) retries: u32,
    /// How long failures do not count after a start: 0s to 1h.
    #[serde(default = "Health::start_period")]
    #[schemars(regex(pattern = DURATION), example = &"10s")]
    pub(super) start_period: String,
}

/// A number and its unit.
const DURATION: &str = "^(0|[1-9][0-9]{0,8})(ms|s|m|h|d)$";

impl Health {
    fn interval() -> String {
        "1s".to_owned()
    }

    fn timeout() -> String {
        "2s".to_owned()
    }

    fn retries() -> u32 {
        3
    }

    fn start_period() -> String {
        "30s".to_owned()
    }
}

/// What happens when a service ends by itself. One that exits with 3 before its health check has passed says so that something it needs is
/// missing, and is not started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// It stays ended
    Never,
    /// It is started again unless it ended with 0
    #[default]
    OnFailure,
    /// It is started again
    Always,
}

/// How a service is stopped: first by a signal, then, if it is still there, by KILL.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Stop {
    /// The signal.
    pub(super) signal: Signal,
    /// How long the service has to end: 0s to 10m.
    #[schemars(regex(pattern = DURATION), example = &"10s")]
    pub(super) grace: String,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            signal: Signal::Term,
            grace: "10s".to_owned(),
        }
    }
}

/// A signal that asks a program to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// The usual one
    #[default]
    Term,
    /// As Ctrl-C does it
    Int,
    /// As Ctrl-\ does it
    Quit,
    /// As a terminal does it that is closed
    Hup,
    /// For programs that give it this meaning
    Usr1,
    /// For programs that give it this meaning
    Usr2,
}

/// A secret that the app asks for.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Secret {
    /// The secret's name: the environment variable that carries it. `MIRA_` is reserved.
    #[schemars(length(max = 255), regex(pattern = VARIABLE), example = &"OPENAI_API_KEY")]
    pub(super) name: String,
    /// Whether nothing is started without it. An optional secret that is not there is a variable that is absent.
    #[serde(default)]
    pub(super) required: bool,
    /// What the app needs it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    pub(super) description: Option<String>,
    /// Where the person gets it: an address, or a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX), example = &"https://platform.openai.com/api-keys")]
    pub(super) how_to_obtain: Option<String>,
    /// How services get it.
    #[serde(default)]
    pub(super) deliver: Delivery,
    /// The hosts whose requests may carry it, spelled as in `network.allow`, but not `*`. Needed for `brokered`, and
    /// then the app may call them without their being in `network.allow`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LIST_MAX), example = json!(["api.openai.com"]))]
    pub(super) hosts: Vec<String>,
    /// Parameters of the URL's query in which a `brokered` secret is put too, for services that take their key nowhere else. A header is
    /// better: addresses get into the logs of servers, headers rarely do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LIST_MAX), inner(regex(pattern = PARAMETER)), example = json!(["api_key"]))]
    pub(super) query: Vec<String>,
    /// The services that get it. Left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = SERVICES_MAX), example = json!(["web"]))]
    pub(super) services: Option<Vec<String>>,
}

/// The name of an environment variable, as POSIX has it.
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// The name of a parameter, in characters that no client escapes.
const PARAMETER: &str = "^[A-Za-z0-9._~-]{1,64}$";

/// How a service gets a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// As a variable in its environment
    #[default]
    Env,
    /// As a file in memory, whose path is in the variable `NAME_FILE`
    File,
    /// Not at all: the variable holds a placeholder, and the gate puts the value into the headers of requests to `hosts`
    Brokered,
}

/// A value that is no secret.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Setting {
    /// The variable, spelled as a secret's name.
    #[schemars(length(max = 255), regex(pattern = VARIABLE), example = &"OPENAI_BASE_URL")]
    pub(super) name: String,
    /// The value that it has.
    #[schemars(example = &"https://api.openai.com/v1")]
    pub(super) default: String,
    /// What it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    pub(super) description: Option<String>,
}

/// What an app keeps over restarts.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct State {
    /// Folders of the instance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LIST_MAX))]
    pub(super) volumes: Vec<Volume>,
    /// How often a snapshot is made while the app runs: 1m to 30d. Left out: only when the person asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION), example = &"1h")]
    pub(super) autosave: Option<String>,
    /// Which snapshots are kept. Left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retention: Option<Retention>,
}

impl State {
    fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.autosave.is_none() && self.retention.is_none()
    }
}

/// A folder that an instance keeps.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Volume {
    /// The volume's name, spelled as a service's.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,30}$"), example = &"data")]
    pub(super) name: String,
}

/// Which snapshots are kept: a snapshot that any of the four numbers keeps stays. One of them is not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Retention {
    /// So many of the newest.
    #[schemars(range(max = 10000))]
    pub last: u32,
    /// The newest of each of so many days.
    #[schemars(range(max = 10000))]
    pub daily: u32,
    /// The newest of each of so many weeks.
    #[schemars(range(max = 10000))]
    pub weekly: u32,
    /// The newest of each of so many months.
    #[schemars(range(max = 10000))]
    pub monthly: u32,
}

/// Where an app calls. All else is refused, and the person can allow more or less, host by host.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Network {
    /// Hosts: a name (`api.openai.com`), all names below one (`*.example.org`, which is not `example.org` itself), or an IP address
    /// (`192.0.2.1`, `[2001:db8::1]`), in lower case, with no scheme and no path. A port may follow (`:8443`); without one it is 443.
    ///
    /// `*` is all names, for an app that reads whatever its user points it at; `*:80` adds http. Such an app can send what it knows
    /// anywhere, and a person who opens it is told. Names that lead into a private network are refused unless they stand here themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LIST_MAX), example = json!(["api.openai.com", "*.example.org:8443"]))]
    pub(super) allow: Vec<String>,
}

impl Network {
    fn is_empty(&self) -> bool {
        self.allow.is_empty()
    }
}

/// Events that an app takes from outside.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Webhook {
    /// Who sends them.
    pub(super) source: Source,
    /// The names of the events.
    #[schemars(
        length(min = 1, max = LIST_MAX),
        inner(regex(pattern = "^[a-z][a-z_]{0,63}$")),
        example = json!(["pull_request"])
    )]
    pub(super) events: Vec<String>,
    /// The service that takes them and the path, as `service/path`. They come on the service's first port.
    #[schemars(length(max = TEXT_CHARS_MAX), example = &"web/hooks")]
    pub(super) deliver_to: String,
}

/// Who sends events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// GitHub, or a server that speaks as it does
    Github,
}

/// What an app may do on GitHub.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Github {
    /// Permissions of a GitHub App, by GitHub's names.
    #[schemars(
        extend("minProperties" = 1, "maxProperties" = LIST_MAX),
        example = json!({"contents": "read"})
    )]
    pub(super) permissions: BTreeMap<String, Access>,
}

/// How far a permission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// To read
    Read,
    /// To read and change
    Write,
    /// All of it
    Admin,
}
