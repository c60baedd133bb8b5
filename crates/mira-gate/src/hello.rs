//! What a program's connection begins with: TLS, HTTP or something else, and for TLS, which host it names.
//!
//! What is said here is held against what was connected to, and decides nothing.
//!
//! INVARIANT: the bytes that were looked at are kept as they came, so that what was checked is what is sent on.

use std::io;

use bytes::BytesMut;
use mira_package::manifest::Host;
use rustls::server::Acceptor;
use tls_parser::{SNIType, TlsExtension, TlsExtensionType, TlsMessage, TlsMessageHandshake};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::policy::Reason;

/// How many bytes are looked at.
// LIMIT: the largest record of TLS; a first message of today's browsers, with keys against quantum computers, has 2 KiB.
const HELLO_BYTES_MAX: usize = 16 * 1024;

/// The type of the record that TLS begins with.
const HANDSHAKE: u8 = 0x16;

/// How long a method's name is.
// LIMIT: twice the longest one that is registered and a little.
const METHOD_BYTES_MAX: usize = 32;

/// Encrypted Client Hello ([RFC 9849](https://www.rfc-editor.org/rfc/rfc9849)), and the encrypted name that was its forerunner.
const ENCRYPTED: [u16; 2] = [0xfe0d, 0xffce];

/// What a connection begins with.
#[derive(Debug)]
pub(crate) enum First {
    /// The first message of a TLS client.
    Tls(Hello),
    /// Something that looks like TLS and is not readable.
    BadTls,
    /// A request of HTTP, or the preface of HTTP/2.
    Http,
    /// Something else.
    Other,
    /// The end.
    Nothing,
}

/// The first message of a TLS client.
#[derive(Debug)]
pub(crate) struct Hello {
    /// The name of the host, in lower case, if it names one.
    pub(crate) name: Option<Box<str>>,
    /// Whether there is an extension for the name, whatever it holds.
    has_name: bool,
    /// Whether it holds, or pretends to hold, an encrypted message that may name another host.
    is_encrypted: bool,
}

impl Hello {
    /// Checks that it names the host that was connected to, and no address.
    pub(crate) fn check(&self, host: &Host) -> Result<(), Reason> {
        let fits = match host {
            Host::Name(name) => self.name.as_ref() == Some(name),
            Host::Ip(_) => !self.has_name,
        };
        fits.then_some(()).ok_or(Reason::Mismatch("SNI"))
    }

    /// Checks that it names no second host that only the server can read. Needed only where the server reads it.
    pub(crate) fn check_open(&self) -> Result<(), Reason> {
        match self.is_encrypted {
            true => Err(Reason::Protocol("TLS without Encrypted Client Hello")),
            false => Ok(()),
        }
    }
}

/// Reads as much as is needed to tell what a connection begins with. The bytes are added to `head`, which may hold some already.
pub(crate) async fn read<R>(from: &mut R, head: &mut BytesMut) -> io::Result<First>
where
    R: AsyncRead + Unpin,
{
    read_until(from, head, plain).await
}

/// Does so where HTTP is nothing special, and so waits for no byte that only HTTP would have.
pub(crate) async fn read_tls<R>(from: &mut R, head: &mut BytesMut) -> io::Result<First>
where
    R: AsyncRead + Unpin,
{
    read_until(from, head, |_| Some(First::Other)).await
}

async fn read_until<R>(
    from: &mut R,
    head: &mut BytesMut,
    plain: impl Fn(&[u8]) -> Option<First>,
) -> io::Result<First>
where
    R: AsyncRead + Unpin,
{
    let mut tls = None;
    loop {
        let first = match head.first() {
            None => None,
            Some(&HANDSHAKE) => tls.get_or_insert_with(Tls::default).read(head),
            Some(_) => plain(head),
        };
        if let Some(first) = first {
            return Ok(first);
        }
        if head.len() >= HELLO_BYTES_MAX {
            return Ok(First::BadTls);
        }
        let was_empty = head.is_empty();
        head.reserve(2048);
        let room = HELLO_BYTES_MAX.saturating_sub(head.len());
        let count = (&mut *from)
            .take(u64::try_from(room).unwrap_or(u64::MAX))
            .read_buf(head)
            .await?;
        if count == 0 {
            let is_tls = head.first() == Some(&HANDSHAKE);
            return Ok(match (was_empty, is_tls) {
                (true, _) => First::Nothing,
                (false, true) => First::BadTls,
                (false, false) => First::Other,
            });
        }
    }
}

