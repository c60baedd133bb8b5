//! A proxy made with hudsucker that puts a value in the place of a placeholder in `Authorization`, for the gate's bench.
//!
//! Its arguments: the certificate and the key (PEM) by which it speaks in the place of hosts and by which it verifies them, the placeholder,
//! the value. It prints its port.

use std::sync::Arc;

use hudsucker::certificate_authority::RcgenAuthority;
use hudsucker::hyper::Request;
use hudsucker::hyper::header::AUTHORIZATION;
use hudsucker::rcgen::{Issuer, KeyPair};
use hudsucker::rustls::crypto::aws_lc_rs;
use hudsucker::rustls::pki_types::{CertificateDer, pem::PemObject};
use hudsucker::rustls::{ClientConfig, RootCertStore};
use hudsucker::{Body, HttpContext, HttpHandler, Proxy, RequestOrResponse};
use tokio::net::TcpListener;

#[derive(Clone)]
struct Swap {
    placeholder: Arc<str>,
    value: Arc<str>,
}

impl HttpHandler for Swap {
    async fn handle_request(
        &mut self,
        _: &HttpContext,
        mut request: Request<Body>,
    ) -> RequestOrResponse {
        if let Some(header) = request.headers_mut().get_mut(AUTHORIZATION)
            && let Ok(text) = header.to_str()
            && text.contains(&*self.placeholder)
        {
            let full = text.replace(&*self.placeholder, &self.value);
            *header = full.parse().expect("the bench's value is plain text");
        }
        request.into()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or("an argument is missing");
    let certificate = std::fs::read_to_string(next()?)?;
    let key = KeyPair::from_pem(&std::fs::read_to_string(next()?)?)?;
    let swap = Swap {
        placeholder: next()?.into(),
        value: next()?.into(),
    };
    let provider = aws_lc_rs::default_provider();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes())?)?;
    let tls = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    let issuer = Issuer::from_ca_cert_pem(&certificate, key)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    Proxy::builder()
        .with_listener(listener)
        .with_ca(RcgenAuthority::new(issuer, 1_000, provider))
        .with_http_connector(connector)
        .with_http_handler(swap)
        .build()?
        .start()
        .await?;
    Ok(())
}
