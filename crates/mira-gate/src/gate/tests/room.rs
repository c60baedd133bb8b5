//! What programs of a room do without knowing of a gate.

use std::time::Duration;

use mira_secret::{SecretBytes, SecretValue};
use tokio::io::AsyncReadExt;

use super::*;
use crate::policy::Brokered;

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_and_half_closed_connections_go_on() {
    let (listener, port) = origin().await;
    let bench = bench(policy(&[&format!("localhost:{port}")]), Limits::default());
    let _serving = bench.room(port);
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 ready\r\n").await.unwrap();
        let heard = to_end(&mut stream).await;
        stream.write_all(b"bye").await.unwrap();
        heard
    };
    let client = async {
        let mut stream = program(port).await;
        let mut greeting = [0; 11];
        stream.read_exact(&mut greeting).await.unwrap();
        stream.write_all(b"QUIT").await.unwrap();
        stream.shutdown().await.unwrap();
        to_end(&mut stream).await
    };
    let (heard, answer) = tokio::join!(server, client);
    assert_eq!((heard.as_str(), answer.as_str()), ("QUIT", "bye"));
    let rows = bench.ended().await;
    let [row] = &*rows else { panic!("{rows:?}") };
    assert_eq!((row.host.as_str(), row.port), ("localhost", port));
    assert_eq!((row.sent, row.received), (4, 14));
    assert_eq!(row.verdict, Outcome::Allowed);
    assert_eq!(row.how, "tunnel");
    assert_eq!(row.service.as_deref(), Some("web"));
    assert_eq!(row.address, Some(std::net::Ipv4Addr::LOCALHOST.into()));
    assert_eq!(row.enforced, Some(true));
}

#[tokio::test]
async fn much_goes_through_both_ways_at_once() {
    let (listener, port) = origin().await;
    let bench = bench(policy(&[&format!("localhost:{port}")]), Limits::default());
    let _serving = bench.room(port);
    let mut sent = vec![0; 8 * 1024 * 1024];
    fastrand::Rng::with_seed(1).fill(&mut sent);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    let mut stream = program(port).await;
    let (mut read, mut write) = stream.split();
    let mut back = Vec::new();
    let writing = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(writing, read.read_to_end(&mut back));
    read.unwrap();
    assert!(back == sent);
    let rows = bench.ended().await;
    assert_eq!((rows[0].sent, rows[0].received), (8 << 20, 8 << 20));
}

