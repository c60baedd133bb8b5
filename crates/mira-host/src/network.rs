//! The network of an instance, or of one command: a gate, and a room around the processes where the system can make one.
//!
//! In a room the processes have no network but loopback, and every way out of it leads to the gate: the network is **enforced**. Where the system
//! makes no rooms, they are told to use the gate as their proxy, and nothing keeps them from doing otherwise: it is **recorded**, and said so wherever it
//! is shown.
//!
//! INVARIANT: the gate is there before the first process is, and outlives the last one; where it cannot be, nothing is started.

mod asked;
mod command;
mod ingress;
mod mode;
mod residents;
mod trust;
mod view;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mira_gate::{
    Access, Audit, AuditError, Brokered, Gate, GateConfig, GateError, Keep, Limits, Owner, Policy,
    Resolver, RoomOpenings, Roots, Rule, Serving, TokenSource, TrustError,
};
use mira_package::manifest::HostPattern;
use mira_sandbox::{Entrance, Helper, Refusal, Room, RoomSpec};
use mira_secret::{SecretBytes, SecretName, SecretValue};

use asked::Asked;
pub use command::CommandNetwork;
pub(crate) use ingress::Ingress;
pub use mode::NetworkMode;
use residents::Residents;
pub(crate) use residents::{Resident, children};
pub use view::Visible;

/// What a network is to be.
#[derive(Clone, Debug)]
pub struct Network {
    /// Whom the policy is for: what denials and the record say.
    pub name: String,
    /// Whether it is a command's, rather than an instance's.
    pub is_command: bool,
    /// What may be called; the last rule that fits decides.
    pub rules: Vec<Rule>,
    /// The secrets that the gate puts into requests.
    pub brokered: Vec<Broker>,
    /// Whether it may get placeholders of the code host's tokens.
    pub has_tokens: bool,
    /// The folder of the record.
    pub record: PathBuf,
    /// Start nothing where it cannot be enforced.
    pub require_enforcement: bool,
    /// What the processes see of the file system.
    pub visible: Visible,
}

/// A brokered secret, but for its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its name.
    pub name: SecretName,
    /// What the processes have instead of the value.
    pub placeholder: Box<str>,
    /// The hosts whose requests may carry it.
    pub hosts: Vec<HostPattern>,
    /// The parameters of a URL's query in which it is put too.
    pub query: Vec<Box<str>>,
}

impl Broker {
    /// Makes a brokered secret with a placeholder of its value's shape.
    #[must_use]
    pub fn new(
        name: &SecretName,
        value: &SecretValue,
        hosts: Vec<HostPattern>,
        query: Vec<Box<str>>,
    ) -> Self {
        Self {
            placeholder: mira_gate::placeholder(name, value),
            name: name.clone(),
            hosts,
            query,
        }
    }

    /// Returns the variable that the processes get instead of the value's.
    #[must_use]
    pub fn variable(&self) -> (OsString, OsString) {
        let placeholder = &*self.placeholder;
        (self.name.as_str().into(), placeholder.into())
    }
}

/// Why there is no network, and so nothing is started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// It has to be enforced, and cannot be.
    #[error("the network cannot be enforced here, and that is required: {0}")]
    NotEnforced(Refusal),
    /// The room could not be made.
    #[error(transparent)]
    Room(#[from] Refusal),
    /// The record cannot be kept.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// There are no certificates that could be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The gate cannot run.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The system refused something.
    #[error("the network cannot be set up: {what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

fn system(what: &'static str) -> impl Fn(io::Error) -> NetworkError {
    move |source| NetworkError::System { what, source }
}

/// A network that is there.
#[derive(Debug)]
pub struct Net {
    name: String,
    is_command: bool,
    gate: Gate,
    brokered: Vec<(Broker, SecretValue)>,
    tokens: Option<Tokens>,
    way: Way,
    asked: Asked,
    trust: trust::Files,
    residents: Arc<Residents>,
    /// Its end is the end of all connections.
    serving: Mutex<Serving>,
}

/// Who knows the tokens that its placeholders stand for, and as which instance it is asked. When it goes, the placeholders do.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) source: Arc<dyn TokenSource>,
    pub(crate) instance: String,
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.source.ended(&self.instance);
    }
}

/// How its processes get to the gate.
#[derive(Debug)]
enum Way {
    Room {
        room: Arc<Room>,
        entrance: Entrance,
        ports: Mutex<BTreeSet<u16>>,
    },
    Proxy {
        /// With the password that is asked for there.
        url: SecretBytes,
    },
}

