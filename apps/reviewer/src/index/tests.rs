//! The index on small files of each language, on hostile ones, and on both databases.

use super::walk::{FILE_BYTES_MAX, blob_id};
use super::*;

fn names(path: &str, text: &str) -> Vec<String> {
    let parsed = parse(&mut parse::Parsers::default(), path, text.as_bytes());
    parsed
        .symbols
        .into_iter()
        .map(|one| format!("{} {} {}-{}", one.kind, one.name, one.line, one.end_line))
        .collect()
}

#[track_caller]
fn check(path: &str, text: &str, expect: &[&str]) {
    assert_eq!(names(path, text), expect, "{path}");
}

#[test]
fn each_language_has_its_symbols() {
    check(
        "a.rs",
        "struct A;\nimpl A {\n  fn go(&self) {\n    x()\n  }\n}\nmacro_rules! m { () => {} }\n",
        &["struct A 1-1", "function go 3-5", "macro m 7-7"],
    );
    check(
        "a.py",
        "class A:\n    def go(self):\n        pass\n",
        &["class A 1-3", "function go 2-3"],
    );
    check(
        "a.ts",
        "interface I { x(): void }\nexport class A { go() {} }\nconst f = () => 1;\n",
        &[
            "interface I 1-1",
            "method x 1-1",
            "class A 2-2",
            "method go 2-2",
            "variable f 3-3",
        ],
    );
    check(
        "a.tsx",
        "export function V() { return <div/>; }\n",
        &["function V 1-1"],
    );
    check(
        "a.js",
        "function f() {}\nclass B { m() {} }\n",
        &["function f 1-1", "class B 2-2", "method m 2-2"],
    );
    check(
        "a.go",
        "package a\ntype T struct{}\nfunc (t T) Go() {}\nfunc F() {}\n",
        &["type T 2-2", "method Go 3-3", "function F 4-4"],
    );
    check(
        "A.java",
        "class A { void go() {} }\ninterface I {}\n",
        &["class A 1-1", "method go 1-1", "interface I 2-2"],
    );
    check(
        "a.c",
        "#define M 1\nstruct s { int a; };\nstatic char *f(int x) { return 0; }\nstruct s *g;\n",
        &["macro M 1-2", "struct s 2-2", "function f 3-3"],
    );
    check(
        "a.cpp",
        "namespace n { class K { void m(); }; }\nvoid n::K::m() {}\n",
        &["module n 1-1", "class K 1-1", "function m 2-2"],
    );
}

#[test]
fn hostile_files_have_nothing_in_them_and_end() {
    let deep = "(".repeat(300_000);
    let mut parsers = parse::Parsers::default();
    for bytes in [
        deep.as_bytes(),
        b"fn a() {}\0",
        b"\xff\xfe fn \xff() {}",
        &vec![b'a'; FILE_BYTES_MAX + 1],
    ] {
        for path in ["a.rs", "a.c", "a.py", "a.ts"] {
            let parsed = parse(&mut parsers, path, bytes);
            assert!(parsed.symbols.len() <= 1);
        }
    }
    assert_eq!(names("a.rs", "fn a() {}"), ["function a 1-1"]);
}

#[test]
fn links_are_not_followed_and_ignored_files_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("o.rs"), "fn outside() {}").unwrap();
    std::fs::write(folder.path().join("a.rs"), "fn a() {}").unwrap();
    std::fs::write(folder.path().join("b.rs"), "fn b() {}").unwrap();
    std::fs::write(folder.path().join(".gitignore"), "b.rs\n").unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("o.rs"), folder.path().join("o.rs")).unwrap();
    let paths: Vec<_> = files(folder.path())
        .into_iter()
        .map(|one| one.path)
        .collect();
    assert_eq!(paths, ["a.rs"]);
}

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        blob: blob_id(text.as_bytes()),
        bytes: text.as_bytes().to_vec(),
    }
}

async fn serves(db: Db) {
    let index = Index {
        db: db.clone(),
        repo: 7,
    };
    let other = Index {
        db: db.clone(),
        repo: 8,
    };
    let sources = vec![
        source("a.rs", "pub fn base() {}\n"),
        source("b.rs", "use crate::base;\nfn middle() { base(); }\n"),
        source("c.rs", "fn top() { middle(); }\n"),
    ];
    index.update(sources.clone(), &[]).await.unwrap();
    other.update(sources, &[]).await.unwrap();
    let users = index
        .users(BTreeSet::from(["base".to_owned()]))
        .await
        .unwrap();
    let told: Vec<_> = users
        .iter()
        .map(|one| (one.path.as_str(), one.inside.as_str(), one.depth))
        .collect();
    assert_eq!(
        told,
        [("b.rs", "", 1), ("b.rs", "middle", 1), ("c.rs", "top", 2)]
    );
    assert_eq!(
        index.search("MID").await.unwrap(),
        [(
            "middle".to_owned(),
            "function".to_owned(),
            "b.rs".to_owned(),
            2
        )]
    );
    assert!(index.search("%").await.unwrap().is_empty());
    assert_eq!(
        index.symbols_at("b.rs", &[2]).await.unwrap(),
        BTreeSet::from(["middle".to_owned()])
    );

    index
        .update(
            vec![source("b.rs", "fn renamed() {}\n")],
            &["c.rs".to_owned()],
        )
        .await
        .unwrap();
    assert!(
        index
            .users(BTreeSet::from(["base".to_owned()]))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(index.blobs().await.unwrap().len(), 2);
    assert_eq!(other.blobs().await.unwrap().len(), 3);
    db.erase(7).await.unwrap();
    assert!(index.blobs().await.unwrap().is_empty() && other.blobs().await.unwrap().len() == 3);
}

#[tokio::test]
async fn the_index_serves_from_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.db");
    serves(Db::open(path.to_str().unwrap()).await.unwrap()).await;
}

#[tokio::test]
async fn the_index_serves_from_postgres() {
    let server = tokio::task::spawn_blocking(mira_testkit::postgres::Postgres::start)
        .await
        .unwrap();
    serves(Db::open(&server.url("postgres")).await.unwrap()).await;
}

#[tokio::test]
async fn what_is_erased_is_gone_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.db");
    let db = Db::open(path.to_str().unwrap()).await.unwrap();
    let index = Index {
        db: db.clone(),
        repo: 7,
    };
    let many: Vec<_> = (0..50)
        .map(|at| {
            source(
                &format!("f{at}.rs"),
                "fn canary_of_a_private_repository() {}",
            )
        })
        .collect();
    index.update(many, &[]).await.unwrap();
    let holds = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .any(|bytes| bytes.windows(6).any(|part| part == b"canary"))
    };
    assert!(holds());
    db.erase(7).await.unwrap();
    assert!(!holds());
}
