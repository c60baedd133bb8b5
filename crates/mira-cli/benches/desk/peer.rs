//! The other app: the same two routes by FastAPI, served by uvicorn.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::ground::{Server, free_address};

/// A token that is looked up, and a listing that is checked against its model, as Mira's is.
const APP: &str = r#"
import hashlib, sqlite3
from fastapi import Depends, FastAPI, HTTPException, Header
from pydantic import BaseModel

app = FastAPI()
db = sqlite3.connect(":memory:", check_same_thread=False)
db.execute("CREATE TABLE tokens (hash TEXT PRIMARY KEY)")
db.execute("INSERT INTO tokens VALUES (?)", (hashlib.sha256(b"token").hexdigest(),))
db.execute("CREATE TABLE secrets (name TEXT PRIMARY KEY, label TEXT, kind TEXT, added TEXT, version INT)")
db.executemany("INSERT INTO secrets VALUES (?, ?, 'token', '2030-01-01T00:00:00Z', 1)",
               [(f"SECRET_{n}", f"SECRET_{n}") for n in range(COUNT)])

class Secret(BaseModel):
    name: str
    label: str
    kind: str
    added: str
    version: int

async def signed_in(authorization: str = Header("")):
    token = authorization.removeprefix("Bearer ").encode()
    found = db.execute("SELECT 1 FROM tokens WHERE hash = ?", (hashlib.sha256(token).hexdigest(),)).fetchone()
    if not found:
        raise HTTPException(401)

@app.get("/healthz")
async def healthz():
    return "ok"

@app.get("/api/v1/secrets", response_model=list[Secret], dependencies=[Depends(signed_in)])
async def secrets():
    rows = db.execute("SELECT name, label, kind, added, version FROM secrets ORDER BY name")
    return [Secret(name=a, label=b, kind=c, added=d, version=e) for a, b, c, d, e in rows]
"#;

pub(crate) struct Peer {
    pub(crate) server: Server,
    _folder: tempfile::TempDir,
}

/// Starts it; nothing where it is not installed.
pub(crate) fn start(peers: &Path, secrets: usize) -> Option<Peer> {
    let uvicorn = peers.join("python/bin/uvicorn");
    if !uvicorn.is_file() {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let app = APP.replace("COUNT", &secrets.to_string());
    fs::write(folder.path().join("peer.py"), app).expect("a file");
    let address = free_address();
    let child = Command::new(uvicorn)
        .args(["peer:app", "--no-access-log", "--log-level", "error"])
        .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts");
    Some(Peer {
        server: Server::of(child, address, "token".to_owned()),
        _folder: folder,
    })
}
