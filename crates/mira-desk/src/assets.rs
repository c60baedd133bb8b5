//! What pages load beside themselves: the style sheet, a script and two vendored ones, part of the program and named by their digests.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// A file that is served as it is.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Its path, which changes with its content.
    pub(crate) path: &'static str,
    kind: &'static str,
    body: &'static str,
    /// SHA-256, in hex; checked by a test.
    #[cfg(test)]
    digest: &'static str,
}

macro_rules! asset {
    ($file:literal, $name:literal, $kind:literal, $digest:literal) => {
        Asset {
            path: concat!("/assets/", $digest, "/", $name),
            kind: $kind,
            body: include_str!(concat!("assets/", $file)),
            #[cfg(test)]
            digest: $digest,
        }
    };
}

/// The style sheet.
pub(crate) const STYLE: Asset = asset!(
    "desk.css",
    "desk.css",
    "text/css; charset=utf-8",
    "89027e2471dc64a742d6d06edb80a36f54aa6be1854e30fe9a09c525693a67fa"
);

/// What sends forms without leaving the page.
pub(crate) const SCRIPT: Asset = asset!(
    "desk.js",
    "desk.js",
    "text/javascript; charset=utf-8",
    "ec438b056adf3bc2effc389a4b7e8f64925d35826e14a46a6f696eca5223d908"
);

/// htmx 2.0.11, as published.
pub(crate) const HTMX: Asset = asset!(
    "htmx.min.js",
    "htmx.js",
    "text/javascript; charset=utf-8",
    "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
);

/// Its extension for server-sent events, 2.2.4, as published.
pub(crate) const SSE: Asset = asset!(
    "htmx-sse.min.js",
    "sse.js",
    "text/javascript; charset=utf-8",
    "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136"
);

const ALL: [&Asset; 4] = [&STYLE, &SCRIPT, &HTMX, &SSE];

/// Answers with a file; an old path finds nothing, so that no page runs with another's files.
pub(crate) async fn file(Path((digest, name)): Path<(String, String)>) -> Response {
    let path = format!("/assets/{digest}/{name}");
    match ALL.into_iter().find(|asset| asset.path == path) {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.kind),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.body,
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn every_file_is_the_one_that_its_path_names() {
        for asset in ALL {
            let digest = Sha256::digest(asset.body.as_bytes());
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, asset.digest, "{}", asset.path);
        }
    }
}
