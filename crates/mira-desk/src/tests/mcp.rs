//! MCP servers and AWS in the desk, and a client's configuration that is taken over: names are told, and no value.

use mira_store::{Role, SessionOf};
use mira_testkit::canary::{Canary, Sweep};

use super::content::pages;
use super::*;

#[tokio::test]
async fn values_of_servers_and_of_aws_are_in_no_answer_and_in_no_file() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let canaries: Vec<Canary> = Canary::generate();
    let sweep = Sweep::new(&canaries);
    let mut texts = canaries
        .iter()
        .filter_map(|canary| std::str::from_utf8(canary.value()).ok());
    let plain = |text: &&str| !text.contains(['\n', '"', '\\']);
    let value = texts.find(plain).unwrap();
    let secrets = format!("CANARY={value}");
    let header = format!("Bearer {value}");
    let config = format!(
        r#"{{"mcpServers": {{"tracker": {{"command": "npx", "args": ["tracker"], "env": {{"TRACKER_TOKEN": "{value}"}}}}}}}}"#
    );
    let mut findings = sweep.bytes("nothing", b"");
    for (path, fields, status) in [
        (
            "/mcp",
            &[
                ("name", "github"),
                ("command", "npx"),
                ("secrets", &*secrets),
            ] as &[(&str, &str)],
            StatusCode::SEE_OTHER,
        ),
        // It is there already.
        (
            "/mcp",
            &[
                ("name", "github"),
                ("command", "npx"),
                ("secrets", &secrets),
            ],
            StatusCode::CONFLICT,
        ),
        // The value is in the place of the name.
        (
            "/mcp",
            &[("name", "other"), ("command", "npx"), ("secrets", value)],
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/mcp",
            &[
                ("name", "far"),
                ("url", "https://mcp.example.com/mcp"),
                ("header", "Authorization"),
                ("header_value", &header),
            ],
            StatusCode::SEE_OTHER,
        ),
        (
            "/mcp/github/secrets",
            &[("name", "CANARY"), ("value", value)],
            StatusCode::SEE_OTHER,
        ),
        (
            "/mcp/github/secrets",
            &[("name", "ANOTHER"), ("value", value)],
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        // Neither a key id of AWS nor a region.
        (
            "/aws",
            &[("id", value), ("key", value), ("region", "us-east-1")],
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let answer = served.post(&cookie, path, fields).await;
        let told = answer.status();
        let headers = format!("{:?}", answer.headers());
        findings = findings.and(sweep.bytes("headers", headers.as_bytes()));
        let body = answer.bytes().await.unwrap();
        assert_eq!(told, status, "{path}: {}", String::from_utf8_lossy(&body));
        findings = findings.and(sweep.bytes(path, &body));
    }
    // A client's configuration is shown by its names, and taken over.
    let shown = served
        .post(&cookie, "/mcp-import", &[("text", &config)])
        .await;
    assert_eq!(shown.status(), StatusCode::OK, "{shown:?}");
    let shown = shown.text().await.unwrap();
    assert!(shown.contains("TRACKER_TOKEN"), "{shown}");
    findings = findings.and(sweep.bytes("preview", shown.as_bytes()));
    let take = shown
        .split("action=\"")
        .find(|part| part.starts_with("/mcp-import/"));
    let take = take.unwrap().split('"').next().unwrap();
    let taken = served.post(&cookie, take, &[]).await;
    assert_eq!(taken.status(), StatusCode::OK, "{taken:?}");
    findings = findings.and(sweep.bytes("taken", &taken.bytes().await.unwrap()));
    // It was on its way once.
    let again = served.post(&cookie, take, &[]).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    let (_, list) = served.get(&cookie, "/mcp").await;
    for name in ["github", "far", "tracker"] {
        assert!(list.contains(&format!("/mcp/{name}")), "{name}: {list}");
        let (status, page) = served.get(&cookie, &format!("/mcp/{name}")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("saved"), "{page}");
        findings = findings.and(sweep.bytes(name, page.as_bytes()));
    }
    for path in pages("github") {
        let (_, body) = served.get(&cookie, &path).await;
        findings = findings.and(sweep.bytes(&path, body.as_bytes()));
    }
    let removed = served.post(&cookie, "/mcp/tracker/remove", &[]).await;
    assert_eq!(removed.status(), StatusCode::SEE_OTHER);
    assert!(!served.get(&cookie, "/mcp").await.1.contains("/mcp/tracker"));
    findings.and(sweep.folder(served.path())).assert_clean();
}

/// Sends a client's file as a browser's form does (RFC 7578).
async fn send(served: &Served, cookie: &str, name: &str, content: &[u8]) -> Response {
    let mut body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"config\"; filename=\"{name}\"\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    let request = served.request("POST", "/mcp-import/upload");
    let request = request
        .header("cookie", cookie)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "multipart/form-data; boundary=edge");
    request.body(body).send().await.unwrap()
}

/// Returns the first address in a page that begins so.
fn link<'a>(page: &'a str, begins: &str) -> &'a str {
    let mut quoted = page.split('"');
    quoted.find(|text| text.starts_with(begins)).expect(page)
}

const FIRST: &str = "sk-proj-7Fq2mXv9LrT4bWc8ZnYd";
const SECOND: &str = "ghp_7Fq2mXv9LrT4bWc8ZnYdK2pQ8sVx3hJ6mN1b";