impl Net {
    /// Makes a network; `values` are those of the brokered secrets. It takes milliseconds, and must be called on a tokio runtime.
    ///
    /// # Errors
    ///
    /// Says what cannot be: nothing is to be started then.
    pub fn open<'a>(
        spec: &Network,
        values: impl Fn(&SecretName) -> Option<&'a SecretValue>,
        helper: &Helper,
    ) -> Result<(Self, NetworkMode), NetworkError> {
        Self::of_instance(spec, &[], values, None, helper)
    }

    /// The same, for an instance with these services, whose placeholders of tokens are known.
    pub(crate) fn of_instance<'a>(
        spec: &Network,
        services: &[&str],
        values: impl Fn(&SecretName) -> Option<&'a SecretValue>,
        tokens: Option<Tokens>,
        helper: &Helper,
    ) -> Result<(Self, NetworkMode), NetworkError> {
        let mut folder = DirBuilder::new();
        let made = folder.recursive(true).mode(0o700).create(&spec.record);
        made.map_err(system("the folder of the record"))?;
        let with_value = |broker: &Broker| {
            let value = copied(&broker.name, values(&broker.name)?)?;
            Some((broker.clone(), value))
        };
        let brokered: Vec<_> = spec.brokered.iter().filter_map(with_value).collect();
        let policy = policy(
            &spec.name,
            spec.is_command,
            &spec.rules,
            &brokered,
            tokens.as_ref(),
        );
        let ports = policy.ports();
        let residents = Arc::<Residents>::default();
        let gate = Gate::new(GateConfig {
            policy,
            audit: Audit::open(&spec.record, &spec.name, Keep::default())?,
            resolver: Resolver::system(),
            roots: Roots::system()?,
            limits: Limits::default(),
        })?;
        let ((way, serving, trust), mode) =
            match room(&gate, spec, &ports, residents.owner(services), helper) {
                Ok(room) => (room, NetworkMode::Enforced),
                // Either no room can be made here, or not this one: then it is an error, and no reason to do without.
                Err(NetworkError::Room(refusal)) => match mira_sandbox::probe(helper) {
                    Ok(()) => return Err(refusal.into()),
                    Err(refusal) if spec.require_enforcement => {
                        return Err(NetworkError::NotEnforced(refusal));
                    }
                    Err(refusal) => {
                        let why = refusal.to_string();
                        let proxy = proxy(&gate, &spec.record)?;
                        (proxy, NetworkMode::Recorded { why })
                    }
                },
                Err(error) => return Err(error),
            };
        mode.write(&spec.record).map_err(system("the record"))?;
        let net = Self {
            name: spec.name.clone(),
            is_command: spec.is_command,
            gate,
            brokered,
            tokens,
            way,
            asked: Asked::new(&spec.rules),
            trust,
            residents,
            serving: Mutex::new(serving),
        };
        Ok((net, mode))
    }

    /// Returns the room that processes are to be started in, if there is one.
    #[must_use]
    pub fn entrance(&self) -> Option<&Entrance> {
        match &self.way {
            Way::Room { entrance, .. } => Some(entrance),
            Way::Proxy { .. } => None,
        }
    }

    /// Returns another way into the room, if there is one.
    pub(crate) fn new_entrance(&self) -> io::Result<Option<Entrance>> {
        match &self.way {
            Way::Room { entrance, .. } => entrance.try_clone().map(Some),
            Way::Proxy { .. } => Ok(None),
        }
    }

    /// Returns the services that live in it.
    pub(crate) const fn residents(&self) -> &Arc<Residents> {
        &self.residents
    }

    /// Returns the gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Returns the variables by which programs find the gate, and trust it.
    #[must_use]
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        let mut variables = self.trust.variables();
        if let Way::Proxy { url } = &self.way {
            // EXPOSE: to the processes that are to use the proxy, and to whoever may read their environment.
            let url = OsString::from_vec(url.expose().to_vec());
            for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
                variables.push((name.to_lowercase().into(), url.clone()));
                variables.push((name.into(), url.clone()));
            }
            // Services of an instance reach each other without it; clients understand names there, and few of them ports.
            let without = match self.is_command {
                true => "",
                false => "127.0.0.1,localhost,::1",
            };
            for name in ["NO_PROXY", "no_proxy"] {
                variables.push((name.into(), without.into()));
            }
            variables.push(("NODE_USE_ENV_PROXY".into(), "1".into()));
        }
        variables
    }

    /// Replaces the rules; connections that the new ones refuse are closed.
    ///
    /// # Errors
    ///
    /// A port cannot be listened on; the rules are the old ones then.
    pub fn replace(&self, rules: &[Rule]) -> Result<(), NetworkError> {
        self.asked.replace(rules, |rules| self.enforce(rules))
    }

    fn enforce(&self, rules: &[Rule]) -> Result<(), NetworkError> {
        let policy = policy(
            &self.name,
            self.is_command,
            rules,
            &self.brokered,
            self.tokens.as_ref(),
        );
        if let Way::Room { room, ports, .. } = &self.way {
            let mut listening = ports.lock().unwrap_or_else(PoisonError::into_inner);
            for port in policy.ports() {
                if !listening.contains(&port) {
                    let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
                    let added = serving.add(room.listen(port)?);
                    added.map_err(system("a port of the room"))?;
                    listening.insert(port);
                }
            }
        }
        self.gate.replace(policy);
        Ok(())
    }

    /// Connects to a port of 127.0.0.1 where its processes are.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or the room is gone.
    pub async fn connect(&self, port: u16) -> io::Result<tokio::net::TcpStream> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match &self.way {
            Way::Room { room, .. } => {
                let socket = room.socket().map_err(io::Error::other)?;
                let stream = std::net::TcpStream::from(socket);
                stream.set_nonblocking(true)?;
                tokio::net::TcpSocket::from_std_stream(stream)
                    .connect(address)
                    .await
            }
            Way::Proxy { .. } => tokio::net::TcpStream::connect(address).await,
        }
    }
}

