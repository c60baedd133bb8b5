//! Look-ups over real sockets: what is answered, what is recorded, and what is not answered at all.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::Name;
use tempfile::TempDir;

use super::*;
use crate::audit::{Filter, Keep, Reader};
use crate::policy::Origin;

struct Room {
    folder: TempDir,
    names: Arc<Names>,
    udp: SocketAddr,
    tcp: SocketAddr,
}

async fn room() -> Room {
    room_of(Owner::Only("web".into())).await
}

async fn room_of(owner: Owner) -> Room {
    let folder = tempfile::tempdir().unwrap();
    let mut policy = Policy::builder("app");
    policy.allow("api.example.org".parse().unwrap(), Origin::Manifest);
    policy.allow("*.example.net:8443".parse().unwrap(), Origin::Manifest);
    policy.deny("bad.example.net:8443".parse().unwrap(), Origin::Decision);
    let policy = Arc::new(policy.build());
    let names = Arc::new(Names::default());
    let audit = Audit::open(&folder.path().join("net"), "app", Keep::default()).unwrap();
    let policy = move || Arc::clone(&policy);
    let answerer = Arc::new(Answerer::new(Arc::clone(&names), audit, policy, owner));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (udp, tcp) = (socket.local_addr().unwrap(), listener.local_addr().unwrap());
    tokio::spawn(serve_udp(socket, Arc::clone(&answerer)));
    tokio::spawn(serve_tcp(listener, answerer));
    Room {
        folder,
        names,
        udp,
        tcp,
    }
}

impl Room {
    /// Returns the type and the name of each look-up that is in the record, with the reason.
    fn recorded(&self) -> Vec<String> {
        let mut reader = Reader::new(&self.folder.path().join("net"), Filter::default());
        let rows = reader.read().unwrap().into_iter();
        rows.map(|row| {
            assert_eq!((&*row.how, row.port), ("lookup", 53));
            format!("{} {}: {}", row.what.unwrap(), row.host, row.rule)
        })
        .collect()
    }

