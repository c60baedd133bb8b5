//! The clients whose configuration files are known: where these are, and where in them the servers stand.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mira_vault::home::Platform;

/// A program that starts MCP servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Anthropic's desktop application.
    ClaudeDesktop,
    /// Anthropic's program for the terminal.
    ClaudeCode,
    /// The editor Cursor.
    Cursor,
    /// The editor Visual Studio Code.
    VsCode,
    /// The editor Windsurf.
    Windsurf,
    /// The editor Zed.
    Zed,
    /// OpenAI's program for the terminal.
    Codex,
    /// Another one, whose file has a table `mcpServers`.
    Other,
}

impl Client {
    /// Returns what the client is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::VsCode => "VS Code",
            Self::Windsurf => "Windsurf",
            Self::Zed => "Zed",
            Self::Codex => "Codex",
            Self::Other => "an MCP client",
        }
    }

    /// Returns whose file this is, by its name and by the name of the table in which the servers stand.
    #[must_use]
    pub fn of(file: &Path, table: &[String]) -> Self {
        let name = |path: Option<&Path>| {
            let name = path.and_then(Path::file_name).unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        match table.last().map(String::as_str) {
            Some("mcp_servers") => return Self::Codex,
            Some("context_servers") => return Self::Zed,
            Some("servers") => return Self::VsCode,
            _ => {}
        }
        match (name(file.parent()).as_str(), name(Some(file)).as_str()) {
            (_, "claude_desktop_config.json") => Self::ClaudeDesktop,
            (_, ".claude.json" | ".mcp.json") => Self::ClaudeCode,
            (".cursor", _) => Self::Cursor,
            ("windsurf", _) => Self::Windsurf,
            _ => Self::Other,
        }
    }
}

/// Returns where the clients of a person keep their files, whether these are there or not.
///
/// `config` is the folder of the system for applications' settings, `project` the folder in which the person is.
#[must_use]
pub fn places(platform: Platform, home: &Path, config: &Path, project: &Path) -> Vec<PathBuf> {
    let zed = match platform {
        Platform::Windows => config.join("Zed/settings.json"),
        // Zed keeps to ~/.config on macOS too.
        _ => home.join(".config/zed/settings.json"),
    };
    vec![
        config.join("Claude/claude_desktop_config.json"),
        home.join(".claude.json"),
        home.join(".cursor/mcp.json"),
        config.join("Code/User/mcp.json"),
        config.join("Code/User/settings.json"),
        home.join(".codeium/windsurf/mcp_config.json"),
        zed,
        home.join(".codex/config.toml"),
        project.join(".mcp.json"),
        project.join(".cursor/mcp.json"),
        project.join(".vscode/mcp.json"),
    ]
}

/// Returns the files of clients that are there, by the person's variables and the folder in which the person is; `None` if the
/// person has no home folder to look in.
#[must_use]
pub fn present(
    variable: impl Fn(&str) -> Option<OsString>,
    project: Option<&Path>,
) -> Option<Vec<PathBuf>> {
    let folder = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = folder("HOME").or_else(|| folder("USERPROFILE"))?;
    let config = match Platform::CURRENT {
        Platform::Linux => folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
        Platform::MacOs => home.join("Library/Application Support"),
        Platform::Windows => folder("APPDATA").unwrap_or_else(|| home.join("AppData/Roaming")),
    };
    let mut files = places(Platform::CURRENT, &home, &config, project.unwrap_or(&home));
    let mut seen = BTreeSet::new();
    files.retain(|file| file.symlink_metadata().is_ok() && seen.insert(file.clone()));
    Some(files)
}
