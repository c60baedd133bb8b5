//! The gate in a process of its own, as a proxy with a token: this program, started by itself.
//!
//! The value of the brokered secret comes by standard input, and with its end the process ends. The proxy's address with its token goes to standard
//! output, then the gate's certificate.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;

use mira_gate::{
    Access, Audit, Brokered, Gate, GateConfig, Keep, Limits, Origin, Policy, Resolver, Roots,
};
use mira_package::manifest::HostPattern;
use mira_secret::{SecretBytes, SecretName, SecretValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// What the gate lets through.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A host that may be called
    #[arg(long)]
    allow: HostPattern,
    /// What stands for the secret in requests to that host; without it, nothing is looked into
    #[arg(long)]
    placeholder: Option<Box<str>>,
    /// The authority by which the host is verified, as PEM
    #[arg(long)]
    root: PathBuf,
    /// The folder of the record
    #[arg(long)]
    record: PathBuf,
}

/// Serves until standard input ends.
pub(crate) fn serve(args: &Args) {
    let mut input = std::io::stdin().lock();
    let mut value = Vec::new();
    input.read_until(b'\n', &mut value).expect("it is a pipe");
    value.pop();
    let mut policy = Policy::builder("bench");
    policy.allow(args.allow.clone(), Origin::CommandLine);
    if let Some(placeholder) = &args.placeholder {
        let name: SecretName = "BENCH_KEY".parse().expect("it is a name");
        policy.broker(Brokered {
            placeholder: placeholder.clone(),
            value: SecretValue::new(&name, SecretBytes::from_vec(value)).expect("it is text"),
            hosts: vec![args.allow.clone()],
            query: Vec::new(),
            name,
        });
    }
    let root = CertificateDer::from_pem_file(&args.root).expect("the bench wrote it");
    let runtime = tokio::runtime::Runtime::new().expect("the system has what a runtime needs");
    let _context = runtime.enter();
    let gate = Gate::new(GateConfig {
        policy: policy.build(),
        audit: Audit::open(&args.record, "bench", Keep::default()).expect("its folder is ours"),
        resolver: Resolver::function(|_| vec![IpAddr::from(Ipv4Addr::LOCALHOST)]),
        roots: Roots::only(vec![root]).expect("it is a certificate"),
        limits: Limits::default(),
    });
    let gate = gate.expect("the system has randomness");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    let access = Access::make().expect("the system has randomness");
    let mut told = std::io::stdout().lock();
    // EXPOSE: to the bench that started this, whose programs show it to the proxy.
    told.write_all(access.url(address).expose())
        .and_then(|()| write!(told, "\n{}", gate.trust().certificate()))
        .and_then(|()| told.flush())
        .expect("the bench listens");
    let serving = gate.serve_proxy(listener, access);
    let _serving = serving.expect("the listener is bound");
    input.read_to_end(&mut Vec::new()).ok();
}
