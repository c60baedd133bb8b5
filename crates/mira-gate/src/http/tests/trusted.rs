//! The certificates that programs are given, in the hands of clients.

use std::process::Command;
use std::sync::Arc;

use mira_package::manifest::Host;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpListener;

use super::world::{API, World};
use crate::http::{Site, serve_tls};
use crate::owner::Caller;
use crate::trust::{JAVA_PASSWORD, Trust};

fn trust(world: &World) -> Trust {
    Trust::new(
        world.gate.authority.certificate().clone(),
        &world.gate.roots,
    )
}

#[tokio::test]
async fn the_bundle_holds_the_systems_certificates_and_the_gates_own() {
    let world = World::new().await;
    let trust = trust(&world);
    let own = world.gate.authority.certificate();
    let read = |pem: String| -> Vec<CertificateDer<'static>> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        certificates.map(Result::unwrap).collect()
    };
    assert_eq!(read(trust.certificate()), std::slice::from_ref(own));
    assert_eq!(
        read(trust.bundle()),
        [world.origin.certificate.clone(), own.clone()]
    );
}

#[tokio::test]
async fn a_certificate_is_made_once_for_each_host() {
    let world = World::new().await;
    let host = |name: &str| Host::requested(name).unwrap();
    let authority = &world.gate.authority;
    let first = authority.server(&host(API)).unwrap();
    assert!(Arc::ptr_eq(&first, &authority.server(&host(API)).unwrap()));
    for other in ["other.example.org", "192.0.2.1", "[2001:db8::1]"] {
        let other = authority.server(&host(other)).unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
    }
}

/// A client that trusts what its settings say, and checks the host's name.
const JAVA: &str = r#"
import java.net.Socket;
import javax.net.ssl.*;
public class Call {
    public static void main(String[] args) throws Exception {
        Socket tcp = new Socket("127.0.0.1", Integer.parseInt(args[0]));
        SSLSocketFactory factory = (SSLSocketFactory) SSLSocketFactory.getDefault();
        SSLSocket tls = (SSLSocket) factory.createSocket(tcp, args[1], 443, true);
        SSLParameters parameters = tls.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        tls.setSSLParameters(parameters);
        String request = "GET /a HTTP/1.1\r\nHost: " + args[1] + "\r\nConnection: close\r\n\r\n";
        tls.getOutputStream().write(request.getBytes());
        System.out.print(new String(tls.getInputStream().readAllBytes()));
    }
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn java_reads_its_trust_store_and_talks_to_the_gate() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("trust.p12");
    std::fs::write(&store, trust(&world).java_store().unwrap()).unwrap();

    let listed = Command::new("keytool")
        .args(["-list", "-storepass", JAVA_PASSWORD, "-keystore"])
        .arg(&store)
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.matches("trustedCertEntry").count(), 2, "{listed}");

    let source = folder.path().join("Call.java");
    std::fs::write(&source, JAVA).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let gate = Arc::clone(&world.gate);
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let site = Site {
            host: Host::requested(API).unwrap(),
            port: 443,
            caller: Caller::Known(None),
            ended: Arc::default(),
        };
        serve_tls(tcp, site, gate).await;
    });
    let mut java = Command::new("java");
    java.arg(format!("-Djavax.net.ssl.trustStore={}", store.display()))
        .arg(format!(
            "-Djavax.net.ssl.trustStorePassword={JAVA_PASSWORD}"
        ))
        .arg(&source)
        .args([&port, API]);
    let said = tokio::task::spawn_blocking(move || java.output().unwrap())
        .await
        .unwrap();
    let heard = String::from_utf8_lossy(&said.stdout).into_owned();
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(heard.starts_with("HTTP/1.1 200 OK"), "{heard} {errors}");
}