/// Tells HTTP by its method: a word in capitals and a space. Nothing while more bytes are needed.
fn plain(head: &[u8]) -> Option<First> {
    let is_method = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
    match head.iter().position(|byte| !is_method(byte)) {
        Some(end) if end > 0 && head.get(end) == Some(&b' ') => Some(First::Http),
        Some(_) => Some(First::Other),
        None => (head.len() > METHOD_BYTES_MAX).then_some(First::Other),
    }
}

/// Reads the first message of TLS as its bytes come.
#[derive(Default)]
struct Tls {
    acceptor: Acceptor,
    seen: usize,
}

impl Tls {
    fn read(&mut self, head: &[u8]) -> Option<First> {
        let mut new = head.get(self.seen..).unwrap_or_default();
        while !new.is_empty() {
            if self.acceptor.read_tls(&mut new).is_err() {
                return Some(First::BadTls);
            }
        }
        self.seen = head.len();
        match self.acceptor.accept() {
            Ok(None) => None,
            Ok(Some(_)) => Some(extensions(head).map_or(First::BadTls, First::Tls)),
            Err(_) => Some(First::BadTls),
        }
    }
}

/// Looks at the extensions of a message that rustls found good: it does not tell of all, and not of how the name was written.
fn extensions(mut records: &[u8]) -> Option<Hello> {
    // A message may be spread over records.
    let mut message = Vec::new();
    while let Ok((rest, record)) = tls_parser::parse_tls_raw_record(records) {
        message.extend_from_slice(record.data);
        records = rest;
    }
    let (_, parsed) = tls_parser::parse_tls_message_handshake(&message).ok()?;
    let TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)) = parsed else {
        return None;
    };
    let (rest, all) =
        tls_parser::parse_tls_client_hello_extensions(hello.ext.unwrap_or_default()).ok()?;
    // It stops at what it cannot read, and what follows is not known then.
    if !rest.is_empty() {
        return None;
    }
    let has = |wanted: u16| {
        let mut types = all.iter().map(TlsExtensionType::from);
        types.any(|kind| kind.0 == wanted)
    };
    let names = all.iter().find_map(|one| match one {
        TlsExtension::SNI(names) => Some(&**names),
        _ => None,
    });
    let name = match names {
        Some([(SNIType::HostName, name)]) => str::from_utf8(name).ok(),
        _ => None,
    };
    Some(Hello {
        name: name.map(|name| name.to_ascii_lowercase().into()),
        has_name: names.is_some(),
        is_encrypted: ENCRYPTED.into_iter().any(has),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn client_hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// Adds an extension to a message that is one record.
    fn with_extension(hello: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let mut added = kind.to_be_bytes().to_vec();
        added.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        added.extend(data);
        let session = usize::from(hello[43]);
        let suites = 44 + session;
        let suites_len = usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
        let compression = suites + 2 + suites_len;
        let at = compression + 1 + usize::from(hello[compression]);
        let mut bytes = hello.to_vec();
        let mut grow = |at: usize| {
            let len = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            let len = u16::try_from(len + added.len()).unwrap().to_be_bytes();
            bytes[at..at + 2].copy_from_slice(&len);
        };
        grow(3);
        grow(7);
        grow(at);
        bytes.splice(at + 2..at + 2, added);
        bytes
    }

    /// Cuts the message of one record into records of a few bytes.
    fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in hello[5..].chunks(size) {
            bytes.extend(&hello[..3]);
            bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            bytes.extend(part);
        }
        bytes
    }

    async fn first(bytes: &[u8], chunk: usize) -> First {
        let (mut near, mut far) = tokio::io::duplex(chunk);
        let writing = async {
            tokio::io::AsyncWriteExt::write_all(&mut near, bytes)
                .await
                .ok();
            drop(near);
        };
        let mut head = BytesMut::new();
        let (_, first) = tokio::join!(writing, async {
            let first = read(&mut far, &mut head).await.unwrap();
            drop(far);
            first
        });
        assert!(bytes.starts_with(&head));
        first
    }

    fn name(name: &str) -> Host {
        Host::requested(name).unwrap()
    }

    #[tokio::test]
    async fn the_name_is_found_however_the_message_comes() {
        let hello = client_hello("Api.example.org");
        for bytes in [hello.clone(), in_records(&hello, 50)] {
            for chunk in [1, 7, 100_000] {
                let First::Tls(hello) = first(&bytes, chunk).await else {
                    panic!("not seen as TLS");
                };
                assert_eq!(hello.check(&name("api.example.org")), Ok(()));
                assert_eq!(hello.check_open(), Ok(()));
                let mismatch = Err(Reason::Mismatch("SNI"));
                assert_eq!(hello.check(&name("b.example.org")), mismatch);
                assert_eq!(hello.check(&name("192.0.2.1")), mismatch);
            }
        }
    }

    #[tokio::test]
    async fn an_address_is_called_without_a_name() {
        let First::Tls(hello) = first(&client_hello("192.0.2.1"), 4096).await else {
            panic!("not seen as TLS");
        };
        assert_eq!(hello.check(&name("192.0.2.1")), Ok(()));
        let mismatch = Err(Reason::Mismatch("SNI"));
        assert_eq!(hello.check(&name("api.example.org")), mismatch);
    }

    #[tokio::test]
    async fn a_name_with_a_dot_at_its_end_is_another_one() {
        let mut hello = client_hello("api.example.orgx");
        let at = hello.windows(4).position(|part| part == b"orgx").unwrap();
        hello[at + 3] = b'.';
        match first(&hello, 4096).await {
            First::Tls(hello) => assert!(hello.check(&name("api.example.org")).is_err()),
            other => assert!(matches!(other, First::BadTls), "{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_encrypted_message_is_seen() {
        for kind in ENCRYPTED {
            let bytes = with_extension(&client_hello("a.test"), kind, &[0; 40]);
            match first(&bytes, 4096).await {
                First::Tls(hello) => assert!(hello.check_open().is_err(), "{kind:x}"),
                other => assert!(matches!(other, First::BadTls), "{other:?}"),
            }
        }
        // What browsers add to keep servers from choking on what is new is nothing to refuse.
        let bytes = with_extension(&client_hello("a.test"), 0x1a1a, &[0]);
        let First::Tls(hello) = first(&bytes, 4096).await else {
            panic!("not seen as TLS");
        };
        assert_eq!(hello.check_open(), Ok(()));
    }

    #[tokio::test]
    async fn what_is_no_whole_message_of_tls_is_bad() {
        let hello = client_hello("a.test");
        let mut other_type = hello.clone();
        other_type[5] = 2;
        let mut long = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
        long.resize(20_000, 0);
        for bytes in [&hello[..hello.len() - 1], &other_type, &long] {
            assert!(matches!(first(bytes, 4096).await, First::BadTls));
        }
    }

    #[tokio::test]
    async fn http_is_told_from_all_else() {
        let check = async |bytes: &[u8], expect: &str| {
            for chunk in [1, 4096] {
                let first = format!("{:?}", first(bytes, chunk).await);
                assert_eq!(first, expect, "{bytes:?}");
            }
        };
        check(b"GET / HTTP/1.1\r\n", "Http").await;
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Http").await;
        check(b"M-SEARCH * HTTP/1.1\r\n", "Http").await;
        check(b"SSH-2.0-OpenSSH_9.6\r\n", "Other").await;
        check(b" GET / HTTP/1.1\r\n", "Other").await;
        check(&[b'A'; 100], "Other").await;
        check(b"GET", "Other").await;
        check(&[0, 1, 2], "Other").await;
        check(b"", "Nothing").await;
    }
}
