//! The program `mira`.

fn main() -> std::process::ExitCode {
    mira_cli::main()
}