    async fn ask(&self, query: &Message) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket
            .send_to(&query.to_vec().unwrap(), self.udp)
            .await
            .unwrap();
        let mut answer = vec![0; 4096];
        let len = socket.recv(&mut answer).await.unwrap();
        let answer = Message::from_vec(&answer[..len]).unwrap();
        assert_eq!(answer.metadata.id, query.metadata.id);
        assert_eq!(answer.queries, query.queries);
        answer
    }

    async fn look_up(&self, name: &str, kind: RecordType) -> (ResponseCode, Option<IpAddr>) {
        outcome(&self.ask(&query(name, kind)).await)
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

fn outcome(answer: &Message) -> (ResponseCode, Option<IpAddr>) {
    let mut addresses = answer.answers.iter().map(|record| match &record.data {
        RData::A(A(address)) => IpAddr::from(*address),
        RData::AAAA(AAAA(address)) => IpAddr::from(*address),
        other => panic!("{other}"),
    });
    let first = addresses.next();
    assert_eq!(addresses.next(), None);
    (answer.metadata.response_code, first)
}

#[tokio::test]
async fn a_name_gets_an_address_that_leads_back_to_it() {
    let room = room().await;
    for name in [
        "api.example.org.",
        "API.example.ORG.",
        "x.y.example.net.",
        "other.test.",
    ] {
        let (code, address) = room.look_up(name, RecordType::A).await;
        assert_eq!(code, ResponseCode::NoError);
        let Some(IpAddr::V4(address)) = address else {
            panic!("{address:?}")
        };
        let canonical = name.trim_end_matches('.').to_ascii_lowercase();
        assert_eq!(room.names.name(address).as_deref(), Some(&*canonical));
        for kind in [RecordType::AAAA, RecordType::HTTPS, RecordType::SVCB] {
            assert_eq!(
                room.look_up(name, kind).await,
                (ResponseCode::NoError, None)
            );
        }
    }
    assert_eq!(room.recorded(), ["A other.test: not listed"]);
}

#[tokio::test]
async fn what_nothing_allows_is_recorded_once_and_by_its_reason() {
    let room = room().await;
    for name in ["bad.example.net.", "example.net.", "BAD.example.net."] {
        room.look_up(name, RecordType::AAAA).await;
        room.look_up(name, RecordType::A).await;
    }
    let expect = [
        "AAAA bad.example.net: not listed",
        "AAAA example.net: not listed",
    ];
    assert_eq!(room.recorded(), expect);
}

#[tokio::test(start_paused = true)]
async fn what_is_tried_a_minute_later_is_recorded_again() {
    let room = room().await;
    for _ in 0..3 {
        room.look_up("other.test.", RecordType::A).await;
    }
    assert_eq!(room.recorded().len(), 1);
    tokio::time::advance(RECORD_AGAIN_AFTER).await;
    for _ in 0..3 {
        room.look_up("other.test.", RecordType::A).await;
    }
    assert_eq!(room.recorded().len(), 2);
}

#[tokio::test]
async fn localhost_is_the_room_itself() {
    let room = room().await;
    for name in ["localhost.", "LOCALHOST.", "x.localhost."] {
        let address = room.look_up(name, RecordType::A).await;
        assert_eq!(
            address,
            (ResponseCode::NoError, Some(Ipv4Addr::LOCALHOST.into()))
        );
        let address = room.look_up(name, RecordType::AAAA).await;
        assert_eq!(
            address,
            (ResponseCode::NoError, Some(Ipv6Addr::LOCALHOST.into()))
        );
    }
    assert_eq!(room.recorded(), [""; 0]);
}

#[tokio::test]
async fn what_could_carry_data_is_refused_and_recorded() {
    let room = room().await;
    let check = async |name: &str, kind: RecordType, code: ResponseCode| {
        assert_eq!(
            room.look_up(name, kind).await,
            (code, None),
            "{name} {kind}"
        );
    };
    check("api.example.org.", RecordType::TXT, ResponseCode::NXDomain).await;
    check("api.example.org.", RecordType::MX, ResponseCode::NXDomain).await;
    check("data.t.test.", RecordType::NULL, ResponseCode::NXDomain).await;
    check("data.t.test.", RecordType::CNAME, ResponseCode::NXDomain).await;
    check("data.t.test.", RecordType::ANY, ResponseCode::NotImp).await;
    check(
        "data.t.test.",
        RecordType::Unknown(65400),
        ResponseCode::NXDomain,
    )
    .await;
    check(
        "4.4.8.8.in-addr.arpa.",
        RecordType::PTR,
        ResponseCode::NXDomain,
    )
    .await;
    check(
        "with_underscore.test.",
        RecordType::A,
        ResponseCode::NXDomain,
    )
    .await;
    check("127.1.", RecordType::A, ResponseCode::NXDomain).await;
    check("10.0.0.1.", RecordType::A, ResponseCode::NXDomain).await;
    check(".", RecordType::A, ResponseCode::NXDomain).await;
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].query_class = DNSClass::CH;
    assert_eq!(
        outcome(&room.ask(&chaos).await),
        (ResponseCode::NotImp, None)
    );
    let expect = [
        "TXT api.example.org: not listed",
        "MX api.example.org: not listed",
        "NULL data.t.test: not listed",
        "CNAME data.t.test: not listed",
        "ANY data.t.test: not listed",
        "TYPE65400 data.t.test: not listed",
        "PTR 4.4.8.8.in-addr.arpa: not listed",
        "A with_underscore.test: not a host",
        "A 127.1: not a host",
        "A 10.0.0.1: not a host",
        "A : not a host",
        "CH TXT version.bind: not listed",
    ];
    assert_eq!(room.recorded(), expect);
}

#[tokio::test]
async fn what_is_no_plain_query_is_told_so_or_dropped() {
    let room = room().await;
    let mut two = query("api.example.org.", RecordType::A);
    two.add_query(query("api.example.org.", RecordType::A).queries.remove(0));
    let mut update = query("api.example.org.", RecordType::SOA);
    update.metadata.op_code = OpCode::Update;
    let mut answer = query("api.example.org.", RecordType::A);
    answer.metadata.message_type = MessageType::Response;

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(room.udp).await.unwrap();
    // None of these is answered, so the first answer is the one to what follows.
    for garbage in [
        &b""[..],
        b"x",
        &[0xff; 12],
        &[0; 4096],
        &answer.to_vec().unwrap(),
    ] {
        socket.send(garbage).await.unwrap();
    }
    let mut buffer = vec![0; 4096];
    for (query, code) in [(two, ResponseCode::FormErr), (update, ResponseCode::NotImp)] {
        socket.send(&query.to_vec().unwrap()).await.unwrap();
        let len = socket.recv(&mut buffer).await.unwrap();
        let answer = Message::from_vec(&buffer[..len]).unwrap();
        assert_eq!(answer.metadata.id, query.metadata.id);
        assert_eq!(answer.metadata.response_code, code);
    }
}

