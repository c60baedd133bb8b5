//! The pages of keys: secrets, MCP servers, providers of models, AWS.

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;

use super::{ADMIN, OPERATOR, Routes, VIEWER};
use crate::{Handle, pages};

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add("GET", "/", VIEWER, "the API tokens", pages::secrets::show)
        .add(
            "POST",
            "/secrets",
            OPERATOR,
            "save a secret",
            pages::secrets::save,
        )
        .add(
            "GET",
            "/secrets/{name}",
            VIEWER,
            "one secret: who holds it, and how to rotate it",
            pages::secrets::one,
        )
        .add(
            "POST",
            "/secrets/{name}",
            OPERATOR,
            "rotate a secret",
            pages::secrets::rotate,
        )
        .add(
            "POST",
            "/secrets/{name}/remove",
            OPERATOR,
            "remove a secret",
            pages::secrets::remove,
        )
        .add(
            "POST",
            "/unlock",
            ADMIN,
            "unlock the vault by its passphrase",
            pages::secrets::unlock,
        )
        .add("GET", "/mcp", VIEWER, "the MCP servers", pages::mcp::list)
        .add("POST", "/mcp", ADMIN, "add an MCP server", pages::mcp::add)
        .add(
            "GET",
            "/mcp/{name}",
            VIEWER,
            "one MCP server",
            pages::mcp::one,
        )
        .add(
            "POST",
            "/mcp/{name}/test",
            OPERATOR,
            "start an MCP server and ask who it is",
            pages::mcp::test,
        )
        .add(
            "POST",
            "/mcp/{name}/secrets",
            OPERATOR,
            "save a secret of an MCP server",
            pages::mcp::save_secret,
        )
        .add(
            "POST",
            "/mcp/{name}/remove",
            ADMIN,
            "remove an MCP server and its secrets",
            pages::mcp::remove,
        )
        .add(
            "GET",
            "/mcp-import",
            ADMIN,
            "choose a client whose MCP servers are taken over",
            pages::mcp_import::choose,
        )
        .add(
            "POST",
            "/mcp-import",
            ADMIN,
            "show what would be taken over",
            pages::mcp_import::preview,
        )
        .add(
            "POST",
            "/mcp-import/upload",
            ADMIN,
            "upload a client's file, and show what would be taken over",
            // It has a limit of its own, that of such files.
            Handler::<_, Handle>::layer(pages::mcp_import::upload, DefaultBodyLimit::disable()),
        )
        .add(
            "POST",
            "/mcp-import/undo",
            ADMIN,
            "put MCP servers back into the file that they were taken from",
            pages::mcp_import::undo,
        )
        .add(
            "GET",
            "/mcp-import/{key}/file",
            ADMIN,
            "fetch the file that was sent, with Mira in the place of its servers",
            pages::mcp_import::file,
        )
        .add(
            "POST",
            "/mcp-import/{key}",
            ADMIN,
            "take MCP servers over",
            pages::mcp_import::take,
        )
        .add(
            "GET",
            "/providers",
            VIEWER,
            "the providers of models, and AWS",
            pages::providers::list,
        )
        .add(
            "POST",
            "/providers/{name}/test",
            OPERATOR,
            "try the key of a provider",
            pages::providers::test,
        )
        .add(
            "POST",
            "/aws",
            ADMIN,
            "try credentials of AWS, and save them",
            pages::providers::set_aws,
        )
        .add(
            "POST",
            "/aws/remove",
            ADMIN,
            "remove the credentials of AWS",
            pages::providers::remove_aws,
        )
}
