//! What goes wrong on the way: names, ports, time, TLS, proxies, and lines that are not encrypted.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use mira_provider::provider::{Provider, test};
use mira_provider::{Fault, Proxies, TIMEOUT};
use mira_secret::{SecretBytes, SecretName, SecretValue};
use mira_vault::settings::{ProviderSettings, Settings};

use crate::support::{caller_by, wait};

/// Calls an address with a key, and returns what is wrong.
fn fault(url: &str, proxies: Proxies, timeout: Duration) -> Fault {
    let mut settings = Settings::default();
    let own = ProviderSettings {
        base_url: Some(url.parse().unwrap()),
        ..ProviderSettings::default()
    };
    let name = "openai".parse().unwrap();
    settings.providers.insert(name, own);
    let provider = Provider::of(&settings, &"openai".parse().unwrap());
    let name: SecretName = provider.key.clone().unwrap();
    let key = SecretValue::new(&name, SecretBytes::copy_from(b"sk-proj-1234567890")).unwrap();
    let caller = caller_by(proxies, timeout);
    wait(test(&caller, &provider, Some(&key), None)).unwrap_err()
}

fn direct(url: &str) -> Fault {
    fault(url, Proxies::default(), TIMEOUT)
}

fn proxied(url: &str, proxy: String) -> Fault {
    let proxies = Proxies {
        https: Some(proxy),
        ..Proxies::default()
    };
    fault(url, proxies, TIMEOUT)
}

/// A port where nobody listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A server that reads a request's beginning, says this, and hangs up.
fn says(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let read = stream.read(&mut [0; 4096]);
        drop(read.and_then(|_| stream.write_all(answer.as_bytes())));
    });
    address
}

#[test]
fn a_name_without_an_address_is_told() {
    // RFC 2606: there is never such a name.
    let expect = Fault::NoAddress {
        host: "api.invalid".to_owned(),
    };
    assert_eq!(direct("https://api.invalid/v1"), expect);
}

#[test]
fn a_port_where_nobody_listens_is_told() {
    let at = closed();
    let expect = Fault::ConnectionRefused { at: at.clone() };
    assert_eq!(direct(&format!("http://{at}/v1")), expect);
    assert_eq!(direct(&format!("https://{at}/v1")), expect);
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let expect = Fault::Timeout {
        at: at.clone(),
        seconds: 1,
    };
    let url = format!("http://{at}/v1");
    assert_eq!(
        fault(&url, Proxies::default(), Duration::from_secs(1)),
        expect
    );
}

#[test]
fn a_server_that_hangs_up_is_told() {
    let told = direct(&format!(
        "http://{}/v1",
        says("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")
    ));
    assert_eq!(told.code(), "unreachable", "{told}");
}

#[test]
fn an_encrypted_connection_that_cannot_be_made_is_told() {
    let told = direct(&format!(
        "https://{}/v1",
        says("HTTP/1.1 400 Bad Request\r\n\r\n")
    ));
    assert_eq!(told.code(), "tls", "{told}");
}

#[test]
fn no_key_goes_over_an_open_line() {
    let expect = Fault::Unencrypted {
        at: "api.example.com".to_owned(),
    };
    assert_eq!(direct("http://api.example.com/v1"), expect);
}

#[test]
fn a_proxy_that_refuses_is_told_apart_from_the_host() {
    let check = |proxy: &str, why: &str| {
        let told = proxied(
            "https://api.example.com/v1",
            format!("http://me:pw@{proxy}"),
        );
        assert_eq!(told.code(), "proxy-refused", "{told}");
        let text = told.to_string();
        assert!(
            text.contains(proxy) && text.contains("api.example.com"),
            "{text}"
        );
        assert!(text.contains(why), "{text}");
        assert!(!text.contains("me:pw"), "{text}");
    };
    check(&says("HTTP/1.1 403 Forbidden\r\n\r\n"), "refused");
    check(
        &says("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        "password",
    );
    check(&closed(), "refused");
}

#[test]
fn this_machine_is_called_without_a_proxy() {
    let at = closed();
    let proxies = Proxies {
        http: Some(format!("http://{}", says("HTTP/1.1 403 Forbidden\r\n\r\n"))),
        ..Proxies::default()
    };
    let told = fault(&format!("http://{at}/v1"), proxies, TIMEOUT);
    assert_eq!(told, Fault::ConnectionRefused { at });
}
