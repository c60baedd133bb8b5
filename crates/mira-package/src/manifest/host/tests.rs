//! Tables of hosts: which spellings are patterns, and which requests they mean.

use super::*;

#[test]
fn a_pattern_has_one_spelling() {
    let check = |text: &str, expect: Result<&str, HostError>| {
        let pattern = text.parse::<HostPattern>();
        let shown = pattern.as_ref().map(ToString::to_string).map_err(|e| *e);
        assert_eq!(shown, expect.map(str::to_owned), "{text:?}");
        if let Ok(pattern) = pattern {
            assert_eq!(pattern.to_string().parse(), Ok(pattern), "{text:?}");
        }
    };
    for same in [
        "api.openai.com",
        "*.example.org",
        "*.example.org:8443",
        "localhost:11434",
        "192.0.2.1",
        "127.0.0.1:80",
        "[::1]:8080",
        "[2001:db8::1]",
        "xn--bcher-kva.example",
        "a-b.3com.example:1",
        "1password.com:65535",
        "*",
        "*:80",
    ] {
        check(same, Ok(same));
    }
    check("api.openai.com:443", Ok("api.openai.com"));
    check("*:443", Ok("*"));

    check("", Err(HostError::Empty));
    check(":443", Err(HostError::Empty));
    check("https://api.openai.com", Err(HostError::Scheme));
    check("api.openai.com/v1", Err(HostError::Path));
    check("api.openai.com\\v1", Err(HostError::Path));
    check("api.openai.com?x", Err(HostError::Path));
    check("me@api.openai.com", Err(HostError::User));
    check("bücher.example", Err(HostError::NotAscii));
    check("api。openai。com", Err(HostError::NotAscii));
    check("API.openai.com", Err(HostError::UpperCase));
    check("api.openai.com.", Err(HostError::TrailingDot));
    check("**", Err(HostError::Wildcard));
    check("*.*.org", Err(HostError::Wildcard));
    check("a.*.org", Err(HostError::Wildcard));
    check("*example.org", Err(HostError::Wildcard));
    check("*.127.0.0.1", Err(HostError::Wildcard));
    check("*.com", Err(HostError::TooWide));
    check("*.", Err(HostError::TrailingDot));
    check("a..b", Err(HostError::Name));
    check(".a", Err(HostError::Name));
    check("-a.b", Err(HostError::Name));
    check("a-.b", Err(HostError::Name));
    check("a_b.c", Err(HostError::Name));
    check("a b", Err(HostError::Name));
    check("a\0b", Err(HostError::Name));
    check("a%2eb", Err(HostError::Name));
    check("xn--.example", Err(HostError::Name));
    check(&"a".repeat(64), Err(HostError::Name));
    check(&"a.".repeat(127), Err(HostError::TrailingDot));
    check(&format!("{}aa", "a.".repeat(126)), Err(HostError::Name));
    check("127.1", Err(HostError::Address));
    check("0x7f.1", Err(HostError::Address));
    check("0x7f000001", Err(HostError::Address));
    check("a.0x", Err(HostError::Address));
    check("2130706433", Err(HostError::Address));
    check("0177.0.0.1", Err(HostError::Address));
    check("127.0.0.01", Err(HostError::Address));
    check("127.0.0.256", Err(HostError::Address));
    check("1.2.3.4.5", Err(HostError::Address));
    check("example.1", Err(HostError::Address));
    check("::1", Err(HostError::Brackets));
    check("[::1", Err(HostError::Brackets));
    check("[0:0:0:0:0:0:0:1]", Err(HostError::Address));
    check("[2001:0db8::1]", Err(HostError::Address));
    check("[fe80::1%eth0]", Err(HostError::Address));
    check("[127.0.0.1]", Err(HostError::Address));
    check("[::ffff:127.0.0.1]", Err(HostError::MappedAddress));
    check("[::ffff:7f00:1]", Err(HostError::MappedAddress));
    check("[::1]8080", Err(HostError::Port));
    for port in ["", "0", "080", "65536", "+80", "8 0", "http", "-1"] {
        check(&format!("a.b:{port}"), Err(HostError::Port));
    }
}

#[test]
fn a_request_is_meant_or_not() {
    let check = |pattern: &str, host: &str, port: u16, expect: bool| {
        let pattern: HostPattern = pattern.parse().unwrap();
        assert_eq!(
            pattern.matches(host, port),
            expect,
            "{pattern} {host}:{port}"
        );
    };
    check("api.openai.com", "api.openai.com", 443, true);
    check("api.openai.com", "API.OpenAI.com", 443, true);
    check("api.openai.com", "api.openai.com.", 443, true);
    check("api.openai.com", "api.openai.com..", 443, false);
    check("api.openai.com", "api.openai.com", 80, false);
    check("api.openai.com", "xapi.openai.com", 443, false);
    check("api.openai.com", "a.api.openai.com", 443, false);
    check("api.openai.com", "api.openai.com.evil.example", 443, false);
    check("api.openai.com", "api.openai.com:443", 443, false);
    check("api.openai.com", "api.openai.com\0", 443, false);
    check("api.openai.com", "", 443, false);

    check("*.example.org:8443", "a.example.org", 8443, true);
    check("*.example.org", "a.b.Example.ORG.", 443, true);
    check("*.example.org", "example.org", 443, false);
    check("*.example.org", ".example.org", 443, false);
    check("*.example.org", "aexample.org", 443, false);
    check("*.example.org", "evil-example.org", 443, false);
    check("*.example.org", "a.evil-example.org", 443, false);
    check("*.example.org", "*.example.org", 443, false);
    check("*.example.org", "a_b.example.org", 443, false);

    check("*", "example.org", 443, true);
    check("*", "localhost", 443, true);
    check("*", "example.org", 80, false);
    check("*", "192.0.2.1", 443, false);
    check("*", "[2001:db8::1]", 443, false);
    check("*", "*", 443, false);

    check("127.0.0.1:80", "127.0.0.1", 80, true);
    for other in [
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "::ffff:127.0.0.1",
        "[::ffff:7f00:1]",
        "localhost",
    ] {
        check("127.0.0.1:80", other, 80, false);
    }
    check("[::1]", "::1", 443, true);
    check("[::1]", "[::1]", 443, true);
    check("[::1]", "0:0:0:0:0:0:0:1", 443, false);
    check("[::1]", "[::1", 443, false);
    check("[2001:db8::a]", "2001:DB8::A", 443, true);
    check("localhost", "127.0.0.1", 443, false);
    check("xn--bcher-kva.example", "XN--BCHER-KVA.example", 443, true);
    check("xn--bcher-kva.example", "bücher.example", 443, false);
}
