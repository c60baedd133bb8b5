//! The binary `mira`.

fn main() -> std::process::ExitCode {
    mira_cli::main()
}