fn policy(
    name: &str,
    is_command: bool,
    rules: &[Rule],
    brokered: &[(Broker, SecretValue)],
    tokens: Option<&Tokens>,
) -> Policy {
    let mut builder = Policy::builder(name);
    if is_command {
        builder.of_command();
    }
    for rule in rules {
        builder.rule(rule.clone());
    }
    for (broker, value) in brokered {
        let Some(value) = copied(&broker.name, value) else {
            continue;
        };
        builder.broker(Brokered {
            name: broker.name.clone(),
            placeholder: broker.placeholder.clone(),
            value,
            hosts: broker.hosts.clone(),
            query: broker.query.clone(),
        });
    }
    if let Some(tokens) = tokens {
        builder.tokens(Arc::clone(&tokens.source), &tokens.instance);
    }
    builder.build()
}

/// Returns a copy of a value, in locked memory of its own.
fn copied(name: &SecretName, value: &SecretValue) -> Option<SecretValue> {
    // EXPOSE: to the gate's policy, which puts it into requests.
    SecretValue::new(name, SecretBytes::copy_from(value.expose())).ok()
}

/// Makes a room whose ways out lead to the gate.
fn room(
    gate: &Gate,
    spec: &Network,
    ports: &[u16],
    owner: Owner,
    helper: &Helper,
) -> Result<(Way, Serving, trust::Files), NetworkError> {
    // Where nothing is allowed on them, a denial is told in words.
    let ports: BTreeSet<u16> = ports.iter().copied().chain([80, 443]).collect();
    let trust = trust::Files::in_room();
    let mut view = spec.visible.view();
    view.files.extend(trust.contents(gate.trust())?);
    let (room, openings) = Room::make(
        helper,
        &RoomSpec {
            ports: ports.iter().copied().collect(),
            view,
        },
    )?;
    let entrance = room.entrance().map_err(system("the room"))?;
    let serving = gate.serve_room(RoomOpenings {
        listeners: openings.listeners,
        dns: openings.dns,
        proxy: openings.proxy,
        watch: openings.watch,
        owner,
    });
    let serving = serving.map_err(system("the gate in the room"))?;
    let way = Way::Room {
        room: Arc::new(room),
        entrance,
        ports: Mutex::new(ports),
    };
    Ok((way, serving, trust))
}

/// Has the gate listen for processes that are told to use it.
fn proxy(gate: &Gate, record: &Path) -> Result<(Way, Serving, trust::Files), NetworkError> {
    let trust = trust::Files::beside(record);
    for (path, content) in trust.contents(gate.trust())? {
        let written = tempfile::NamedTempFile::new_in(record).and_then(|mut file| {
            file.write_all(&content)?;
            Ok(file.persist(path)?)
        });
        written.map_err(system("the certificates of the gate"))?;
    }
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listener = listener.map_err(system("the proxy's port"))?;
    let address = listener.local_addr().map_err(system("the proxy's port"))?;
    let access = Access::make().map_err(|error| system("a password of the proxy")(error.into()))?;
    let url = access.url(address);
    let serving = gate.serve_proxy(listener, access);
    Ok((
        Way::Proxy { url },
        serving.map_err(system("the proxy"))?,
        trust,
    ))
}