#[tokio::test]
async fn an_uploaded_file_of_each_client_is_taken_over_and_given_back_without_its_values() {
    let files = [
        (
            "claude_desktop_config.json",
            format!(
                "{{\"mcpServers\": {{\"one\": {{\"command\": \"npx\", \"args\": [\"a\"], \"env\": {{\"API_KEY\": \"{FIRST}\"}}}}}}, \"other\": {{\"old\": \"{FIRST}\"}}}}"
            ),
        ),
        (
            "mcp.json",
            format!(
                "{{\n  // VS Code's\n  \"servers\": {{\"two\": {{\"type\": \"http\", \"url\": \"https://mcp.example.com/mcp\", \"headers\": {{\"Authorization\": \"Bearer {SECOND}\"}}}}}}\n}}"
            ),
        ),
        (
            "mcp_config.json",
            format!(
                "{{\"mcpServers\": {{\"three\": {{\"serverUrl\": \"https://mcp.example.com/sse\", \"headers\": {{\"Authorization\": \"Bearer {SECOND}\"}}}}}}}}"
            ),
        ),
        (
            "settings.json",
            format!(
                "{{\"theme\": \"One\", \"context_servers\": {{\"four\": {{\"command\": {{\"path\": \"npx\", \"args\": [], \"env\": {{\"API_KEY\": \"{FIRST}\"}}}}}}}}}}"
            ),
        ),
        (
            "config.toml",
            format!(
                "model = \"o1\" # mine\n\n[mcp_servers.five]\ncommand = \"npx\"\nargs = [\"b\"]\nenv = {{ API_KEY = \"{FIRST}\" }}\n"
            ),
        ),
        (
            ".claude.json",
            format!(
                "{{\"projects\": {{\"/home/me\": {{\"mcpServers\": {{\"six\": {{\"command\": \"npx\", \"args\": [], \"env\": {{\"GITHUB_TOKEN\": \"{SECOND}\"}}}}}}}}}}}}"
            ),
        ),
    ];
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let sweep = Sweep::new(&[Canary::new("FIRST", FIRST), Canary::new("SECOND", SECOND)]);
    for (name, content) in &files {
        let answer = send(&served, &cookie, name, content.as_bytes()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
        let shown = answer.text().await.unwrap();
        assert!(shown.contains(name), "{shown}");
        let taken = served
            .post(&cookie, link(&shown, "/mcp-import/"), &[])
            .await;
        assert_eq!(taken.status(), StatusCode::OK, "{name}");
        let taken = taken.text().await.unwrap();
        let file = link(&taken, "/mcp-import/").to_owned();
        // It can be fetched twice, and by nobody else.
        for _ in 0..2 {
            let answer = served.request("GET", &file).header("cookie", &cookie);
            let answer = answer.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let disposition = header(&answer, "content-disposition");
            assert_eq!(disposition, format!("attachment; filename=\"{name}\""));
            let given = answer.text().await.unwrap();
            assert!(
                given.contains("/nowhere/mira") && given.contains("mcp"),
                "{given}"
            );
            assert!(!given.contains("npx"), "{given}");
            sweep.bytes(name, given.as_bytes()).assert_clean();
        }
        let owner = served.cookie(SessionOf::LocalOwner).await;
        assert_eq!(served.get(&owner, &file).await.0, StatusCode::NOT_FOUND);
        sweep
            .bytes("shown", shown.as_bytes())
            .and(sweep.bytes("taken", taken.as_bytes()))
            .assert_clean();
    }
    let (_, list) = served.get(&cookie, "/mcp").await;
    for name in ["one", "two", "three", "four", "five", "six"] {
        assert!(list.contains(&format!("/mcp/{name}")), "{name}: {list}");
    }
    sweep.folder(served.path()).assert_clean();
    let heard = served.heard();
    for value in [FIRST, SECOND] {
        assert!(heard.iter().any(|heard| heard.contains(value)), "{value}");
    }
}

#[tokio::test]
async fn a_file_that_is_none_of_a_clients_is_refused_with_words_and_nothing_is_taken() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let deep = "{\"mcpServers\":".repeat(30_000);
    let deep_toml = format!("a = {}", "[".repeat(30_000));
    let many: Vec<String> = (0..600)
        .map(|number| format!("\"s{number}\": {{\"command\": \"a\"}}"))
        .collect();
    let many = format!("{{\"mcpServers\": {{{}}}}}", many.join(","));
    let huge = vec![b' '; 9 * 1024 * 1024];
    for (content, status, words) in [
        (b"".as_slice(), 422, "empty"),
        (b"\xff\xfe{\x00}\x00", 422, "UTF-8"),
        (b"PK\x03\x04\x00\x00 a zip", 422, "not understood"),
        (b"{\"mcpServers\": {", 422, "not understood"),
        (b"[1, 2]", 422, "TOML for Codex"),
        (deep.as_bytes(), 422, "not understood"),
        (deep_toml.as_bytes(), 422, "not understood"),
        (many.as_bytes(), 413, "at most 500 servers"),
        (&huge, 413, "mira mcp import FILE"),
    ] {
        let answer = send(&served, &cookie, "../../etc/\u{202e}evil.json", content).await;
        let told = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        assert_eq!(told, status, "{words}: {body}");
        assert!(body.contains(words), "{words}: {body}");
        assert!(!body.contains("etc"), "{body}");
    }
    // What has nothing to be taken says so.
    for content in [
        b"{}".as_slice(),
        b"{\"mcpServers\": []}",
        b"{\"mcpServers\": {\"a\": 7}}",
    ] {
        let answer = send(&served, &cookie, "a b.json", content).await;
        let told = answer.status();
        let body = answer.text().await.unwrap();
        assert_eq!(told, StatusCode::OK, "{body}");
        assert!(body.contains("class=\"empty\""), "{body}");
        assert!(!body.contains("Take them over"), "{body}");
    }
    let (_, list) = served.get(&cookie, "/mcp").await;
    assert!(!list.contains("href=\"/mcp/"), "{list}");
}