#[tokio::test]
async fn the_longest_name_is_answered_and_recorded() {
    let room = room().await;
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.{}.", "b".repeat(61));
    let mut query = query(&name, RecordType::A);
    query.set_edns(Edns::new());
    let answer = room.ask(&query).await;
    assert!(answer.edns.is_some());
    assert!(answer.to_vec().unwrap().len() <= 512);
    let (code, address) = outcome(&answer);
    assert_eq!(code, ResponseCode::NoError);
    assert!(address.is_some());
    let name = name.trim_end_matches('.');
    assert_eq!(room.recorded(), [format!("A {name}: not listed")]);
}

async fn ask_over_tcp(stream: &mut TcpStream, query: &Message) -> io::Result<Message> {
    let query = query.to_vec().unwrap();
    let len = u16::try_from(query.len()).unwrap();
    stream
        .write_all(&[&len.to_be_bytes(), &*query].concat())
        .await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(Message::from_vec(&answer).unwrap())
}

#[tokio::test]
async fn several_queries_are_answered_over_one_connection() {
    let room = room().await;
    let mut stream = TcpStream::connect(room.tcp).await.unwrap();
    let first = ask_over_tcp(&mut stream, &query("api.example.org.", RecordType::A))
        .await
        .unwrap();
    let second = ask_over_tcp(&mut stream, &query("localhost.", RecordType::A))
        .await
        .unwrap();
    assert_ne!(outcome(&first).1, outcome(&second).1);
    assert_eq!(
        outcome(&first),
        room.look_up("api.example.org.", RecordType::A).await
    );
}

#[tokio::test]
async fn a_query_that_is_too_long_or_none_ends_the_connection() {
    let room = room().await;
    for said in [&[0xff, 0xff, 0, 0][..], &[0, 3, 1, 2, 3], &[0, 0]] {
        let mut stream = TcpStream::connect(room.tcp).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        // Reset or closed: in either case nothing is said.
        stream.read_to_end(&mut rest).await.ok();
        assert_eq!(rest, b"");
    }
}

#[tokio::test]
async fn a_client_that_is_slow_loses_its_connection() {
    let room = room().await;
    let mut stream = TcpStream::connect(room.tcp).await.unwrap();
    stream.write_all(&[0]).await.unwrap();
    tokio::time::pause();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.ok();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn idle_connections_do_not_keep_others_out_for_ever() {
    let room = room().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        idle.push(TcpStream::connect(room.tcp).await.unwrap());
    }
    let mut stream = TcpStream::connect(room.tcp).await.unwrap();
    tokio::time::pause();
    let answer = ask_over_tcp(&mut stream, &query("localhost.", RecordType::A)).await;
    assert_eq!(outcome(&answer.unwrap()).0, ResponseCode::NoError);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_answered() {
    let room = room().await;
    std::fs::remove_dir_all(room.folder.path().join("net")).unwrap();
    let failed = (ResponseCode::ServFail, None);
    assert_eq!(room.look_up("other.test.", RecordType::A).await, failed);
    assert_eq!(
        room.look_up("api.example.org.", RecordType::TXT).await,
        failed
    );
    // That a listed name is looked up is no attempt, and is not recorded.
    let (code, _) = room.look_up("api.example.org.", RecordType::A).await;
    assert_eq!(code, ResponseCode::NoError);
}

#[tokio::test]
async fn a_look_up_is_of_the_service_that_asked_from_its_port() {
    let room = room_of(Owner::LookedFor(Arc::new(|by, from| {
        Some(format!("{by:?} {}", from.ip()).into())
    })))
    .await;
    room.look_up("a.test.", RecordType::A).await;
    let mut stream = TcpStream::connect(room.tcp).await.unwrap();
    let query = query("b.test.", RecordType::TXT);
    ask_over_tcp(&mut stream, &query).await.unwrap();
    let mut reader = Reader::new(&room.folder.path().join("net"), Filter::default());
    let rows = reader.read().unwrap().into_iter();
    let services: Vec<_> = rows.filter_map(|row| row.service).collect();
    assert_eq!(services, ["Udp 127.0.0.1", "Tcp 127.0.0.1"]);
}