#[tokio::test]
async fn what_is_not_listed_is_refused_with_the_command_that_allows_it() {
    let (_listener, port) = origin().await;
    let bench = bench(policy(&[]), Limits::default());
    let _serving = bench.room(port);
    let mut told = bench.gate.refusals();
    let plain = ask(
        &mut program(port).await,
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .await;
    assert!(plain.starts_with("HTTP/1.1 403"), "{plain}");
    let command = format!("mira net allow app localhost:{port}");
    assert!(plain.contains(&command), "{plain}");
    let mut tls = bench.tls(program(port).await, "localhost").await.unwrap();
    let inside = ask(&mut tls, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(inside.starts_with("HTTP/1.1 403") && inside.contains(&command));
    let opaque = ask(&mut program(port).await, "SSH-2.0-x\r\n").await;
    assert_eq!(opaque, "");
    let row = ("localhost".to_owned(), port, "not listed".to_owned());
    assert_eq!(bench.refused(), [row.clone(), row.clone(), row]);
    let refused = told.recv().await.unwrap();
    assert_eq!((&*refused.host, refused.port), ("localhost", port));
    assert_eq!(refused.reason, Reason::NotListed);
}

#[tokio::test]
async fn an_address_of_this_machine_may_be_named_as_such() {
    let (_listener, port) = origin().await;
    let bench = bench(policy(&[&format!("127.0.0.2:{port}")]), Limits::default());
    let meant = |host: &str| {
        bench
            .gate
            .engine
            .meant(Host::requested(host).unwrap(), port)
    };
    assert_eq!(meant("127.0.0.2").to_string(), "127.0.0.2");
    assert_eq!(meant("127.0.0.1").to_string(), "localhost");
    assert_eq!(meant("::1").to_string(), "localhost");
    assert_eq!(meant("10.0.0.1").to_string(), "10.0.0.1");
    let name = Host::requested("a.test").unwrap();
    let standing = crate::names::Standing::of(&bench.gate.policy(), &name);
    let address = bench.gate.engine.names.address("a.test", standing).unwrap();
    assert_eq!(meant(&address.to_string()), name);
    let mapped = Host::Ip(address.to_ipv6_mapped().into());
    assert_eq!(bench.gate.engine.meant(mapped, port), name);
}

#[tokio::test]
async fn tls_for_another_host_ends_a_tunnel_before_a_byte_of_it_is_sent() {
    let (listener, port) = origin().await;
    let bench = bench(policy(&[&format!("localhost:{port}")]), Limits::default());
    let _serving = bench.room(port);
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        to_end(&mut stream).await
    };
    let client = async { bench.tls(program(port).await, "evil.test").await };
    let (heard, client) = tokio::join!(server, client);
    assert_eq!(heard, "");
    assert!(client.is_err());
    let rows = bench.ended().await;
    assert_eq!(rows[0].verdict, Outcome::Refused);
    assert_eq!(rows[0].rule, "SNI names another host");
    assert_eq!(rows[0].sent, 0);
}

#[tokio::test]
async fn where_a_secret_is_for_a_host_only_what_can_be_checked_passes() {
    let (listener, port) = origin().await;
    let name: mira_secret::SecretName = "KEY".parse().unwrap();
    let mut policy = Policy::builder("app");
    let hosts = format!("localhost:{port}");
    policy.broker(Brokered {
        placeholder: "mira-placeholder-0123456789".into(),
        value: SecretValue::new(&name, SecretBytes::copy_from(b"the-value-of-the-key")).unwrap(),
        hosts: vec![hosts.parse().unwrap()],
        query: Vec::new(),
        name,
    });
    let bench = bench(policy.build(), Limits::default());
    let _serving = bench.room(port);
    assert_eq!(ask(&mut program(port).await, "SSH-2.0-x\r\n").await, "");
    let wanted = "TLS or HTTP is wanted on this port".to_owned();
    assert_eq!(bench.refused(), [("localhost".to_owned(), port, wanted)]);
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut heard).await.unwrap();
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(heard).unwrap()
    };
    let request = format!(
        "GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nx-api-key: mira-placeholder-0123456789\r\n\r\n"
    );
    let mut stream = program(port).await;
    let (heard, answer) = tokio::join!(server, ask(&mut stream, &request));
    assert!(heard.contains("the-value-of-the-key"), "{heard}");
    assert!(answer.ends_with("ok"), "{answer}");
    assert_eq!(
        Explanation::new(&bench.gate.policy(), "localhost", port)
            .secrets
            .len(),
        1
    );
}

