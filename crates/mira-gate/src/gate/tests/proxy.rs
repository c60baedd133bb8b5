//! What programs do that are told to use a proxy.

use tokio::io::AsyncBufReadExt;

use super::*;

struct Proxied {
    bench: Bench,
    _serving: Serving,
    address: SocketAddr,
    credentials: String,
}

fn proxied(policy: Policy) -> Proxied {
    let bench = bench(policy, Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let access = Access::make().unwrap();
    let url = access.url(address);
    // EXPOSE: to this test, which is the program.
    let url = String::from_utf8(url.expose().to_vec()).unwrap();
    let credentials = url.strip_prefix("http://").unwrap();
    let credentials = credentials.split_once('@').unwrap().0.to_owned();
    Proxied {
        _serving: bench.gate.serve_proxy(listener, access).unwrap(),
        bench,
        address,
        credentials,
    }
}

impl Proxied {
    async fn stream(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn authorization(&self) -> String {
        let encoded = data_encoding::BASE64.encode(self.credentials.as_bytes());
        format!("Proxy-Authorization: Basic {encoded}\r\n")
    }

    /// Asks for a tunnel. Returns the stream where it is granted, or the answer.
    async fn connect(&self, target: &str) -> Result<TcpStream, String> {
        let mut stream = self.stream().await;
        let authorization = self.authorization();
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        let mut lines = tokio::io::BufReader::with_capacity(1, &mut stream);
        while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).await.unwrap() > 0 {}
        match head.starts_with("HTTP/1.1 200") {
            true => Ok(stream),
            false => Err(head + &to_end(&mut stream).await),
        }
    }
}

#[tokio::test]
async fn only_who_has_the_token_is_served() {
    let (_listener, port) = origin().await;
    let proxied = proxied(policy(&[&format!("a.test:{port}")]));
    let right = proxied.authorization();
    let twice = right.repeat(2);
    let wrong = [
        "",
        "Proxy-Authorization: Basic bWlyYTp4\r\n",
        "Proxy-Authorization: Bearer x\r\n",
        "Proxy-Authorization: \r\n",
        &twice,
    ];
    for authorization in wrong {
        let request = format!("CONNECT a.test:{port} HTTP/1.1\r\n{authorization}\r\n");
        let answer = ask(&mut proxied.stream().await, &request).await;
        assert!(answer.starts_with("HTTP/1.1 407"), "{answer}");
        assert!(answer.contains("proxy-authenticate: Basic"), "{answer}");
    }
    assert!(proxied.bench.rows().is_empty());
    assert!(proxied.connect(&format!("a.test:{port}")).await.is_ok());
    assert!(!format!("{:?}", Access::make()).contains(':'));
}

#[tokio::test]
async fn a_tunnel_carries_what_its_target_may_be_told() {
    let (listener, port) = origin().await;
    let proxied = proxied(policy(&[&format!("a.test:{port}")]));
    let mut stream = proxied.connect(&format!("A.test.:{port}")).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    server.write_all(b"hello").await.unwrap();
    drop(server);
    assert_eq!(to_end(&mut stream).await, "hello");
    drop(stream);
    let rows = proxied.bench.ended().await;
    assert_eq!((rows[0].host.as_str(), rows[0].received), ("a.test", 5));
    assert_eq!(rows[0].address, Some(std::net::Ipv4Addr::LOCALHOST.into()));
    assert_eq!(rows[0].enforced, Some(false));
}

#[tokio::test]
async fn bytes_that_come_with_the_request_belong_to_the_tunnel() {
    let (listener, port) = origin().await;
    let proxied = proxied(policy(&[&format!("a.test:{port}")]));
    let mut stream = proxied.stream().await;
    let authorization = proxied.authorization();
    let request = format!("CONNECT a.test:{port} HTTP/1.1\r\n{authorization}\r\nearly");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(to_end(&mut server).await, "early");
}

#[tokio::test]
async fn a_target_is_written_in_one_way() {
    let proxied = proxied(policy(&["a.test", "127.0.0.1", "localhost"]));
    let refused = [
        "0x7f.1:443",
        "0x7f000001:443",
        "2130706433:443",
        "017700000001:443",
        "127.1:443",
        "[::ffff:127.0.0.1]:443",
        "[0:0:0:0:0:0:0:1]:443",
        "user@a.test:443",
        "a.test@b.test:443",
        "a.test..:443",
        "b.test:443",
        "a.test:8443",
        "a.test:99999",
        "a.test:",
        "a.test",
        "http://a.test:443/",
        "/",
    ];
    for target in refused {
        let answer = proxied.connect(target).await.map(|_| ());
        let answer = answer.expect_err(target);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(matches!(status, "400" | "403"), "{target}: {answer}");
    }
    for target in ["a.test:443", "A.TEST.:443", "127.0.0.1:443", "[::1]:443"] {
        assert!(proxied.connect(target).await.is_ok(), "{target}");
    }
}

#[tokio::test]
async fn what_is_said_in_a_tunnel_is_held_against_its_target() {
    let proxied = proxied(policy(&["a.test", "a.test:80"]));
    let stream = proxied.connect("a.test:443").await.unwrap();
    let mut tls = proxied.bench.tls(stream, "b.test").await.unwrap();
    let answer = ask(&mut tls, "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let mut stream = proxied.connect("a.test:443").await.unwrap();
    let answer = ask(&mut stream, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let mut stream = proxied.connect("a.test:443").await.unwrap();
    assert_eq!(ask(&mut stream, "SSH-2.0-x\r\n").await, "");
    let mut stream = proxied.connect("a.test:80").await.unwrap();
    let answer = ask(&mut stream, "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let stream = proxied.connect("a.test:80").await.unwrap();
    let mut tls = proxied.bench.tls(stream, "a.test").await.unwrap();
    let answer = ask(&mut tls, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let reasons: Vec<String> = proxied
        .bench
        .refused()
        .into_iter()
        .map(|row| row.2)
        .collect();
    let expect = [
        "SNI names another host",
        "TLS is wanted on this port",
        "TLS is wanted on this port",
        "Host names another host",
        "HTTP is wanted on this port",
    ];
    assert_eq!(reasons, expect);
}

#[tokio::test]
async fn plain_requests_go_to_the_host_that_each_of_them_names() {
    let (first, first_port) = origin().await;
    let (second, second_port) = origin().await;
    let [one, two] = [first_port, second_port].map(|port| format!("a.test:{port}"));
    let proxied = proxied(policy(&[&one, &two]));
    let serve = async |listener: tokio::net::TcpListener| {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut heard).await.unwrap();
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(heard).unwrap().to_ascii_lowercase()
    };
    let mut stream = proxied.stream().await;
    let authorization = proxied.authorization();
    let requests = async {
        let mut answers = String::new();
        for (host, last) in [(&one, ""), (&two, "Connection: close\r\n")] {
            let request = format!(
                "GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\nProxy-Connection: keep-alive\r\n{last}{authorization}\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            while answers.matches("\r\n\r\nok").count() == usize::from(!last.is_empty()) {
                let mut bytes = [0; 1024];
                let count = stream.read(&mut bytes).await.unwrap();
                answers.push_str(&String::from_utf8_lossy(&bytes[..count]));
                assert!(count > 0, "{answers}");
            }
        }
    };
    let (_, first, second) = tokio::join!(requests, serve(first), serve(second));
    for (heard, host) in [(first, one), (second, two)] {
        assert!(heard.starts_with("get /x http/1.1\r\n"), "{heard}");
        assert!(heard.contains(&format!("host: {host}\r\n")), "{heard}");
        assert!(!heard.contains("proxy-"), "{heard}");
    }
}

#[tokio::test]
async fn plain_requests_that_are_for_nobody_or_for_another_are_refused() {
    let proxied = proxied(policy(&["a.test:80", "a.test"]));
    let authorization = proxied.authorization();
    let check = async |target: &str, host: &str, status: &str| {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{authorization}\r\n"
        );
        let answer = ask(&mut proxied.stream().await, &request).await;
        let expect = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expect), "{target} {host}: {answer}");
    };
    check("/", "a.test", "400").await;
    check("https://a.test/", "a.test", "403").await;
    check("ftp://a.test/", "a.test", "403").await;
    check("http://b.test/", "b.test", "403").await;
    check("http://a.test:8080/", "a.test:8080", "403").await;
    check("http://a.test/", "b.test", "421").await;
    check("http://x@a.test/", "a.test", "400").await;
    check("http://0x7f.1/", "0x7f.1", "403").await;
    check("http://169.254.169.254/", "169.254.169.254", "403").await;
}

#[tokio::test]
async fn a_new_policy_ends_a_plain_request_that_it_refuses() {
    let (listener, port) = origin().await;
    let proxied = proxied(policy(&[&format!("a.test:{port}")]));
    let mut stream = proxied.stream().await;
    let authorization = proxied.authorization();
    let request =
        format!("GET http://a.test:{port}/ HTTP/1.1\r\nHost: a.test:{port}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let endless = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n";
    server.write_all(endless).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(7).any(|part| part == b"data: 1") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    proxied.bench.gate.replace(policy(&[]));
    to_end(&mut stream).await;
    let row = proxied.bench.ended().await.pop().unwrap();
    let ended = (row.verdict, row.rule.as_str(), row.status);
    assert_eq!(ended, (Outcome::Refused, "not listed", Some(200)));
}

#[tokio::test]
async fn a_room_has_a_proxy_that_asks_for_nothing() {
    let (listener, port) = origin().await;
    let bench = bench(policy(&[&format!("a.test:{port}")]), Limits::default());
    let openings = openings(Vec::new());
    let proxy = openings.proxy.local_addr().unwrap();
    let _serving = bench.gate.serve_room(openings).unwrap();
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let request = format!("CONNECT a.test:{port} HTTP/1.1\r\n\r\nhello");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(to_end(&mut server).await, "hello");
}

#[tokio::test]
async fn the_proxy_does_not_lead_to_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bench = bench(
        policy(&[&format!("localhost:{}", address.port())]),
        Limits::default(),
    );
    let access = Access::make().unwrap();
    let serving = bench.gate.serve_proxy(listener, access).unwrap();
    let room = bench.gate.serve_room(openings(Vec::new())).unwrap();
    let host = Host::requested("localhost").unwrap();
    let Verdict::Allowed(rule) = bench.gate.policy().decide(&host, address.port()) else {
        panic!("not allowed");
    };
    let dialer = &bench.gate.engine.shared.dialer;
    assert!(dialer.dial(&host, address.port(), &rule).await.is_err());
    drop((serving, room));
}