#[tokio::test]
async fn a_new_policy_ends_what_it_refuses_and_nothing_else() {
    let (first, first_port) = origin().await;
    let (second, second_port) = origin().await;
    let [one, two] = [first_port, second_port].map(|port| format!("localhost:{port}"));
    let bench = bench(policy(&[&one, &two]), Limits::default());
    let mut serving = bench.room(first_port);
    let more = TcpListener::bind(("127.0.0.2", second_port)).unwrap();
    serving.add(vec![more]).unwrap();
    let mut kept = program(second_port).await;
    let mut ended = program(first_port).await;
    let (mut kept_server, _) = second.accept().await.unwrap();
    let (mut ended_server, _) = first.accept().await.unwrap();
    // It is known to be open once something went through.
    ended.write_all(b"x").await.unwrap();
    assert_eq!(ended_server.read_u8().await.unwrap(), b'x');
    bench.gate.replace(policy(&[&two]));
    assert_eq!(to_end(&mut ended).await, "");
    assert_eq!(to_end(&mut ended_server).await, "");
    kept.write_all(b"y").await.unwrap();
    assert_eq!(kept_server.read_u8().await.unwrap(), b'y');
    let refused = bench.refused();
    assert_eq!(
        refused,
        [("localhost".into(), first_port, "not listed".into())]
    );
    let again = ask(
        &mut program(first_port).await,
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    .await;
    assert!(again.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused() {
    let (listener, port) = origin().await;
    let bench = bench(policy(&[&format!("localhost:{port}")]), Limits::default());
    let _serving = bench.room(port);
    std::fs::remove_dir_all(bench.folder.path()).unwrap();
    let answer = ask(
        &mut program(port).await,
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let mut waiting = std::pin::pin!(listener.accept());
    let accepted = std::future::poll_fn(|cx| {
        std::task::Poll::Ready(Future::poll(waiting.as_mut(), cx).is_ready())
    });
    assert!(!accepted.await);
}

#[tokio::test]
async fn a_host_that_is_not_there_ends_the_connection() {
    let (listener, port) = origin().await;
    drop(listener);
    let bench = bench(policy(&[&format!("localhost:{port}")]), Limits::default());
    let _serving = bench.room(port);
    assert_eq!(to_end(&mut program(port).await).await, "");
    let rows = bench.ended().await;
    assert_eq!(
        (rows[0].status, rows[0].verdict),
        (Some(502), Outcome::Allowed)
    );
}

#[tokio::test]
async fn one_connection_too_many_is_refused_at_once() {
    let (listener, port) = origin().await;
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let bench = bench(policy(&[&format!("localhost:{port}")]), limits);
    let _serving = bench.room(port);
    let first = program(port).await;
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(to_end(&mut program(port).await).await, "");
    let limit = "too many or too much: connections".to_owned();
    assert_eq!(bench.refused(), [("localhost".to_owned(), port, limit)]);
    drop(first);
    assert_eq!(to_end(&mut server).await, "");
    drop(server);
    bench.ended().await;
    let mut third = program(port).await;
    let (mut server, _) = listener.accept().await.unwrap();
    third.write_all(b"z").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'z');
}

#[tokio::test(start_paused = true)]
async fn a_program_that_begins_slowly_is_not_waited_for() {
    let (_listener, port) = origin().await;
    let name: mira_secret::SecretName = "KEY".parse().unwrap();
    let mut policy = Policy::builder("app");
    policy.broker(Brokered {
        placeholder: "mira-placeholder-0123456789".into(),
        value: SecretValue::new(&name, SecretBytes::copy_from(b"the-value-of-the-key")).unwrap(),
        hosts: vec![format!("localhost:{port}").parse().unwrap()],
        query: Vec::new(),
        name,
    });
    let bench = bench(policy.build(), Limits::default());
    let _serving = bench.room(port);
    for begin in [&b""[..], b"\x16\x03\x01", b"GE"] {
        let mut stream = program(port).await;
        stream.write_all(begin).await.unwrap();
        assert_eq!(to_end(&mut stream).await, "");
    }
    let late = "too many or too much: time for the first bytes".to_owned();
    let row = ("localhost".to_owned(), port, late);
    assert_eq!(bench.refused(), [row.clone(), row.clone(), row]);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_through_which_nothing_goes_ends() {
    let (listener, port) = origin().await;
    let limits = Limits {
        idle: Duration::from_secs(60),
        ..Limits::default()
    };
    let bench = bench(policy(&[&format!("localhost:{port}")]), limits);
    let _serving = bench.room(port);
    let mut stream = program(port).await;
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(to_end(&mut stream).await, "");
    assert_eq!(to_end(&mut server).await, "");
    assert!(!bench.ended().await.is_empty());
}

#[tokio::test]
async fn what_is_served_ends_with_its_serving() {
    let (listener, port) = origin().await;
    let bench = bench(policy(&[&format!("localhost:{port}")]), Limits::default());
    let serving = bench.room(port);
    let mut stream = program(port).await;
    let (mut server, _) = listener.accept().await.unwrap();
    drop(serving);
    assert_eq!(to_end(&mut stream).await, "");
    assert_eq!(to_end(&mut server).await, "");
    bench.ended().await;
    assert!(TcpStream::connect(("127.0.0.2", port)).await.is_err());
}

#[tokio::test]
async fn idle_connections_take_little_memory() {
    const COUNT: usize = 1000;
    // Each has four ends in this process.
    let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    files.current = files.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, files).unwrap();
    let (listener, port) = origin().await;
    let bench = bench(policy(&[&format!("localhost:{port}")]), Limits::default());
    let _serving = bench.room(port);
    let mut open = Vec::new();
    let mut before = 0;
    for number in 0..=COUNT {
        let mut stream = program(port).await;
        let (mut server, _) = listener.accept().await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        server.read_exact(&mut [0; 4]).await.unwrap();
        server.write_all(b"pong").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        open.push((stream, server));
        if number == 0 {
            before = resident_bytes();
        }
    }
    let each = resident_bytes().saturating_sub(before) / COUNT;
    assert!(each < 16 * 1024, "{each} bytes");
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kilobytes.parse::<usize>().unwrap() * 1024
}

/// A look for a service that ends when it is told to, and the room's port.
fn looked_for(bench: &Bench, port: u16) -> (std::sync::mpsc::Sender<()>, Serving) {
    let (end, ended) = std::sync::mpsc::channel();
    let ended = std::sync::Mutex::new(ended);
    let listener = TcpListener::bind(("127.0.0.2", port)).unwrap();
    let openings = RoomOpenings {
        owner: Owner::LookedFor(Arc::new(move |_, _| {
            ended.lock().unwrap().recv().ok()?;
            Some("worker".into())
        })),
        ..openings(vec![listener])
    };
    (end, bench.gate.serve_room(openings).unwrap())
}

#[tokio::test]
async fn no_byte_waits_for_the_look_for_a_service_and_the_row_says_it_afterwards() {
    let (listener, port) = origin().await;
    let bench = bench(policy(&[&format!("localhost:{port}")]), Limits::default());
    let (end, _serving) = looked_for(&bench, port);
    // One connection that has ended before the look has, and one that goes on.
    for ends in [true, false] {
        let mut program = program(port).await;
        program.write_all(b"hello").await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut heard = [0; 5];
        server.read_exact(&mut heard).await.unwrap();
        let of_this = || bench.rows().pop().unwrap();
        assert_eq!((of_this().service, of_this().open), (None, true));
        if ends {
            drop((program, server));
            end.send(()).unwrap();
            let rows = bench.ended().await;
            assert_eq!(rows[0].service.as_deref(), Some("worker"));
            assert_eq!(rows[0].sent, 5);
            continue;
        }
        end.send(()).unwrap();
        while of_this().service.is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(of_this().service.as_deref(), Some("worker"));
        assert!(of_this().open);
    }
}

#[tokio::test]
async fn a_refusal_names_the_service_in_its_only_line() {
    let (_listener, port) = origin().await;
    let bench = bench(policy(&[]), Limits::default());
    let (end, _serving) = looked_for(&bench, port);
    let mut program = program(port).await;
    assert_eq!(bench.rows(), []);
    end.send(()).unwrap();
    let told = ask(&mut program, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 403"), "{told}");
    assert_eq!(bench.rows()[0].service.as_deref(), Some("worker"));
}

#[tokio::test]
async fn what_is_served_ends_with_the_row_named_or_not() {
    let (listener, port) = origin().await;
    let bench = bench(policy(&[&format!("localhost:{port}")]), Limits::default());
    let (end, _serving) = looked_for(&bench, port);
    let program = program(port).await;
    let accepted = listener.accept().await.unwrap();
    drop((program, accepted));
    // The look finds nothing.
    drop(end);
    let rows = bench.ended().await;
    assert_eq!(rows[0].service, None);
}
